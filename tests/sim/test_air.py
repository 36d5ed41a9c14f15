"""The air: exact bytes to bleak, its losses, its recorder, and hundreds of beacons."""

import asyncio
import json
import struct

import bleak
import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.error import EnvironmentFault, UsageError
from fanal.sim import tape
from fanal.sim.air import Air, Frame
from fanal.sim.air_scanner import scanner_backend
from fanal.sim.clock import run_virtual
from fanal.sim.controller import AirController, AirLink, AirServer
from fanal.sim.world import World

pytestmark = pytest.mark.sim

ALERT = bytes.fromhex("0303a1f51a16a1f5") + bytes(range(23))
PAGE = bytes.fromhex("1e16a1f5") + bytes(range(27))
ADDRESS = bytes.fromhex("ab8967452301")
SERVICE = "0000f5a1-0000-1000-8000-00805f9b34fb"


def keep(heard):
    """Return a callback of bleak that keeps what it is given."""
    return lambda _, data: heard.append(data.service_data)


class Host:
    """The other end of a controller in this process: keeps what it is sent."""

    def __init__(self, air, link=None):
        self.packets = []
        self.controller = AirController(air, link or AirLink(), self)
        assert self.command(0x2005, ADDRESS) == 0

    def on_packet(self, packet):
        self.packets.append(packet)

    def command(self, opcode, parameters=b""):
        self.controller.on_packet(struct.pack("<BHB", 1, opcode, len(parameters)) + parameters)
        return self.packets.pop()[6]

    def advertise(self, data=ALERT, units=160, kind=2, response=b""):
        parameters = struct.pack("<HHBBB6sBB", units, units, kind, 1, 0, bytes(6), 7, 0)
        assert self.command(0x2006, parameters) == 0
        assert self.command(0x2008, bytes((len(data),)) + data.ljust(31, b"\0")) == 0
        assert self.command(0x2009, bytes((len(response),)) + response.ljust(31, b"\0")) == 0
        return self.command(0x200A, b"\1")

    def scan(self, is_active=False):
        assert self.command(0x200B, struct.pack("<BHHBB", is_active, 16, 16, 0, 0)) == 0
        return self.command(0x200C, b"\1\0")

    def reports(self):
        """Return (kind, address, data, rssi) of each report."""
        return [
            (p[5], p[7:13][::-1], p[14 : 14 + p[13]], p[-1] - 256)
            for p in self.packets
            if p[1] == 0x3E
        ]


def run_for(seconds, act, seed=0):
    """Run act(air, host factory), then let time pass, then return what act returned."""

    async def inside():
        air = Air(seed)
        result = act(air, lambda: Host(air))
        with asyncio.get_running_loop().clock.allow(seconds):
            await asyncio.sleep(seconds)
        return result

    return run_virtual(inside())


def radio_pair(air, host):
    sender, listener = host(), host()
    listener.scan()
    return sender, listener


def test_bleak_hears_the_exact_bytes_and_the_address():
    async def act():
        async with World(firmware="", boot_ms=0) as world:
            heard = []
            backend = scanner_backend(world.air_address)
            scanner = bleak.BleakScanner(lambda d, a: heard.append((d, a)), backend=backend)
            async with scanner:
                for data in (ALERT, PAGE):
                    tape.forge(world.air, data, bytes.fromhex("0123456789ab"))
                await world.wait_until(lambda: len(heard) == 2, 5)
            return heard

    (device, alert), (_, page) = run_virtual(act())
    assert device.address == "01:23:45:67:89:AB"
    assert (alert.service_uuids, alert.service_data) == ([SERVICE], {SERVICE: bytes(range(23))})
    assert (page.service_uuids, page.service_data) == ([], {SERVICE: bytes(range(27))})
    assert -80 < alert.rssi < -40


def test_no_air_is_one_sentence():
    async def act():
        async with bleak.BleakScanner(backend=scanner_backend("127.0.0.1:1")):
            pass

    with pytest.raises(EnvironmentFault, match="no virtual air"):
        asyncio.run(act())
    with pytest.raises(UsageError, match="not the address"):
        scanner_backend("nowhere")


def test_a_merging_listener_hears_one_frame_per_address():
    async def act():
        async with World(firmware="", boot_ms=0) as world:
            heard = {"all": [], "merged": []}
            backends = {
                "all": scanner_backend(world.air_address),
                "merged": scanner_backend(world.air_address, merge_s=10),
            }
            scanners = [bleak.BleakScanner(keep(heard[k]), backend=b) for k, b in backends.items()]
            async with scanners[0], scanners[1]:
                for address in range(3):
                    for number in range(8):
                        data = ALERT[:-1] + bytes((number,))
                        tape.forge(world.air, data, bytes((address,) * 6))
                await world.wait_until(lambda: len(heard["all"]) == 24, 5)
            return len(heard["merged"])

    assert run_virtual(act()) == 3


@pytest.mark.parametrize(("kind", "data"), [(0, ALERT), (2, PAGE), (3, b"")])
def test_each_type_arrives_at_its_interval(kind, data):
    def act(air, host):
        sender, listener = radio_pair(air, host)
        assert sender.advertise(data, units=320, kind=kind) == 0
        return listener

    reports = run_for(10, act).reports()
    # every 200 ms, and up to 10 ms more each time
    assert 47 <= len(reports) <= 50
    assert {(k, d) for k, _, d, _ in reports} == {(kind, data)}


def test_scan_responses_go_to_those_who_ask_and_are_not_the_advertising_data():
    def act(air, host):
        sender, passive, active = host(), host(), host()
        passive.scan()
        active.scan(is_active=True)
        sender.advertise(ALERT, response=b"\x03\xffab")
        return passive, active

    passive, active = run_for(1, act)
    assert {k for k, *_ in passive.reports()} == {2}
    assert {(k, d) for k, _, d, _ in active.reports()} == {(2, ALERT), (4, b"\x03\xffab")}


def test_who_asks_a_beacon_is_answered_nothing():
    def act(air, host):
        sender, active = host(), host()
        active.scan(is_active=True)
        sender.advertise(ALERT)
        return active

    assert {(k, d) for k, _, d, _ in run_for(1, act).reports()} == {(2, ALERT), (4, b"")}


def parameters(least=160, most=160, own=1, channels=7):
    return struct.pack("<HHBBB6sBB", least, most, 2, own, 0, bytes(6), channels, 0)


# tests/sim/test_rootcanal.py asks an independent controller the same
REFUSED = {
    "too fast": (0x2006, parameters(31, 31), 0x11),
    "too slow": (0x2006, parameters(0x4001, 0x4001), 0x11),
    "least above most": (0x2006, parameters(161, 160), 0x12),
    "no channel": (0x2006, parameters(channels=0xF8), 0x12),
    "32 bytes": (0x2008, bytes((32,)) + bytes(31), 0x12),
    "32 bytes of scan response": (0x2009, bytes((32,)) + bytes(31), 0x12),
    "data that was not padded": (0x2008, b"\3abc", 0x12),
    "a short address": (0x2005, bytes(5), 0x12),
    "no address": (0x2005, bytes(6), 0x12),
    "no enable": (0x200A, b"", 0x12),
    "window above interval": (0x200B, struct.pack("<BHHBB", 0, 16, 17, 0, 0), 0x12),
    "scan too fast": (0x200B, struct.pack("<BHHBB", 0, 3, 3, 0, 0), 0x11),
    "scan too slow": (0x200B, struct.pack("<BHHBB", 0, 0x4001, 16, 0, 0), 0x11),
    "what nobody knows": (0xFC7F, b"", 0x01),
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_controller_refuses_what_a_real_one_refuses(case):
    opcode, body, status = REFUSED[case]
    assert run_for(0, lambda _, host: host().command(opcode, body)) == status


def test_what_is_refused_while_on_air_or_before():
    def act(air, host):
        sender = host()
        sender.command(0x0C03)
        results = {"enabled by default": sender.command(0x200A, b"\1")}
        sender.command(0x0C03)
        sender.command(0x2006, parameters())
        results["enabled without address"] = sender.command(0x200A, b"\1")
        sender.command(0x2005, ADDRESS)
        sender.advertise()
        results["address while advertising"] = sender.command(0x2005, ADDRESS)
        results["parameters while advertising"] = sender.command(0x2006, parameters())
        sender.command(0x200A, b"\0")
        results["address after stop"] = sender.command(0x2005, ADDRESS)
        sender.scan()
        results["address while scanning"] = sender.command(0x2005, ADDRESS)
        return results

    assert run_for(0, act) == {
        "enabled by default": 0,
        "enabled without address": 0x12,
        "address while advertising": 0x0C,
        "parameters while advertising": 0x0C,
        "address after stop": 0,
        "address while scanning": 0x0C,
    }


def test_a_stopped_or_lost_radio_is_silent():
    def act(air, host):
        sender, listener = radio_pair(air, host)
        sender.advertise()
        sender.controller.close()
        return listener

    assert run_for(5, act).reports() == []


@pytest.mark.parametrize("loss", [0.0, 0.3, 0.9, 1.0])
def test_losses_are_as_many_as_asked_for(loss):
    def act(air, host):
        air.reception.loss = loss
        sender, listener = radio_pair(air, host)
        sender.advertise(units=160)
        return air, listener

    air, listener = run_for(400, act)
    share = len(listener.reports()) / air.frames
    assert share == pytest.approx(1 - loss, abs=0.03)


def test_duplicates_and_the_strength_of_each_listener():
    def act(air, host):
        air.reception.duplicate = 0.5
        sender, near, far = host(), host(), host()
        sender.command(0xFC01, bytes(range(6)))
        air.place(bytes(reversed(range(6))), 10)
        far.command(0xFC02, b"far")
        air.listener("far").offset_db = -15
        near.scan()
        far.scan()
        sender.advertise()
        return air, near, far

    air, near, far = run_for(300, act)
    assert len(near.reports()) / air.frames == pytest.approx(1.5, abs=0.05)
    strength = [r[-1] for r in near.reports()]
    assert sum(strength) / len(strength) == pytest.approx(-84, abs=0.5)
    assert len(set(strength)) > 4
    weaker = [r[-1] for r in far.reports()]
    assert sum(weaker) / len(weaker) == pytest.approx(-99, abs=0.6)


def test_the_same_seed_gives_the_same_air():
    def act(air, host):
        air.reception.loss = 0.5
        sender, listener = radio_pair(air, host)
        sender.advertise()
        return listener

    again = [run_for(20, act, seed).reports() for seed in (1, 1, 2)]
    assert again[0] == again[1]
    assert again[0] != again[2]


def test_hundreds_of_beacons_at_100_ms():
    def act(air, host):
        listener = host()
        listener.scan()
        for number in range(300):
            sender = host()
            sender.command(0x2005, (number + 1).to_bytes(6, "big"))
            sender.advertise()
        return listener

    reports = run_for(5, act).reports()
    assert len({address for _, address, _, _ in reports}) == 300
    assert len(reports) > 300 * 45


def test_record_then_replay_later_from_fresh_addresses(tmp_path):
    path = tmp_path / "tape.jsonl"

    async def act():
        async with World(firmware="", boot_ms=0) as world:
            recorder = tape.Recorder(world.air, path)
            for number in range(3):
                tape.forge(world.air, ALERT, bytes((number,) * 6))
                await world.run_for(2)
            recorder.close()
            await world.run_for(3600)
            sent = []
            world.air.tap(sent.append)
            with world.clock.allow(60):
                await tape.replay(world.air, tape.read(path))
                await tape.replay(world.air, tape.read(path)[:1], keep_address=True)
            return sent

    sent = run_virtual(act())
    assert [f.data for f in sent] == [ALERT] * 4
    assert [f.t_ms - sent[0].t_ms for f in sent[:3]] == [0, 2000, 4000]
    assert sent[0].t_ms > 3_600_000
    old = {bytes((number,) * 6) for number in range(3)}
    assert not old & {f.address for f in sent[:3]}
    assert sent[3].address == bytes(6)
    assert all(f.address[0] >> 6 == 0 for f in sent)
    first = json.loads(path.read_text().splitlines()[0])
    assert first == {
        "t_ms": 0, "address": "00:00:00:00:00:00", "type": "ADV_SCAN_IND", "data": ALERT.hex(),
        "rssi": -59,
    }  # fmt: skip


@pytest.mark.parametrize("line", ["", "{}", '{"t_ms": 1}', "[]", "x"])
def test_a_broken_recording_is_named_by_its_line(tmp_path, line):
    path = tmp_path / "tape.jsonl"
    good = {"t_ms": 0, "address": "0" * 12, "type": "ADV_IND", "data": "", "rssi": 0}
    path.write_text(json.dumps(good) + "\n" + line + "\n")
    if line == "":
        path.write_text(json.dumps(good) + "\n\n")
    with pytest.raises(ValueError, match="line 2"):
        tape.read(path)


async def test_more_than_31_bytes_never_go_on_air():
    air = Air()
    with pytest.raises(ValueError, match="31"):
        air.transmit(Frame(0, bytes(6), 1, 2, bytes(32)))


async def test_each_client_has_its_own_controller():
    air = Air()
    server = AirServer(air)
    await server.start()
    lines = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
    for _, writer in lines:
        writer.write(bytes.fromhex("01030c00"))
    for reader, _ in lines:
        assert await reader.readexactly(7) == bytes.fromhex("040e0401030c00")
    assert len({c._controller for c in server.connections}) == 3
    await server.close()
    for _, writer in lines:
        writer.close()
