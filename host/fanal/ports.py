"""`fanal ports`: what is attached, and what is known of it without asking it.

Nothing is opened here: opening a port resets some boards, and interrupts a beacon in an event.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fanal import serial_port
from fanal.beacon_name import shown
from fanal.probe import NOT_ASKED, Answer
from fanal.registry import RETIRED, Beacon, Newest, Registry
from fanal.serial_port import Attached

_CARRIED_S = 86_400  # how long an event of a carried beacon may last
_EVENT_S = 3600  # of a fixed one whose settings do not say
_SELF_TEST_S = 20  # the same
_UNIT_S = 2  # an age on air is a whole number of these


@dataclass(frozen=True)
class Known:
    """What the registry says of a board. revoked: the reason, None if it is not.

    heard_ms: the newest sighting that was no replay. open_until_ms: until when its event may go on;
    both Unix milliseconds, None if nothing was heard of it.
    """

    beacon_id: str
    state: str
    site: str
    place: str
    revoked: str | None
    newest_event: int
    heard_ms: int | None
    open_until_ms: int | None

    def may_be_open(self, now_ms: int) -> bool:
        """Say whether an event of it may go on now. A sighting from the future counts as now."""
        return self.open_until_ms is not None and now_ms < self.open_until_ms


@dataclass(frozen=True)
class Port:
    """One attached port. holder: "process PID (NAME)" of who has it open, None if nobody is known.

    known: None if the registry knows nothing of it, or there is none. answer: None if nobody wanted
    to ask. remark: where board and registry disagree, half a sentence, or "".
    """

    attached: Attached
    holder: str | None
    known: Known | None
    answer: Answer | None = None
    remark: str = ""


def ports(
    registry: Registry | None,
    *,
    attached: Callable[[], Iterable[Attached]] = serial_port.attached,
    holder: Callable[[str], str | None] = serial_port.holder,
) -> list[Port]:
    """Return all attached ports, with what the registry knows of those that name their MAC."""
    known = {} if registry is None else by_mac(registry)
    return [
        Port(one, None if _is_pseudo(one.port) else holder(one.port), known.get(one.mac or ""))
        for one in attached()
    ]


def by_mac(registry: Registry) -> dict[str, Known]:
    """Return MAC -> what is known: the identity that counts, else the newest retired one.

    An event of any identity of that board counts: the flash may hold what the registry gave up.
    """
    heard = registry.newest_heard()
    found: dict[str, Known] = {}
    for beacon in sorted(registry.beacons(), key=lambda b: (b.state != RETIRED, b.last_ms)):
        if beacon.mac is None:
            continue
        known, before = _known(beacon, heard.get(beacon.beacon_id, ())), found.get(beacon.mac)
        if before is not None and (before.open_until_ms or 0) > (known.open_until_ms or 0):
            known = replace(known, open_until_ms=before.open_until_ms)
        found[beacon.mac] = known
    return found


def spared(port: Port, now_ms: int, *, disturb: bool = False) -> Answer | None:
    """Return why this port had better not be opened, None if nothing is known against it.

    disturb: also where an event may be open.
    """
    if port.holder is not None:
        return Answer(
            NOT_ASKED, problem=f"It is in use by {port.holder}.", code="port_busy",
            hint="Close that program, and ask again.",
        )  # fmt: skip
    if port.known is not None and port.known.may_be_open(now_ms) and not disturb:
        return Answer(
            NOT_ASKED, problem="It was heard in an event that may go on.", code="in_event",
            hint="To ask it anyway, add --disturb: it is silent for some seconds.",
        )  # fmt: skip
    return None


def answered(
    found: Iterable[Port], answers: Mapping[str, Answer], registry: Registry | None
) -> list[Port]:
    """Return the ports with what was answered there, and what the registry says to that.

    answers: port -> answer; a port without one stays as it is.
    """
    known = {} if registry is None else by_mac(registry)
    return [
        port
        if (answer := answers.get(port.attached.port)) is None
        else _answered(port, answer, known, is_registry=registry is not None)
        for port in found
    ]


def _answered(port: Port, answer: Answer, known: Mapping[str, Known], is_registry: bool) -> Port:
    by_id = {one.beacon_id: (mac, one) for mac, one in known.items()}
    here = known.get(answer.mac or "", port.known)
    remark = ""
    if answer.beacon_id is not None and is_registry:
        mac, its_own = by_id.get(answer.beacon_id, (None, None))
        if its_own is not None and mac != answer.mac:
            remark = f"the registry has {shown(answer.beacon_id)} on another board, {mac}"
        elif its_own is None and here is not None:
            remark = f"the registry has {shown(here.beacon_id)} on this board, not this identity"
        elif its_own is None:
            remark = "not in this fleet's registry"
        here = its_own or here
    elif answer.is_provisioned is False and here is not None and here.state != RETIRED:
        remark = f"the registry has {shown(here.beacon_id)} on this board, which holds no identity"
    return replace(port, answer=answer, known=here, remark=remark)


def _known(beacon: Beacon, heard: Sequence[Newest]) -> Known:
    return Known(
        beacon_id=beacon.beacon_id,
        state=beacon.state,
        site=beacon.site,
        place=beacon.place,
        revoked=None if beacon.revocation is None else beacon.revocation.reason,
        newest_event=beacon.newest_event,
        heard_ms=max((one.t_ms for one in heard), default=None),
        open_until_ms=max((one.t_ms + 1000 * _left_s(beacon, one) for one in heard), default=None),
    )


def _left_s(beacon: Beacon, heard: Newest) -> int:
    """Return how long an event may go on after it was heard, at most.

    A hold may begin it anew at any time; a self-test ends, whatever happens.
    """
    if heard.is_self_test:
        return max(0, _setting(beacon, "self_test_s", _SELF_TEST_S) - heard.age_s) + _UNIT_S
    return _CARRIED_S if beacon.profile == "carried" else _setting(beacon, "event_s", _EVENT_S)


def _setting(beacon: Beacon, name: str, default: int) -> int:
    value = beacon.settings.get(name)
    return value if isinstance(value, int) else default


def _is_pseudo(port: str) -> bool:
    """Say whether a port is a pseudo-terminal: what is behind it holds it all the time."""
    return os.path.realpath(port).startswith("/dev/pts/")
