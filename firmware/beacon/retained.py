"""The record in RTC memory: what an event, or a quiet beacon, carries through deep sleep.

It is trusted only after a wake from deep sleep, only if its checksum holds and only as far as it
agrees with the vault; in any doubt there is none. The reset that a watchdog or a crash makes
leaves RTC memory as it was, so a record also says whether the beacon meant to sleep.
"""

import hashlib
import struct
from collections import namedtuple

from micropython import const

from beacon import event

RTC_BYTES = const(2048)

_QUIET = const(1)
_EVENT = const(2)
_BACKOFF = const(3)
_SELF_TEST = const(4)
_CHECK_BYTES = const(8)
_HEADER = b"FNR1"
_EVENT_BODY = ">IBBBBHIIIIIq16s16s32s32s"
_QUIET_BODY = ">qqBBH"
_BACKOFF_BODY = ">IqI"
_SELF_TEST_BODY = ">Iq"

# n: the event. state: of event.Event. held_over: does the detector wait for a release.
# baseline_mv: its reading at rest, or NO_BASELINE. unit: the last one reserved. age_ms, renewed_ms,
# burst_ms: on the event's clock. planned_ms: how long it meant to sleep, 0 if it was awake.
# clock_ms: the RTC's when this was written. The keys: 16, 16, 32 and 32 bytes.
EventRecord = namedtuple(
    "EventRecord",
    (
        "n",
        "state",
        "resumed",
        "held_over",
        "crumbs",
        "baseline_mv",
        "unit",
        "age_ms",
        "renewed_ms",
        "burst_ms",
        "planned_ms",
        "clock_ms",
        "rid_key",
        "alert_key",
        "page_key",
        "crumb_chain",
    ),
)

# drill_until_ms: on the RTC's clock, 0 if none is armed. seen_ms: the RTC's when written.
# naps: in a row with the wake pin still active.
QuietRecord = namedtuple(
    "QuietRecord", ("drill_until_ms", "seen_ms", "held_over", "naps", "baseline_mv")
)

# n: the next event, which a resumption will open at until_ms, planned_ms after it was put off.
BackoffRecord = namedtuple("BackoffRecord", ("n", "until_ms", "planned_ms"))

# A technician asked on the console for the self-test that event n is to be. asked_ms: the RTC's.
SelfTestRecord = namedtuple("SelfTestRecord", ("n", "asked_ms"))

DRILL_MOST_S = const(3600)
# Between asking and leaving the console a host needs a few seconds.
_ASKED_MOST_MS = const(30000)
NO_BASELINE = const(0xFFFF)

_FORMS = {
    _QUIET: (QuietRecord, _QUIET_BODY),
    _EVENT: (EventRecord, _EVENT_BODY),
    _BACKOFF: (BackoffRecord, _BACKOFF_BODY),
    _SELF_TEST: (SelfTestRecord, _SELF_TEST_BODY),
}


def encode(record):
    """Return the bytes, at most 2048, of any of the four records."""
    for kind, (form, body) in _FORMS.items():
        if isinstance(record, form):
            data = _HEADER + bytes((kind,)) + struct.pack(body, *record)
            return data + _check(data)
    raise TypeError("record")


def decode(data):
    """Return the record that RTC memory holds, or raise ValueError if there is none whole."""
    if data[:4] != _HEADER or len(data) < 5 + _CHECK_BYTES:
        raise ValueError("no record")
    body = data[:-_CHECK_BYTES]
    if data[-_CHECK_BYTES:] != _check(body) or body[4] not in _FORMS:
        raise ValueError("checksum")
    form, layout = _FORMS[body[4]]
    if len(body) != 5 + struct.calcsize(layout):
        raise ValueError("length")
    return form(*struct.unpack(layout, body[5:]))


def _check(data):
    return hashlib.sha256(data).digest()[:_CHECK_BYTES]


def armed_for_s(record, now_ms):
    """Return for how many seconds a drill stays armed, 0 if in any doubt.

    record: a QuietRecord. now_ms: the RTC's clock, which must not have gone back.
    """
    left_ms = record.drill_until_ms - now_ms
    if (
        not record.drill_until_ms
        or now_ms < record.seen_ms
        or not 0 < left_ms <= DRILL_MOST_S * 1000
    ):
        return 0
    return (left_ms + 999) // 1000


def is_due(record, now_ms):
    """Return whether a self-test that was asked for begins now; not in any doubt.

    record: a SelfTestRecord. now_ms: the RTC's clock, which must not have gone back.
    """
    return 0 <= now_ms - record.asked_ms <= _ASKED_MOST_MS


def slept_ms(planned_ms, went_ms, now_ms):
    """Return how long a sleep was, in ms, by a clock that may have jumped.

    went_ms, now_ms: the RTC's clock before and after. A chip sleeps by an RC oscillator, some
    percent off; beyond a quarter and a minute it is the clock that was set. Then the planned
    time stands: a listener forgives an event that is ahead of its age, but takes one that
    lags for a replay.
    """
    slept = now_ms - went_ms
    if 0 <= slept <= planned_ms + planned_ms // 4 + 60000:
        return slept
    return planned_ms


def agrees(kept, record):
    """Return whether a record in RTC memory can be continued with a vault.Record."""
    if isinstance(kept, EventRecord):
        rehearsal = kept.state in (event.DRILL, event.DRILL_TRACK)
        test = kept.state == event.TEST
        return (
            record.open
            and record.n == kept.n + 1
            and kept.planned_ms > 0
            and test == (record.activation == 0)
            and (test or rehearsal == record.drill)
        )
    if isinstance(kept, BackoffRecord):
        return record.open and record.n == kept.n
    if isinstance(kept, SelfTestRecord):
        return not record.open and record.event_key is not None and record.n == kept.n
    return not record.open


def quiet(now_ms, drill_until_ms=0):
    """Return the QuietRecord of a beacon that felt nothing yet."""
    return QuietRecord(drill_until_ms, now_ms, False, 0, NO_BASELINE)
