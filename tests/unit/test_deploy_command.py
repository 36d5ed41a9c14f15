"""`fanal deploy` around its boards: rows given up, labels that do not fit, ports that come."""

import csv
import json

import pytest
from click.testing import CliRunner
from fanal import label, serial_port
from fanal.batch import DONE, RESULTS_CSV, Batch
from fanal.batch_list import Row, count_rows
from fanal.cli import deploy, main, side_by_side
from fanal.label_sheet import by_name
from fanal.provision import Request, provision
from fanal.registry import REGISTRY_FILE, Registry
from fanal.serial_port import Attached

from tests.unit.paper_board import PaperBoard
from tests.unit.paper_fleet import PaperFleet

A, B = "52:00:00:00:00:0a", "52:00:00:00:00:0b"


@pytest.fixture
def fleet_dir(tmp_path, monkeypatch):
    monkeypatch.delenv("FANAL_PASSPHRASE", raising=False)
    fleet = PaperFleet(tmp_path)
    fleet.registry.close()
    fleet.path.rename(tmp_path / REGISTRY_FILE)
    return tmp_path


@pytest.fixture
def folder(fleet_dir):
    return fleet_dir / "batches" / "spring"


def run(fleet_dir, *words):
    return CliRunner().invoke(main, ["--fleet", str(fleet_dir), "deploy", *words])


def test_a_row_that_is_given_up_is_free_in_the_results_too(fleet_dir, folder):
    with Batch.create(folder, count_rows(1, "depot")) as batch:
        batch.assign(A, "esp32")
        batch.write_results()
    done = run(fleet_dir, "--batch", "spring", "--give-up", "1", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"ok": True, "batch": str(folder), "number": 1}
    assert Batch.open(folder).results[1].mac is None
    with (folder / RESULTS_CSV).open(newline="") as file:
        assert [row["mac"] for row in csv.DictReader(file)] == [""]


def test_a_row_of_no_batch_cannot_be_given_up(fleet_dir, folder):
    done = run(fleet_dir, "--give-up", "1")
    assert (done.exit_code, "--batch" in done.stderr) == (2, True)
    assert not folder.parent.exists()


@pytest.mark.parametrize(
    ("rows", "word"), [(None, "no batch"), ([Row(1, "A\u4e00", "depot")], "font")]
)
def test_what_cannot_be_is_said_before_the_passphrase_is_asked_for(
    fleet_dir, folder, tmp_path, monkeypatch, rows, word
):
    monkeypatch.setenv(serial_port.PORTS_VARIABLE, str(tmp_path))
    if rows is not None:
        Batch.create(folder, rows)
    done = run(fleet_dir, "--batch", "spring", "--port", str(tmp_path))
    assert (done.exit_code, word in done.stderr) == (2, True), done.output
    assert "passphrase" not in done.output


@pytest.fixture
def done(fleet_dir, folder):
    """Return a batch of one row whose beacon is done, and the registry's file."""
    fleet = PaperFleet(fleet_dir)
    made = provision(PaperBoard(), fleet.station, fleet.registry, Request("depot"))
    fleet.registry.close()
    with Batch.create(folder, count_rows(1, "depot")) as batch:
        batch.assign(A, "esp32")
        batch.outcome(1, DONE, beacon_id=made.beacon_id)
    return Batch.open(folder), fleet.path


def finished(done):
    batch, registry = done
    with batch:
        return [file.name for file in deploy._finish(batch, by_name("avery-l7160"), registry)]


def test_the_labels_of_what_is_done(done):
    assert finished(done) == ["results.csv", "results.json", "labels.pdf"]


@pytest.mark.parametrize("what", ["retire", "revoke"])
def test_a_beacon_that_is_out_of_service_gets_no_label(done, what):
    with Registry(done[1]) as registry:
        getattr(registry, what)(registry.beacons()[0].beacon_id, "lost on the way")
    assert finished(done) == ["results.csv", "results.json"]


def test_more_labels_than_a_file_takes_lose_no_results(done, monkeypatch, capsys):
    monkeypatch.setattr(label, "MOST_DOTS", 1)
    assert finished(done) == ["results.csv", "results.json"]
    assert "too many" in capsys.readouterr().err


def test_labels_that_somebody_looks_at_lose_no_results(done, monkeypatch, capsys):
    def refused(*_):
        raise PermissionError(13, "Permission denied", "labels.pdf")

    monkeypatch.setattr(label, "save", refused)
    assert finished(done) == ["results.csv", "results.json"]
    assert "labels.pdf could not be written: Permission denied." in capsys.readouterr().err


def test_ctrl_c_ends_a_watch_with_its_account_and_breaks_off_all_else(folder, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(side_by_side, "run", interrupted)
    with Batch.create(folder, count_rows(1, "depot")) as batch:
        assert deploy._run([], None, batch, is_all=False, watch=True, as_json=False) == []
        with pytest.raises(KeyboardInterrupt):
            deploy._run([], None, batch, is_all=False, watch=False, as_json=False)


def test_a_watch_of_one_port_begins_no_other_that_is_there_already(folder, tmp_path, monkeypatch):
    paths = [tmp_path / name for name in ("x", "y", "z")]
    for path in paths:
        path.touch()
    ports = [Attached(str(path), "") for path in paths]
    here = ports[:2]
    monkeypatch.setattr(serial_port, "attached", lambda: here)
    with Batch.create(folder, count_rows(3, "depot")) as batch:
        newcomers = deploy._Newcomers(batch, begins_all=False)
        assert newcomers.look() == []
        here = ports
        assert newcomers.look() == [ports[2].port]


def test_a_watch_begins_what_is_plugged_in_and_not_what_only_woke_up(folder, tmp_path, monkeypatch):
    ports = [Attached(str(tmp_path / name), "", mac=mac) for name, mac in (("x", A), ("y", None))]
    (tmp_path / "x").touch()
    (tmp_path / "y").touch()
    here: list[Attached] = []
    monkeypatch.setattr(serial_port, "attached", lambda: here)
    with Batch.create(folder, count_rows(3, "depot")) as batch:
        newcomers = deploy._Newcomers(batch, begins_all=True)
        here[:] = ports
        assert newcomers.look() == [port.port for port in ports]
        assert newcomers.look() == []
        batch.assign(A, "esp32c3")
        batch.outcome(1, DONE, beacon_id="K7Q29XMD")
        here.clear()
        assert newcomers.look() == []
        here[:] = ports
        assert newcomers.look() == [ports[1].port]  # it may be another board: nothing tells
        batch.assign(B, "esp32")
        for number in (2, 3):
            batch.outcome(number, DONE)
        assert newcomers.look() is None
