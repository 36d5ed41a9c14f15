"""One event recorded once, as several tests look at it."""

from dataclasses import dataclass

from tests.hil.account import Account
from tests.hil.beacon import Beacon

QUIET_BEFORE_S = 3
HEARD_S = 40
QUIET_AFTER_S = 12
_END_MARGIN_S = 6


@dataclass(frozen=True)
class Recorded:
    """A self-test from before its beginning to after its end. Times in ms of the rig's clock.

    quiet_ms: since when it was listened to; begun_ms: when it was started; over_ms: when it was
    to be over, with a margin; end_ms: until when it was listened to.
    """

    event: int
    quiet_ms: int
    begun_ms: int
    over_ms: int
    end_ms: int
    account: Account


def self_test(beacon: Beacon) -> Recorded:
    """Return the self-test that was recorded of a beacon, made if there is none."""
    if "self-test" not in beacon.memo:
        beacon.memo["self-test"] = _record(beacon)
    return beacon.memo["self-test"]


def first_heard(beacon: Beacon, account: Account, timeout_s: float = HEARD_S) -> None:
    """Wait for the first packet; the test fails if none came, unless the radio is to blame."""
    assert beacon.rig.ears is not None
    adverts = beacon.rig.ears.adverts
    if not beacon.rig.wait_until(lambda: account.update().packets, timeout_s):
        beacon.require_hearing(adverts)
        raise AssertionError(f"nothing was heard of it in {timeout_s:.0f} s")


def silence(beacon: Beacon, account: Account, seconds: float) -> None:
    """Listen for some time; the test fails if the beacon says anything in it."""
    assert beacon.rig.ears is not None
    adverts, known = beacon.rig.ears.adverts, len(account.update().packets)
    beacon.rig.let_pass(seconds)
    beacon.require_hearing(adverts)
    heard = len(account.update().packets) - known
    assert not heard, f"{heard} packets in {seconds:.0f} s that were to be silent"


def _record(beacon: Beacon) -> Recorded:
    number = beacon.on_guard()
    quiet_ms = beacon.rig.now_ms()
    account = beacon.account(quiet_ms, number)
    beacon.rig.let_pass(QUIET_BEFORE_S)
    begun_ms = beacon.start()
    first_heard(beacon, account)
    beacon.rig.let_pass(beacon.settings["self_test_s"] + _END_MARGIN_S)
    over_ms = beacon.rig.now_ms()
    beacon.rig.let_pass(QUIET_AFTER_S)
    return Recorded(number, quiet_ms, begun_ms, over_ms, beacon.rig.now_ms(), account.update())
