"""A fleet is created whole or not at all, and never over anything."""

import pytest
from fanal import certificate, fleet, keyring
from fanal.error import UsageError
from fanal.registry import REGISTRY_FILE, Registry

PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def quick(monkeypatch):
    """The passphrase without its price; test_keyring pays it."""
    monkeypatch.setattr(keyring.pyrage.passphrase, "encrypt", lambda text, _: b"sealed " + text[:4])


def test_a_fleet_has_keys_certificates_and_a_registry(tmp_path, quick):
    folder = tmp_path / "fleets" / "north"
    made = fleet.create(folder, PASSPHRASE)
    names = {path.name for path in folder.iterdir()}
    assert names == {"key.age", "officer.age", "station.age", REGISTRY_FILE}
    assert [path.name for path in folder.parent.iterdir()] == ["north"]
    with Registry(folder / REGISTRY_FILE) as registry:
        top = certificate.from_der(registry.fleet_certificate())
        assert made.name == certificate.fleet_name(top.public_key())
        certificate.from_der(registry.station_certificate(0)).verify_directly_issued_by(top)
        assert registry.beacons() == []


@pytest.mark.parametrize("name", ["key.age", REGISTRY_FILE, "letter.txt"])
def test_nothing_is_ever_overwritten(tmp_path, quick, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError):
        fleet.create(tmp_path, PASSPHRASE)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "mine")]


def test_an_empty_folder_will_do(tmp_path, quick):
    (tmp_path / "fleet").mkdir()
    fleet.create(tmp_path / "fleet", PASSPHRASE)
    assert (tmp_path / "fleet" / "key.age").exists()


@pytest.mark.parametrize("step", ["Keyring.create", "sync_folder", "new_officer"])
def test_an_interruption_leaves_no_half_fleet(tmp_path, quick, monkeypatch, step):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"fanal.keyring.{step}", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fleet.create(tmp_path / "fleet", PASSPHRASE)
    left = list(tmp_path.iterdir())
    assert left == [] or sorted(p.name for p in left[0].iterdir())[0] == "key.age"


def test_of_two_at_once_one_wins(tmp_path, quick, monkeypatch):
    folder = tmp_path / "fleet"
    make = fleet._fill

    def overtaken(*args):
        name = make(*args)
        monkeypatch.setattr(fleet, "_fill", make)
        fleet.create(folder, PASSPHRASE)
        return name

    monkeypatch.setattr(fleet, "_fill", overtaken)
    with pytest.raises(UsageError):
        fleet.create(folder, PASSPHRASE)
    assert [path.name for path in tmp_path.iterdir()] == ["fleet"]
    assert (folder / "key.age").exists()
