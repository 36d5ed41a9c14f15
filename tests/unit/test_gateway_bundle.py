"""The file that volunteers get: from anybody, read by everybody, and with nothing secret in it."""

import base64
import errno
import hashlib
import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fanal import certificate
from fanal.beacon_name import ALPHABET
from fanal.envelope import Opener
from fanal.error import EnvironmentFault, FanalError, IntegrityError, UsageError
from fanal.gateway import bundle, clocks
from fanal.gateway.bundle import Bundle, BundleError
from fanal.gateway.listener_key import KEY_FILE, ListenerKey, name_of

RECIPIENT = Opener(b"\x07" * 32).recipient
CA_KEY = Ed25519PrivateKey.from_private_bytes(b"\x08" * 32)
CA_PEM = (
    certificate.for_fleet(CA_KEY, datetime(2026, 1, 2, tzinfo=UTC))
    .public_bytes(Encoding.PEM)
    .decode()
)
KEY_PEM = CA_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def content_of(path: Path) -> dict:
    return json.loads(path.read_text())


@pytest.mark.parametrize("ca", [None, CA_PEM])
def test_it_is_read_as_it_was_made(tmp_path, ca):
    made = bundle.make("Valletta, harbour", RECIPIENT, "https://hub.example/deliver", ca)
    bundle.write(tmp_path / "b", made)
    assert bundle.read(tmp_path / "b") == made
    assert bundle.read(tmp_path / "b").fingerprint == made.fingerprint


@pytest.mark.parametrize(
    ("relay", "whole"),
    [
        ("https://hub.example", "https://hub.example/deliver"),
        ("https://hub.example:8443/", "https://hub.example:8443/deliver"),
        ("https://hub.example/other/door", "https://hub.example/other/door"),
        ("http://127.0.0.1:8060", "http://127.0.0.1:8060/deliver"),
        ("mqtts://broker.example:8883", "mqtts://broker.example:8883/fanal/1/st-john-s"),
        ("mqtt://broker/fanal/1/x", "mqtt://broker/fanal/1/x"),
        ("https://[2001:db8::1]:8060", "https://[2001:db8::1]:8060/deliver"),
    ],
)
def test_a_relay_gets_its_usual_path(relay, whole):
    assert bundle.make("St. John's", RECIPIENT, relay).relay == whole


@pytest.mark.parametrize(
    "relay",
    [
        "", "hub.example", "ftp://hub.example", "https://", "https:///deliver", "javascript:x",
        "https://user:secret@hub.example", "https://user@hub.example", "https://hub.example/?k=v",
        "https://hub.example/#x", "https://hub.example:99999", "https://hub.example:0",
        "https://hub example", "https://hub.example/\n", "https://hüb.example",
        "mqtts://broker/other", "mqtts://broker/fanal/1/", "mqtts://broker/fanal/1/a/b",
        "mqtts://broker/fanal/1/+", "mqtts://broker/fanal/1/#", "mqtts://broker/fanal/1/#/up",
        "https://[::1", "https://" + "x" * 400,
    ],
)  # fmt: skip
def test_a_relay_that_is_none(relay):
    with pytest.raises(UsageError) as caught:
        bundle.make("Harbour", RECIPIENT, relay)
    assert "secret" not in caught.value.sentence


@pytest.mark.parametrize("area", ["", "x" * 61, "a\nb", "\x1b[31m", " x", "x "])
def test_an_area_that_is_none(area):
    with pytest.raises(UsageError):
        bundle.make(area, RECIPIENT, "https://hub.example")


def test_an_area_that_makes_no_topic():
    with pytest.raises(UsageError, match="Name the topic"):
        bundle.make("Ελλάδα", RECIPIENT, "mqtts://broker.example")
    bundle.make("Ελλάδα", RECIPIENT, "https://hub.example")


def test_a_private_key_never_gets_into_it():
    for pem in (KEY_PEM, CA_PEM + KEY_PEM):
        with pytest.raises(UsageError, match="private key"):
            bundle.make("Harbour", RECIPIENT, "https://hub.example", pem)
    noted = bundle.make("Harbour", RECIPIENT, "https://hub.example", "a note\n" + CA_PEM)
    assert noted.ca_pem == CA_PEM
    for pem in ("", "x", CA_PEM[:200], CA_PEM.replace("M", "!", 1)):
        with pytest.raises(UsageError, match="certificate"):
            bundle.make("Harbour", RECIPIENT, "https://hub.example", pem)


def test_several_authorities_may_be_trusted():
    two = bundle.make("Harbour", RECIPIENT, "https://hub.example", CA_PEM * 2).ca_pem
    assert len(x509.load_pem_x509_certificates(two.encode())) == 2


def test_a_secret_key_is_no_recipient():
    secret = "AGE-SECRET-KEY-1XMWWC06LY3EE5RYTXM9MFLAZ2U56JJJ36S0MYPDRWSVLUL66MV4QX3S7F6"
    with pytest.raises(UsageError) as caught:
        bundle.make("Harbour", secret, "https://hub.example")
    assert "AGE-SECRET" not in caught.value.sentence


def test_every_change_of_a_byte_changes_the_fingerprint_or_is_refused(tmp_path):
    path = tmp_path / "b"
    made = bundle.make("Harbour", RECIPIENT, "https://hub.example/deliver")
    bundle.write(path, made)
    text = path.read_bytes()
    for at in range(len(text)):
        for flip in (0x01, 0x20):
            path.write_bytes(text[:at] + bytes([text[at] ^ flip]) + text[at + 1 :])
            try:
                other = bundle.read(path)
            except BundleError:
                continue
            assert other == made or other.fingerprint != made.fingerprint


def test_every_truncation_is_refused(tmp_path):
    path = tmp_path / "b"
    bundle.write(path, bundle.make("Harbour", RECIPIENT, "https://hub.example", CA_PEM))
    text = path.read_bytes()
    for size in range(len(text) - 1):
        path.write_bytes(text[:size])
        with pytest.raises(BundleError):
            bundle.read(path)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2}, {"version": "1"}, {"fanal": "group"}, {"area": 5}, {"area": "\x1b[2J"},
        {"relay": None}, {"relay": "https://u:p@h/deliver"}, {"recipient": "age1"},
        {"recipient": []}, {"service_uuid": "FEAA"}, {"service_uuid": 0xF5A1}, {"ca_pem": ""},
        {"ca_pem": KEY_PEM}, {"ca_pem": [CA_PEM]}, {"extra": 1},
    ],
)  # fmt: skip
def test_a_bundle_from_anybody_is_checked(tmp_path, change):
    path = tmp_path / "b"
    bundle.write(path, bundle.make("Harbour", RECIPIENT, "https://hub.example"))
    path.write_text(json.dumps({**content_of(path), **change}))
    with pytest.raises(BundleError) as caught:
        bundle.read(path)
    assert caught.value.sentence.isprintable()
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"null", b"\xff\xfe", b"[" * 60_000, b"9" * 60_000, b" " * 70_000]
)
def test_something_else_is_no_bundle(tmp_path, text):
    (tmp_path / "b").write_bytes(text)
    with pytest.raises(BundleError):
        bundle.read(tmp_path / "b")


def test_a_file_that_is_not_there_and_one_that_is(tmp_path):
    with pytest.raises(EnvironmentFault):
        bundle.read(tmp_path / "none")
    with pytest.raises(EnvironmentFault):
        bundle.read(tmp_path)
    (tmp_path / "b").write_text("mine")
    with pytest.raises(UsageError):
        bundle.write(tmp_path / "b", bundle.make("Harbour", RECIPIENT, "https://hub.example"))
    assert (tmp_path / "b").read_text() == "mine"


def test_a_full_disk_leaves_no_half_bundle(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    made, path = bundle.make("a", RECIPIENT, "https://hub.example"), tmp_path / "b.fanal"
    with pytest.raises(OSError, match="No space"):
        bundle.write(path, made)
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    bundle.write(path, made)
    with pytest.raises(UsageError):
        bundle.write(path, made)
    assert bundle.read(path) == made


def test_whether_the_way_is_encrypted():
    made = [Bundle("x", RECIPIENT, url) for url in ("https://h/d", "mqtts://h/fanal/1/x")]
    assert all(one.is_encrypted for one in made)
    plain = [Bundle("x", RECIPIENT, url) for url in ("http://h/d", "mqtt://127.0.0.1/fanal/1/x")]
    assert [(one.is_encrypted, one.is_local) for one in plain] == [(False, False), (False, True)]


class TestListenerKey:
    def test_it_is_made_once_and_for_its_owner_only(self, tmp_path):
        made = ListenerKey.in_folder(tmp_path)
        assert ListenerKey.in_folder(tmp_path).public == made.public
        assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
        assert ListenerKey.in_folder(_new(tmp_path / "other")).public != made.public

    def test_its_name_is_eight_letters(self):
        key = bytes(range(32))
        digest = hashlib.sha256(b"fanal/1 listener" + key).digest()
        theirs = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", ALPHABET)
        letters = base64.b32encode(digest[:5]).decode().translate(theirs)
        assert name_of(key) == f"{letters[:4]}-{letters[4:]}"

    @pytest.mark.parametrize("content", [b"", b"x", KEY_PEM.encode()[:60], b"\0" * 1000])
    def test_a_damaged_one_is_not_replaced(self, tmp_path, content):
        (tmp_path / KEY_FILE).write_bytes(content)
        with pytest.raises(IntegrityError):
            ListenerKey.in_folder(tmp_path)
        assert (tmp_path / KEY_FILE).read_bytes() == content

    def test_another_kind_of_key_is_none(self, tmp_path):
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        other = X25519PrivateKey.generate()
        pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / KEY_FILE).write_bytes(pem)
        with pytest.raises(FanalError):
            ListenerKey.in_folder(tmp_path)

    def test_a_boot_is_the_same_in_each_run_and_another_for_each_listener(self, tmp_path):
        one = ListenerKey.in_folder(tmp_path)
        assert one.boot("b") == ListenerKey.in_folder(tmp_path).boot("b")
        assert one.boot("b") != one.boot("c")
        assert one.boot("b") != ListenerKey.in_folder(_new(tmp_path / "other")).boot("b")
        assert len(bytes.fromhex(one.boot("b"))) == 8

    def test_no_secret_in_a_repr(self, tmp_path):
        key = ListenerKey.in_folder(tmp_path)
        assert repr(key) == f"ListenerKey('{key.name}')"


def test_the_clocks_of_this_computer(monkeypatch):
    one, two = clocks.of_this_computer(), clocks.of_this_computer()
    assert one.steady_ms() <= two.steady_ms()
    assert one.wall_ms() > 0
    if clocks._BOOT_ID.exists():
        assert one.system_boot == two.system_boot
    monkeypatch.setattr(clocks, "_BOOT_ID", Path("/nowhere"))
    assert clocks.of_this_computer().system_boot != clocks.of_this_computer().system_boot
    monkeypatch.setattr(clocks.time, "time_ns", lambda: -5)
    assert one.wall_ms() == 0


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder
