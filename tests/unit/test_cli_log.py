"""`fanal log` and `fanal registry` at the command line, and the page on how to check a proof."""

import base64
import json
import re
import shutil
import subprocess
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from fanal import anchor, checkpoint, keyring, log_checkpoint, unlocking
from fanal.cli import main
from fanal.registry import REGISTRY_FILE, Registry

from tests.unit import edited_registry, paper_log
from tests.unit.paper_log import id_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "log.md"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A fleet's folder with a life behind it, whose keyring opens at once."""
    fleet = paper_log.lived(tmp_path)
    fleet.registry.close()
    folder = tmp_path / "fleet"
    folder.mkdir()
    fleet.path.rename(folder / REGISTRY_FILE)
    monkeypatch.setenv("FANAL_PASSPHRASE", "not asked for")
    monkeypatch.setattr(unlocking, "station", lambda *_: fleet.station)
    return folder


def run(folder, *args):
    return CliRunner().invoke(main, ["--fleet", str(folder), *(str(arg) for arg in args)])


def answer(folder, *args, code=0):
    result = run(folder, *args, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_verify_says_that_it_is_whole_and_what_it_cannot_see(folder):
    result = run(folder, "log", "verify")
    assert result.exit_code == 0
    assert "16 entries: nothing was altered" in result.stdout
    assert "16 of 16 entries of this file's log are not signed yet" in result.stdout
    assert "no checkpoint outside" in result.stdout
    assert run(folder, "log", "checkpoint").exit_code == 0
    assert "!" not in run(folder, "log", "verify").stdout


def test_verify_says_where(folder):
    paper_log.sql(Path_(folder), "DELETE FROM log_leaf WHERE number = 6;")
    result = run(folder, "log", "verify")
    assert (result.exit_code, "Entry 6 is missing" in result.stdout) == (4, True)
    told = answer(folder, "log", "verify", code=4)
    assert (told["ok"], told["findings"][0]["entry"]) == (False, 6)


@pytest.mark.parametrize(
    "script",
    ["DELETE FROM fleet;", "DROP TABLE fleet;", "UPDATE fleet SET certificate = x'30';",
     "UPDATE fleet SET station = 'x';", "DROP TABLE log_leaf;"],
)  # fmt: skip
def test_a_file_that_says_nothing_of_its_log_is_a_finding_too(folder, script):
    paper_log.sql(Path_(folder), script)
    assert answer(folder, "log", "verify", code=4)["findings"]


class Path_:
    """What `paper_log.sql` wants: something with a path."""

    def __init__(self, folder):
        self.path = folder / REGISTRY_FILE


def test_an_older_copy_is_seen_by_what_is_kept_outside(folder, tmp_path):
    shutil.copy(folder / REGISTRY_FILE, tmp_path / "yesterday.db")
    with Registry(folder / REGISTRY_FILE) as registry:
        registry.revoke(id_of(1), "lost")
    out = tmp_path / "handed-out"
    told = answer(folder, "log", "checkpoint", "--out", out)
    assert (told["size"], out.read_text()) == (17, told["note"])
    (tmp_path / "yesterday.db").rename(folder / REGISTRY_FILE)
    assert answer(folder, "log", "verify", code=4)["findings"][0]["code"] == "cut"
    assert answer(folder, "log", "checkpoint", code=4)["error"] == "cut"
    shutil.rmtree(anchor.default_folder())
    assert answer(folder, "log", "verify")["ok"]
    told = answer(folder, "log", "verify", "--checkpoint", out, code=4)
    assert told["findings"][0]["code"] == "cut"
    out.write_text("x")
    assert answer(folder, "log", "verify", "--checkpoint", out, code=4)["error"] == "anchor"


def test_signing_twice_is_signing_once(folder):
    first = answer(folder, "log", "checkpoint")
    assert (first["changed"], answer(folder, "log", "checkpoint")["changed"]) == (True, False)


def test_what_stands_in_the_way_of_signing_is_a_remark(folder, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with Registry(folder / REGISTRY_FILE) as registry:
        station = unlocking.station()
        assert log_checkpoint.checkpoint_or_why(registry, station, tmp_path / "a") == ""
        monkeypatch.setattr(anchor, "keep", full)
        registry.revoke(id_of(1), "lost")
        why = log_checkpoint.checkpoint_or_why(registry, station, tmp_path / "a")
        assert "No space left" in why
        registry.keep_checkpoint("fanal/x", 99, "nonsense")


@pytest.mark.parametrize(
    "args",
    [("revoke", id_of(1), "--reason", "lost", "--yes"),
     ("reassign", id_of(1), "--site", "elsewhere"),
     ("retire", id_of(1), "--without-board", "--yes")],
)  # fmt: skip
def test_what_was_not_signed_for_is_said_once_and_last(folder, args):
    answer(folder, "log", "checkpoint")
    said = run(folder, *args)
    assert said.exit_code == 0, said.output
    assert said.stderr.count("not signed for yet: `fanal log checkpoint`") == 1
    assert said.stderr.splitlines()[-1].endswith("not signed for yet: `fanal log checkpoint`.")
    again = run(folder, *args)
    assert "not signed for" not in again.stderr
    told = answer(folder, "log", "verify")
    assert told["logs"][0]["size"] - told["logs"][0]["signed"] == len(told["remarks"]) * (
        2 if args[0] == "retire" else 1
    )
    assert told["logs"][0]["unsigned_since_ms"] > 0


def test_list_shows_every_entry(folder):
    told = answer(folder, "log", "list")["entries"]
    assert [one["entry"] for one in told] == list(range(16))
    assert len(answer(folder, "log", "list", "--from", 10)["entries"]) == 6
    assert "shelter-3" in run(folder, "log", "list").stdout
    assert answer(folder, "log", "list", "--log", "x", code=2)["error"] == "usage"


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture
def proof(folder, tmp_path):
    """What somebody was given, in a folder where they work."""
    answer(folder, "log", "checkpoint")
    work = tmp_path / "work"
    work.mkdir()
    answer(folder, "log", "prove", 12, "--out", work / "entry.tlog-proof")
    (script,) = blocks("python")
    (work / "check.py").write_text(script)
    return work


def follow(work):
    (commands,) = blocks("sh")
    return subprocess.run(
        ["sh", "-e"], input=commands, cwd=work, capture_output=True, text=True, check=False
    )


def test_the_page_checks_a_proof(proof):
    done = follow(proof)
    assert done.returncode == 0, done.stderr
    assert '"detail":"stolen"' in done.stdout
    assert "Signature Verified Successfully" in done.stdout
    assert "certificate-1.pem: OK" in done.stdout
    assert "fanal station 0" in done.stdout
    name = re.search("signed for:", done.stdout) and done.stdout.split(" that ")[1].split("/")[1]
    assert done.stdout.splitlines()[-1].startswith(name)


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 13])
def test_the_page_checks_every_entry_of_a_tree(folder, tmp_path, size):
    (script,) = blocks("python")
    (tmp_path / "check.py").write_text(script)
    with Registry(folder / REGISTRY_FILE) as registry:
        root = registry.log_root(size)
        note = checkpoint.Checkpoint("o/o/o", size, root).text() + "\n— o/o/o AAAAAAA=\n"
        for number in {0, size // 2, size - 1}:
            path = [base64.b64encode(h).decode() for h in registry.inclusion(number, size)]
            content = base64.b64encode(registry.leaves(number, number + 1)[0].content).decode()
            lines = ["c2sp.org/tlog-proof@v1", f"extra {content}", f"index {number}", *path]
            (tmp_path / "p").write_text("\n".join(lines) + f"\n\n{note}")
            assert checked(tmp_path).returncode == 0
            (tmp_path / "p").write_text(
                "\n".join(lines).replace(f"index {number}", f"index {number + 1}") + f"\n\n{note}"
            )
            assert checked(tmp_path).returncode != 0


def checked(work):
    return subprocess.run(
        ["python3", "-I", "check.py", "p"], cwd=work, capture_output=True, check=False, timeout=20
    )


@pytest.mark.parametrize("log", ["", "station-3"])
def test_the_page_checks_what_was_merged_and_what_was_restored(tmp_path, log):
    """First, last and one in the middle, of a restored log and of a station's that was merged."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    (folder / REGISTRY_FILE).write_bytes(edited_registry.everything()[0])
    with Registry(folder / REGISTRY_FILE) as registry:
        (name,) = [one for one in registry.logs() if one.endswith(log) and bool(one) == bool(log)]
        size = registry.log_size(name)
    (script,) = blocks("python")
    for entry in (0, size // 2, size - 1):
        work = tmp_path / str(entry)
        work.mkdir()
        answer(folder, "log", "prove", entry, "--log", name, "--out", work / "entry.tlog-proof")
        (work / "check.py").write_text(script)
        done = follow(work)
        assert done.returncode == 0, done.stderr
        assert f"entry {entry} of the {size} that fanal/" in done.stdout
        assert f"fanal station {3 if log else 0}" in done.stdout
        assert ("/epoch-1-" in done.stdout) == (not log)
        assert "Signature Verified Successfully" in done.stdout


@pytest.mark.parametrize("spoil", ["entry", "root", "signature", "certificate"])
def test_the_page_refuses_a_proof_that_is_none(proof, spoil):
    path = proof / "entry.tlog-proof"
    lines = path.read_text().split("\n")
    if spoil == "certificate":
        pem = proof / "entry.tlog-proof.pem"
        head, tail = pem.read_text().split("-----END", 1)
        pem.write_text(f"{head[:-20]}{'A' * 19}\n-----END{tail}")
    else:
        at = {"entry": 1, "root": -4, "signature": -2}[spoil]
        line = lines[at]
        place = len(line) - 30
        lines[at] = line[:place] + ("A" if line[place] != "A" else "B") + line[place + 1 :]
        path.write_text("\n".join(lines))
    assert follow(proof).returncode != 0


@pytest.mark.parametrize(
    ("entry", "code"), [(16, "usage"), (-1, "usage"), (99, "usage"), (12, "not_signed")]
)
def test_what_cannot_be_proved(folder, tmp_path, entry, code):
    told = run(folder, "log", "prove", "--json", "--out", tmp_path / "p", "--", entry)
    assert json.loads(told.stdout)["error"] == code
    assert not (tmp_path / "p").exists()


def test_what_was_altered_is_not_proved(folder, tmp_path):
    answer(folder, "log", "checkpoint")
    script = "UPDATE log_leaf SET content = content || ' ' WHERE number = 12;"
    paper_log.sql(Path_(folder), script)
    told = answer(folder, "log", "prove", 12, "--out", tmp_path / "p", code=4)
    assert told["error"] == "log"


def test_export_import_and_merge(folder, tmp_path):
    for form in ("json", "csv"):
        out = tmp_path / f"all.{form}"
        told = answer(folder, "registry", "export", "--out", out, "--format", form)
        assert told["beacons"] == 3
        copy = tmp_path / f"copy-{form}"
        assert answer(copy, "registry", "import", out)["beacons"] == 3
        assert answer(copy, "registry", "import", out, code=2)["error"] == "fleet_exists"
        assert answer(copy, "log", "verify")["ok"]
        assert not answer(folder, "registry", "merge", out)["changed"]
        assert out.stat().st_mode & 0o077 == 0
    assert "nothing new" in run(folder, "registry", "merge", out).stdout


# -- an authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A timestamp authority: openssl behind a small server. Gives (url, root certificate)."""
    work = tmp_path_factory.mktemp("tsa")
    (work / "tsa.cnf").write_text(
        "[tsa]\ndefault_tsa = one\n[one]\nserial = serial\nsigner_cert = tsa.pem\n"
        "signer_key = tsa.key\nsigner_digest = sha256\ndefault_policy = 1.2.3.4\n"
        "digests = sha256, sha512\nordering = no\ness_cert_id_chain = no\n"
        "[ext]\nextendedKeyUsage = critical,timeStamping\nkeyUsage = critical,digitalSignature\n"
    )
    (work / "serial").write_text("01")

    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=work, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
            "-subj", "/CN=paper root", "-days", "9999")  # fmt: skip
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "tsa.key", "-out", "tsa.csr",
            "-subj", "/CN=paper authority")  # fmt: skip
    openssl("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "9999",
            "-CAcreateserial", "-out", "tsa.pem", "-extfile", "tsa.cnf",
            "-extensions", "ext")  # fmt: skip

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            (work / "asked.tsq").write_bytes(asked)
            openssl(
                "ts", "-reply", "-queryfile", "asked.tsq", "-config", "tsa.cnf", "-out", "a.tsr"
            )
            reply = (work / "a.tsr").read_bytes()
            if self.path == "/other":  # an answer to what was asked before
                reply = (work / "first.tsr").read_bytes()
            elif not (work / "first.tsr").exists():
                (work / "first.tsr").write_bytes(reply)
            if self.path == "/nonsense":
                reply = b"nonsense"
            self.send_response(404 if self.path == "/none" else 200)
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", work / "ca.pem"
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_authority_stamps_a_checkpoint(folder, tmp_path, authority):
    url, root = authority
    assert answer(folder, "log", "timestamp", "--tsa", url, code=1)["error"] == "not_signed"
    note, out = tmp_path / "newest.checkpoint", tmp_path / "newest.tsr"
    answer(folder, "log", "checkpoint", "--out", note)
    stamped = run(folder, "log", "timestamp", "--tsa", url, "--root", root, "--out", out, "--json")
    told = json.loads(stamped.stdout)
    assert (told["size"], told["checked"]) == (16, True)
    assert "1 entry of the log is not signed for yet" in stamped.stderr
    with Registry(folder / REGISTRY_FILE) as registry:
        (kept,) = registry.stamps()
        assert (kept.size, kept.authority, kept.token) == (16, url, out.read_bytes())
    command = PAGE.read_text().split("openssl ts ")[1].split("\n")[0]
    shutil.copy(root, tmp_path / "authority.pem")
    done = subprocess.run(["sh", "-c", f"openssl ts {command}"], cwd=tmp_path, check=False,
                          capture_output=True, text=True)  # fmt: skip
    assert "Verification: OK" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("path", "code"),
    [("/other", "timestamp"), ("/nonsense", "timestamp"), ("/none", "no_answer")],
)
def test_an_answer_that_is_none_is_not_kept(folder, authority, path, code):
    url, root = authority
    answer(folder, "log", "checkpoint")
    answer(folder, "log", "timestamp", "--tsa", url)
    result = run(folder, "log", "timestamp", "--tsa", url + path, "--root", root, "--json")
    assert json.loads(result.stdout)["error"] == code
    with Registry(folder / REGISTRY_FILE) as registry:
        assert len(registry.stamps()) == 1


def test_another_root_is_another_authority(folder, tmp_path, authority):
    url, _ = authority
    answer(folder, "log", "checkpoint")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", "k", "-out", "c",
         "-subj", "/CN=other"], cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    told = answer(folder, "log", "timestamp", "--tsa", url, "--root", tmp_path / "c", code=4)
    assert told["error"] == "timestamp"
    for url in ("ftp://x", "http://127.0.0.1:1/"):
        assert run(folder, "log", "timestamp", "--tsa", url).exit_code in (2, 7)


@pytest.fixture
def expired(tmp_path, authority):
    """The URL of an authority whose own certificate is of another time."""
    root = x509.load_pem_x509_certificate(authority[1].read_bytes())
    root_key = load_pem_private_key((authority[1].parent / "ca.key").read_bytes(), None)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    made = (
        x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(root.subject)
        .public_key(key.public_key()).serial_number(7)
        .not_valid_before(datetime(2015, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2016, 1, 1, tzinfo=UTC))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        .sign(root_key, SHA256())
    )  # fmt: skip
    work = authority[1].parent
    kept = {name: (work / name).read_bytes() for name in ("tsa.pem", "tsa.key")}
    (work / "tsa.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (work / "tsa.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    yield authority[0]
    for name, content in kept.items():
        (work / name).write_bytes(content)


def test_an_authority_whose_time_is_over(folder, authority, expired):
    """One sentence, and no list of places in OpenSSL."""
    answer(folder, "log", "checkpoint")
    told = answer(folder, "log", "timestamp", "--tsa", expired, "--root", authority[1], code=4)
    assert told["error"] == "timestamp"
    assert told["sentence"].endswith("gave no good timestamp (certificate has expired).")
    with Registry(folder / REGISTRY_FILE) as registry:
        assert registry.stamps() == []


def test_no_network_is_one_sentence(folder):
    answer(folder, "log", "checkpoint")
    told = answer(folder, "log", "timestamp", "--tsa", "http://127.0.0.1:1/", code=7)
    assert (told["error"], told["sentence"].count("\n")) == ("no_answer", 0)


def test_a_real_keyring_signs(tmp_path, monkeypatch):
    monkeypatch.setenv("FANAL_PASSPHRASE", "correct horse battery")
    folder = tmp_path / "fleet"
    assert run(folder, "fleet", "init").exit_code == 0
    told = answer(folder, "log", "checkpoint")
    assert told["size"] == 2
    assert answer(folder, "log", "verify")["anchors"] == 1
    assert keyring.KEY_FILE in [path.name for path in folder.iterdir()]
