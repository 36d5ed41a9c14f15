"""The ears of the rig: everything that one radio hears, with the time at which it came."""

import asyncio
import contextlib
import threading
from collections.abc import Callable

from fanal.error import FanalError
from fanal.heard import ArrivalClock, Heard
from fanal.radio import DEAF, Radio, RadioState

from tests.hil.options import AIR, BLUETOOTH, HCI, Options
from tests.hil.outcome import Infra

_START_S = 30.0


class Ears:
    """A radio that listens, and what it heard. Another thread may read it at any time."""

    def __init__(self, radio: Radio) -> None:
        self.radio = radio
        self.heard: list[Heard] = []
        self.deaf: str | None = None

    @property
    def adverts(self) -> int:
        """How many packets of anybody were heard."""
        return self.radio.counts["adverts"]

    def since(self, t_ms: int) -> list[Heard]:
        """Return what was heard of beacons, of any fleet, from a moment on."""
        return [heard for heard in self.heard if heard.t_ms >= t_ms]

    def fault(self) -> Infra | None:
        """Return why these ears cannot hear, None if they can."""
        return Infra(f"The radio is deaf: {self.deaf}", radio=True) if self.deaf else None

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Listen until cancelled. Raises RadioUnavailable."""
        async with self.radio:
            ready()
            async for item in self.radio:
                if isinstance(item, RadioState):
                    self.deaf = item.reason if item.kind == DEAF else None
                else:
                    self.heard.append(item)


class ListeningThread:
    """Ears with a thread of their own, for a radio of the real world. `close` ends it."""

    def __init__(self, radio: Radio) -> None:
        """Start to listen. Raises FanalError if the radio does not."""
        self.ears = Ears(radio)
        self._failure: BaseException | None = None
        self._is_up = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._serve, name="ears", daemon=True)
        self._thread.start()
        if not self._is_up.wait(_START_S):
            raise Infra("The radio did not start to listen.", radio=True)
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def close(self) -> None:
        """Stop listening."""
        if self._loop is not None and self._task is not None:
            with contextlib.suppress(RuntimeError):  # its loop has ended already
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(_START_S)

    def _serve(self) -> None:
        try:
            asyncio.run(self._run())
        except asyncio.CancelledError:
            pass
        except FanalError as problem:
            self._failure = Infra(f"{problem.sentence} {problem.hint}", radio=True)
            self.ears.deaf = problem.sentence
        except Exception as problem:  # noqa: BLE001 - told by the thread that waits for us
            self._failure = problem
            self.ears.deaf = type(problem).__name__
        finally:
            self._is_up.set()

    async def _run(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        await self.ears.run(self._is_up.set)


def real_radio(radio: str, options: Options, clock: ArrivalClock) -> Radio:
    """Return the radio of a flag: bluetooth, hci:TRANSPORT, or somebody's virtual air."""
    kind, _, where = radio.partition(":")
    backend = None
    if kind == HCI:
        from tests.hil.dongle import dongle_backend

        backend = dongle_backend(where)
    elif kind == AIR:
        from fanal.sim.air_scanner import scanner_backend

        backend = scanner_backend(where)
    else:
        assert kind == BLUETOOTH, radio
    return Radio(backend=backend, adapter=options.adapter, now_ms=clock.now_ms)
