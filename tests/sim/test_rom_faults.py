"""What goes wrong on a line and in a chip, and what real esptool makes of it."""

import os
import random

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.error import UsageError
from fanal.sim.chip import BOOT_LOOP, PROMPT, ROM
from fanal.sim.clock import run_virtual
from fanal.sim.faults import KINDS, TO_CHIP, TO_HOST, Faults
from fanal.sim.flash import SECTOR, Cut
from fanal.sim.serial_line import SerialLine
from fanal.sim.world import World
from hypothesis import given
from hypothesis import strategies as st

from tests.sim.flashing import enter_rom, esptool, image, image_file

pytestmark = pytest.mark.sim

APP_AT = 0x10000


@pytest.fixture
async def world():
    async with World(firmware="", boot_ms=0) as world:
        yield world


@pytest.fixture
async def board(world):
    board = world.add_board("b1", "esp32c3", blank=True)
    await enter_rom(world, board)
    return board


def bent(faults, data, direction=TO_CHIP):
    return b"".join(faults.bend(direction, data))


# --- on the line, in process ---


def test_without_faults_nothing_changes():
    assert bent(Faults(), bytes(range(256))) == bytes(range(256))


@given(st.integers(1, 50), st.integers(1, 20), st.binary(max_size=500))
def test_noise_and_loss_every_so_many_bytes(every, size, data):
    for kind in ("noise", "loss"):
        faults = Faults()
        faults.set(kind, every=every)
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        out = b"".join(bent(faults, piece) for piece in pieces)
        if kind == "loss":
            assert out == bytes(b for i, b in enumerate(data, 1) if i % every)
        else:
            flips = [(a ^ b).bit_count() for a, b in zip(data, out, strict=True)]
            assert flips == [int(i % every == 0) for i in range(1, len(data) + 1)]


def test_chance_is_seeded_and_about_as_much_as_asked():
    def run(seed):
        faults = Faults(seed)
        faults.set("noise", rate=0.01)
        return bent(faults, bytes(100_000))

    assert run(1) == run(1) != run(2)
    assert 800 < sum(map(bool, run(1))) < 1200


def test_one_direction_alone():
    faults = Faults()
    faults.set("loss", every=1, direction=TO_HOST)
    assert (bent(faults, b"in", TO_CHIP), bent(faults, b"out", TO_HOST)) == (b"in", b"")
    faults.set("none")
    assert bent(faults, b"out", TO_HOST) == b"out"


@given(st.integers(1, 60), st.lists(st.integers(1, 20)))
def test_it_strikes_at_its_byte_over_both_directions(at, sizes):
    struck = []
    faults = Faults(
        on_unplug=lambda: struck.append("unplug"), on_reset=lambda: struck.append("reset")
    )
    faults.set("reset", at=at)
    faults.set("unplug", at=at + 5)
    passed = 0
    for number, size in enumerate(sizes):
        passed += len(bent(faults, bytes(size), (TO_CHIP, TO_HOST)[number % 2]))
        assert ("reset" in struck) == (sum(sizes[: number + 1]) >= at)
        if "unplug" in struck:
            assert passed == at + 5
            return
    assert passed == sum(sizes)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("none", "brown-out")])
def test_a_fault_needs_its_number(kind):
    with pytest.raises(UsageError, match="needs --"):
        Faults().set(kind)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("tickle", {}),
        ("slow", {"baud": 9}),
        ("bad-block", {"at": 4 << 20}),
        ("wrong-chip", {"chip": "esp8266"}),
    ],
)
def test_what_cannot_go_wrong(kind, values):
    with pytest.raises(UsageError):
        Faults().set(kind, **values)


# --- the speed of a line, in the world's time ---


def test_a_line_with_a_speed_takes_its_time_each_way():
    async def act():
        async with World(firmware="", boot_ms=0, baud=9600) as world:
            board = world.add_board("b1", blank=True, powered=False)
            at = []
            line = board._port.line
            line.attach(lambda data: at.append((len(data), board.loop.time())))
            began = board.loop.time()
            line.from_chip(bytes(960))
            line.from_chip(bytes(960))
            await world.wait_until(lambda: sum(n for n, _ in at) == 1920, 10)
            took_s = board.loop.time() - began
            assert [n for n, _ in at if n > 10] == []  # it comes in drops
            await world.run_for(5)  # idle: nothing is saved up
            began = board.loop.time()
            at.clear()
            line.from_chip(bytes(96))
            await world.wait_until(lambda: sum(n for n, _ in at) == 96, 10)
            return took_s, board.loop.time() - began

    first, second = run_virtual(act())
    assert first == pytest.approx(2.0, abs=0.01)
    assert second == pytest.approx(0.1, abs=0.01)


def test_both_directions_at_once_and_order_is_kept():
    async def act():
        got_in, got_out = [], []
        async with World(firmware="", boot_ms=0) as world:
            line = SerialLine(Faults(), got_in.append)
            line.set_baud(115200)
            line.attach(got_out.append)
            dice = random.Random(1)
            sent = [dice.randbytes(dice.randrange(300)) for _ in range(50)]
            for piece in sent:
                line.from_chip(piece)
                line.from_client(got_out.append, piece)
            # bound methods of one list are equal: the line knows its client
            await world.run_for(len(b"".join(sent)) / 11520 + 0.01)
            line.set_baud(None)
            line.from_chip(b"end")
            await world.run_for(0.1)
            return b"".join(sent), b"".join(got_in), b"".join(got_out)

    sent, came_in, went_out = run_virtual(act())
    assert came_in == sent
    assert went_out == sent + b"end"


# --- with real esptool ---


async def write(world, board, folder, *words):
    place = image_file(folder, board.chip)
    return await esptool(world, board, "--chip", "esp32c3", *words, "write-flash", *place)


async def test_noise_on_the_way_in_is_noticed_by_checksum_or_digest(world, board, tmp_path):
    """Nothing of it ends in a flash that is wrong and called right."""
    board.faults.set("noise", every=30_000, direction=TO_CHIP)
    outcome = await write(world, board, tmp_path)
    content = image(board.chip)
    is_right = board.flash.read(0, len(content)) == content
    assert (outcome.exit_code == 0) == ("Hash of data verified" in outcome.output)
    assert is_right or outcome.exit_code != 0


async def test_a_lost_byte_ends_a_frame_and_esptool_tries_again(world, board, tmp_path):
    board.faults.set("loss", every=40_000, direction=TO_CHIP)
    outcome = await write(world, board, tmp_path, "--no-stub")
    content = image(board.chip)
    assert outcome.exit_code != 0 or board.flash.read(0, len(content)) == content


async def test_unplugged_at_a_byte(world, board, tmp_path):
    board.faults.set("unplug", at=40_000)
    outcome = await write(world, board, tmp_path)
    assert outcome.exit_code != 0
    assert (os.path.lexists(board.port), board.is_plugged) == (False, False)
    assert board.flash.read(0, 4)[0] == 0xE9  # it had begun
    board.plug()
    board.reset()
    await world.wait_until(lambda: board.state == BOOT_LOOP)
    await enter_rom(world, board)
    assert (await write(world, board, tmp_path)).exit_code == 0
    board.reset()
    await world.wait_until(lambda: board.state == PROMPT)


async def test_a_brown_out_at_a_flash_operation(world, board, tmp_path):
    board.faults.set("brown-out", at=20)
    outcome = await write(world, board, tmp_path)
    assert outcome.exit_code != 0
    await world.wait_until(lambda: board.state == BOOT_LOOP)
    assert "Brownout detector was triggered" in board.console_text
    assert board.flash.operations == 21
    await enter_rom(world, board)
    assert (await write(world, board, tmp_path)).exit_code == 0


async def test_a_power_cut_in_the_middle_leaves_it_off(world, board, tmp_path):
    board.cut(Cut(8, "inside", 100))
    assert (await write(world, board, tmp_path)).exit_code != 0
    assert board.state == "off"


async def test_a_reset_at_a_byte(world, board, tmp_path):
    board.faults.set("reset", at=40_000)
    assert (await write(world, board, tmp_path)).exit_code != 0
    await world.wait_until(lambda: board.state == BOOT_LOOP)


@pytest.mark.parametrize(
    ("words", "said"),
    [((), "MD5 of file does not match"), (("--no-stub",), "Flash write error")],
)
async def test_a_bad_block(world, board, tmp_path, words, said):
    board.flash.program(APP_AT, bytes(SECTOR))
    board.faults.set("bad-block", at=APP_AT + 5)
    outcome = await write(world, board, tmp_path, *words)
    assert (outcome.exit_code, said in outcome.output) == (2, True), outcome.output
    board.reset()
    await world.wait_until(lambda: board.state == BOOT_LOOP)
    assert board.flash.read(APP_AT, SECTOR) == bytes(SECTOR)


async def test_a_wrong_chip(world, board, tmp_path):
    board.faults.set("wrong-chip", chip="esp32s3")
    await enter_rom(world, board)
    outcome = await write(world, board, tmp_path)
    assert (outcome.exit_code, "This chip is ESP32-S3" in outcome.output) == (2, True)
    place = image_file(tmp_path, "esp32s3")
    assert (await esptool(world, board, "write-flash", *place)).exit_code == 0
    board.faults.set("none")
    board.reset()
    await world.wait_until(lambda: board.state == BOOT_LOOP)
    assert "mismatch chip ID, expected 5, found 9" in board.console_text


async def test_a_slow_line_is_only_slow(world, board, tmp_path):
    """At 57,600 baud the stub alone takes 1.4 s on the way in; the answers still come."""
    board.faults.set("slow", baud=57_600)
    outcome = await esptool(world, board, "--chip", "esp32c3", "read-mac")
    assert outcome.exit_code == 0, outcome.output
    assert board.identity.mac.hex(":") in outcome.output


async def test_a_dead_line_is_not_the_end_of_the_board(world, board):
    board.faults.set("loss", every=1)
    outcome = await esptool(world, board, "--connect-attempts", "1", "read-mac")
    assert (outcome.exit_code, "Failed to connect" in outcome.output) == (2, True)
    board.faults.set("none")
    assert board.state == ROM
    assert (await esptool(world, board, "--no-stub", "read-mac")).exit_code == 0
