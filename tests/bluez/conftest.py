"""`--bluez`, and what it starts: one machine for all tests, an air and a door for deliveries."""

import asyncio
import base64
import io
import sys
import tarfile

import pytest
import pytest_asyncio

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.board_link import BoardLink
from fanal.gateway import bundle
from fanal.keyring import Keyring
from fanal.provision import Request, provision
from fanal.registry import REGISTRY_FILE, Registry
from fanal.sim import tape
from fanal.sim.world import World

from tests.bluez import kernel
from tests.bluez.door import Door
from tests.bluez.laptop import NAME, Laptop
from tests.bluez.machine import HOST, Machine
from tests.unit.paper_listener import SEALING

PASSPHRASE = "correct horse battery staple"
# what a pair of headphones says; without a neighbour every air is quiet
NEIGHBOUR = bytes.fromhex("0201060303fefe0a09686561647365742d31")
_NEIGHBOUR_EVERY_S = 0.25
_LONGEST_S = 900
_FLEET_S = 300
_SETTINGS = {"alert_s": 60, "event_s": 120}


def pytest_addoption(parser):
    parser.getgroup("bluez").addoption(
        "--bluez", action="store_true",
        help="run tests/bluez: BlueZ in a virtual machine (QEMU, and Debian's kernel by apt)",
    )  # fmt: skip


def pytest_collection_modifyitems(config, items):
    skip = pytest.mark.skip(reason="needs --bluez (a virtual machine with BlueZ)")
    for item in items:
        if item.path.parent.name == "bluez":
            item.add_marker(pytest.mark.timeout(_LONGEST_S))
            if not config.getoption("bluez", False):
                item.add_marker(skip)


def fixture(**how):
    return pytest_asyncio.fixture(loop_scope="session", **how)


@fixture(scope="session")
async def world():
    """An air in real time, on which somebody's headphones advertise."""
    if sys.platform != "linux":
        pytest.skip("needs Linux")
    async with World(seed=7) as world:
        neighbour = asyncio.create_task(_neighbour(world.air))
        yield world
        neighbour.cancel()


async def _neighbour(air):
    address = tape.fresh_address(air)
    while True:
        tape.forge(air, NEIGHBOUR, address, kind=0)
        await asyncio.sleep(_NEIGHBOUR_EVERY_S)


@fixture(scope="session")
async def door():
    """Where listeners send."""
    door = Door(SEALING)
    await door.open()
    yield door
    await door.close()


@fixture(scope="session")
async def shared(tmp_path_factory, door):
    """The folder that the machine sees as /shared: the passphrase, and a bundle for the door."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "passphrase").write_text(PASSPHRASE + "\n")
    relay = f"http://{HOST}:{door.port}/deliver"
    bundle.write(folder / "bundle", bundle.make("Harbour", door.recipient, relay))
    return folder


@fixture(scope="session")
async def machine(shared):
    """The machine, booted."""
    try:
        made = await asyncio.to_thread(kernel.prepare)
    except kernel.NoMachine as reason:
        pytest.skip(f"no virtual machine here: {reason}")
    async with Machine(made, shared) as machine:
        yield machine


@fixture()
async def laptop(machine, world):
    """The machine with an adapter, and a bluetoothd that has nothing from another test."""
    laptop = Laptop(machine, world.air_address)
    await laptop.plug_in()
    await laptop.start_service()
    yield laptop
    await laptop.close()


@fixture(scope="session")
async def beacon(world, machine, shared):
    """A virtual beacon of a fleet whose folder is shared; asleep a minute later.

    The fleet is made in the machine: age refuses a passphrase that costs 16 times as much as it
    would itself have made it cost, and an emulated processor is about that slow.
    """
    folder = shared / "fleet"
    await made_in(machine, folder)
    board = world.add_board("north")

    def give():
        station = Keyring.unlock(folder, PASSPHRASE).station()
        with BoardLink(board.port) as link, Registry(folder / REGISTRY_FILE) as registry:
            request = Request("shelter-3", "room 12", settings=_SETTINGS)
            return provision(link, station, registry, request)

    board.id = (await asyncio.to_thread(give)).beacon_id
    return board


async def made_in(machine, folder):
    """Make a fleet in the machine, and bring its files to `folder`."""
    fanal = (sys.executable, "-B", "-m", "fanal", "--fleet", "/root/made")
    made = await machine.run(
        *fanal, "fleet", "init", "--passphrase-file", "/shared/passphrase",
        timeout_s=_FLEET_S, PYTHONPATH=str(kernel.ROOT),
    )  # fmt: skip
    assert made.exit_code == 0, made.err
    packed = await machine.run("sh", "-c", "tar -C /root/made -c . | base64")
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode("".join(packed.out)))) as archive:
        archive.extractall(folder, filter="data")


@pytest.fixture
def hearing(world):
    """Return the settings of how the laptop hears; as they were, afterwards."""
    reception = world.air.listener(NAME)
    yield reception
    reception.filters_by_data = False
