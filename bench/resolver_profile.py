"""Where the time of a frame goes that is a beacon's first, step by step, for bench/resolver.py.

Each step is a function that is timed from within: what it takes itself, without the steps it
calls, less what the timing takes. To be timed makes it slower all the same, since each reading
of the clock goes through the kernel, and that costs caches: so the whole is given untimed too.
"""

import gc
import time
from collections.abc import Callable, Sequence
from typing import Any

from fanal import event_keys, resolver
from fanal.event_keys import EventKeys
from fanal.heard import Heard
from fanal.pages import Pages
from fanal.repeats import Repeats
from fanal.resolver import Resolver
from fanal.rid_index import RidIndex
from fanal.watch import Beacon, Event
from fanal.wide_watch import WideWatch
from fanal_protocol import frame

ALL = "all of these, timed"
ALONE = "the same, not timed"
COLLECTED = "and with the garbage collector"

_STEPS: tuple[tuple[Any, str, str], ...] = (
    (Repeats, "known", "was it heard before?"),
    (frame, "decode", "its form"),
    (RidIndex, "probe", "a probe of the table"),
    (WideWatch, "beacon", "the beacon from its row"),
    (Beacon, "keys_of", "a step of the ratchet"),
    (event_keys, "rid_key_of", "k_rid"),
    (EventKeys, "rid_and_mask", "identifier and mask, by AES"),
    (EventKeys, "open_alert", "k_alert and the tag"),
    (Event, "__init__", "the event, and its line"),
    (Event, "judge", "the verdict"),
    (resolver, "sighting", "the sighting"),
    (Pages, "sighted", "its pages"),
    (Repeats, "learn", "what to remember of it"),
    (Resolver, "take", "calls, loops and lists between these"),
)
_CALLS = 100_000


class _Clock:
    """Self times of functions, in CPU seconds of this thread, by name."""

    def __init__(self) -> None:
        self.took_s: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        self.inner: dict[str, int] = {}  # timed calls from within
        self._within = [[0.0, 0]]

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that is timed."""
        now_s, within = time.thread_time, self._within
        self.took_s[name] = 0.0
        self.calls[name] = self.inner[name] = 0

        def timed(*args: Any) -> Any:
            within.append([0.0, 0])
            began_s = now_s()
            try:
                return function(*args)
            finally:
                took_s = now_s() - began_s
                steps_s, steps = within.pop()
                within[-1][0] += took_s
                within[-1][1] += 1
                self.took_s[name] += took_s - steps_s
                self.calls[name] += 1
                self.inner[name] += steps

        return timed


def _cost_s() -> tuple[float, float]:
    """Return what timing adds to a step, and to the step that calls it."""
    clock = _Clock()
    function = clock.timed("nothing", lambda: None)
    began_s = time.thread_time()
    for _ in range(_CALLS):
        function()
    whole_s = (time.thread_time() - began_s) / _CALLS
    inside_s = clock.took_s["nothing"] / _CALLS
    return inside_s, whole_s - inside_s


def _took_s(one: Resolver, frames: Sequence[Heard]) -> float:
    take, began_s = one.take, time.thread_time()
    for heard in frames:
        take(heard)
    return time.thread_time() - began_s


def first_frames(one: Resolver, frames: Callable[[], Sequence[Heard]]) -> dict[str, float]:
    """Return microseconds a frame by step, of frames that are all the first of a beacon.

    frames: gives as many others each time.
    """
    some = frames()
    collected_s = _took_s(one, some)
    gc.disable()
    alone_s = _took_s(one, frames())
    clock, inside_s, outside_s = _Clock(), *_cost_s()
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in _STEPS]
    timed = frames()
    for owner, name, text in _STEPS:
        setattr(owner, name, clock.timed(text, getattr(owner, name)))
    _took_s(one, timed)
    for owner, name, function in before:
        setattr(owner, name, function)
    gc.enable()
    found_s = {text: took_s - inside_s * clock.calls[text] - outside_s * clock.inner[text]
               for text, took_s in clock.took_s.items()}  # fmt: skip
    found_s |= {ALL: sum(found_s.values()), ALONE: alone_s, COLLECTED: collected_s}
    return {text: 1e6 * took_s / len(some) for text, took_s in found_s.items()}
