"""The console and the known answers on a MicroPython that is not the virtual board.

The firmware's files, in a folder; one interpreter per call, so that each one finds nothing but
what the flash holds, as after a cut of power. The vault is a file there, and says so.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.fake_board import FIRST_KEY, vault

from fanal_protocol import ed25519, keys  # isort: skip
from fanal_protocol.crypto import kdf  # isort: skip

ROOT = Path(__file__).resolve().parents[2]
MICROPYTHON = Path(sys.executable).with_name("micropython")

pytestmark = pytest.mark.skipif(not MICROPYTHON.exists(), reason="needs the MicroPython wheel")


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(ROOT / "firmware" / "beacon", tmp_path / "lib" / "beacon")
    shutil.copytree(ROOT / "protocol" / "fanal_protocol", tmp_path / "lib" / "fanal_protocol")
    for name in ("main.py", "boot.py"):
        shutil.copy(ROOT / "firmware" / name, tmp_path)
    return tmp_path


def run(folder, text):
    """Run MicroPython with the firmware's modules in reach; return what it prints."""
    program = "import sys; sys.path.insert(0, 'lib')\n" + text
    done = subprocess.run(
        [MICROPYTHON, "-X", "heapsize=512k", "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout


def call(folder, name, *arguments):
    """Return the answer of one console function, which must be one line of JSON."""
    out = run(folder, f"from beacon import console\nconsole.{name}{arguments!r}\n")
    assert out.count("\n") == 1
    return json.loads(out)


def test_a_blank_beacon(folder):
    status = call(folder, "status")
    assert status["ok"]
    expected = {"id": None, "public_key": None, "provisioned": False, "next_event": 1}
    assert {name: status[name] for name in expected} == expected
    assert (status["vault"], status["faults"], status["event"]) == ("file", [], None)
    for refused in (("challenge", "00" * 32), ("provision", "00" * 32), ("wipe", "x")):
        assert call(folder, *refused)["error"] == "no_identity"


def test_the_whole_provisioning_and_each_step_again(folder):
    first = call(folder, "create_identity")
    assert first["created"]
    assert call(folder, "create_identity") == {**first, "created": False}
    public_key = bytes.fromhex(first["public_key"])
    nonce = bytes(range(32))
    for _ in range(2):
        signature = bytes.fromhex(call(folder, "challenge", nonce.hex())["signature"])
        assert ed25519.verify(public_key, b"fanal/1 challenge" + nonce, signature)
    check = kdf(FIRST_KEY, b"fanal/1 first key check", 8).hex()
    for written in (True, False):
        answer = call(folder, "provision", FIRST_KEY.hex())
        assert answer == {"ok": True, "check": check, "written": written}
    assert call(folder, "provision", (b"\x01" * 32).hex())["error"] == "provisioned"
    status = call(folder, "status")
    assert (status["provisioned"], status["id"]) == (True, keys.beacon_id(public_key))
    assert FIRST_KEY.hex() not in json.dumps(status)
    assert call(folder, "wipe", "F7F45YHV")["error"] == "wrong_id"
    assert call(folder, "wipe", status["id"]) == {"ok": True, "wiped": True}
    assert FIRST_KEY not in (folder / "vault.bin").read_bytes()
    second = call(folder, "create_identity")
    assert second["created"]
    assert second["public_key"] != first["public_key"]


@pytest.mark.parametrize("text", ["", "00", "zz" * 32, "00" * 33])
@pytest.mark.parametrize("name", ["challenge", "provision"])
def test_bad_hex(folder, name, text):
    call(folder, "create_identity")
    assert call(folder, name, text)["error"] == "bad_hex"


def test_settings(folder):
    answer = call(folder, "configure", json.dumps({"profile": "carried", "hold_ms": 4000}))
    assert (answer["settings"]["profile"], answer["settings"]["hold_ms"]) == ("carried", 4000)
    refused = call(folder, "configure", json.dumps({"hold_ms": 5000, "alert_s": 1}))
    assert (refused["ok"], refused["error"]) == (False, "bad_setting")
    assert "alert_s" in refused["message"]
    assert call(folder, "status")["settings"]["hold_ms"] == 4000
    (folder / "settings.json").write_text('{"hold_ms": 4')
    status = call(folder, "status")
    assert (status["faults"], status["settings"]["hold_ms"]) == (["settings"], 3000)


def test_a_corrupt_vault_is_named_and_only_wiped_on_purpose(folder):
    call(folder, "create_identity")
    flash = bytearray((folder / "vault.bin").read_bytes())
    flash[flash.index(b"fanal/v1") + 30] ^= 4
    (folder / "vault.bin").write_bytes(flash)
    assert call(folder, "status")["faults"] == ["vault_corrupt"]
    for refused in (("create_identity",), ("challenge", "00" * 32), ("end_event",)):
        assert call(folder, *refused)["error"] == "vault_corrupt"
    assert (folder / "vault.bin").read_bytes() == flash
    assert call(folder, "wipe", "F7F45YHV")["error"] == "wrong_id"
    assert call(folder, "wipe", "corrupt")["wiped"]
    assert call(folder, "create_identity")["created"]


def test_end_event_closes_and_forgets(folder):
    call(folder, "create_identity")
    call(folder, "provision", FIRST_KEY.hex())
    following = keys.next_event_key(FIRST_KEY)
    run(
        folder,
        "from beacon import store, vault\n"
        "v = vault.Vault(store.sectors()[0])\n"
        f"v.commit(vault.opened(v.recover(), {following!r}, 1, True, 1))\n",
    )
    status = call(folder, "status")
    assert status["event"] == {
        "n": 1,
        "activation": 1,
        "drill": True,
        "resumed": True,
        "phase": 0,
        "age_s": None,
    }
    assert status["next_event"] == 2
    assert call(folder, "arm_drill", 60)["error"] == "event_open"
    flash = (folder / "vault.bin").read_bytes()
    assert call(folder, "provision", FIRST_KEY.hex())["written"] is False
    assert call(folder, "provision", following.hex())["error"] == "provisioned"
    assert (folder / "vault.bin").read_bytes() == flash
    assert call(folder, "end_event") == {"ok": True, "event": None}
    assert call(folder, "status")["event"] is None
    assert FIRST_KEY not in (folder / "vault.bin").read_bytes()


@pytest.mark.parametrize("seconds", [0, -1, 3601, True, "60", None, 1.5])
def test_a_drill_is_armed_for_an_hour_at_most(folder, seconds):
    assert call(folder, "arm_drill", seconds)["error"] == "bad_seconds"


def test_a_self_test_is_for_a_beacon_that_can_be_squeezed(folder):
    assert call(folder, "begin_self_test")["error"] == "no_identity"
    call(folder, "create_identity")
    assert call(folder, "begin_self_test")["error"] == "not_provisioned"
    call(folder, "provision", FIRST_KEY.hex())
    # here nothing outlives a call, and no radio would say it
    assert call(folder, "begin_self_test")["error"] == "unsupported"
    assert call(folder, "status")["next_event"] == 1


def test_hashes_are_those_of_the_files(folder):
    files = call(folder, "hashes")["files"]
    paths = [path for path in folder.rglob("*") if path.is_file()]
    assert files == {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


def test_known_answers_hold_and_can_fail(folder):
    results = call(folder, "self_test")["results"]
    assert all(results.values())
    assert {"kdf", "rid", "ccm", "sha512", "ed25519", "pages"} <= set(results)
    broken = run(
        folder,
        "from fanal_protocol import crypto\n"
        "true = crypto.hmac_sha256\n"
        "crypto.hmac_sha256 = lambda key, data: true(key, data + b'x')\n"
        "from beacon import console\nconsole.self_test()\n",
    )
    assert not json.loads(broken)["results"]["rid"]


def test_leave_and_main_do_not_hang_where_there_is_no_radio(folder):
    assert call(folder, "leave") == {"ok": True, "drill_armed_s": 0}
    assert run(folder, "import boot, main\nprint('prompt')\n") == "prompt\n"


def test_an_error_that_nobody_foresaw_says_nothing_secret(folder):
    out = run(
        folder,
        "from beacon import console, vault\n"
        "def fail(self): raise RuntimeError('seed 123')\n"
        "vault.Vault.recover = fail\n"
        "console.create_identity()\n",
    )
    assert json.loads(out) == {"ok": False, "error": "internal", "message": "RuntimeError"}


def test_a_file_vault_is_what_the_record_format_says(folder):
    call(folder, "create_identity")
    flash = (folder / "vault.bin").read_bytes()
    start = flash.index(b"fanal/v1")
    record, commits = vault.decode(flash[start : start + vault.RECORD_BYTES])
    assert commits == 1
    assert ed25519.public_key(record.seed) == record.public_key
