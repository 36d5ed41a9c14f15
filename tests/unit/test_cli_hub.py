"""`fanal hub` from the command line: a hub is begun, enrolled and furnished; what is refused."""

import json
import shutil
import sys

import pyrage
import pytest
from click.testing import CliRunner
from fanal import high_water, sealed_work
from fanal.cli import main
from fanal.high_water import HighWater
from fanal.hub import keys
from fanal.hub.store import Store
from fanal.hub.tables import BeaconRow
from fanal.keyring import Keyring
from fanal.registry import REGISTRY_FILE

from tests.unit.paper_enrolment import EnrolledFleet

PASSPHRASE = "correct horse battery"
KEY = "ab" * 32


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No seconds for a passphrase; tests/unit/test_hub_keys.py opens a real one."""
    header = b"age-encryption.org/v1\n-> scrypt "

    def encrypt(text, passphrase):
        return header + passphrase.encode() + b"\n" + text

    def decrypt(sealed, passphrase):
        said, _, text = sealed.removeprefix(header).partition(b"\n")
        if said != passphrase.encode():
            raise pyrage.DecryptError
        return text

    monkeypatch.setattr(pyrage.passphrase, "encrypt", encrypt)
    monkeypatch.setattr(pyrage.passphrase, "decrypt", decrypt)
    monkeypatch.setattr(sealed_work, "run", sealed_work.here)
    for name in ("FANAL_HUB", "FANAL_HUB_PASSPHRASE", "FANAL_PASSPHRASE", "FANAL_FLEET"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "hub"


@pytest.fixture
def fanal(tmp_path, folder):
    """Run `fanal --fleet ... ARGS` for that hub, with the passphrase in the environment."""

    def run(*args, env=None, **kwargs):
        usual = {"FANAL_HUB": str(folder), "FANAL_PASSPHRASE": PASSPHRASE}
        words = ["--fleet", str(tmp_path / "fleet"), *map(str, args)]
        return CliRunner(env={**usual, **(env or {})}).invoke(main, words, **kwargs)

    return run


@pytest.fixture
def fleet(tmp_path):
    """A fleet's folder with two beacons."""
    made = EnrolledFleet(tmp_path)
    for number in (1, 2):
        made.add(number)
    made.registry.close()
    place = tmp_path / "fleet"
    place.mkdir()
    shutil.move(made.path, place / REGISTRY_FILE)
    Keyring.create(place, PASSPHRASE, made.officer, made.station)
    return made


def told(result, exit_code=0):
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout)


@pytest.fixture
def begun(fanal, folder):
    return told(fanal("hub", "init", "--json"))


@pytest.fixture
def enrolled(fanal, fleet, begun, tmp_path):
    out = tmp_path / "enrolment.age"
    made = told(fanal("hub", "enrol", "--to", begun["request"], "--out", out, "--yes", "--json"))
    assert (made["beacons"], made["hub"]) == (2, begun["fingerprint"])
    return told(fanal("hub", "accept", out, "--json"))


# -- init


def test_the_line_is_the_only_result(fanal, folder):
    result = fanal("hub", "init")
    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    assert line == keys.request_of(folder).line
    assert keys.request_of(folder).fingerprint in result.stderr
    again = fanal("hub", "init", env={"FANAL_PASSPHRASE": ""})
    assert again.stdout == result.stdout
    assert "nothing changed" in again.stderr


def test_a_short_passphrase_makes_no_hub(fanal, folder):
    assert fanal("hub", "init", env={"FANAL_PASSPHRASE": "short"}).exit_code == 2
    assert not folder.exists()


def test_the_folder_can_be_named_before_and_behind(fanal, tmp_path):
    for words in (
        ("hub", "--hub", tmp_path / "a", "init"),
        ("hub", "init", "--hub", tmp_path / "a"),
    ):
        assert told(fanal(*words, "--json"))["folder"] == str(tmp_path / "a")


# -- enrolment


def test_one_file_from_the_officer_to_the_hub(fanal, enrolled, tmp_path, folder):
    assert (enrolled["added"], enrolled["is_first"]) == (2, True)
    again = told(fanal("hub", "accept", tmp_path / "enrolment.age", "--json"))
    assert (again["added"], again["unchanged"], again["is_first"]) == (0, 2, False)
    assert keys.unlock(folder, PASSPHRASE).sealing is not None


def test_the_line_may_be_in_a_file(fanal, fleet, begun, folder, tmp_path):
    out = tmp_path / "e.age"
    for text in (begun["request"], f"\n{begun['request'][:90]}\n{begun['request'][90:]}\n\n"):
        (tmp_path / "line.txt").write_text(text)
        to = ("--to", tmp_path / "line.txt", "--out", out, "--yes", "--json")
        assert told(fanal("hub", "enrol", *to))["hub"] == begun["fingerprint"]


def test_the_officer_has_to_agree(fanal, fleet, begun, tmp_path):
    out = tmp_path / "e.age"
    result = fanal("hub", "enrol", "--to", begun["request"], "--out", out)
    assert result.exit_code == 2
    assert not out.exists()


def test_officer_and_hub_on_one_computer(fanal, fleet, begun):
    assert told(fanal("hub", "enrol", "--here", "--yes", "--json"))["added"] == 2
    assert told(fanal("hub", "enrol", "--here", "--yes", "--json"))["unchanged"] == 2


def test_each_of_the_two_has_its_own_passphrase(fanal, fleet, folder):
    env = {"FANAL_HUB_PASSPHRASE": "another for the hub"}
    assert fanal("hub", "init", env=env).exit_code == 0
    assert fanal("hub", "enrol", "--here", "--yes").exit_code == 4
    assert fanal("hub", "enrol", "--here", "--yes", env=env).exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--here", "--out", "x"),
        ("--here", "--to", "x"),
        ("--to", "x"),
        ("--out", "x"),
        ("--to", "fanal-hub:age1", "--out", "x", "--yes"),
    ],
)
def test_half_of_a_command(fanal, fleet, begun, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = fanal("hub", "enrol", *words)
    assert not (tmp_path / "x").exists()
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_what_is_no_enrolment(fanal, begun, tmp_path):
    (tmp_path / "x").write_bytes(b"no")
    assert fanal("hub", "accept", tmp_path / "x").exit_code == 4
    assert fanal("hub", "accept", tmp_path / "gone").exit_code == 7
    assert (
        fanal("hub", "accept", tmp_path / "x", env={"FANAL_PASSPHRASE": "wrong one"}).exit_code == 4
    )


def test_a_revocation_arrives(fanal, fleet, enrolled, folder):
    (name, _) = sorted(b.beacon_id for b in fleet_of(fanal))
    assert fanal("revoke", name, "--reason", "stolen", "--yes").exit_code == 0
    done = told(fanal("hub", "enrol", "--here", "--yes", "--json"))
    assert (done["changed"], done["revoked"]) == (1, 1)
    with Store(f"sqlite:///{folder / 'hub.db'}") as store, store.reading() as session:
        assert session.get_one(BeaconRow, name).revoked_reason == "stolen"


def test_a_registry_that_was_copied_back_is_told(fanal, fleet, enrolled, folder):
    (name, _) = sorted(b.beacon_id for b in fleet_of(fanal))
    public_key = fleet.officer.signing_key.public_key().public_bytes_raw()
    assert HighWater(high_water.default_folder(), public_key).raise_to({name: 7})
    done = fanal("hub", "enrol", "--here", "--yes", "--json")
    assert "of 1 beacon: was it copied back?" in " ".join(done.stderr.split())
    assert told(done)["unsure"] == 1
    with Store(f"sqlite:///{folder / 'hub.db'}") as store, store.reading() as session:
        assert session.get_one(BeaconRow, name).horizon == 7


def fleet_of(fanal):
    from types import SimpleNamespace

    rows = told(fanal("list", "--json"))["beacons"]
    return [SimpleNamespace(beacon_id=row.get("id") or row.get("beacon_id")) for row in rows]


# -- people, ears, places


def test_an_account_lives(fanal, begun, tmp_path):
    (tmp_path / "p").write_text("correct horse battery staple\n")
    password = ("--password-file", tmp_path / "p")
    assert told(fanal("hub", "user", "add", "duty", "--role", "officer", *password, "--json"))
    assert fanal("hub", "user", "add", "duty", *password).exit_code == 1
    (user,) = told(fanal("hub", "user", "list", "--json"))["users"]
    assert (user["name"], user["role"], user["is_disabled"]) == ("duty", "officer", False)
    assert told(fanal("hub", "user", "role", "duty", "viewer", "--json"))["done"] == "viewer"
    (user,) = told(fanal("hub", "user", "list", "--json"))["users"]
    assert user["role"] == "viewer"
    assert fanal("hub", "user", "role", "nobody", "viewer").exit_code == 1
    assert told(fanal("hub", "user", "password", "duty", *password, "--json"))["ok"]
    assert told(fanal("hub", "user", "disable", "duty", "--json"))["done"] == "disabled"
    assert "disabled" in fanal("hub", "user", "list").stdout
    assert told(fanal("hub", "user", "enable", "duty", "--json"))["done"] == "enabled"
    assert fanal("hub", "user", "disable", "nobody").exit_code == 1


def test_a_password_comes_from_a_file_or_a_person(fanal, begun, tmp_path):
    result = fanal("hub", "user", "add", "duty")
    assert (result.exit_code, "--password-file" in result.stderr) == (2, True)
    (tmp_path / "p").write_text("short\n")
    result = fanal("hub", "user", "add", "duty", "--password-file", tmp_path / "p")
    assert result.exit_code == 1
    assert "short" not in result.stderr.replace("shorter", "")
    # a name that cannot be is said before anybody looks for a password
    for name in ("a name", "hub"):
        assert "no name for a user" in fanal("hub", "user", "add", name).stderr
    assert "no user of that name" in fanal("hub", "user", "password", "nobody").stderr
    assert told(fanal("hub", "user", "list", "--json"))["users"] == []


def test_a_listener_is_enrolled_and_placed(fanal, begun):
    done = told(
        fanal("hub", "listener", "enrol", KEY, "--name", "east gate", "--as", "duty", "--json")
    )
    assert (done["name"], done["enrolled_by"], done["is_enrolled"]) == ("east gate", "duty", True)
    at = ("--at", "-52.5,13.4")
    assert told(fanal("hub", "listener", "place", "east gate", *at, "--json"))["has_fixed_position"]
    (one,) = told(fanal("hub", "listener", "list", "--json"))["listeners"]
    assert (one["key"], one["position"]["latitude"]) == (KEY, -52.5)
    assert "east gate" in fanal("hub", "listener", "list").stdout
    assert fanal("hub", "listener", "place", "east gate").exit_code == 2
    assert fanal("hub", "listener", "place", "east gate", "--unknown").exit_code == 0
    assert fanal("hub", "listener", "forget", "east gate").exit_code == 0
    assert fanal("hub", "listener", "forget", "east gate").exit_code == 1


def test_a_site_gets_its_place(fanal, enrolled):
    assert "nobody said where" in fanal("hub", "site", "list").stdout
    at = ("--at", "52.5,13.4,20")
    assert told(fanal("hub", "site", "set", "shelter-3", *at, "--json"))["changed"]
    assert "No beacon" not in fanal("hub", "site", "set", "shelter-3", *at).stderr
    assert "No beacon" in fanal("hub", "site", "set", "shelter3", *at).stderr
    assert fanal("hub", "site", "set", "shelter3", "--unknown").exit_code == 0
    (site,) = told(fanal("hub", "site", "list", "--json"))["sites"]
    assert (site["name"], site["beacons"], site["position"]["accuracy_m"]) == ("shelter-3", 2, 20)
    assert fanal("hub", "site", "set", "shelter-3", "--unknown").exit_code == 0
    assert fanal("hub", "site", "set", "shelter-3", "--unknown").exit_code == 1


@pytest.mark.parametrize(
    "at", ["", "1", "1,2,3,4", "91,0", "0,181", "nan,0", "a,b", "1,2,-3", "inf,1"]
)
def test_what_is_no_place_on_earth(fanal, begun, at):
    assert fanal("hub", "site", "set", "depot", "--at", at).exit_code == 2
    assert told(fanal("hub", "site", "list", "--json"))["sites"] == []


@pytest.mark.parametrize(
    "words",
    [
        ("user", "list"),
        ("listener", "list"),
        ("site", "list"),
        ("accept", "x"),
        ("run",),
        ("unit", "--passphrase-file", "/etc/x"),
        (),
    ],
)
def test_where_there_is_no_hub(fanal, folder, words, tmp_path):
    (tmp_path / "x").write_bytes(b"")
    words = [tmp_path / "x" if word == "x" else word for word in words]
    result = fanal("hub", *words)
    assert result.exit_code == 1
    assert "There is no hub in" in result.stderr
    assert not folder.exists()


# -- run and unit


def test_a_mistake_in_the_configuration_ends_it_before_a_passphrase(fanal, begun, folder):
    (folder / "hub.toml").write_text("[hub]\nbind = '0.0.0.0:80'\n")
    result = fanal("hub", env={"FANAL_PASSPHRASE": ""})
    assert result.exit_code == 2
    assert "TLS" in result.stderr
    (folder / "hub.toml").write_text('[hub]\ntls_cert = "c"\ntls_key = "k"\n')
    result = fanal("hub", env={"FANAL_PASSPHRASE": ""})
    assert (result.exit_code, "hub.tls_cert" in result.stderr) == (2, True)
    (folder / "hub.toml").unlink()
    result = fanal("hub", "run", "--bind", "nonsense")
    assert (result.exit_code, "hub.bind" in result.stderr) == (2, True)


@pytest.mark.parametrize("words", [("hub",), ("hub", "run")])
def test_it_runs_with_the_passphrase_and_what_was_asked(fanal, begun, folder, monkeypatch, words):
    called = []
    fake = type(sys)("fanal.hub.serve")
    fake.serve = lambda *args, **more: called.append(args)
    monkeypatch.setitem(sys.modules, "fanal.hub.serve", fake)
    assert fanal(*words, "--bind", "127.0.0.1:9000").exit_code == 0
    assert called == [(folder, PASSPHRASE, {"bind": "127.0.0.1:9000"})]


def test_a_unit_names_what_it_needs_and_no_secret(fanal, begun, folder, tmp_path):
    text = told(fanal("hub", "unit", "--passphrase-file", "/etc/50%/x", "--json"))["unit"]
    assert f'"--hub" "{folder}" --passphrase-file "%d/passphrase"' in text
    assert "LoadCredential=passphrase:/etc/50%%/x\n" in text
    assert f'ReadWritePaths="{folder}"\n' in text
    assert "CapabilityBoundingSet=\n" in text
    assert PASSPHRASE not in text
    out = tmp_path / "fanal-hub.service"
    assert fanal("hub", "unit", "--passphrase-file", "/etc/x", "--out", out).stdout == ""
    assert out.read_text().startswith("[Unit]\n")


def test_a_low_port_needs_one_capability(fanal, begun, folder):
    (folder / "hub.toml").write_text("[hub]\nbind = '127.0.0.1:443'\n")
    text = fanal("hub", "unit", "--passphrase-file", "/etc/x").stdout
    assert "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\n" in text


def groups(command, path=("hub",)):
    yield path, command
    for name, one in getattr(command, "commands", {}).items():
        yield from groups(one, (*path, name))


def test_every_help_has_examples_and_fits_80_columns(fanal):
    from fanal.cli.hub import hub_group

    for path, _ in groups(hub_group):
        text = fanal(*path, "--help").stdout
        assert "Examples:" in text, path
        assert max(map(len, text.splitlines())) <= 80, path
        # a summary that does not fit is cut, and says nothing then
        assert not any(line.endswith("...") for line in text.splitlines()[1:]), path
