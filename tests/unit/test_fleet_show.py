"""`fanal fleet show`: the very digits that whoever checks a proof computes."""

import json
import subprocess
from hashlib import sha256

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import Encoding
from fanal import certificate
from fanal.cli import main
from fanal.registry import REGISTRY_FILE, Registry
from fanal.station_file import fleet_fingerprint

from tests.unit import paper_log
from tests.unit.paper_log import id_of


@pytest.fixture
def folder(tmp_path):
    """A fleet's folder that is locked: there is not even a key in it."""
    fleet = paper_log.lived(tmp_path)
    fleet.registry.close()
    (tmp_path / "fleet").mkdir()
    fleet.path.rename(tmp_path / "fleet" / REGISTRY_FILE)
    fleet.folder, fleet.path = tmp_path / "fleet", tmp_path / "fleet" / REGISTRY_FILE
    return fleet


def shown(fleet, *words):
    done = CliRunner().invoke(main, ["--fleet", str(fleet.folder), "fleet", "show", *words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_digits_are_those_of_the_page(folder, tmp_path):
    """docs/log.md, "Check an entry without Fanal": openssl and sha256sum."""
    told = json.loads(shown(folder, "--json"))
    public_key = folder.officer.signing_key.public_key().public_bytes_raw()
    assert told["sha256"] == sha256(public_key).hexdigest()
    assert told["fingerprint"] == fleet_fingerprint(public_key)
    with Registry(folder.path) as registry:
        der = registry.fleet_certificate()
        assert (told["log"], told["epoch"]) == (registry.origin(), 0)
        stations, beacons = len(registry.stations()), len(registry.beacons())
        in_service = sum(one.state != "retired" for one in registry.beacons())
    assert (told["stations"], told["known"], told["beacons"]) == (stations, beacons, in_service)
    pem = tmp_path / "fleet.pem"
    pem.write_bytes(certificate.from_der(der).public_bytes(Encoding.PEM))
    script = (f"openssl x509 -in {pem} -noout -pubkey | openssl pkey -pubin -outform DER"
              " | tail -c 32 | sha256sum")  # fmt: skip
    done = subprocess.run(script, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == told["sha256"]
    assert told["fleet"].endswith(told["sha256"][:8])


def test_it_is_shown_in_groups_and_says_what_was_restored(folder):
    told = json.loads(shown(folder, "--json"))
    text = shown(folder)
    first, second = (line.split("key")[-1].split() for line in text.splitlines()[1:3])
    assert "".join(first + second) == told["sha256"]
    assert {len(group) for group in first + second} == {4}
    assert "restored" not in text
    assert f"{told['beacons']} in service, and {told['known'] - told['beacons']} retired" in text
    with Registry(folder.path) as registry:
        registry.raise_epoch({id_of(1): 9})
        assert registry.origin() in shown(folder)
    assert "(restored: epoch 1)" in shown(folder)


def test_where_there_is_none(tmp_path):
    done = CliRunner().invoke(main, ["--fleet", str(tmp_path), "fleet", "show", "--json"])
    assert (done.exit_code, json.loads(done.stdout)["error"]) == (1, "no_fleet")
