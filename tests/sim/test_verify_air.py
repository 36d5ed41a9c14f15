"""`fanal verify --air` from end to end: a virtual board, real mpremote, real bleak on its air."""

import json
import sys

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.registry import REGISTRY_FILE, VERIFIED, Registry
from fanal.sim.world import World

pytestmark = pytest.mark.sim

PASSPHRASE = "correct horse battery staple"


async def fanal(world, folder, *args):
    command = (sys.executable, "-m", "fanal", "--fleet", str(folder), *args)
    return await world.run_client(*command)


async def test_the_command_from_end_to_end(tmp_path, monkeypatch):
    monkeypatch.setenv("FANAL_PASSPHRASE", PASSPHRASE)
    folder, junit = tmp_path / "fleet", tmp_path / "verify.xml"
    async with World() as world:
        board = world.add_board("north")
        assert (await fanal(world, folder, "fleet", "init")).exit_code == 0
        port = ("--port", board.port)
        given = await fanal(
            world, folder, "provision", "--site", "depot", "--set", "self_test_s=4", *port
        )
        assert given.exit_code == 0, given.output
        done = await fanal(
            world, folder, "verify", "--air", "--trigger", "--air-from", world.air_address,
            "--json", "--junit", str(junit), *port,
        )  # fmt: skip
    print(done.output)
    print(junit.read_text())
    assert done.exit_code == 0
    result = json.loads(done.output.splitlines()[-1])
    assert result["ok"]
    with Registry(folder / REGISTRY_FILE) as registry:
        (beacon,) = registry.beacons()
        assert (beacon.state, beacon.newest_event) == (VERIFIED, 1)
