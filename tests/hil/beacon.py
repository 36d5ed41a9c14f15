"""One beacon under test, virtual or real: what tests say to it, and what is wrong with its rig."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from fanal.board_link import BoardLink
from fanal.error import BoardLost, FanalError
from fanal.provision import Request, provision
from fanal.status import Status, read_status

from tests.hil.account import Account
from tests.hil.capabilities import MISSING, first_missing
from tests.hil.fleet import SITE, SuiteFleet
from tests.hil.line import Line, open_line
from tests.hil.options import Options
from tests.hil.outcome import Infra
from tests.hil.person import Person
from tests.hil.preflight import Facts, look
from tests.hil.rig import Rig

# A short life: hold, alert and self-test as short as the settings allow without losing a signature.
QUICK = {"alert_s": 20, "event_s": 20, "self_test_s": 20, "window_s": 5}
# where nothing could get a board out of deep sleep, it must not fall into it
AWAKE = {"window_s": 3600}

_ATTACH_S = 12.0
_PATIENT_S = 60.0
_AGAIN_S = 6.0
_HEAR_S = 10.0
_SETTLE_S = 2.0
_BOOT_S = 0.5
_MARGIN_MS = 1500
_HUNG = ("silent", "no_answer", "lost")


class Beacon:
    """See the module's text. `fault` is set once the rig has failed: nothing more is tried then."""

    def __init__(self, rig: Rig, fleet: SuiteFleet, options: Options, person: Person | None):
        self.rig, self.fleet, self._options, self._person = rig, fleet, options, person
        self.name = rig.name
        self.memo: dict[str, Any] = {}  # what tests recorded once, to look at it in several ways
        self.fault: Infra | None = None
        self.radio_fault: Infra | None = None
        self.is_radio_told = False
        self.facts: Facts | None = None
        self.abilities: frozenset[str] = frozenset()
        self._whose = MISSING["identity"]
        self._found: Mapping[str, Any] = {}
        self._is_ours = False
        self.settings: dict[str, Any] = {}  # in force since it was last put on guard
        self._awake_until_ms = 0
        self._public_key = b""

    # -- before the first test, and after the last

    def open(self) -> None:
        """Preflight. Raises Infra or FanalError: then no test of this beacon can be run."""
        self.rig.open()
        with BoardLink(self.rig.port, attach_s=_ATTACH_S, on_waiting=self._press_reset) as link:
            self.facts, status = look(link, self.name)
        self._left(status.settings)
        self._found = dict(status.settings)
        self._refuse_an_event(status)
        can = set(self.rig.can) | set(self.facts.abilities)
        if self.rig.ears is not None:
            can.add("ears")
            self.radio_fault = self._hearing_fault()
        if self._may_have(status):
            can.add("identity")
        if {"squeeze", "trigger"} & can:
            can.add("start")
        if self._options.soak_hours:
            can |= {"soak", "long"}
        if self._options.all_curves:
            can.add("curves")
        if "jump" in can:
            can.add("long")
        self.abilities = frozenset(can)

    def close(self) -> None:
        """Leave the board as it was found: its settings, and no identity if it had none."""
        try:
            if self.facts is not None and self.fault is None:
                self._restore()
        finally:
            self.rig.close()

    def missing(self, needs: tuple[str, ...]) -> str | None:
        """Return what a test needs and this beacon or its rig has not, named, or None."""
        missing = first_missing(needs, self.abilities)
        return self._whose if missing == MISSING["identity"] else missing

    # -- the wire

    @contextlib.contextmanager
    def attached(self, *, wake: bool = True) -> Iterator[BoardLink]:
        """Attach for the length of a block; afterwards the board starts anew.

        wake: get it out of deep sleep first. Raises FanalError; AssertionError if the board, not
        the line, stopped answering: after a reset it does again.
        """
        if wake and self.rig.now_ms() > self._awake_until_ms and "wake" in self.rig.can:
            self.rig.reset()
        attach_s = _PATIENT_S if self._person else _ATTACH_S
        self._awake_until_ms = 0
        with (
            self._blaming(),
            BoardLink(self.rig.port, attach_s=attach_s, on_waiting=self._press_reset) as link,
        ):
            yield link
            last = read_status(link)
        if "jump" in self.rig.can:  # no tool has to wait for it to boot
            self.rig.let_pass(_BOOT_S)
        if not last.drill_armed_s and last.event is None:  # else it goes on from a short sleep
            self._left(last.settings)

    @contextlib.contextmanager
    def line(self) -> Iterator[Line]:
        """Open its bare serial line for the length of a block; whatever happens to it is told
        apart as by `attached`."""
        with self._blaming(), open_line(self.rig.port) as line:
            yield line

    def call(self, function: str, *args: str | int) -> dict[str, Any]:
        """Attach, call one console function, leave; return its answer."""
        with self.attached() as link:
            return link.call(function, *args)

    def status(self) -> Status:
        """Attach and read its status."""
        with self.attached() as link:
            return read_status(link)

    def at_rest(self) -> Status:
        """Attach, end what the test before may have left open, leave; return its status.

        Unlike `on_guard` it needs no identity and changes no setting.
        """
        self.rig.release()
        with self.attached() as link:
            self._calmed(link, read_status(link))
            return read_status(link)

    # -- on guard

    def on_guard(self, **settings: Any) -> int:
        """Give it the suite's identity and settings; return the number of its next event.

        Afterwards it has just restarted, with no event open and no drill armed, and listens.
        settings: those that a test wants otherwise than QUICK.
        """
        self.rig.release()
        with self.attached() as link:
            status = self._provisioned(link)
            self._calmed(link, status)
            awake = {} if "wake" in self.rig.can else AWAKE
            wanted = {**QUICK, **settings, **awake}
            if any(status.settings[name] != value for name, value in wanted.items()):
                link.call("configure", json.dumps({**self._found, **wanted}))
            status = read_status(link)
        number, self.settings = status.next_event, dict(status.settings)
        if "radio" in self.abilities:  # it has a loop, which takes a moment to begin
            self.rig.let_pass(_SETTLE_S)
        return number

    def start(self) -> int:
        """Begin a self-test, by hand or by the console; return when, in ms of the rig's clock."""
        if "squeeze" in self.rig.can and "trigger" not in self.abilities:
            return self.rig.squeeze("self-test")
        with self.attached() as link:
            link.call("begin_self_test")
            begun_ms = self.rig.now_ms()  # it begins as soon as the console is left
        self._awake_until_ms = 0  # it wakes for it, and sleeps again when it is over
        return begun_ms

    def account(self, since_ms: int, event: int, count: int = 3) -> Account:
        """Return what is heard of it from a moment on, of `count` events from `event` on."""
        assert self.rig.ears is not None
        events = [self.fleet.keys_of(self._public_key, event + i) for i in range(count)]
        return Account(self.rig.ears, events, since_ms)

    def require_hearing(self, since_adverts: int) -> None:
        """Raise Infra if the radio heard nobody at all since: its silence then says nothing."""
        ears = self.rig.ears
        assert ears is not None
        if fault := ears.fault():
            raise fault
        if ears.adverts == since_adverts:
            raise Infra("The radio heard no device at all meanwhile.", radio=True)

    @property
    def public_key(self) -> bytes:
        """Its key, 32 bytes, once it was on guard."""
        return self._public_key

    # -- how

    def _calmed(self, link: BoardLink, status: Status) -> None:
        """End its event and its drill. Somebody else's event was refused before the first test."""
        if status.event is not None:
            link.call("end_event")
        if status.drill_armed_s:
            link.call("disarm_drill")

    def _left(self, settings: Mapping[str, Any]) -> None:
        window_ms = settings.get("window_s", 0) * 1000
        self._awake_until_ms = self.rig.now_ms() + window_ms - _MARGIN_MS

    def _press_reset(self) -> None:
        if self._person is not None:
            self._person.asked(f"{self.name}: press its reset button", "after that")

    @contextlib.contextmanager
    def _blaming(self) -> Iterator[None]:
        """Tell a board that hangs, which answers again after a reset, from a line that is dead."""
        try:
            yield
        except BoardLost as lost:
            if lost.code in _HUNG and self._answers_again():
                raise AssertionError(
                    f"{lost.sentence} After a reset it does: it was not the cable."
                ) from None
            raise

    def _answers_again(self) -> bool:
        with contextlib.suppress(FanalError, Infra):
            if "reset" in self.rig.can:
                self.rig.reset()
            with BoardLink(self.rig.port, attach_s=_AGAIN_S) as link:
                link.call("status")
                return True
        return False

    def _refuse_an_event(self, status: Status) -> None:
        if status.event is not None and not self.fleet.knows(status):
            raise Infra("The beacon is in the middle of an event: somebody may need help.")

    def _may_have(self, status: Status) -> bool:
        """Whether the suite may use or make its identity: nobody else's is ever touched."""
        self._is_ours = self.fleet.knows(status)
        if "vault_corrupt" in status.faults:
            self._whose = "board's vault holds a record that cannot be read"
        elif status.public_key is None or self._is_ours:
            return True
        elif not status.is_provisioned:
            self._whose = "board holds an identity without a key: needs --may-provision"
            return self._options.may_provision
        return False

    def _hearing_fault(self) -> Infra | None:
        ears = self.rig.ears
        assert ears is not None
        if not self.rig.wait_until(lambda: ears.adverts or ears.deaf, _HEAR_S):
            return Infra(f"The radio hears no device at all in {_HEAR_S:.0f} s.", radio=True)
        return ears.fault()

    def _provisioned(self, link: BoardLink) -> Status:
        status = read_status(link)
        if status.is_provisioned and status.public_key == self._public_key:
            return status
        done = provision(link, self.fleet.station, self.fleet.registry, self._request(status))
        self._public_key = done.public_key
        self._is_ours = True
        return read_status(link)

    def _request(self, status: Status) -> Request:
        return Request(SITE, profile=status.settings["profile"], replace=True)

    def _restore(self) -> None:
        with self.attached() as link:
            status = read_status(link)
            if status.event is not None and self._is_ours:
                link.call("end_event")
            if status.settings != self._found:
                link.call("configure", json.dumps(dict(self._found)))
            if self.fleet.knows(status):  # no board leaves with a key that only tests have
                link.call("wipe", status.beacon_id)
                self.fleet.registry.retire(status.beacon_id, "the suite is done with it")


__all__ = ["QUICK", "Beacon"]
