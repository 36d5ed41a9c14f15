"""`fanal flash` on the model of the ROM: what goes wrong on the way, and that it goes on after."""

import json

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.error import FanalError
from fanal.partition_table import VAULT
from fanal.sim.flash import Cut
from fanal.sim.synthetic import synthetic_image

from tests.sim.sitting import fanal, flashed, is_ready

pytestmark = [pytest.mark.sim, pytest.mark.usefixtures("impatient")]


@pytest.mark.parametrize("count", [2_500, 30_000, 60_000, 110_000])
async def test_a_cable_that_is_pulled_at_any_byte(world, fleet, count):
    board = world.add_board("b1", blank=True)
    board.faults.unplug_after(count)
    with pytest.raises(FanalError) as caught:
        await flashed(board)
    assert caught.value.exit_code == 3
    assert caught.value.code in ("unplugged", "silent", "no_port")
    board.plug()
    await flashed(board)
    await is_ready(board, fleet)


@pytest.mark.parametrize("operation", [0, 9, 30])
async def test_a_cut_of_power_at_any_write(world, fleet, operation):
    board = world.add_board("b1", blank=True)
    board.cut(Cut(operation, "inside", 100))
    with pytest.raises(FanalError):
        await flashed(board)
    board.cut(None)
    board.power_on()
    await flashed(board)
    await is_ready(board, fleet)


@pytest.mark.parametrize("operation", [0, 10, 21, 25, 40])
async def test_a_cut_between_what_was_there_and_what_comes(world, fleet, operation):
    """A board with another layout, whose old files lie where the vault goes."""
    board = world.add_board("b1", stock=True)
    board.flash.program(VAULT.address, bytes(range(256)) * 64)
    board.cut(Cut(operation, "after"))
    with pytest.raises(FanalError):
        await flashed(board)
    board.cut(None)
    board.power_on()
    await flashed(board)
    await is_ready(board, fleet)


# kind, how, the exit codes that may come of it, whether the board was to blame
FAULTS = [
    ("noise", {"every": 997}, (3, 5), "infra"),  # a flipped bit may pass the line's checksum
    ("loss", {"every": 997}, (3,), "infra"),
    ("unplug", {"at": 5_000}, (3,), "infra"),
    ("reset", {"at": 25_000}, (3,), "infra"),
    ("brown-out", {"at": 20}, (3,), "infra"),
    ("bad-block", {"at": 0x12000}, (5,), "failed"),
    ("wrong-chip", {"chip": "esp32c6"}, (3,), "failed"),
    ("slow", {"baud": 230400}, (0,), ""),
    ("none", {}, (0,), ""),
]


@pytest.mark.parametrize(("kind", "how", "codes", "blame"), FAULTS, ids=[f[0] for f in FAULTS])
async def test_every_fault_is_one_sentence_and_the_right_exit_code(
    world, tmp_path, kind, how, codes, blame
):
    board = world.add_board("b1", blank=True)
    board.faults.set(kind, **how)
    image = tmp_path / "image.bin"
    image.write_bytes(synthetic_image("esp32c3", app_bytes=16 << 10))
    code, said = await fanal(world, "flash", "--port", board.port, "--image", image, "--json")
    answer = json.loads(said.splitlines()[-1])["boards"][0]
    assert code in codes, said
    assert code == answer.get("exit_code", 0)
    assert answer["ok"] == (code == 0)
    assert "Traceback" not in said
    if code:
        assert answer["sentence"].endswith(".")
        assert answer["hint"]
    board.faults.clear()
    board.plug()
    board.power_on()
    if blame == "infra":  # and then nothing is wrong with it
        assert (await flashed(board)).micropython == "1.28.0"
