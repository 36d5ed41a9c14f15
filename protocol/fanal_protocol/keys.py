"""The ladder of keys: from the root of a station down to the keys of one event. SPEC 1."""

from fanal_protocol.crypto import kdf, sha256
from fanal_protocol.error import Misuse

KEY_BYTES = 32

# Crockford's base32: no I, L, O or U.
_BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ID_LETTERS = 8


def _checked(key):
    if len(key) != KEY_BYTES:
        raise Misuse("key length")
    return key


def station_root(root, station):
    """Return F_t, 32 bytes, of station number 0..65535 from the fleet root, 32 bytes."""
    if not 0 <= station <= 0xFFFF:
        raise Misuse("station")
    return kdf(_checked(root), b"fanal/1 station" + station.to_bytes(2, "big"), 32)


def first_event_key(station_root, public_key):
    """Return E_1, 32 bytes, from F_t and the beacon's Ed25519 public key, 32 bytes each."""
    return kdf(_checked(station_root), b"fanal/1 beacon" + _checked(public_key), 32)


def next_event_key(event_key):
    """Return E_{n+1} from E_n, 32 bytes each. There is no way back."""
    return kdf(_checked(event_key), b"fanal/1 ratchet", 32)


def rid_key(event_key):
    """Return k_rid, 16 bytes, from E_n."""
    return kdf(_checked(event_key), b"fanal/1 rid", 16)


def alert_key(event_key):
    """Return k_alert, 16 bytes, from E_n."""
    return kdf(_checked(event_key), b"fanal/1 alert", 16)


def page_key(event_key):
    """Return k_page, 32 bytes, from E_n."""
    return kdf(_checked(event_key), b"fanal/1 page", 32)


def crumb_chain(event_key):
    """Return c_0, 32 bytes, from E_n."""
    return kdf(_checked(event_key), b"fanal/1 crumb", 32)


def crumb_step(chain):
    """Return (k_i, c_{i+1}), 16 and 32 bytes, from c_i, which is then to be erased."""
    _checked(chain)
    return kdf(chain, b"fanal/1 crumb key", 16), kdf(chain, b"fanal/1 crumb next", 32)


def beacon_id(public_key):
    """Return the beacon's name, 8 letters of Crockford base32, from its public key, 32 bytes."""
    number = int.from_bytes(sha256(b"fanal/1 id" + _checked(public_key))[:5], "big")
    letters = ""
    for _ in range(_ID_LETTERS):
        letters = _BASE32[number & 31] + letters
        number >>= 5
    return letters
