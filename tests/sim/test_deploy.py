"""`fanal deploy` on boards of three kinds, killed, unplugged and starved on the way."""

import asyncio
import base64
import csv
import json
import os
import random
import sqlite3
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal import deploy as deploying
from fanal import firmware_image, verify
from fanal.batch import DONE, FAILED, INFRA, OPEN, Batch
from fanal.batch_list import count_rows
from fanal.board_link import BoardLink
from fanal.error import UsageError
from fanal.flash_plan import Plan, Progress
from fanal.image_store import ImageStore
from fanal.keyring import Keyring
from fanal.registry import REGISTRY_FILE, VERIFIED, Registry
from fanal.sim.flash import Cut
from fanal.sim.synthetic import synthetic_image
from fanal_protocol import keys

from tests.sim.sitting import PaperImages, fanal, provisioned, vault
from tests.unit.paper_fleet import PaperFleet

pytestmark = pytest.mark.sim

PASSPHRASE = "correct horse battery staple"
KINDS = ("esp32", "esp32c3", "esp32s3")


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """A store with an image for every kind of chip."""
    folder = tmp_path_factory.mktemp("images")
    store = ImageStore(folder / "store")
    for chip in KINDS:
        file = folder / f"{chip}.bin"
        file.write_bytes(synthetic_image(chip, app_bytes=16 << 10))
        store.add(file)
    return store.folder


class Desk:
    """A laptop with a fleet on it, and boards on its hub."""

    def __init__(self, world, folder, images, boards):
        self.world, self.fleet_dir, self.boards = world, folder / "fleet", boards
        self.env = {
            **os.environ, "FANAL_PASSPHRASE": PASSPHRASE, "FANAL_IMAGES": str(images),
            "FANAL_PORTS": " ".join(board.port for board in boards), "NO_COLOR": "1",
        }  # fmt: skip

    async def fanal(self, *words, **how):
        return await fanal(self.world, "--fleet", self.fleet_dir, *words, env=self.env, **how)

    async def deploy(self, *words, **how):
        return await self.fanal("deploy", "--batch", "spring", "--all", *words, **how)

    @property
    def folder(self):
        return self.fleet_dir / "batches" / "spring"

    def results(self):
        return json.loads((self.folder / "results.json").read_text())

    def done(self):
        """Return the MAC addresses of the rows that are done."""
        if not (self.folder / "plan.json").exists():
            return set()
        results = Batch.open(self.folder).results.values()
        return {result.mac for result in results if result.outcome == DONE}

    def custody(self):
        with sqlite3.connect(self.fleet_dir / REGISTRY_FILE) as connection:
            return connection.execute("SELECT beacon, what FROM custody ORDER BY id").fetchall()

    def check_agreement(self):
        """Each board has exactly one identity, and registry, batch and flash say the same."""
        station = Keyring.unlock(self.fleet_dir, PASSPHRASE).station()
        rows = {row["mac"]: row for row in self.results()}
        with Registry(self.fleet_dir / REGISTRY_FILE) as registry:
            active = {b.mac: b for b in registry.beacons() if b.state == VERIFIED}
            others = [b.beacon_id for b in registry.beacons() if b.state != VERIFIED]
        assert others == []
        assert active.keys() == rows.keys() == {b.identity.mac.hex(":") for b in self.boards}
        assert len({beacon.beacon_id for beacon in active.values()}) == len(self.boards)
        for board in self.boards:
            beacon = active[board.identity.mac.hex(":")]
            row = rows[beacon.mac]
            assert (row["beacon_id"], row["outcome"]) == (beacon.beacon_id, DONE)
            key = keys.first_event_key(station.root, beacon.public_key)
            held = vault(board)
            assert held.count(beacon.public_key) == 1
            assert held.count(key) == 1


@pytest.fixture
async def desk(world, tmp_path, images):
    def make(count):
        boards = [world.add_board(f"b{i}", KINDS[i % 3], blank=True) for i in range(count)]
        return Desk(world, tmp_path, images, boards)

    return make


async def test_eight_boards_of_three_kinds_and_then_nothing_more_to_do(desk):
    at = desk(8)
    assert (await at.fanal("fleet", "init"))[0] == 0
    watching = asyncio.create_task(arguments_of_all())
    code, said = await at.deploy("--count", "8", "--site", "depot")
    watching.cancel()
    assert code == 0, said
    at.check_agreement()
    argv = await watching
    assert b"esptool" in argv
    assert (at.folder / "labels.pdf").read_bytes().startswith(b"%PDF")
    before = [board.flash_bytes() for board in at.boards]
    custody = at.custody()
    code, said = await at.deploy("--json")
    assert code == 0, said
    answer = json.loads(said.splitlines()[-1])
    assert answer["counts"] == {DONE: 8, FAILED: 0, INFRA: 0, OPEN: 0}
    assert {board["changed"] for board in answer["boards"]} == {False}
    assert [board.flash_bytes() for board in at.boards] == before
    assert at.custody() == custody
    at.check_agreement()
    with (at.folder / "results.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert {row["chip"] for row in table} == set(KINDS)
    for column in ("time", "technician", "station", "tool", "image_sha256", "firmware_sha256"):
        assert all(row[column] for row in table), column
    no_secret_in(at, said, argv)


async def arguments_of_all():
    """Return the arguments of every process that there was until this was cancelled."""
    found = set()
    try:
        while True:
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    found.add(file.read_bytes())
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        return b"\n".join(found)


def no_secret_in(at, said, argv):
    """Search everything that was written or printed, but the age files, for keys."""
    officer = Keyring.unlock(at.fleet_dir, PASSPHRASE)
    station = officer.station()
    secrets = {"root": station.root, "passphrase": PASSPHRASE.encode()}
    with Registry(at.fleet_dir / REGISTRY_FILE) as registry:
        for beacon in registry.beacons():
            key = keys.first_event_key(station.root, beacon.public_key)
            secrets[beacon.beacon_id] = key
            secrets[beacon.beacon_id + " next"] = keys.next_event_key(key)
    for board in at.boards:
        seed = vault(board)
        at_seed = seed.find(b"fanal/v1")
        secrets[board.name] = seed[at_seed + 20 : at_seed + 52]
    places = {"output": said.encode(), "arguments": argv}
    places |= {str(f): f.read_bytes() for f in at.fleet_dir.rglob("*")
               if f.is_file() and f.suffix != ".age"}  # fmt: skip
    for name, secret in secrets.items():
        assert len(secret) >= 20
        forms = [secret, secret.hex().encode(), secret.hex().upper().encode(),
                 base64.b64encode(secret).rstrip(b"=")[:-1],
                 base64.urlsafe_b64encode(secret).rstrip(b"=")[:-1],
                 base64.b32encode(secret).rstrip(b"=")[:-1], repr(secret).encode()]  # fmt: skip
        for place, content in places.items():
            assert not any(form in content for form in forms), f"{name} in {place}"


# -- what interrupts it


async def test_killed_unplugged_and_starved_until_the_box_is_empty(desk):
    """At random moments; in the end every board is whole, and nothing is left half done.

    FANAL_BLOWS=SEED,BOARDS has it go on for longer.
    """
    seed, count = map(int, os.environ.get("FANAL_BLOWS", "5,4").split(","))
    at, dice = desk(count), random.Random(seed)
    await at.fanal("fleet", "init")
    words, blows = ("--count", str(count), "--site", "depot"), 0
    left = list(at.boards)
    for _ in range(20 * count):
        hub = left[:2]
        at.env["FANAL_PORTS"] = " ".join(board.port for board in hub)
        kill_after = strike(dice, dice.choice(hub))
        code, said = await at.deploy(*words, kill_after=kill_after)
        words = () if (at.folder / "plan.json").exists() else words
        blows += code != 0
        assert code in (None, 0, 3, 6), said
        assert "Traceback" not in said
        for board in hub:
            mend(board)
        check_never_two(at)
        done = at.done()
        left = [board for board in left if board.identity.mac.hex(":") not in done]
        if not left:
            break
    assert left == []
    assert blows >= count / 2
    at.env["FANAL_PORTS"] = " ".join(board.port for board in at.boards)
    before = [board.flash_bytes() for board in at.boards]
    code, said = await at.deploy()
    assert code == 0, said
    assert [board.flash_bytes() for board in at.boards] == before
    at.check_agreement()


def strike(dice, victim):
    """Prepare a blow; return after how many seconds the command is killed, or None."""
    blow = dice.choice(("kill", "kill", "unplug", "starve"))
    if blow == "unplug":
        victim.faults.unplug_after(dice.randrange(120_000))
    elif blow == "starve":
        victim.cut(Cut(dice.randrange(600), dice.choice(("before", "inside", "after")), 64))
    return dice.uniform(1.5, 5.5) if blow == "kill" else None


def mend(board):
    """What a technician does after each: plugs in, switches on."""
    board.faults.clear()
    board.cut(None)
    board.plug()
    board.power_on()


def check_never_two(at):
    """What must hold after every blow: a board has one identity at most, which is registered."""
    with Registry(at.fleet_dir / REGISTRY_FILE) as registry:
        rows = registry.beacons()
    assert len({row.mac for row in rows}) == len(rows)
    if (at.folder / "plan.json").exists():
        macs = [r.mac for r in Batch.open(at.folder).results.values() if r.mac]
        assert len(set(macs)) == len(macs)


async def test_one_bad_board_does_not_stop_the_others(desk):
    at = desk(3)
    await at.fanal("fleet", "init")
    at.boards[1].faults.bad_block(0x12000)
    code, said = await at.deploy("--count", "3", "--site", "depot")
    assert code == 6, said
    outcomes = sorted(row["outcome"] for row in at.results())
    assert outcomes == sorted([DONE, DONE, next(o for o in outcomes if o != DONE)])
    bad = next(row for row in at.results() if row["outcome"] != DONE)
    assert bad["outcome"] in (FAILED, INFRA)
    assert bad["reason"]
    # it is broken for good: its row goes to another board
    code, said = await at.fanal("deploy", "--batch", "spring", "--give-up", bad["number"])
    assert code == 0, said
    spare = at.world.add_board("spare", blank=True)
    at.env["FANAL_PORTS"] = spare.port
    at.boards[1] = spare
    code, said = await at.deploy()
    assert code == 0, said
    at.check_agreement()


async def test_a_board_too_many_is_not_touched(desk):
    at = desk(2)
    await at.fanal("fleet", "init")
    code, said = await at.deploy("--count", "1", "--site", "depot")
    assert code == 6, said
    assert "Every row of the batch has its board" in said
    blank = [board for board in at.boards if set(board.flash_bytes()) == {0xFF}]
    assert len(blank) == 1


@pytest.mark.parametrize(
    ("words", "code", "word"),
    [
        (("--count", "2"), 2, "Where"), (("--list", "none.csv"), 2, "cannot be read"),
        ((), 2, "no batch"), (("--count", "2", "--site", "a b"), 2, "one word"),
        (("--count", "2", "--site", "d", "--labels", "papyrus"), 2, "papyrus"),
        (("--count", "2", "--site", "d", "--list", "x"), 2, "contradict"),
        (("--give-up", "1"), 2, "no batch"),
    ],
)  # fmt: skip
async def test_what_cannot_be_is_said_before_any_board_is_touched(desk, words, code, word):
    at = desk(1)
    await at.fanal("fleet", "init")
    found, said = await at.deploy(*words)
    assert (found, word in said) == (code, True), said
    assert set(at.boards[0].flash_bytes()) == {0xFF}
    assert not at.folder.exists()


async def test_a_beacon_that_does_not_pass_is_failed_and_not_infra(world, tmp_path, monkeypatch):
    fleet = PaperFleet(tmp_path)
    board = world.add_board("b1")
    board.battery(3000)
    bench = deploying.Bench(
        PaperImages(), firmware_image.locate(), fleet.station, fleet.path, "0.1.0", "t", Plan()
    )
    with Batch.create(tmp_path / "batch", count_rows(1, "depot")) as batch:
        done = await asyncio.to_thread(deploying.deploy, board.port, bench, batch)
        assert done.result.outcome == FAILED
        assert "battery" in done.result.reason
        board.battery(3900)
        again = await asyncio.to_thread(deploying.deploy, board.port, bench, batch)
        assert (again.problem, again.result.outcome, again.result.reason) == (None, DONE, "")

    def rows():
        with BoardLink(board.port) as link:
            manifest = firmware_image.locate().manifest.files
            return verify.verify(link, fleet.registry, manifest, "0.1.0")

    assert (await asyncio.to_thread(rows)).exit_code == 0
    fleet.registry.close()


@pytest.fixture
def bench(tmp_path):
    fleet = PaperFleet(tmp_path)
    made = deploying.Bench(
        PaperImages(), firmware_image.locate(), fleet.station, fleet.path, "0.1.0", "t", Plan()
    )
    yield fleet, made
    fleet.registry.close()


async def deployed(board, bench, batch, progress=None):
    return await asyncio.to_thread(deploying.deploy, board.port, bench, batch, progress)


async def test_a_beacon_that_was_revoked_since_is_not_done(world, tmp_path, bench):
    fleet, made = bench
    board = world.add_board("b1")
    with Batch.create(tmp_path / "batch", count_rows(1, "depot")) as batch:
        first = await deployed(board, made, batch)
        assert (await deployed(board, made, batch)).changed is False
        fleet.registry.revoke(first.result.beacon_id, "stolen")
        again = await deployed(board, made, batch)
    assert again.problem.exit_code == 4
    assert again.result.outcome == FAILED


async def test_a_board_that_comes_into_anothers_place_gets_no_row_of_it(world, tmp_path, bench):
    fleet, made = bench
    board, other = world.add_board("b1"), world.add_board("b2")

    def swap(step):
        if step == "Waiting for the beacon":
            link = tmp_path / "port"
            link.unlink()
            link.symlink_to(os.readlink(other.port))

    link = tmp_path / "port"
    link.symlink_to(os.readlink(board.port))
    with Batch.create(tmp_path / "batch", count_rows(2, "depot")) as batch:
        done = await asyncio.to_thread(
            deploying.deploy, str(link), made, batch, Progress(step=swap)
        )
        assert (done.problem.code, done.result.outcome) == ("other_board", INFRA)
        assert fleet.registry.beacons() == []


async def test_a_loose_cable_takes_nothing_back_and_a_beacon_in_service_keeps_its_row(
    world, tmp_path, bench
):
    _, made = bench
    board = world.add_board("b1")
    with Batch.create(tmp_path / "batch", count_rows(1, "depot")) as batch:
        await deployed(board, made, batch)
        board.faults.unplug_after(300)
        loose = await deployed(board, made, batch)
        assert (loose.problem is not None, batch.results[1].outcome) == (True, DONE)
        with pytest.raises(UsageError) as caught:
            batch.release(1, "broken")
        assert caught.value.code == "in_service"


async def test_a_beacon_that_was_left_on_the_hub_does_not_move(world, tmp_path, bench):
    fleet, made = bench
    board = world.add_board("b1")
    with Batch.create(tmp_path / "spring", count_rows(1, "depot")) as batch:
        first = await deployed(board, made, batch)
    before, flash = fleet.registry.find(first.result.beacon_id), board.flash_bytes()
    for grows in (None, count_rows(1, "annex")[0]):
        rows = [] if grows else count_rows(1, "depot")
        with Batch.create(tmp_path / f"autumn {bool(grows)}", rows, grows) as batch:
            left = await deployed(board, made, batch)
            assert (left.problem.code, left.result) == ("in_service", None)
            assert [row.mac for row in batch.results.values()] in ([], [None])
    assert fleet.registry.find(first.result.beacon_id) == before
    assert board.flash_bytes() == flash
    with Batch.create(tmp_path / "autumn", count_rows(1, "annex")) as batch:
        moved = await deployed(board, replace(made, move=True), batch)
    assert (moved.problem, moved.result.site) == (None, "annex")
    assert moved.result.beacon_id == first.result.beacon_id


async def test_one_board_without_a_list_goes_on_in_the_same_batch(desk):
    at = desk(1)
    await at.fanal("fleet", "init")
    at.boards[0].faults.unplug_after(60_000)
    code, said = await at.fanal("deploy", "--site", "depot")
    assert code == 3, said
    at.boards[0].faults.clear()
    at.boards[0].plug()
    for _ in range(2):
        code, said = await at.fanal("deploy", "--site", "depot", "--json")
        assert code == 0, said
    answer = json.loads(said.splitlines()[-1])
    assert answer["counts"] == {DONE: 1, FAILED: 0, INFRA: 0, OPEN: 0}
    assert len(list((at.fleet_dir / "batches").iterdir())) == 1


async def test_a_beacon_of_another_fleet_is_not_even_updated(world, tmp_path, bench):
    _, made = bench
    board = world.add_board("b1")
    (tmp_path / "other").mkdir()
    other = PaperFleet(tmp_path / "other", 90)
    await provisioned(board, other)
    other.registry.close()
    before = board.flash_bytes()
    with Batch.create(tmp_path / "batch", count_rows(1, "depot")) as batch:
        done = await deployed(board, made, batch)
        assert (done.problem.code, done.result, done.problem.exit_code) == ("foreign", None, 4)
    assert board.flash_bytes() == before
