"""Real processes at one registry: several at once, and killed at any moment."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from fanal import anchor
from fanal.log_verify import verify
from fanal.registry import REGISTRY_FILE, Registry

from tests.unit.paper_fleet import PaperFleet
from tests.unit.test_registry_merge import Laptop

HERE = Path(__file__).parent
ROUNDS = 4


@pytest.fixture
def path(tmp_path):
    """A registry of station 0, beside its key and a file of station 3."""
    fleet = PaperFleet(tmp_path)
    fleet.registry.close()
    laptop = Laptop(tmp_path, 3)
    for seed in range(1, 6):
        laptop.provision(seed)
    (tmp_path / "station.json").write_bytes(laptop.file())
    laptop.registry.close()
    (tmp_path / "signing.bin").write_bytes(fleet.station.signing)
    return fleet.path


def start(path, seed, how):
    return subprocess.Popen(
        [sys.executable, HERE / "killed_writers.py", path, str(seed), how],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), *sys.path])},
    )  # fmt: skip


def require_whole(path):
    """The file opens, goes on, and everything in it is as the log says."""
    with Registry(path) as registry:
        found = verify(registry, anchor.of_log(path.parent / "anchors", registry.origin()))
        assert found.findings == ()
        registry.exported("json")
        return found.logs[0].size


@pytest.mark.parametrize("how", ["life", "checkpoint", "restore", "merge", "import"])
def test_killed_at_any_moment_it_is_whole(path, how):
    chance, sizes = random.Random(how), []
    for turn in range(ROUNDS):
        process = start(path, turn, how)
        assert process.stdout.readline() == "begun\n", process.stderr.read()
        try:
            process.wait(timeout=chance.uniform(0.05, 0.8))
        except subprocess.TimeoutExpired:
            process.kill()
        _, said = process.communicate()
        assert process.returncode == -9, said
        sizes.append(require_whole(path))
    assert sizes == sorted(sizes)
    for copy in path.parent.glob(f"copy-*/{REGISTRY_FILE}"):
        require_whole(copy)
    assert not list(path.parent.glob("*.db-journal"))


def test_several_at_once_lose_nothing(path):
    hows = ["life", "life", "merge", "checkpoint"]
    processes = [start(path, seed, how) for seed, how in enumerate(hows, 10)]
    for process in processes:
        assert process.stdout.readline() == "begun\n", process.stderr.read()
    while not all(has_been_there(path)):
        with pytest.raises(subprocess.TimeoutExpired):
            processes[0].wait(timeout=0.3)
    for process in processes:
        process.kill()
        _, said = process.communicate()
        assert process.returncode == -9, said
    require_whole(path)
    with Registry(path) as registry:
        beacons = registry.beacons()
        for beacon in beacons:
            whats = [line.what for line in registry.custody(beacon.beacon_id)]
            assert len(whats) == len(set(whats))


def has_been_there(path):
    """Say of each of the processes whether it has done something."""
    with Registry(path) as registry:
        beacons = registry.beacons()
        yield {10, 11} <= {b.public_key[0] for b in beacons}
        yield 3 in {b.station for b in beacons}
        yield bool(registry.checkpoints())
