"""The alert: the four bytes that it says, and how they are sealed. SPEC 2.1."""

from collections import namedtuple

from fanal_protocol.ccm import Ccm
from fanal_protocol.error import Misuse
from fanal_protocol.frame import ALERT_BYTES, HDR_ALERT
from fanal_protocol.slot import RID_BYTES, UNITS

# Activations: what the squeeze detector decided.
SELF_TEST = 0
HOLD = 1

# Phases: a self-test stays in the first.
PHASE_ALERT = 0
PHASE_TRACK = 1

BATTERY_UNIT_MV = 20

_DRILL = 0x10
_BATTERY_LOW = 0x08
_RESUMED = 0x02
_ZERO_BITS = 0x05
_SEALED_AT = 11
_AD = bytes((HDR_ALERT,))

# activation: SELF_TEST, HOLD or 2..7 from a newer beacon; the others: bool.
Status = namedtuple("Status", ("activation", "drill", "battery_low", "resumed"))

# The four bytes of the plaintext, each 0..255; battery in 20 mV units, 255 meaning at least that.
Alert = namedtuple("Alert", ("status", "battery", "crumbs", "phase"))


def status_byte(activation, drill=False, battery_low=False, resumed=False):
    """Return the status byte. activation: SELF_TEST or HOLD. Raises Misuse."""
    if activation != SELF_TEST and activation != HOLD:
        raise Misuse("activation")
    return (
        activation << 5
        | (_DRILL if drill else 0)
        | (_BATTERY_LOW if battery_low else 0)
        | (_RESUMED if resumed else 0)
    )


def read_status(status):
    """Return the Status that a status byte, 0..255, says; bits that must be zero are passed by."""
    return Status(
        status >> 5, bool(status & _DRILL), bool(status & _BATTERY_LOW), bool(status & _RESUMED)
    )


def battery_byte(battery_mv):
    """Return the battery byte, 20 mV units, saturating at 255, of a voltage in mV."""
    return min(max(battery_mv, 0) // BATTERY_UNIT_MV, 255)


def readable(alert):
    """Return whether this version knows the meaning of all four bytes of an Alert.

    One that is not readable came from a newer beacon: it is marked `meaning`, shown as an
    alert with unreadable status, and counts in every way. SPEC 3.1.
    """
    return (
        alert.status >> 5 <= HOLD and not alert.status & _ZERO_BITS and alert.phase <= PHASE_TRACK
    )


class Sealer:
    """Seals the alerts of one event. alert_key: k_alert, 16 bytes. Raises Misuse.

    A (key, rid, q) must never be given two plaintexts: the caller reserves the unit first.
    """

    def __init__(self, alert_key):
        self._ccm = Ccm(alert_key)
        self._plain = bytearray(4)
        self._nonce = bytearray(13)
        self._nonce[10] = HDR_ALERT

    def seal_into(self, out, rid, q, status, battery, crumbs, phase):
        """Fill `out`, a bytearray of 23 bytes, with the payload; allocate nothing.

        rid: 8 bytes. q: 0..449. The last four are the plaintext bytes, 0..255, sent as they
        are. Raises Misuse.
        """
        if len(out) != ALERT_BYTES or len(rid) != RID_BYTES or not 0 <= q < UNITS:
            raise Misuse("alert buffer, rid or masked sequence")
        if not 0 <= status | battery | crumbs | phase <= 255:
            raise Misuse("alert plaintext")
        plain = self._plain
        plain[0] = status
        plain[1] = battery
        plain[2] = crumbs
        plain[3] = phase
        nonce = self._nonce
        out[0] = HDR_ALERT
        for i in range(RID_BYTES):
            nonce[i] = out[1 + i] = rid[i]
        nonce[8] = out[9] = q >> 8
        nonce[9] = out[10] = q & 0xFF
        self._ccm.seal_into(out, _SEALED_AT, nonce, plain, _AD)


def seal(alert_key, rid, q, alert):
    """Return the payload, 23 bytes, of one Alert under k_alert. Raises Misuse."""
    out = bytearray(ALERT_BYTES)
    Sealer(alert_key).seal_into(out, rid, q, alert.status, alert.battery, alert.crumbs, alert.phase)
    return bytes(out)


def open_alert(alert_key, frame):
    """Return the Alert of an AlertFrame under k_alert, 16 bytes. Raises TagError.

    A good tag with a meaning unknown here is returned too: ask `readable`.
    """
    nonce = frame.rid + bytes((frame.q >> 8, frame.q & 0xFF, HDR_ALERT, 0, 0))
    plain = Ccm(alert_key).open(nonce, frame.sealed, _AD)
    return Alert(plain[0], plain[1], plain[2], plain[3])
