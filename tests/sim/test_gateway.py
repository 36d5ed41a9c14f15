"""A volunteer's listener on the air of a real firmware; and the real program, killed."""

import asyncio
import json
import signal
import sys
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.board_link import BoardLink
from fanal.envelope import Opener, split, waited_ms
from fanal.event_keys import EventKeys
from fanal.gateway import bundle
from fanal.gateway.clocks import Clocks
from fanal.gateway.gateway import Gateway
from fanal.gateway.listener_key import ListenerKey
from fanal.gateway.locate import Fixed
from fanal.gateway.outbox import OUTBOX_FILE, Outbox
from fanal.heard import Heard
from fanal.radio import Radio
from fanal.resolver import Resolver
from fanal.sighting import Sighting, SignatureVerified
from fanal.sim.air_scanner import scanner_backend
from fanal.sim.clock import run_virtual
from fanal.sim.world import World
from fanal_protocol import keys

from tests.unit.paper_relay import SEALING, PaperRelay, down

pytestmark = pytest.mark.sim

EVENT_KEY = b"\x05" * 32


def bundle_for(relay: str) -> bundle.Bundle:
    return bundle.make("Harbour", Opener(SEALING).recipient, relay)


async def a_beacon(world: World):
    """A provisioned board, waiting to be squeezed; and the keys of its first event."""
    board = world.add_board("north")

    def provision() -> bytes:
        with BoardLink(board.port) as link:
            public_key = bytes.fromhex(link.call("create_identity")["public_key"])
            link.call("provision", EVENT_KEY.hex())
            link.call("configure", json.dumps({"window_s": 5}))
            return public_key

    with world.at_pace():
        public_key = await asyncio.to_thread(provision)
    await world.run_for(30)
    return board, EventKeys(keys.beacon_id(public_key), public_key, 1, EVENT_KEY)


def resolved(known: EventKeys, frames) -> list:
    resolver = Resolver([known])
    return [
        outcome
        for frame in frames
        for outcome in resolver.take(Heard(frame.payload, frame.rssi_dbm, frame.first_ms, ""))
    ]


@asynccontextmanager
async def gateway_on(world: World, folder):
    loop = asyncio.get_running_loop()
    clocks = Clocks(lambda: int(1000 * loop.time()), lambda: 1_790_000_000_000, "boot")
    relay = PaperRelay(loop.time)
    outbox = Outbox(folder / OUTBOX_FILE)
    radio = Radio(backend=scanner_backend(world.air_address), now_ms=clocks.steady_ms)
    gateway = Gateway(
        radio, bundle_for("https://hub.example"), ListenerKey.in_folder(folder), outbox,
        lambda *_: relay, Fixed(), clocks, lambda _: None,
    )  # fmt: skip
    running = asyncio.create_task(gateway.run())
    try:
        yield relay
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        outbox.close()


@pytest.mark.parametrize("outage_s", [0, 600])
def test_a_squeeze_reaches_the_hub_with_its_signature(tmp_path, outage_s):
    async def go():
        async with World(seed=3) as world, gateway_on(world, tmp_path) as relay:
            board, known = await a_beacon(world)
            now_s = asyncio.get_running_loop().time
            squeezed_s = now_s()
            relay.cut = down if outage_s else None
            board.squeeze("hold")
            if outage_s:
                await world.run_for(outage_s)
                assert not relay.groups()
                relay.mend()
            await world.wait_until(lambda: len(relay.frames()) > 15, 400)
            await world.run_for(10)
            found = resolved(known, relay.frames())
            signed = [one for one in found if isinstance(one, SignatureVerified)]
            return squeezed_s, relay.taken, known, found, signed

    squeezed_s, taken, known, found, signed = run_virtual(go())
    sightings = [one for one in found if isinstance(one, Sighting)]
    assert {one.beacon_id for one in sightings} == {known.beacon_id}
    assert len(signed) == 1
    at_s, first = next((at, d) for at, d in taken if d.groups)
    frame = first.groups[0].group.frames[0]
    if not outage_s:
        # 1.5 s of holding, and then at most the 0.3 s of the group
        assert at_s - frame.first_ms / 1000 <= 0.35
        assert at_s - squeezed_s < 5
    # the hub knows when it was heard, however long it waited
    for at_s, delivery in taken:
        for one in delivery.groups:
            for frame in one.group.frames:
                waited = waited_ms(delivery.postmark, one.group, frame)
                assert abs(1000 * at_s - waited - frame.first_ms) <= 2
    assert max(s.t_ms for s in sightings) > min(s.t_ms for s in sightings)


class Door:
    """A hub's door over HTTP: takes what it gets, or says that it is busy."""

    def __init__(self) -> None:
        self.is_open = False
        self.groups: list[str] = []
        self.frames: list[bytes] = []
        self.tries = 0
        self._opener = Opener(SEALING)
        self._serving = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        await asyncio.gather(*self._serving)

    async def _serve(self, reader, writer):
        self._serving.append(asyncio.current_task())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                body = await reader.readexactly(size)
                self.tries += len(split(body)) > 1
                if self.is_open:
                    self._take(body)
                status = b"204 No Content" if self.is_open else b"503 Busy"
                writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def _take(self, body: bytes) -> None:
        for one in self._opener.delivery(body).groups:
            self.groups.append(one.content_id)
            self.frames += [frame.payload for frame in one.group.frames]


class Program:
    """The real `fanal listen --bundle`, of which only the air is virtual."""

    def __init__(self, file, folder, air: str) -> None:
        self.command = (
            sys.executable, "-m", "fanal", "listen", "--bundle", str(file), "--jsonl",
            "--state", str(folder), "--air", air,
        )  # fmt: skip

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *self.command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )

    async def until_it_hears(self) -> None:
        said = b""
        while b'"radio": "hearing"' not in said:
            line = await self.process.stdout.readline()
            assert line, said
            said += line

    async def end(self, by: signal.Signals) -> bytes:
        self.process.send_signal(by)
        output, _ = await self.process.communicate()
        return output


def test_the_real_program_killed_in_the_middle_loses_nothing(tmp_path):
    folder = tmp_path / "state"

    async def killed_and_started_again(world: World, door: Door, program: Program):
        board, known = await a_beacon(world)
        with world.at_pace():
            await program.start()
            await program.until_it_hears()
            board.squeeze("hold")
            await world.wait_until(lambda: door.tries >= 1, 60)
            await program.end(signal.SIGKILL)
            kept = waiting(folder)
            assert (door.groups, kept >= 1) == ([], True)
            door.is_open = True
            await program.start()
            await world.wait_until(lambda: len(set(door.groups)) >= kept + 1, 60)
            output = await program.end(signal.SIGTERM)
        assert program.process.returncode == 0, output
        return door, known, output

    async def go():
        async with Door() as door, World(seed=4) as world:
            file = tmp_path / "b.fanal"
            bundle.write(file, bundle_for(door.url))
            program = Program(file, folder, world.air_address)
            return await killed_and_started_again(world, door, program)

    door, known, output = run_virtual(go())
    assert waiting(folder) == 0
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    outcomes = [o for p in door.frames for o in Resolver([known]).take(Heard(p, None, now_ms, ""))]
    assert [o.beacon_id for o in outcomes if isinstance(o, Sighting)]
    (rid,) = {payload[1:9] for payload in door.frames if len(payload) == 23}
    assert rid.hex().encode() not in output


def waiting(folder) -> int:
    outbox = Outbox(folder / OUTBOX_FILE)
    count = len(outbox)
    outbox.close()
    return count
