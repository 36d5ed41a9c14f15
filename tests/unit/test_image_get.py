"""Downloading images: a true server, and one that lies, breaks off, or leads elsewhere."""

import hashlib
import json
import os
import socket
import threading

import pytest
from click.testing import CliRunner
from fanal import image_download, image_lock
from fanal.chips import CHIPS
from fanal.cli import main
from fanal.error import EnvironmentFault, FanalError, IntegrityError, UsageError
from fanal.esp_image import ImageError
from fanal.image_download import MICROPYTHON_ORG, check_address, fetch
from fanal.image_get import BOARDS, get
from fanal.image_lock import ImageLock, Pin
from fanal.image_store import MOST_BYTES, ImageStore

from tests.unit import paper_server
from tests.unit.paper_image import combined
from tests.unit.paper_server import Authority, PaperServer, redirect, send

C3, ESP32, S3 = CHIPS["esp32c3"], CHIPS["esp32"], CHIPS["esp32s3"]
C3_FILE = "ESP32_GENERIC_C3-20260406-v1.28.0.bin"
CONTENT = combined(5, version="", banner="v1.28.0")
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OTHER = combined(5, seed=9)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("FANAL_IMAGE_MIRROR", raising=False)


@pytest.fixture
def server(authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    with PaperServer(authority.server_context()) as server:
        server.files[f"/{C3_FILE}"] = CONTENT
        yield server


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path / "images")


def names(store):
    return sorted(os.listdir(store.folder)) if store.folder.exists() else []


def refused(kind, code, do, *args, **kwargs):
    with pytest.raises(kind) as caught:
        do(*args, **kwargs)
    assert caught.value.code == code, caught.value.sentence
    assert caught.value.hint
    return caught.value


# -- a pin, or none


def test_an_image_whose_checksum_is_given(server, store):
    stored = get(store, C3, source=server.url, sha256=DIGEST)
    assert stored.path.read_bytes() == CONTENT
    assert server.asked == [f"/{C3_FILE}"]
    assert ImageLock(store.folder).find(BOARDS["esp32c3"], "1.28.0").sha256 == DIGEST
    assert store.for_chip(C3).content == CONTENT


def test_what_is_there_is_not_downloaded_again(server, store):
    get(store, C3, source=server.url, sha256=DIGEST)
    before = {name: (store.folder / name).stat().st_mtime_ns for name in names(store)}
    server.files.clear()
    get(store, C3, source=server.url)
    get(store, C3, source=server.url, sha256=DIGEST, pin=True)
    assert len(server.asked) == 1
    assert before == {name: (store.folder / name).stat().st_mtime_ns for name in names(store)}


def test_what_was_added_by_hand_is_not_downloaded(server, store, tmp_path):
    (tmp_path / "file.bin").write_bytes(CONTENT)
    store.add(tmp_path / "file.bin")
    get(store, C3, source=server.url, sha256=DIGEST)
    assert server.asked == []


def test_a_damaged_one_is_downloaded_again(server, store):
    path = get(store, C3, source=server.url, pin=True).path
    path.write_bytes(CONTENT[:5000])
    get(store, C3, source=server.url)
    assert len(server.asked) == 2
    assert path.read_bytes() == CONTENT


def test_without_a_checksum_nothing_is_asked_for(server, store):
    error = refused(IntegrityError, "not_pinned", get, store, C3, source=server.url)
    assert error.exit_code == 4
    assert "--sha256" in error.hint
    assert "--pin" in error.hint
    assert server.asked == []
    assert names(store) == []


def test_the_first_file_is_trusted_and_no_other_from_then_on(server, store):
    path = get(store, C3, source=server.url, pin=True).path
    path.unlink()
    server.files[f"/{C3_FILE}"] = OTHER
    for pin in (False, True):
        error = refused(IntegrityError, "pin", get, store, C3, source=server.url, pin=pin)
        assert error.exit_code == 4
    assert names(store) == ["images.lock"]
    digest = hashlib.sha256(OTHER).hexdigest()
    refused(IntegrityError, "pin", get, store, C3, source=server.url, sha256=digest)
    server.files[f"/{C3_FILE}"] = CONTENT
    assert get(store, C3, source=server.url).sha256 == DIGEST


def test_a_wrong_checksum(server, store):
    error = refused(IntegrityError, "pin", get, store, C3, source=server.url, sha256="0" * 64)
    assert C3_FILE in error.sentence
    assert names(store) == []


def test_a_pin_that_was_shipped_wins(server, store, monkeypatch, tmp_path):
    shipped = tmp_path / "shipped.lock"
    monkeypatch.setattr(image_lock, "_SHIPPED", shipped)
    entry = (
        '[[image]]\nboard = "ESP32_GENERIC_C3"\nversion = "1.28.0"\nfile = "a.bin"\nsha256 = "{}"\n'
    )
    shipped.write_text(entry.format(DIGEST))
    server.files["/a.bin"] = CONTENT
    assert get(store, C3, source=server.url).sha256 == DIGEST
    shipped.write_text(entry.format("0" * 64))
    refused(IntegrityError, "pin", get, store, C3, source=server.url, pin=True)


# -- what a server may do wrong


def test_a_file_for_another_chip_than_its_name_says(server, store):
    server.files[f"/{C3_FILE}"] = combined(9)
    error = refused(ImageError, "chip", get, store, C3, source=server.url, pin=True)
    assert "ESP32-S3, not for ESP32-C3" in error.sentence
    assert names(store) == []


def test_a_file_of_another_version(server, store):
    server.files[f"/{C3_FILE}"] = combined(5, version="v1.27.0")
    refused(ImageError, "version", get, store, C3, source=server.url, pin=True)
    assert names(store) == []


@pytest.mark.parametrize(
    "content", [b"", b"<html>Please log in to this network</html>", CONTENT[:-1], CONTENT[:0x10000]]
)
def test_no_image_at_all(server, store, content):
    server.files[f"/{C3_FILE}"] = content
    with pytest.raises(ImageError):
        get(store, C3, source=server.url, pin=True)
    assert names(store) == []


@pytest.mark.parametrize("sent", [0, 1, 5000, len(CONTENT) - 1])
def test_a_body_that_is_cut_short(server, store, sent):
    server.answers[f"/{C3_FILE}"] = lambda handler: send(handler, CONTENT[:sent], len(CONTENT))
    error = refused(EnvironmentFault, "network", get, store, C3, source=server.url, pin=True)
    assert error.exit_code == 7
    assert names(store) == []


def test_a_server_that_dies(server, store):
    server.answers[f"/{C3_FILE}"] = paper_server.dies
    refused(EnvironmentFault, "network", get, store, C3, source=server.url, pin=True)
    server.answers[f"/{C3_FILE}"] = lambda handler: handler.connection.shutdown(socket.SHUT_RDWR)
    refused(EnvironmentFault, "network", get, store, C3, source=server.url, pin=True)
    assert names(store) == []


def test_a_chunked_body_that_breaks_off(server, store):
    def answer(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"FFFF\r\n" + CONTENT[:500])
        handler.close_connection = True

    server.answers[f"/{C3_FILE}"] = answer
    with pytest.raises(FanalError):
        get(store, C3, source=server.url, pin=True)
    assert names(store) == []


def test_a_body_without_a_length(server, store):
    def answer(handler):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(CONTENT)
        handler.close_connection = True

    server.answers[f"/{C3_FILE}"] = answer
    assert get(store, C3, source=server.url, pin=True).sha256 == DIGEST


def test_nobody_there(store):
    with socket.create_server((paper_server.HOST, 0)) as listener:
        port = listener.getsockname()[1]
    source = f"https://127.0.0.1:{port}"
    refused(EnvironmentFault, "network", get, store, C3, source=source, pin=True)


def test_a_server_that_says_nothing(authority):
    with socket.create_server((paper_server.HOST, 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/x"
        error = refused(
            EnvironmentFault, "network", fetch, url, 9, context=authority.client_context(),
            timeout_s=0.05,
        )  # fmt: skip
    assert "no answer in time" in error.sentence


def test_a_server_without_encryption(authority):
    with socket.create_server((paper_server.HOST, 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.recv(1)
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nhello")

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/x"
        with pytest.raises(EnvironmentFault):
            fetch(url, 9, context=authority.client_context())
        thread.join()


@pytest.mark.parametrize(
    ("address", "days"), [("127.0.0.2", 1), ("127.0.0.1", -1)], ids=["name", "expired"]
)
def test_a_wrong_certificate(authority, store, address, days):
    with PaperServer(authority.server_context(address, days)) as server:
        server.files[f"/{C3_FILE}"] = CONTENT
        error = refused(
            IntegrityError, "certificate", get, store, C3, source=server.url, sha256=DIGEST,
            context=authority.client_context(),
        )  # fmt: skip
        assert server.asked == []
    assert error.exit_code == 4
    assert names(store) == []


def test_an_authority_that_nobody_trusts(server, store, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    refused(IntegrityError, "certificate", get, store, C3, source=server.url, sha256=DIGEST)
    assert server.asked == []


def test_the_wrong_authority(server, store, tmp_path):
    other = Authority(tmp_path)
    refused(
        IntegrityError, "certificate", get, store, C3, source=server.url, sha256=DIGEST,
        context=other.client_context(),
    )  # fmt: skip


@pytest.mark.parametrize(("status", "code"), [(404, "not_found"), (403, "http"), (500, "http")])
def test_a_server_that_refuses(server, store, status, code):
    server.answers[f"/{C3_FILE}"] = lambda handler: handler.send_error(status)
    error = refused(FanalError, code, get, store, C3, source=server.url, pin=True)
    assert error.exit_code == 1


@pytest.mark.parametrize("announced", [MOST_BYTES + 1, 1 << 60])
def test_too_large_by_its_own_word(server, store, announced):
    server.answers[f"/{C3_FILE}"] = lambda handler: send(handler, b"", announced)
    refused(IntegrityError, "too_large", get, store, C3, source=server.url, pin=True)


def test_too_large_without_saying_so(server, authority):
    sent = []

    def answer(handler):
        handler.send_response(200)
        handler.end_headers()
        handler.close_connection = True
        while True:  # until the client has had enough
            handler.wfile.write(b"\xe9" * 4096)
            sent.append(4096)

    server.answers["/x"] = answer
    context = authority.client_context()
    refused(IntegrityError, "too_large", fetch, f"{server.url}/x", 100_000, context=context)
    assert sum(sent) >= 100_000


def test_the_largest_that_may_be(server, authority):
    server.files["/x"] = bytes(1000)
    context = authority.client_context()
    assert fetch(f"{server.url}/x", 1000, context=context) == bytes(1000)
    refused(IntegrityError, "too_large", fetch, f"{server.url}/x", 999, context=context)


@pytest.mark.parametrize("length", ["-1", "abc", "1_0", "", "٣"])
def test_a_length_that_is_none(server, authority, length):
    def answer(handler):
        handler.wfile.write(f"HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\nhello".encode())
        handler.close_connection = True

    server.answers["/x"] = answer
    assert fetch(f"{server.url}/x", 9, context=authority.client_context()) == b"hello"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_https_is_followed(server, store, status):
    server.answers[f"/{C3_FILE}"] = redirect(f"{server.url}/there.bin", status)
    server.files["/there.bin"] = CONTENT
    assert get(store, C3, source=server.url, pin=True).sha256 == DIGEST


@pytest.mark.parametrize(
    "to", ["http://127.0.0.1:1/x.bin", "ftp://127.0.0.1/x.bin", "HTTP://127.0.0.1:1/"]
)
def test_a_redirect_out_of_https_is_not(server, store, to):
    server.answers[f"/{C3_FILE}"] = redirect(to)
    error = refused(IntegrityError, "insecure", get, store, C3, source=server.url, sha256=DIGEST)
    assert error.exit_code == 4


@pytest.mark.parametrize("to", ["file:///etc/passwd", "data:,x", "gopher://x/"])
def test_a_redirect_to_nowhere(server, store, to):
    server.answers[f"/{C3_FILE}"] = redirect(to)
    with pytest.raises(FanalError):
        get(store, C3, source=server.url, sha256=DIGEST)


def test_a_redirect_in_a_circle(server, store):
    server.answers[f"/{C3_FILE}"] = redirect(f"{server.url}/{C3_FILE}")
    refused(FanalError, "http", get, store, C3, source=server.url, pin=True)


# -- addresses


@pytest.mark.parametrize(
    "url",
    ["http://micropython.org/", "HTTP://127.0.0.1/", "ftp://x/", "file:///x.bin", "x.bin", "",
     "https://", "https:///x", "https://[::1", "https://x:port/", "https://a b/", "https://x/\n",
     "https://x/\u00e4", "https://\u00e4/"],
)  # fmt: skip
def test_any_other_address_is_refused_before_anything(store, url):
    error = refused(UsageError, "insecure", get, store, C3, source=url, sha256=DIGEST)
    assert error.exit_code == 2
    assert "https://" in error.sentence
    assert names(store) == []


@pytest.mark.parametrize("url", ["https://me:s3cret@x/", "https://s3cret@x/", "https://:@x/"])
def test_a_password_in_an_address_is_refused_and_not_repeated(url):
    with pytest.raises(UsageError) as caught:
        check_address(url)
    assert "s3cret" not in caught.value.sentence + caught.value.hint


def test_addresses_that_are_fine():
    assert check_address(MICROPYTHON_ORG) == "micropython.org"
    assert check_address("HTTPS://[::1]:8443/a%20b") == "::1"


@pytest.mark.parametrize("end", ["", "/", "/mirror", "/mirror/"])
def test_a_folder_with_or_without_a_slash(server, store, end):
    server.files[f"{end.rstrip('/')}/{C3_FILE}"] = CONTENT
    get(store, C3, source=server.url + end, pin=True)
    assert server.asked == [f"{end.rstrip('/')}/{C3_FILE}"]


def test_an_address_of_one_file(server, store):
    server.files["/deep/ESP32_GENERIC_C3-20300101-v1.99.0.bin"] = combined(5, version="v1.99.0")
    source = f"{server.url}/deep/ESP32_GENERIC_C3-20300101-v1.99.0.bin"
    get(store, C3, "1.99.0", source=source, pin=True)
    assert store.for_chip(C3, "1.99.0").version == "1.99.0"
    pin = ImageLock(store.folder).find("ESP32_GENERIC_C3", "1.99.0")
    assert pin.file == "ESP32_GENERIC_C3-20300101-v1.99.0.bin"


def test_a_version_that_nobody_has_named(server, store):
    refused(FanalError, "unknown_image", get, store, C3, "1.99.0", source=server.url, pin=True)
    assert server.asked == []


@pytest.mark.parametrize(
    ("version", "file"),
    [("1.99.0", "a%20b.bin"), ("1.99.0", ".bin"), ('1"', "x.bin"), ("", "x.bin")],
)
def test_names_that_would_spoil_the_lock(server, store, version, file):
    with pytest.raises(UsageError):
        get(store, C3, version, source=f"{server.url}/{file}", pin=True)
    assert server.asked == []


def test_a_chip_without_an_image_of_ours(server, store):
    refused(ImageError, "chip", get, store, CHIPS["esp32c6"], source=server.url, pin=True)


def test_progress_is_told(server, authority):
    told = []
    server.files["/x"] = bytes(200_000)
    fetch(
        f"{server.url}/x", 1 << 20, context=authority.client_context(),
        on_progress=lambda *at: told.append(at),
    )  # fmt: skip
    assert told[-1] == (200_000, 200_000)
    assert [done for done, _ in told] == sorted({done for done, _ in told})


# -- the lock


def test_the_shipped_lock_names_every_board_and_pins_only_what_was_seen():
    pins = image_lock._read(image_lock._SHIPPED)
    assert {pin.board for pin in pins} >= set(BOARDS.values())
    assert all(pin.file.startswith(f"{pin.board}-2") for pin in pins)
    assert all(pin.file.endswith(f"-v{pin.version}.bin") for pin in pins)
    assert {p.version for p in pins if p.board == "ESP32_GENERIC"} >= {"1.28.0"}


def test_a_lock_is_read_as_it_was_written(tmp_path):
    lock = ImageLock(tmp_path)
    pins = [Pin("A", "1.0", "a.bin", "1" * 64), Pin("B", "1.0-preview.1+x", "b_-.bin", "2" * 64)]
    for pin in pins:
        lock.keep(pin)
        lock.keep(pin)
    assert image_lock._read(lock.path) == pins
    assert lock.find("A", "1.0") == pins[0]
    assert lock.find("A", "1.1") is None


def test_a_pin_never_changes(tmp_path):
    lock = ImageLock(tmp_path)
    lock.keep(Pin("A", "1.0", "a.bin", "1" * 64))
    before = lock.path.read_bytes()
    refused(IntegrityError, "pin", lock.keep, Pin("A", "1.0", "a.bin", "2" * 64))
    assert lock.path.read_bytes() == before


@pytest.mark.parametrize(
    "text",
    ["[[image]", "image = 3", "image = [1]", '[[image]]\nboard = "A"', "\0", "[image]\na = 1",
     '[[image]]\nboard = "A"\nversion = "1"\nfile = "a.bin"\nsha256 = "12"',
     '[[image]]\nboard = "A"\nversion = "1"\nfile = "../a.bin"',
     '[[image]]\nboard = "A"\nversion = "1"\nfile = 3',
     '[[image]]\nboard = "A"\nversion = "1"\nfile = "a.bin"\nmore = "x"'],
)  # fmt: skip
def test_a_damaged_lock_trusts_nothing(server, store, text):
    store.folder.mkdir()
    (store.folder / "images.lock").write_text(text)
    error = refused(IntegrityError, "damaged", get, store, C3, source=server.url, pin=True)
    assert "images.lock" in error.sentence
    assert server.asked == []


def test_every_cut_of_a_lock_is_noticed_or_harmless(tmp_path):
    """A cut never turns into another checksum: at worst a pin is gone and has to be given anew."""
    lock = ImageLock(tmp_path)
    pin = Pin("A", "1.0", "a.bin", "1" * 64)
    lock.keep(pin)
    whole = lock.path.read_bytes()
    for length in range(len(whole)):
        lock.path.write_bytes(whole[:length])
        try:
            found = lock.find("A", "1.0")
        except IntegrityError:
            continue
        assert found in (None, pin, Pin("A", "1.0", "a.bin"))


# -- the command


def run(store, *args):
    return CliRunner().invoke(main, ["image", "--store", str(store.folder), *args])


def test_get_on_the_command_line(server, store):
    for chip_id, name in ((0, "ESP32_GENERIC"), (9, "ESP32_GENERIC_S3")):
        server.files[f"/{name}-20260406-v1.28.0.bin"] = combined(chip_id)
    result = run(store, "get", "--all", "--from", server.url, "--pin")
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 3
    assert DIGEST in result.stdout
    assert "trusted" in result.stderr
    result = run(store, "list", "--json")
    said = json.loads(result.stdout)
    assert [i["chip"] for i in said["images"]] == ["esp32", "esp32c3", "esp32s3"]
    assert said["ok"] is True


def test_a_mirror_from_the_environment(server, store, monkeypatch):
    monkeypatch.setenv("FANAL_IMAGE_MIRROR", server.url)
    result = run(store, "get", "--chip", "esp32c3", "--sha256", DIGEST.upper(), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "ok": True,
        "images": [{
            "chip": "esp32c3", "micropython": "1.28.0", "sha256": DIGEST, "bytes": len(CONTENT),
            "file": str(store.folder / f"esp32c3-micropython-1.28.0-{DIGEST[:8]}.bin"),
            "damaged": False,
        }],
        "refused": [],
    }  # fmt: skip
    assert result.stderr == ""


def test_part_of_several(server, store):
    result = run(store, "get", "--all", "--from", server.url, "--pin", "--json")
    said = json.loads(result.stdout)
    assert result.exit_code == 6
    assert said["ok"] is False
    assert [i["chip"] for i in said["images"]] == ["esp32c3"]
    assert {r["name"]: r["error"] for r in said["refused"]} == {
        "esp32": "not_found", "esp32s3": "not_found",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("args", "exit_code"),
    [
        (["get"], 2),
        (["get", "--all", "--chip", "esp32"], 2),
        (["get", "--chip", "esp32c6"], 2),
        (["get", "--all", "--sha256", DIGEST], 2),
        (["get", "--chip", "esp32", "--sha256", "12"], 2),
        (["get", "--all", "--from", "https://x/y.bin"], 2),
        (["get", "--chip", "esp32", "--from", "http://127.0.0.1/", "--pin"], 2),
        (["get", "--chip", "esp32"], 4),
        (["add"], 2),
        (["add", "/nowhere/x.bin"], 7),
        (["add", "/nowhere/x.bin", "/nowhere/y.bin"], 6),
        (["list"], 0),
    ],
)
def test_exit_codes(store, args, exit_code):
    result = run(store, *args)
    assert result.exit_code == exit_code, result.output
    assert "Traceback" not in result.output
    as_json = run(store, *args, "--json")
    assert as_json.exit_code == exit_code
    assert json.loads(as_json.stdout)["ok"] is (exit_code == 0)
    assert names(store) == []


def test_add_on_the_command_line(store, tmp_path):
    good, bad = tmp_path / "good.bin", tmp_path / "bad.bin"
    good.write_bytes(CONTENT)
    bad.write_bytes(CONTENT[:-1])
    result = run(store, "add", str(good))
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"MicroPython 1.28.0 for ESP32-C3, SHA-256 {DIGEST}" in result.stdout
    assert run(store, "add", str(bad)).exit_code == 4
    result = run(store, "add", str(bad), str(good))
    assert result.exit_code == 6
    assert "bad.bin:" in result.stderr
    assert "1 of 2 were not stored." in result.stderr
    listed = run(store, "list")
    assert listed.exit_code == 0
    assert "ok" in listed.stdout
    next(store.folder.iterdir()).write_bytes(b"")
    assert "damaged" in run(store, "list").stdout
    assert json.loads(run(store, "list", "--json").stdout)["images"][0]["damaged"] is True


@pytest.mark.parametrize("verb", ["add", "get", "list"])
def test_every_help_has_examples(store, verb):
    result = run(store, verb, "--help")
    assert result.exit_code == 0
    assert f"fanal image {verb}" in result.stdout


def test_few_modules_open_addresses():
    assert image_download.fetch is fetch
    root = os.path.dirname(image_download.__file__)
    for folder, _, files in os.walk(root):
        for name in files:
            if name.endswith(".py") and name not in ("image_download.py", "log_timestamp.py"):
                with open(os.path.join(folder, name), encoding="utf-8") as source:
                    assert "urllib.request" not in source.read(), name
