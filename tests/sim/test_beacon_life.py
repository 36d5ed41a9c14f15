"""The real firmware on the virtual board: heard by bleak, through hours that take seconds."""

import json

import bleak
import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.sim.air_scanner import scanner_backend
from fanal.sim.chip import HEAP_BUDGET
from fanal.sim.clock import run_virtual
from fanal.sim.world import World
from fanal_protocol import advert, alert, frame, keys, slot

pytestmark = pytest.mark.sim

EVENT_KEY = bytes(range(32))
SETTINGS = {"profile": "fixed", "alert_s": 60, "event_s": 7000, "track_period_s": 600}


async def provisioned(world, board, settings=None):
    """Give the board an identity and an event key through its own console, in a script's way."""
    await world.run_for(1)
    calls = ["create_identity()", f"provision({EVENT_KEY.hex()!r})"]
    if settings is not None:
        calls.append(f"configure({json.dumps(settings)!r})")
    script = "from beacon import console\n" + "\n".join(f"console.{call}" for call in calls)
    with world.at_pace():
        board.type_in(b"\x03\r\x01")
        await world.wait_until(lambda: board.console_text.endswith("raw REPL; CTRL-B to exit\r\n>"))
        board.type_in(script.encode() + b"\x04")
        await world.wait_until(lambda: "\x04>" in board.console_text)
    assert board.console_text.count('"ok": true') == len(calls)
    board.reset()
    await world.wait_until(lambda: board.state == "deep sleep", 120)


@pytest.mark.parametrize("chip", ["esp32", "esp32c3", "esp32s3"])
def test_silent_until_squeezed_then_heard_by_bleak(chip):
    async def act():
        async with World() as world:
            board = world.add_board("north", chip)
            await provisioned(world, board)
            assert world.air.frames == 0
            heard = []
            backend = scanner_backend(world.air_address)
            async with bleak.BleakScanner(lambda d, a: heard.append((d, a)), backend=backend):
                board.squeeze("hold")
                await world.wait_until(lambda: len(heard) > 40, 30)
            sizes = (board.service.heap_stand_ins, board.service.heap_free)
            return heard, sizes

    heard, (stand_ins, budget) = run_virtual(act())
    print(f"{chip}: stand-ins {stand_ins} B of heap, firmware {budget} B")
    assert HEAP_BUDGET <= budget < HEAP_BUDGET + 2048
    addresses = {device.address for device, _ in heard}
    assert 2 <= len(addresses) <= 4
    assert all(int(address[:2], 16) >> 6 == 0 for address in addresses)
    payloads = [data for _, report in heard for data in report.service_data.values()]
    first = frame.decode(payloads[0])
    assert first.rid == slot.rid(keys.rid_key(EVENT_KEY), 0)
    opened = alert.open_alert(keys.alert_key(EVENT_KEY), first)
    assert (opened.status >> 5, opened.phase) == (1, 0)
    assert {type(frame.decode(p)).__name__ for p in payloads} >= {"AlertFrame", "SignatureFrame"}


def test_two_hours_of_an_event_wakes_included():
    async def act():
        async with World() as world:
            board = world.add_board("north")
            await provisioned(world, board, SETTINGS)
            sent, boots = [], board.boots
            world.air.tap(sent.append)
            board.squeeze("hold")
            await world.run_for(7400)
            return sent, board.boots - boots, board.state, board.rtc_memory(), board.flash_bytes()

    sent, boots, state, rtc, flash = run_virtual(act())
    assert state == "deep sleep"
    assert 9 <= boots <= 16
    slots = {rid for f in sent if (rid := rid_of(f)) is not None}
    assert slots == {slot.rid(keys.rid_key(EVENT_KEY), s) for s in range(8)}
    # one address never carries two slots
    by_address = {}
    for f in sent:
        if (rid := rid_of(f)) is not None:
            assert by_address.setdefault(f.address, rid) == rid
    assert EVENT_KEY not in flash + rtc
    assert keys.next_event_key(EVENT_KEY) not in rtc


def rid_of(sent):
    decoded = frame.decode(advert.unwrap(sent.data))
    return getattr(decoded, "rid", None)


def test_the_same_seeds_give_the_same_life():
    async def act():
        async with World(seed=3) as world:
            board = world.add_board("north")
            await provisioned(world, board)
            sent = []
            world.air.tap(sent.append)
            board.squeeze("hold")
            await world.run_for(12)
            return [(f.address, f.data) for f in sent]

    first = run_virtual(act())
    assert len(first) > 50
    assert first == run_virtual(act())
