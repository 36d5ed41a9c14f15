"""Check a beacon on the wire, row by row: is it ours, whole, and ready to be squeezed?

A row that fails is a finding about the beacon. A cable that dies is not: that is raised, and
says nothing about the beacon.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from fanal import certificate, chips
from fanal.beacon_lookup import require_attached
from fanal.beacon_name import shown
from fanal.error import BoardRefused, DeviceError, FanalError, IntegrityError, ReadBackError
from fanal.registry import PROVISIONED, VERIFIED, Beacon, Registry, revoked
from fanal.status import Board, Status, prove, read_status, require_own_id, require_protocol

OK = "ok"
WARN = "warn"
FAIL = "fail"

_FAILED = FanalError.exit_code
_INTEGRITY = IntegrityError.exit_code
_READ_BACK = ReadBackError.exit_code

# which failing row decides the exit code: the graver first
_GRAVITY = (_INTEGRITY, _READ_BACK, _FAILED)

_UNKNOWN_CHIP = "unknown"  # what a board says of itself whose pins its firmware does not know

# what is not of this release, or damaged, and comes right by flashing
_FLASHED = ("version", "firmware")

_SELF_TEST_S = 20  # the firmware's default
_READINGS = 3
_RAIL_MV = 3000  # a sensor input this high is shorted or held down, not resting


@dataclass(frozen=True)
class Check:
    """One row. outcome: OK, WARN or FAIL; reason: what was found; exit_code: if it fails."""

    name: str
    outcome: str
    reason: str
    exit_code: int = 0


@dataclass(frozen=True)
class Verification:
    """All rows of one beacon. next_event: of its vault; self_test_s: how long one lasts on it."""

    beacon_id: str
    mac: str | None
    site: str
    checks: tuple[Check, ...]
    next_event: int
    self_test_s: int

    @property
    def exit_code(self) -> int:
        """0 if nothing failed, else the code of the gravest failure: 4, 5 or 1."""
        return exit_code_of(self.checks)

    @property
    def is_to_flash(self) -> bool:
        """Whether `fanal flash` may put it right: its firmware fails, and its key is its own."""
        failed = {check.name for check in self.checks if check.outcome == FAIL}
        return bool(failed.intersection(_FLASHED)) and "identity" not in failed


def exit_code_of(checks: Iterable[Check]) -> int:
    """Return 0 if no row failed, else the code of the gravest failure."""
    found = {check.exit_code for check in checks if check.outcome == FAIL}
    return next((code for code in _GRAVITY if code in found), 0)


def verify(
    board: Board,
    registry: Registry,
    manifest: Mapping[str, str],
    version: str,
    *,
    beacon_id: str | None = None,
    is_recorded: bool = True,
    on_step: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Check the board against the registry and the firmware, and record a pass.

    manifest: path on the board -> SHA-256 in hex. version: of this program. beacon_id: the one that
    must be attached, or None. is_recorded: False if more is to be checked before that. Raises
    DeviceError (not a beacon, another one, no answer) and Clash for one that was revoked, never for
    what is wrong with the beacon itself.
    """
    on_step("Reading the board")
    status = read_status(board)
    require_protocol(status)
    require_attached(status, beacon_id)
    beacon = _registered(registry, status)
    on_step("Checking its identity")
    checks = [_identity(board, status, beacon), _certificate(registry, status, beacon)]
    on_step("Checking its firmware")
    checks += [_version(status, version), _chip(status)]
    checks += [_files(board, manifest), _known_answers(board)]
    checks += [_settings(status, beacon), _counter(status, beacon), _battery(status)]
    on_step("Watching its sensor at rest")
    checks += [_sensor(board, status), _vault(status), _drill(status), _event(status)]
    checks += [_faults(status)]
    self_test_s = status.settings.get("self_test_s")
    result = Verification(
        beacon.beacon_id, status.mac, beacon.site, tuple(checks), status.next_event,
        self_test_s if isinstance(self_test_s, int) else _SELF_TEST_S,
    )  # fmt: skip
    if result.exit_code == 0 and is_recorded:
        registry.verified(beacon.beacon_id)
    return result


def _registered(registry: Registry, status: Status) -> Beacon:
    beacon = None if status.beacon_id is None else registry.find(status.beacon_id)
    if beacon is None or beacon.state not in (PROVISIONED, VERIFIED):
        known = registry.active_on(status.mac)
        which = shown(status.beacon_id) if status.beacon_id else "without a key"
        hint = "Provision it with `fanal provision`, or name its fleet with --fleet DIR."
        if known is not None and known.beacon_id != status.beacon_id:
            name = shown(known.beacon_id)
            hint = f"The registry has {name} on this board: was it erased or replaced?"
        raise DeviceError(
            f"This board ({which}) is not a provisioned beacon of this fleet.",
            hint,
            code="not_registered",
        )
    if beacon.revocation is not None:
        raise revoked(beacon)
    return beacon


# -- identity


def _identity(board: Board, status: Status, beacon: Beacon) -> Check:
    try:
        require_own_id(status)
        prove(board, beacon.public_key)
    except IntegrityError as problem:
        return _bad("identity", problem.sentence, _INTEGRITY)
    except BoardRefused as refusal:
        return _bad("identity", refusal.sentence, _INTEGRITY)
    if status.mac != beacon.mac:
        return _bad("identity", f"the key of {beacon.mac} is on {status.mac}: a copy", _INTEGRITY)
    if not status.is_provisioned:
        return _bad("identity", "the board holds no event key", _READ_BACK)
    return _good("identity", f"{shown(beacon.beacon_id)} proved its key")


def _certificate(registry: Registry, status: Status, beacon: Beacon) -> Check:
    try:
        certificate.verify_chain(
            certificate.from_der(beacon.certificate or b""),
            certificate.from_der(registry.station_certificate(beacon.station)),
            certificate.from_der(registry.fleet_certificate()),
            beacon_id=beacon.beacon_id,
            public_key=beacon.public_key,
        )
    except IntegrityError as problem:
        return _bad("certificate", problem.sentence, _INTEGRITY)
    return _good("certificate", f"fleet, station {beacon.station}, beacon")


# -- firmware


def _version(status: Status, version: str) -> Check:
    found = f"Fanal {status.version}, protocol {status.protocol}, {status.machine}"
    if status.version != version:
        return _bad("version", f"Fanal {status.version} on the board, {version} here", _FAILED)
    return _good("version", found)


def _chip(status: Status) -> Check:
    if status.chip == _UNKNOWN_CHIP:
        # it answers and computes as any beacon does, and would never transmit
        return _bad("chip", f"{status.machine}: no pins known, a squeeze does nothing", _FAILED)
    return _good("chip", chips.shown(status.chip))


def _files(board: Board, manifest: Mapping[str, str]) -> Check:
    try:
        found = board.call("hashes").get("files")
    except BoardRefused as refusal:
        return _bad("firmware", refusal.sentence, _INTEGRITY)
    if not isinstance(found, dict):
        return _bad("firmware", "the board lists no files", _INTEGRITY)
    wrong = [f"{path} missing" for path in manifest if path not in found]
    wrong += [f"{p} differs" for p in manifest if p in found and found[p] != manifest[p]]
    # a file of ours that is not in the manifest would be imported nevertheless
    wrong += [f"{p} is foreign" for p in found if p not in manifest]
    if wrong:
        return _bad("firmware", _some(sorted(wrong)), _INTEGRITY)
    return _good("firmware", f"{len(manifest)} files as shipped")


def _known_answers(board: Board) -> Check:
    try:
        results = board.call("self_test").get("results")
    except BoardRefused as refusal:
        return _bad("known answers", refusal.sentence, _FAILED)
    if not isinstance(results, dict) or not results:
        return _bad("known answers", "the board gave no results", _FAILED)
    failed = sorted(str(name) for name, passed in results.items() if passed is not True)
    if failed:
        return _bad("known answers", f"wrong: {_some(failed)}", _FAILED)
    return _good("known answers", f"{len(results)} as they must be")


# -- condition


def _settings(status: Status, beacon: Beacon) -> Check:
    names = sorted({*status.settings, *beacon.settings})
    wrong = [name for name in names if status.settings.get(name) != beacon.settings.get(name)]
    if wrong:
        return _bad("settings", f"differ from the registry: {_some(wrong)}", _READ_BACK)
    return _good("settings", f"{len(names)} as registered, {beacon.profile}")


def _counter(status: Status, beacon: Beacon) -> Check:
    if status.next_event <= beacon.newest_event:
        return _bad(
            "counter",
            f"the next event would be {status.next_event}, but {beacon.newest_event} was heard",
            _INTEGRITY,
        )
    return _good("counter", f"next event {status.next_event}, newest heard {beacon.newest_event}")


def _battery(status: Status) -> Check:
    low = status.settings.get("battery_low_mv")
    if status.battery_mv is None:
        return Check("battery", WARN, "this board cannot measure it")
    if isinstance(low, int) and status.battery_mv < low:
        return _bad("battery", f"{status.battery_mv} mV is below {low} mV", _FAILED)
    return _good("battery", f"{status.battery_mv} mV")


def _sensor(board: Board, status: Status) -> Check:
    readings = [status.force_mv] + [read_status(board).force_mv for _ in range(_READINGS - 1)]
    measured = [reading for reading in readings if reading is not None]
    if len(measured) < _READINGS:
        return Check("sensor", WARN, "this board cannot measure it")
    limit = min(_limit(status, "release_mv"), _limit(status, "rest_max_mv"))
    worst = max(measured)
    if min(measured) >= _RAIL_MV:
        return _bad("sensor", f"stuck at {worst} mV: check its wires", _FAILED)
    if worst >= limit:
        return _bad("sensor", f"{worst} mV, not at rest (below {limit}): is it held?", _FAILED)
    return _good("sensor", f"at rest, {worst} mV of {limit}")


def _limit(status: Status, name: str) -> int:
    value = status.settings.get(name)
    return value if isinstance(value, int) else _RAIL_MV


def _vault(status: Status) -> Check:
    if status.vault != "partition":
        return _bad("vault", "keys lie in a file: used ones stay in flash", _FAILED)
    return _good("vault", "keys lie in their own partition")


def _drill(status: Status) -> Check:
    if status.drill_armed_s:
        return _bad("drill", f"armed for {status.drill_armed_s} s more", _FAILED)
    return _good("drill", "none armed")


def _event(status: Status) -> Check:
    if status.event is not None:
        return _bad("event", f"number {status.event.get('n')} is open: was it squeezed?", _FAILED)
    return _good("event", "none open")


def _faults(status: Status) -> Check:
    if status.faults:
        return _bad("faults", _some(list(status.faults)), _FAILED)
    return _good("faults", "none reported")


def _good(name: str, reason: str) -> Check:
    return Check(name, OK, reason)


def _bad(name: str, reason: str, exit_code: int) -> Check:
    return Check(name, FAIL, reason, exit_code)


def _some(items: list[str], most: int = 3) -> str:
    rest = len(items) - most
    return ", ".join(items[:most]) + (f" and {rest} more" if rest > 0 else "")
