"""The console: functions for the wire. Each prints one line, one JSON object, and no secret.

`{"ok": true, ...}`, or `{"ok": false, "error": CODE, "message": SENTENCE}`. Every call recovers
the vault first, so an interrupt at any moment is no worse than a cut of power.
"""

import json
import sys
from binascii import hexlify, unhexlify

from beacon import retained, settings, store, this_board, vault

_SETTINGS_PATH = "settings.json"
_SECRET_BYTES = 32
# a reset takes away what a chip's own USB port has not sent yet
_SENT_MS = 50
# some seconds of a board's time; an interrupted provisioning is repeated long before
_RATCHETS_MOST = 4096

_SENTENCES = {
    "vault_corrupt": "The vault holds a record that cannot be read.",
    "no_identity": "This beacon has no identity yet.",
    "provisioned": "This beacon already holds an event key.",
    "not_provisioned": "This beacon has no event key yet.",
    "event_open": "An event is open.",
    "bad_hex": "32 bytes of hexadecimal are wanted.",
    "bad_setting": "A setting is not right; none was changed.",
    "drill_armed": "A drill is armed.",
    "bad_seconds": "A drill is armed for 1 to 3600 seconds.",
    "wrong_id": "That is not the id of this beacon.",
    "random": "The random generator repeats itself.",
    "write": "What was written does not read back.",
    "unsupported": "This board cannot do that.",
}


class Refusal(Exception):
    """What was asked is not done. code: a key of the sentences above."""

    def __init__(self, code, detail=""):
        super().__init__(code)
        self.code = code
        self.detail = detail


def _answer(function, *arguments):
    """Call, and print one line whatever happens; keep the guard from biting meanwhile."""
    _feed_guard()
    try:
        answer = {"ok": True}
        answer.update(function(*arguments))
    except Refusal as refusal:
        answer = _refused(refusal.code, refusal.detail)
    except vault.VaultError as error:
        answer = _refused("vault_corrupt" if error.code == "corrupt" else "write")
    except Exception as error:  # noqa: BLE001  the wire gets an answer; its text may hold data
        answer = {"ok": False, "error": "internal", "message": type(error).__name__}
    print(json.dumps(answer))


def _refused(code, detail=""):
    message = _SENTENCES[code] + (" (" + detail + ")" if detail else "")
    return {"ok": False, "error": code, "message": message}


def _feed_guard():
    if sys.platform == "esp32":
        from beacon import sleep

        sleep.guard()


def _board():
    return this_board.profile(this_board.load(_SETTINGS_PATH)[0].board)


def _opened():
    """Return the Vault, recovered. Raises VaultError."""
    opened = vault.Vault(store.sectors()[0])
    opened.recover()
    return opened


def _identified():
    opened = _opened()
    if opened.record.seed is None:
        raise Refusal("no_identity")
    return opened


def _hex(data):
    return hexlify(data).decode()


def _unhex(text):
    try:
        data = unhexlify(text)
    except (ValueError, TypeError):
        data = b""
    if len(data) != _SECRET_BYTES:
        raise Refusal("bad_hex")
    return data


def _random():
    import os

    return os.urandom


# What the host calls


def status():
    """Say what this beacon is and how it is."""
    from beacon import report

    _answer(report.status, _SETTINGS_PATH)


def create_identity():
    """Make the beacon's key, unless there is one."""
    _answer(_create_identity)


def challenge(nonce_hex):
    """Prove possession of the key. nonce_hex: 32 bytes."""
    _answer(_challenge, nonce_hex)


def provision(event_key_hex):
    """Take E_1, 32 bytes, into a vault that has none; the same later on changes nothing."""
    _answer(_provision, event_key_hex)


def configure(settings_json):
    """Take these settings instead of those in force; what is left out has its default."""
    _answer(_configure, settings_json)


def hashes():
    """Say the SHA-256 of every file of the firmware."""
    from beacon import report

    _answer(report.hashes)


def self_test():
    """Compute the known answers, and see the radio change its address without transmitting."""
    _answer(_self_test)


def arm_drill(seconds):
    """Mark the next activation within so many seconds, 1 to 3600, as a drill."""
    _answer(_arm_drill, seconds)


def disarm_drill():
    """Arm no drill."""
    _answer(_disarm_drill)


def begin_self_test():
    """Have a self-test begin when the console is left; never any other event."""
    _answer(_begin_self_test)


def end_event():
    """Close the event that is open, if one is."""
    _answer(_end_event)


def wipe(beacon_id):
    """Forget identity and keys. beacon_id: this beacon's; of a corrupt vault, "corrupt"."""
    _answer(_wipe, beacon_id)


def leave():
    """Hand the board back to its loop: the line first, then a reset or a short sleep."""
    from beacon import report

    record = _opened_quietly()
    print(json.dumps({"ok": True, "drill_armed_s": report.drill_armed_s(record)}))
    board = _board()
    if not board.radio:
        return
    import machine

    from beacon import clock, sleep

    clock.sleep_ms(_SENT_MS)

    if report.sleeps_on(record):
        # A reset would disarm, or count as a resumption: only a wake goes on from RTC memory.
        machine.deepsleep(sleep.LEAST_MS)
    machine.reset()


# How it is done


def _opened_quietly():
    try:
        return _opened().record
    except vault.VaultError:
        return vault.EMPTY


def _create_identity():
    from fanal_protocol import ed25519

    opened = _opened()
    created = opened.record.seed is None
    if created:
        seed = _drawn_seed()
        public_key = ed25519.public_key(seed, _random())
        opened.commit(vault.identity(seed, public_key))
    return {"public_key": _hex(opened.record.public_key), "created": created}


def _drawn_seed():
    """Return 32 random bytes, drawn while the radio is on: else the chip's are not random."""
    from beacon import radio

    source = radio.Radio(100) if _board().radio else radio.NoRadio()
    source.on()
    try:
        seed, other = _random()(_SECRET_BYTES), _random()(_SECRET_BYTES)
    finally:
        source.off()
    if seed == other:
        raise Refusal("random")
    return seed


def _challenge(nonce_hex):
    from fanal_protocol import ed25519

    record = _identified().record
    message = b"fanal/1 challenge" + _unhex(nonce_hex)
    return {
        "signature": _hex(ed25519.sign(record.seed, message, record.public_key, _random())),
    }


def _provision(event_key_hex):
    from fanal_protocol import crypto

    event_key = _unhex(event_key_hex)
    opened = _identified()
    written = opened.record.event_key is None
    if written:
        opened.commit(vault.provisioned(opened.record, event_key))
    # read back from the vault; after the first event only what came of E_1 is there
    if not _leads_to(event_key, _opened().record):
        raise Refusal("write" if written else "provisioned")
    return {
        "check": _hex(crypto.kdf(event_key, b"fanal/1 first key check", 8)),
        "written": written,
    }


def _leads_to(event_key, record):
    """Return whether E_1 is what the key in a vault.Record came from. SPEC 4.4."""
    from fanal_protocol import crypto, keys

    if record.n > _RATCHETS_MOST:
        return False
    for _ in range(1, record.n):
        event_key = keys.next_event_key(event_key)
    return crypto.same(record.event_key, event_key)


def _configure(settings_json):
    try:
        wanted = settings.parse(settings_json)
        this_board.save(_SETTINGS_PATH, wanted)
    except settings.SettingsError as error:
        raise Refusal("bad_setting", error.name)
    return {"settings": this_board.load(_SETTINGS_PATH)[0].as_dict()}


def _self_test():
    from beacon import known_answers, radio

    results = known_answers.run()
    if _board().radio:
        checked = radio.Radio(100)
        checked.on()
        try:
            results["address"] = checked.renew()
        finally:
            checked.off()
    return {"results": results}


def _arm_drill(seconds):
    from beacon import clock, report

    if type(seconds) is not int or not 1 <= seconds <= retained.DRILL_MOST_S:
        raise Refusal("bad_seconds")
    record = _at_rest()
    memory = store.rtc_memory()
    now_ms = clock.rtc_ms()
    memory.write(retained.encode(retained.quiet(now_ms, now_ms + seconds * 1000)))
    armed = report.drill_armed_s(record)
    if not armed:
        raise Refusal("unsupported")
    return {"drill_armed_s": armed}


def _at_rest():
    """Return the vault.Record of a beacon that can be squeezed and has not been."""
    record = _identified().record
    if record.event_key is None:
        raise Refusal("not_provisioned")
    if record.open:
        raise Refusal("event_open")
    return record


def _disarm_drill():
    if not _opened().record.open:
        store.rtc_memory().wipe()
    return {"drill_armed_s": 0}


def _begin_self_test():
    from beacon import clock, report

    record = _at_rest()
    if report.drill_armed_s(record):
        raise Refusal("drill_armed")
    asked = retained.encode(retained.SelfTestRecord(record.n, clock.rtc_ms()))
    store.rtc_memory().write(asked)
    if not _board().radio or store.rtc_memory().read() != asked:
        raise Refusal("unsupported")
    return {"n": record.n}


def _end_event():
    opened = _opened()
    if opened.record.open:
        opened.commit(vault.closed(opened.record))
        store.rtc_memory().wipe()
    return {"event": None}


def _wipe(beacon_id):
    from fanal_protocol import keys

    opened = vault.Vault(store.sectors()[0])
    try:
        public_key = opened.recover().public_key
        present = keys.beacon_id(public_key) if public_key else None
    except vault.VaultError:
        present = "corrupt"
    if present is None:
        raise Refusal("no_identity")
    if beacon_id != present:
        raise Refusal("wrong_id")
    opened.wipe()
    store.rtc_memory().wipe()
    return {"wiped": True}
