"""Check a beacon on air: begin a self-test, hear it, open it, and hear it fall silent.

As on the wire, a row that fails is a finding about the beacon. A radio that is deaf is not:
that is raised, and says nothing about the beacon.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from statistics import median

from fanal.air_ears import Ears, NotingResolver
from fanal.air_rows import Limits, Overheard, end_ms, is_self_test, judge
from fanal.beacon_name import shown
from fanal.error import BoardRefused, EnvironmentFault, FanalError
from fanal.listen import Recorder, first_keys
from fanal.radio import Radio
from fanal.registry import Registry
from fanal.verify import FAIL, Check, Verification, exit_code_of

_RADIO_S = 30.0  # it says so itself, and sooner, if it cannot start
_LAST_WORDS_S = 0.5  # after what breaks it off: whatever else it says


@dataclass(frozen=True)
class AirCheck:
    """All rows of one beacon on air, and the figures behind them; None: it did not come to that.

    event: n as heard; first_alert_s: since it was asked for; signature_s: since the first alert;
    frames, addresses: of this beacon; rssi_dbm: the median.
    """

    checks: tuple[Check, ...]
    event: int | None = None
    first_alert_s: float | None = None
    signature_s: float | None = None
    frames: int = 0
    addresses: int = 0
    rssi_dbm: int | None = None

    @property
    def exit_code(self) -> int:
        """0 if nothing failed, else the code of the gravest failure: 4 or 1."""
        return exit_code_of(self.checks)


async def air_check(
    wired: Verification,
    registry: Registry,
    roots: Mapping[int, bytes],
    radio: Radio,
    begin: Callable[[], Awaitable[None]],
    *,
    limits: Limits | None = None,
    hint: str = "is its antenna there, is it near?",
    on_step: Callable[[str], None] = lambda _: None,
) -> AirCheck:
    """Hear one self-test of a beacon that passed on the wire, and record what was heard.

    roots: station number to F_t, 32 bytes. begin: called once the radio hears; it asks for the
    squeeze or begins the self-test. hint: what to look at if nothing is heard. Raises
    EnvironmentFault if the radio cannot say anything, and what `begin` raises but a refusal.
    """
    limits = limits or Limits()
    ears = Ears(_resolver(wired, registry, roots), radio, Recorder.into(registry))
    async with ears:
        on_step("Switching the radio on")
        await ears.until(lambda: ears.is_hearing, _RADIO_S)
        on_step("Asking for the self-test")
        try:
            await begin()
        except BoardRefused as refusal:
            return AirCheck((Check("begun", FAIL, refusal.sentence, refusal.exit_code),))
        asked_ms = radio.now_ms()
        on_step("Waiting for its first alert")
        if await ears.until(lambda: ears.genuine, limits.patience_s):
            is_whole = await _to_the_end(ears, wired, limits, on_step)
        elif not radio.counts["adverts"]:
            raise EnvironmentFault(
                "The radio heard nothing at all, neither this beacon nor anything else.",
                "Nothing is known of the beacon. Is this computer's Bluetooth on, and does another"
                " program hear anything with it?",
                code="nothing_heard",
            )
        else:
            is_whole = True
    found = ears.overheard(asked_ms, is_whole)
    return _account(found, judge(wired, found, limits, hint))


async def _to_the_end(
    ears: Ears, wired: Verification, limits: Limits, on_step: Callable[[str], None]
) -> bool:
    """Listen until some time after the event's end; False if it is none that should be waited for.

    An alert goes on for an hour.
    """

    def is_other() -> bool:
        return not all(map(is_self_test, ears.genuine))

    on_step("Hearing it")
    left_ms = end_ms(ears.genuine, wired.self_test_s) - ears.radio.now_ms()
    if not await ears.until(is_other, max(left_ms / 1000, 0)):
        ears.count_others()
        on_step("Hearing it fall silent")
        if not await ears.until(is_other, limits.margin_s):
            return True
    await ears.until(lambda: False, _LAST_WORDS_S)
    return False


def _resolver(
    wired: Verification, registry: Registry, roots: Mapping[int, bytes]
) -> NotingResolver:
    """Return the resolver of this beacon alone, with all that was heard of it so far."""
    watched = [b for b in registry.watched() if b.beacon_id == wired.beacon_id]
    keys = first_keys(watched, roots)
    if not keys:
        station = watched[0].station if watched else "of none"
        raise FanalError(
            f"The keys of station {station}, which gave {shown(wired.beacon_id)} its own, are not"
            " here.",
            "Run it on that station's computer, or with the officer's file in the fleet's folder.",
            code="no_secret",
        )
    lines = {key: line for key, line in registry.lines().items() if key[0] == wired.beacon_id}
    return NotingResolver(keys, lines)


def _account(found: Overheard, checks: tuple[Check, ...]) -> AirCheck:
    if not found.genuine:
        return AirCheck(checks)
    first = found.genuine[0]
    signed_ms = min((signed.t_ms for signed in found.signatures), default=None)
    return AirCheck(
        checks,
        event=first.event,
        first_alert_s=found.first_s,
        signature_s=None if signed_ms is None else max(0, signed_ms - first.t_ms) / 1000,
        frames=len(found.ours),
        addresses=len({frame.heard.address for frame in found.ours}),
        rssi_dbm=round(median(found.rssi_dbm)) if found.rssi_dbm else None,
    )
