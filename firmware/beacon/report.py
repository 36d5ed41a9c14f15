"""What the console tells about a beacon: its state, its files, the drill that is armed."""

import gc
import os
from binascii import hexlify

from beacon import PROTOCOL, VERSION, clock, event, retained, store, this_board, vault

_CHUNK_BYTES = 512
_MAC_BYTES = 6
_ROOT_FILES = ("boot.py", "main.py")
_LIBRARY = "lib"


def status(settings_path):
    """Return the answer of `console.status`."""
    in_force, faults = this_board.load(settings_path)
    board = this_board.profile(in_force.board)
    sectors, kind = store.sectors()
    opened = vault.Vault(sectors)
    try:
        record = opened.recover()
    except vault.VaultError:
        record = vault.EMPTY
        faults.append("vault_corrupt")
    answer = {
        "fanal": VERSION,
        "protocol": PROTOCOL,
        "machine": this_board.name(),
        "chip": board.chip,
        "mac": _mac(),
        "id": None,
        "public_key": None,
        "provisioned": record.event_key is not None,
        "next_event": record.n,
        "event": _event(record),
        "drill_armed_s": drill_armed_s(record),
        "settings": in_force.as_dict(),
        "vault": kind,
        "faults": faults + opened.faults,
    }
    if record.public_key is not None:
        from fanal_protocol import keys

        answer["id"] = keys.beacon_id(record.public_key)
        answer["public_key"] = hexlify(record.public_key).decode()
    _measure(answer, board, in_force)
    gc.collect()
    answer["heap_free"] = gc.mem_free()
    return answer


def drill_armed_s(record):
    """Return for how many seconds a drill is armed on a beacon with this vault.Record."""
    kept = _kept(record)
    if not isinstance(kept, retained.QuietRecord):
        return 0
    return retained.armed_for_s(kept, clock.rtc_ms())


def sleeps_on(record):
    """Return whether only a wake from deep sleep keeps what RTC memory says.

    That is an event, an armed drill, a self-test that was asked for.
    """
    kept = _kept(record)
    if isinstance(kept, retained.EventRecord):
        return retained.agrees(kept, record)
    return isinstance(kept, retained.SelfTestRecord) or drill_armed_s(record) > 0


def hashes():
    """Return path → SHA-256 of the files of the firmware, under "files"."""
    found = {}
    for name in _ROOT_FILES:
        _hash(name, found)
    _walk(_LIBRARY, found)
    return {"files": found}


def _kept(record):
    """Return the record in RTC memory, whether it was meant for a sleep or not, or None."""
    try:
        kept = retained.decode(store.rtc_memory().read())
    except ValueError:
        return None
    if isinstance(kept, retained.EventRecord):
        return kept if record.open and record.n == kept.n + 1 else None
    return kept if retained.agrees(kept, record) else None


def _event(record):
    if not record.open:
        return None
    kept = _kept(record)
    known = isinstance(kept, retained.EventRecord)
    tracking = known and kept.state in (event.TRACK, event.DRILL_TRACK)
    return {
        "n": record.n - 1,
        "activation": record.activation,
        "drill": record.drill,
        "resumed": bool(kept.resumed) if known else record.resumptions > 0,
        "phase": 1 if tracking else 0,
        "age_s": kept.age_ms // 1000 if known else None,
    }


def _mac():
    """Return the MAC address in hex, None where the chip is known by something else."""
    try:
        from machine import unique_id
    except ImportError:
        return None
    known_by = unique_id()
    return hexlify(known_by).decode() if len(known_by) == _MAC_BYTES else None


def _measure(answer, board, in_force):
    answer["battery_mv"] = answer["force_mv"] = None
    if board.radio:
        from beacon import sensor

        sensed = sensor.Sensor(board, in_force.sensor)
        answer["battery_mv"] = sensed.battery_mv()
        answer["force_mv"] = sensed.force_mv()


def _walk(folder, found):
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in sorted(names):
        path = folder + "/" + name
        if os.stat(path)[0] & 0x4000:
            _walk(path, found)
        else:
            _hash(path, found)


def _hash(path, found):
    import hashlib

    digest = hashlib.sha256()
    try:
        file = open(path, "rb")
    except OSError:
        return
    with file:
        while True:
            chunk = file.read(_CHUNK_BYTES)
            if not chunk:
                break
            digest.update(chunk)
    found[path] = hexlify(digest.digest()).decode()
