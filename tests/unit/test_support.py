"""The support file: what helps is in it; no secret in any encoding, no name and no place.

A whole fleet is made, with known secrets in every corner that there is, and every byte of every
member is searched for them.
"""

import base64
import json
import os
import stat
import sys
import zipfile
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from fanal import error_log, provision
from fanal.batch import FAILED, JOURNAL, Batch
from fanal.batch_list import Row
from fanal.cli import main
from fanal.doctor.finding import bad, good
from fanal.doctor.own import Own
from fanal.error import DeviceError, EnvironmentFault, FanalError, IntegrityError, UsageError
from fanal.keyring import Keyring
from fanal.ports import Known, Port
from fanal.redaction import Redactor
from fanal.registry import REGISTRY_FILE, Registry
from fanal.schema import SCHEMA_VERSION
from fanal.serial_port import Attached
from fanal.support import LEFT_OUT, support
from fanal.support_parts import Sources, names_to_withhold
from fanal_protocol import keys

from tests.unit.paper_board import PaperBoard
from tests.unit.paper_fleet import PaperFleet
from tests.unit.paper_system import PaperSystem

PASSPHRASE = "hummingbird-lantern-quartz"
SITE, PLACE, NOTES, LABEL = "shelter-quokka", "room 12, under the desk", "ask the cook", "A-017-x"
PERSON, HOST, HOME = "technician-zebra", "laptop-of-north", "/home/technician-zebra"
BATCH, SSID = "spring-at-the-river", "rivernet-5G"
ATTIC = "attic of the mill"
PLACED = "moved from the harbour office"


def encodings(secret: bytes):
    """Return every way in which these bytes may lie in a file, also inside longer base64."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield secret.hex(":").encode()
    yield repr(secret)[2:-1].encode()
    yield json.dumps(list(secret)).encode()[1:-1]
    yield ",".join(map(str, secret)).encode()
    yield base64.b32encode(secret).rstrip(b"=")
    yield base64.b32encode(secret).rstrip(b"=").lower()
    for shift in range(3):  # wherever it begins among others, its middle reads the same
        middle = base64.b64encode(bytes(shift) + secret)[4:-4]
        yield middle
        yield middle.replace(b"+", b"-").replace(b"/", b"_")


def found_in(content: bytes, secrets):
    return [
        name for name, secret in secrets.items() if any(way in content for way in encodings(secret))
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A fleet on disk, its keyring, a provisioned beacon, a batch, errors; and all its secrets."""
    folder = tmp_path_factory.mktemp("fleets") / BATCH / "fleet"
    folder.mkdir(parents=True)
    fleet, board = PaperFleet(folder), PaperBoard()
    fleet.registry.close()
    fleet.path.rename(folder / REGISTRY_FILE)
    keyring = Keyring.create(folder, PASSPHRASE, fleet.officer, fleet.station)
    with Registry(folder / REGISTRY_FILE) as registry:
        request = provision.Request(SITE, PLACE)
        done = provision.provision(board, fleet.station, registry, request)
        registry.record_sighting(done.beacon_id, 1, slot=0, seq=1, t_ms=1, verdict="fresh")
        registry.moved(done.beacon_id, SITE, PLACED)
        registry.revoke(done.beacon_id, f"left at {PLACED}")
        certificates = {
            "fleet certificate": registry.fleet_certificate(),
            "station certificate": registry.station_certificate(0),
            "beacon certificate": registry.find(done.beacon_id).certificate,
        }
    first = keys.first_event_key(fleet.station.root, board.public_key)
    secrets = {
        "fleet root": fleet.officer.root, "fleet signing key": fleet.officer.signing,
        "sealing key": fleet.officer.sealing, "station root": fleet.station.root,
        "station signing key": fleet.station.signing, "beacon seed": board.seed,
        "first event key": first, "next event key": keys.next_event_key(first),
        "rid key": keys.rid_key(first), "public key": board.public_key,
        "passphrase": PASSPHRASE.encode(), "age identity": str(keyring._identity).encode(),
        **{name: content[-64:] for name, content in certificates.items()},
        **{file.name: file.read_bytes()[-48:] for file in folder.glob("*.age")},
    }  # fmt: skip
    _leave_a_batch(folder, done.beacon_id)
    return folder, done.beacon_id, secrets


def _leave_a_batch(folder, beacon_id):
    """Leave what a batch writes, then lines that no batch of today does."""
    row = Row(1, LABEL, SITE, ATTIC, notes=NOTES)
    with Batch.create(folder / "batches" / BATCH, [row]) as batch:
        batch.assign("02:00:00:00:00:01", "esp32")
        batch.step(1, "flashed", technician=PERSON, image_sha256="ab" * 32)
        reason = (
            f"This board is registered ({SITE}, {PLACED}) for {LABEL}, says {PERSON} on {HOST} in"
            f" {HOME}/x; {NOTES}; {ATTIC}."
        )
        batch.outcome(1, FAILED, reason, beacon_id=beacon_id)
    later = [
        {"event": "later", "label": LABEL, "site": SITE, "notes": NOTES, "ssid": SSID},
        {"technician": PERSON},
    ]
    with (batch.folder / JOURNAL).open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in later)
        file.write(f'[1]\n{{"torn": "{SITE}')


@pytest.fixture
def whose(monkeypatch):
    """The computer has a user, a name and a home that tell who it is."""
    monkeypatch.setenv("HOME", HOME)
    monkeypatch.setenv("USER", PERSON)
    monkeypatch.setenv("FANAL_PASSPHRASE", PASSPHRASE)
    monkeypatch.setattr("socket.gethostname", lambda: f"{HOST}.example.org")
    monkeypatch.setenv(
        "FANAL_PORTS", f"rfc2217://{HOST}:4000 {HOME}/port /media/{PERSON}/{SSID}/tty"
    )


def run(folder, *words):
    return CliRunner().invoke(main, ["--fleet", str(folder), "support", *map(str, words)])


def opened(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


NAMES = (
    SITE,
    PLACE,
    PLACED,
    ATTIC,
    NOTES,
    LABEL,
    PERSON,
    HOST,
    HOME,
    BATCH,
    SSID,
    "example.org",
    "desk",
)


def test_nothing_secret_is_in_it_and_no_name_and_no_place(made, whose, tmp_path):
    folder, beacon_id, secrets = made
    error_log.note(folder, "provision", IntegrityError(f"Not at {SITE}."), ValueError(PASSPHRASE))
    out = tmp_path / "help.zip"
    done = run(folder, "--out", out)
    assert done.exit_code == 0, done.output
    members = opened(out)
    assert members.keys() == {
        "about.json", "doctor.json", "ports.json", "registry.json", "errors.json",
        "batch-1.json", "manifest.json",
    }  # fmt: skip
    for name, content in {**members, "the zip": out.read_bytes()}.items():
        assert found_in(content, secrets) == [], name
        text = content.decode("utf-8", "replace").lower()
        assert [word for word in NAMES if word.lower() in text] == [], name
    assert beacon_id in members["registry.json"].decode()


def test_the_search_can_fail(made):
    _, _, secrets = made
    for name, secret in secrets.items():
        for way in encodings(secret):
            assert name in found_in(b'{"x": "' + way + b'"}', secrets)
        longer = base64.b64encode(b"some bytes before" + secret + b"and behind")
        assert name in found_in(longer, secrets)


def test_what_helps_is_in_it(made, whose, tmp_path):
    folder, _, _ = made
    out = tmp_path / "help.zip"
    run(folder, "--out", out)
    members = {name: json.loads(content) for name, content in opened(out).items()}
    assert members["about.json"]["packages"]["fanal"]
    assert members["about.json"]["firmware"]["micropython"]
    assert {row["name"] for row in members["doctor.json"]} >= {"Python", "clock", "disk", "fleet"}
    assert [port["port"] for port in members["ports.json"]] == [
        "rfc2217://HOST", "~/port", "[path]",
    ]  # fmt: skip
    registry = members["registry.json"]
    assert (registry["schema"], registry["states"], registry["revoked"]) == (
        SCHEMA_VERSION, {"provisioned": 1}, 1,
    )  # fmt: skip
    assigned, step, outcome, *_ = members["batch-1.json"]["lines"]
    assert assigned["mac"] == "02:00:00:00:00:01"
    assert assigned["time"] <= step["time"] <= outcome["time"]
    assert (step["step"], step["image_sha256"]) == ("flashed", "ab" * 32)
    assert outcome["outcome"] == "failed"
    assert outcome["reason"].startswith("This board is registered ([withheld], [withheld])")
    assert members["batch-1.json"]["unread"] == 2


def test_it_says_what_is_in_it_and_what_was_left_out(made, whose, tmp_path):
    folder, _, _ = made
    out = tmp_path / "help.zip"
    done = run(folder, "--out", out)
    members = opened(out)
    manifest = json.loads(members["manifest.json"])
    assert [one["name"] for one in manifest["inside"]] == [m for m in members if m[:3] != "man"]
    assert manifest["left_out"] == list(LEFT_OUT)
    for name in members:
        assert f"  {name} " in done.stdout
    for what in LEFT_OUT:
        assert what in done.stdout
    if os.name != "nt":
        assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_as_json(made, whose, tmp_path):
    folder, _, _ = made
    done = run(folder, "--out", tmp_path, "--json")
    told = json.loads(done.stdout)
    assert told["ok"]
    assert told["file"].startswith(str(tmp_path / "fanal-support-"))
    assert [one["name"] for one in told["inside"]][-1] == "manifest.json"


def test_the_file_is_small_enough_to_be_sent(made, whose, tmp_path):
    folder, _, _ = made
    out = tmp_path / "help.zip"
    run(folder, "--out", out)
    assert out.stat().st_size < sum(map(len, opened(out).values()))


def test_a_file_that_is_there_is_not_touched(made, whose, tmp_path):
    folder, _, _ = made
    (tmp_path / "help.zip").write_text("mine")
    assert run(folder, "--out", tmp_path / "help.zip").exit_code == 2
    assert (tmp_path / "help.zip").read_text() == "mine"


def test_a_folder_that_is_not_there_is_a_sentence(made, whose, tmp_path):
    folder, _, _ = made
    done = run(folder, "--out", tmp_path / "none" / "help.zip")
    assert done.exit_code == 7
    assert len(done.stderr.splitlines()) == 2


def test_without_a_fleet_the_rest_is_packed(whose, tmp_path):
    done = run(tmp_path / "none", "--out", tmp_path / "help.zip")
    assert done.exit_code == 0, done.output
    members = opened(tmp_path / "help.zip")
    assert json.loads(members["registry.json"]) is None
    assert not (tmp_path / "none").exists()


def test_a_damaged_registry_is_what_help_is_needed_for(whose, tmp_path):
    (tmp_path / REGISTRY_FILE).write_bytes(b"no registry at all, but long enough to be read as one")
    done = run(tmp_path, "--out", tmp_path / "help.zip")
    assert done.exit_code == 0, done.output
    members = opened(tmp_path / "help.zip")
    assert json.loads(members["registry.json"]) == {"unavailable": "damaged"}
    (row,) = [r for r in json.loads(members["doctor.json"]) if r["name"] == "fleet"]
    assert (row["outcome"], row["reason"]) == ("fail", "FLEET/registry.db is damaged.")


# -- its parts, each of which may fail


def sources(folder, **other):
    own = Own(None, None, EnvironmentFault("None.", "Build it."), None)
    usual = {
        "fleet_dir": folder, "system": PaperSystem(), "own": lambda: own, "doctor": list,
        "ports": list, "beacons": list, "errors": list,
    }  # fmt: skip
    return Sources(**{**usual, **other})


NOBODY = Redactor.made_of([], [])


def packed(tmp_path, redactor=NOBODY, **other):
    support(tmp_path / "out.zip", sources(tmp_path, **other), redactor)
    return {name: json.loads(c) for name, c in opened(tmp_path / "out.zip").items()}


def fail(problem):
    def failing():
        raise problem

    return failing


@pytest.mark.parametrize(
    ("part", "member"),
    [("own", "about.json"), ("doctor", "doctor.json"), ("ports", "ports.json"),
     ("beacons", "registry.json"), ("errors", "errors.json")],
)  # fmt: skip
@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (DeviceError(f"At {SITE}.", code="no_port"), "no_port"),
        (ValueError(SITE), "ValueError"),
        (RecursionError(SITE), "RecursionError"),
    ],
)
def test_a_part_that_fails_says_so_in_its_place(tmp_path, part, member, problem, said):
    members = packed(tmp_path, **{part: fail(problem)})
    assert members[member] == {"unavailable": said}
    assert len(members) == 6


def test_a_clock_before_zip_files(tmp_path):
    system = PaperSystem()
    system.time = datetime(1970, 1, 1, tzinfo=UTC)
    assert packed(tmp_path, system=system)["manifest.json"]["made"].startswith("1970")


def test_free_text_of_the_doctor_and_of_ports_is_redacted(tmp_path):
    redactor = Redactor.made_of([(HOME, "~")], [(SITE, "[withheld]"), (PERSON, "USER")])
    rows = [bad("fleet", f"none in {HOME}/f", f"Ask {PERSON}.", f"chmod -R go-rwx '{HOME}/f'")]
    attached = Attached(f"{HOME}/port", f"of {SITE}", SITE, 1, 2, "02:00:00:00:00:01")
    known = Known("AAAAAAAA", "provisioned", SITE, PLACE, SITE, 1, 2, 3)
    members = packed(
        tmp_path, redactor, doctor=lambda: [*rows, good("disk", "1 GB free")],
        ports=lambda: [Port(attached, f"process 7 ({PERSON})", known, None, SITE)],
    )  # fmt: skip
    assert members["doctor.json"][0] == {
        "name": "fleet", "outcome": "fail", "reason": "none in ~/f", "fix": "Ask USER.",
        "commands": ["chmod -R go-rwx '~/f'"],
    }  # fmt: skip
    assert members["ports.json"] == [
        {"port": "~/port", "description": "of [withheld]", "usb": "0001:0002",
         "mac": "02:00:00:00:00:01", "in_use_by": "process 7 (USER)", "beacon_id": "AAAAAAAA",
         "state": "provisioned"}
    ]  # fmt: skip


@pytest.mark.parametrize("leak", ["AGE-SECRET-KEY-1QQQ", "-----BEGIN PRIVATE KEY-----", HOME])
def test_what_came_through_all_the_same_stops_it(tmp_path, monkeypatch, leak):
    redactor = Redactor.made_of([(HOME, "~")], [])
    with pytest.raises(FanalError) as caught:
        packed(tmp_path, redactor, errors=lambda: [{"at": leak}])
    assert caught.value.code == "leak"
    assert not (tmp_path / "out.zip").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"null\n7\n", b'{"reason": 7}\n', b'{"reason": null, "time": {}}\n'],
)
def test_journals_that_make_no_sense(tmp_path, content):
    folder = tmp_path / "batches" / "b"
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").write_bytes(content)
    (folder / "plan.json").write_bytes(content)
    assert names_to_withhold(tmp_path, []) == {"b"}
    assert set(packed(tmp_path)["batch-1.json"]) == {"lines", "unread"}


# -- redaction


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("in /home/zebra/x and /home/zebra.", "in ~/x and ~."),
        ("/home/other/x", "[path]"),
        (r"C:\Users\zebra\fleet\registry.db is damaged", "[path] is damaged"),
        ("/srv/north/fleet/registry.db", "FLEET/registry.db"),
        ("/srv/north/other", "[path]"),
        ("/dev/ttyUSB0 of /usr/lib/udev/rules.d/85-x.rules", None),
        ("/run/media/zebra/STICK/a", "[path]"),
        ("zebra ZEBRA zebras xzebra Zebra's", "USER USER zebras xzebra USER's"),
        ("shelter-3 and SHELTER-3, not shelter-31", "[withheld] and [withheld], not shelter-31"),
        ("room 12, under the desk", "[withheld]"),
        ("socket://10.0.0.7:99 and rfc2217://x.y:1?z", "socket://HOST and rfc2217://HOST"),
        ("either/or, 5/8, a.b/c", None),
        ("sudo usermod -aG dialout $USER", None),
        ("", None),
    ],
)
def test_redaction(text, redacted):
    redactor = Redactor.made_of(
        [("/home/zebra", "~"), ("/srv/north/fleet", "FLEET"), ("/", "ROOT"), ("", "NOTHING")],
        [("zebra", "USER"), ("shelter-3", "[withheld]"), ("room 12", "[withheld]"),
         ("room 12, under the desk", "[withheld]"), ("", "NOTHING"), ("root", "USER")],
    )  # fmt: skip
    assert redactor.text(text) == (text if redacted is None else redacted)


def test_this_computer_is_redacted(whose, tmp_path):
    redactor = Redactor.of_this_computer(tmp_path / "f", [SITE])
    text = f"{HOME}/a {tmp_path}/f/b {PERSON} {HOST} {SITE} {sys.executable}"
    assert redactor.text(text) == "~/a FLEET/b USER HOST [withheld] python"


# -- the last errors


def test_a_failure_leaves_a_line_without_its_sentence(made, tmp_path):
    folder, _, _ = made
    (folder / error_log.ERRORS_FILE).unlink(missing_ok=True)
    runner = CliRunner()
    runner.invoke(main, ["--fleet", str(folder), "drill", "--port", str(tmp_path / SITE)])
    text = (folder / error_log.ERRORS_FILE).read_text()
    assert SITE not in text
    (entry,) = error_log.last(folder)
    assert (entry["command"], entry["code"], entry["exit_code"]) == ("drill", "no_port", 3)
    assert any(where.startswith("drill.py:") for where in entry["where"])


def test_wrong_usage_is_not_kept_and_nothing_without_a_fleet(made, tmp_path):
    folder, _, _ = made
    (folder / error_log.ERRORS_FILE).unlink(missing_ok=True)
    error_log.note(folder, "x", UsageError("No."), ValueError())
    error_log.note(tmp_path / "none", "x", FanalError("No."), ValueError())
    assert error_log.last(folder) == []
    assert list(tmp_path.iterdir()) == []


def test_the_log_stays_short_and_a_torn_line_is_left_out(tmp_path):
    (tmp_path / REGISTRY_FILE).touch()
    for number in range(error_log.MOST + 5):
        error_log.note(tmp_path, str(number), FanalError("No."), ValueError())
    found = error_log.last(tmp_path)
    assert [entry["command"] for entry in found] == [
        str(n) for n in range(5, error_log.MOST + 5)
    ]  # fmt: skip
    path = tmp_path / error_log.ERRORS_FILE
    path.write_bytes(path.read_bytes()[:-30] + b"\n\xff\n[]\n")
    assert len(error_log.last(tmp_path)) == error_log.MOST - 1


def test_what_a_board_calls_its_refusal_is_no_way_out_for_a_key(tmp_path):
    (tmp_path / REGISTRY_FILE).touch()
    error_log.note(tmp_path, "x", FanalError("No.", code="5ec7e7" * 10), ValueError())
    assert error_log.last(tmp_path)[0]["code"] == "other"


def test_a_log_that_cannot_be_written_hides_no_failure(tmp_path):
    (tmp_path / REGISTRY_FILE).touch()
    (tmp_path / error_log.ERRORS_FILE).mkdir()
    error_log.note(tmp_path, "x", FanalError("No."), ValueError())
    assert error_log.last(tmp_path) == []
    assert {path.name for path in tmp_path.iterdir()} == {REGISTRY_FILE, error_log.ERRORS_FILE}


def test_a_folder_that_may_not_even_be_looked_into_hides_no_failure(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.exists", refuse)
    error_log.note(tmp_path, "x", FanalError("No."), ValueError())
