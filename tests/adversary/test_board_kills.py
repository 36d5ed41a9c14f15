"""Commands at a board or at the air, killed: one identity, one event, and it can go on."""

import asyncio

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.board_link import BoardLink
from fanal.keyring import Keyring
from fanal.registry import REGISTRY_FILE, Registry
from fanal.sim import tape
from fanal.sim.world import World
from fanal_protocol import advert, keys

from tests.adversary.desk import SELF
from tests.adversary.moments import ASKED, COUNT, WAYS, moments
from tests.adversary.works import LISTEN, ON_BOARDS
from tests.unit.paper_beacon import PaperBeacon

pytestmark = [pytest.mark.sim, pytest.mark.timeout(0 if ASKED else 120)]


class Bench:
    """A desk with a virtual board at it."""

    def __init__(self, desk, world):
        self.desk, self.world = desk, world

    async def fresh(self, name):
        """Lay the desk anew, with a new board, as the command `name` wants it."""
        self.desk.fresh()
        self.board = self.world.add_board()
        if name != "provision":
            assert await self.run("provision") == 0, self.desk.said()
        self.known = self.beacons()

    async def run(self, name, at=0, how=0):
        words = [{"PORT": self.board.port}.get(word, word) for word in ON_BOARDS[name]]
        with self.world.at_pace():
            return await asyncio.to_thread(self.desk.run, words, at, how)

    async def status(self):
        def ask():
            with BoardLink(self.board.port) as link:
                return link.call("status")

        return await asyncio.to_thread(ask)

    def beacons(self):
        """Return id -> what the registry has of a beacon."""
        with Registry(self.desk.home / "office" / REGISTRY_FILE) as registry:
            return {one.beacon_id: one for one in registry.beacons()}

    def leaks(self):
        """Search for the keys of the beacons that came, too."""
        station = Keyring.unlock(self.desk.home / "office",
                                 self.desk.texts["passphrase"]).station()  # fmt: skip
        for beacon_id, one in self.beacons().items():
            key = keys.first_event_key(station.root, one.public_key)
            self.desk.keys[f"E_1 of {beacon_id}"] = key
            self.desk.keys[f"E_2 of {beacon_id}"] = keys.next_event_key(key)
        return self.desk.leaks()

    async def require_right(self, name):
        """One identity, the same on both sides, and nothing else changed."""
        status, held = await self.status(), self.beacons()
        new = held.keys() - self.desk_beacons
        assert len(new) == 1, new
        (beacon,) = (held[one] for one in new)
        assert (beacon.state == "retired") == (name == "retire")
        assert status["provisioned"] == (name != "retire")
        if name != "retire":
            assert (status["id"], status["next_event"]) == (beacon.beacon_id, 1)
        self.desk.cli("--fleet", "office", "list", "--json")
        self.desk.cli("--fleet", "office", "log", "verify", "--json")


@pytest.mark.parametrize("name", ON_BOARDS)
async def test_killed_at_a_board_there_is_one_identity_in_the_end(desk, name):
    async with World(hands=True) as world:
        bench = Bench(desk, world)
        desk.fresh()
        bench.desk_beacons = bench.beacons().keys()
        await bench.fresh(name)
        assert await bench.run(name) == 0, desk.said()
        changes, files = desk.changes, desk.files().keys()
        assert bench.leaks() == {}
        for at, how in moments(name, changes, COUNT if ASKED else 1):
            await bench.fresh(name)
            what = f"{name}, before change {at} of {len(changes)}, {WAYS[how]}"
            code = await bench.run(name, at, how)
            assert desk.has_acted, what
            assert code != 0 or how == SELF, what
            assert bench.leaks() == {}, what
            desk.forget_core()
            code = await bench.run(name)
            assert code == 0 or (name == "retire" and code in (1, 3)), f"{what}: {desk.said()}"
            await bench.require_right(name)
            assert desk.files().keys() == files, what
            assert bench.leaks() == {}, what


async def test_killed_while_it_hears_an_event_is_recorded_once(desk):
    async with World() as world:
        station = Keyring.unlock(desk.home / "office", desk.texts["passphrase"]).station()
        alert = advert.wrap(PaperBeacon(1, station.root).alert(1))
        words = [{"AIR": world.air_address}.get(word, word) for word in LISTEN.words]

        async def on_air():
            while True:
                tape.forge(world.air, alert, tape.fresh_address(world.air))
                await asyncio.sleep(0.1)

        async def run(at=0, how=0):
            with world.at_pace():
                talking = asyncio.create_task(on_air())
                code = await asyncio.to_thread(desk.run, words, at, how)
                talking.cancel()
            return code

        desk.fresh()
        assert await run() == 0, desk.said()
        changes, files, rows = desk.changes, desk.files().keys(), desk.rows()
        for at, how in moments("listen", changes):
            desk.fresh()
            what = f"before change {at} of {len(changes)}, {WAYS[how]}"
            code = await run(at, how)
            assert desk.has_acted, what
            assert code != 0 or how == SELF, what
            assert desk.leaks() == {}, what
            desk.forget_core()
            desk.cli("--fleet", "office", "log", "verify", "--json")
            assert await run() == 0, f"{what}: {desk.said()}"
            assert (desk.files().keys(), desk.rows()) == (files, rows), what
            with Registry(desk.home / "office" / REGISTRY_FILE) as registry:
                (one,) = (w for w in registry.watched() if w.beacon_id == desk.beacons[0])
                assert one.newest_event == 1, what
            assert desk.leaks() == {}, what
