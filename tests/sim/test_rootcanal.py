"""The virtual radio against rootcanal, a controller that somebody else wrote.

The real firmware advertises through it, bleak hears through it; then every command it was sent
is put to our controller, and the answers and the reports are compared byte by byte.
"""

import asyncio
import contextlib
import re
import socket
import struct
import subprocess
import threading

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.sim.air import ADV_SCAN_IND, RANDOM, SCAN_RSP, Air
from fanal.sim.clock import run_virtual
from fanal.sim.controller import AirServer
from fanal.sim.world import World
from fanal_protocol import advert, alert, ed25519, frame, keys, signature, slot

from tests.sim.hci_relay import (
    ENABLE,
    SET_ADDRESS,
    SET_DATA,
    Ears,
    Host,
    Relay,
    command_of,
    parsed,
)
from tests.sim.test_air import ADDRESS, REFUSED, SERVICE, parameters
from tests.sim.test_beacon_life import EVENT_KEY, provisioned

pytestmark = [pytest.mark.sim, pytest.mark.timeout(60)]

RESET, SET_PARAMETERS, SET_SCAN_RESPONSE, TELL_PUBLIC_ADDRESS = 0x0C03, 0x2006, 0x2009, 0xFC01
WHOLE_UNITS = 2

RID = slot.rid(keys.rid_key(EVENT_KEY), 0)

# what has a wrong length is beyond rootcanal: it aborts
ABORTS = {
    "32 bytes",
    "32 bytes of scan response",
    "data that was not padded",
    "a short address",
    "no enable",
}


@pytest.fixture(scope="module")
def rootcanal_port():
    """Start rootcanal and return its HCI port."""
    binaries = pytest.importorskip("rootcanal.binaries", reason="needs the package rootcanal")
    program = binaries.get_package_binary_resource_path("rootcanal")
    ports = free_ports(4)
    names = ("-hci_port", "-test_port", "-link_port", "-link_ble_port")
    options = [str(word) for pair in zip(names, ports, strict=True) for word in pair]
    try:
        process = subprocess.Popen(
            [program, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except OSError as error:
        pytest.skip(f"the package rootcanal does not start here: {error}")
    said, is_up = [], threading.Event()
    drain = threading.Thread(target=read_log, args=(process.stdout, ports[0], said, is_up))
    drain.start()
    try:
        is_up.wait(10)
        if not said or process.poll() is not None or f": {ports[0]} (" not in said[-1]:
            pytest.skip(f"the package rootcanal does not start here: {said[:1]}")
        yield ports[0]
        assert process.poll() is None, "rootcanal died"
    finally:
        process.kill()
        process.wait()
        drain.join()
        process.stdout.close()


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def read_log(lines, port, said, is_up):
    """Read to the end, so that the writer never waits; keep what came before it listens."""
    for line in lines:
        if not is_up.is_set():
            said.append(line.rstrip())
            if f"Listening on: {port} (" in line:
                is_up.set()
    is_up.set()


async def live_through(port):
    """Return the relay through which a squeezed board spoke to a controller for some units."""
    async with World() as world:
        board = world.add_board("north")
        await provisioned(world, board)
        ears = Ears(port)
        relay = Relay(port, ears)
        server = await asyncio.start_server(relay.serve, "127.0.0.1")
        world._bench.air_port = server.sockets[0].getsockname()[1]
        with world.at_pace():
            async with ears.scanner:
                board.squeeze("hold")
                await world.wait_until(lambda: is_enough(relay.sent), 30)
                board.power_off()
                server.close()
                await relay.ended()
        assert world.air.frames == 0
        public_key = re.search(r'"public_key": "([0-9a-f]{64})"', board.console_text)[1]
        relay.public_key = bytes.fromhex(public_key)
        return relay


def is_enough(sent):
    """Are there some whole units, alerts of two of them and the pages of a signature?"""
    payloads = {advert.unwrap(data) for _, data in sent}
    alerts, pages = (
        sum(payload[0] == hdr for payload in payloads)
        for hdr in (frame.HDR_ALERT, frame.HDR_SIGNATURE)
    )
    return len(units(sent)) > WHOLE_UNITS and alerts >= 2 and pages >= 3


def units(sent):
    """Return the addresses of what was sent, in order, each with the data sent from it."""
    by_address = {}
    for address, data in sent:
        by_address.setdefault(address, []).append(data)
    return by_address


@pytest.fixture(scope="module")
def life(rootcanal_port):
    """Return what the real firmware and rootcanal said to each other: see `Relay`."""
    return run_virtual(live_through(rootcanal_port))


def test_the_firmware_is_heard_through_rootcanal_byte_by_byte(life):
    adverts = adverts_of(life)
    assert {r[:2] for r in adverts} == {bytes((ADV_SCAN_IND, RANDOM))}
    assert {len(r) for r in adverts} == {9 + 31}
    heard = [(r[2:8], r[9:]) for r in adverts]
    assert without_repeats(heard) == without_repeats(life.sent)
    # what bleak says of the same
    assert [bytes.fromhex(a.replace(":", ""))[::-1] for a, _ in life.ears.heard] == [
        address for address, _ in heard
    ]
    payloads = [data.service_data[SERVICE] for _, data in life.ears.heard]
    assert payloads == [advert.unwrap(data) for _, data in heard]
    # who asks is answered, but nothing
    assert {response[8:] for response in responses_of(life)} == {b"\0"}


def without_repeats(items):
    return [item for i, item in enumerate(items) if i == 0 or item != items[i - 1]]


def test_each_unit_has_a_fresh_private_address_and_one_alert_at_most(life):
    alerts = []
    for address, sent in units(life.sent).items():
        assert address[5] >> 6 == 0, "a non-resolvable private address"
        assert any(address)
        alerts.append({one for one in frames(sent) if isinstance(one, frame.AlertFrame)})
    assert max(len(of_unit) for of_unit in alerts) == 1
    of_life = [one for of_unit in alerts for one in of_unit]
    assert {one.rid for one in of_life} == {RID}
    assert len({one.q for one in of_life}) == len(of_life)
    for one in of_life:
        opened = alert.open_alert(keys.alert_key(EVENT_KEY), one)
        assert alert.read_status(opened.status).activation == alert.HOLD


def test_what_arrived_through_rootcanal_gives_a_signature_that_verifies(life):
    page_key = keys.page_key(EVENT_KEY)
    adverts = [report[9:] for report in adverts_of(life)]
    pages = [one for one in frames(adverts) if isinstance(one, frame.SignatureFrame)]
    chunks = {one.page: signature.open_page(page_key, RID, one) for one in pages}
    three = {page: chunks[page] for page in sorted(chunks)[-3:]}
    message = signature.message(1, 0, RID, alert.status_byte(alert.HOLD, False))
    made = signature.assemble(three, page_key, RID)
    assert ed25519.verify(life.public_key, message, made)


def frames(adverts):
    return [frame.decode(advert.unwrap(data)) for data in adverts]


def test_rootcanal_refuses_nothing_that_the_firmware_asks_and_all_is_within_the_standard(life):
    is_advertising = False
    for command, answer in life.spoken:
        opcode, body = parsed(command)
        # the public address of a board is told in a command of our own, which others do not know
        assert answer[6] == (1 if opcode == TELL_PUBLIC_ADDRESS else 0)
        if opcode in (SET_ADDRESS, SET_PARAMETERS):
            assert not is_advertising
        if opcode == SET_PARAMETERS:
            assert body == parameters(160, 160)
        if opcode in (SET_DATA, SET_SCAN_RESPONSE):
            assert body[0] == (31 if opcode == SET_DATA else 0)
        if opcode == ENABLE:
            is_advertising = body == b"\1"
        if opcode == RESET:
            is_advertising = False


async def again_through_ours(life):
    """Return the relay through which our controller was sent all that rootcanal was sent."""
    server = AirServer(Air())
    await server.start()
    ears = Ears(server.port)
    relay = Relay(server.port, ears)
    async with ears.scanner:
        for command, _ in life.spoken:
            if parsed(command)[0] == RESET:  # the board begins with it, from a new connection
                if relay.spoken:
                    await relay.close()
                await relay.connect()
            await relay.pass_on(command)
        await relay.close()
    await server.close()
    return relay


def test_our_controller_answers_and_reports_the_same(life):
    ours = asyncio.run(again_through_ours(life))
    assert len(ours.spoken) == len(life.spoken)
    for (command, answer), (_, theirs) in zip(ours.spoken, life.spoken, strict=True):
        if parsed(command)[0] != TELL_PUBLIC_ADDRESS:
            assert answer == theirs, command.hex()
    assert without_repeats(adverts_of(ours)) == without_repeats(adverts_of(life))
    # the board was gone before the last was asked
    assert responses_of(life) <= responses_of(ours)


def adverts_of(relay):
    return [report for report in relay.ears.reports if report[0] != SCAN_RSP]


def responses_of(relay):
    return {report for report in relay.ears.reports if report[0] == SCAN_RSP}


ON_AIR = [(SET_ADDRESS, ADDRESS), (SET_PARAMETERS, parameters()), (ENABLE, b"\1")]
SCAN = [(0x200B, struct.pack("<BHHBB", 1, 16, 16, 0, 0)), (0x200C, b"\1\0")]
DATA = b"\3abc".ljust(32, b"\0")

TURNS = {
    "by default": [(ENABLE, b"\1")],
    "random without an address": [(SET_PARAMETERS, parameters()), (ENABLE, b"\1")],
    "public without an address": [(SET_PARAMETERS, parameters(own=0)), (ENABLE, b"\1")],
    "all bits set": [(SET_ADDRESS, b"\xff" * 6)],
    "fastest": [(SET_PARAMETERS, parameters(0x20, 0x20))],
    "slowest": [(SET_PARAMETERS, parameters(0x4000, 0x4000))],
    "while advertising": [
        *ON_AIR, (SET_ADDRESS, ADDRESS[::-1]), (SET_PARAMETERS, parameters()), (SET_DATA, DATA),
        (SET_SCAN_RESPONSE, DATA), (ENABLE, b"\1"), (SET_ADDRESS, ADDRESS[::-1]),
        (ENABLE, b"\0"), (ENABLE, b"\0"), (SET_ADDRESS, ADDRESS[::-1]),
    ],
    "reset ends it": [*ON_AIR, (RESET, b""), *ON_AIR],
    "reset forgets the address": [*ON_AIR, (RESET, b""), *ON_AIR[1:]],
    "while scanning": [
        *SCAN, SCAN[0], (SET_ADDRESS, ADDRESS), SCAN[1], (0x200C, b"\0\0"), (SET_ADDRESS, ADDRESS),
    ],
    "scan from an address never set": [(0x200B, struct.pack("<BHHBB", 1, 16, 16, 1, 0)), SCAN[1]],
    "event masks": [(0x0C01, b"\xff" * 8), (0x2001, b"\xff" * 8)],
} | {
    name: [(opcode, body)] for name, (opcode, body, _) in REFUSED.items() if name not in ABORTS
}  # fmt: skip


async def statuses(port, turn):
    host = await Host.connect(port)
    await host.status(RESET, b"")
    results = [await host.status(opcode, body) for opcode, body in turn]
    await host.close()
    return results


async def our_statuses(turn):
    server = AirServer(Air())
    await server.start()
    results = await statuses(server.port, turn)
    await server.close()
    return results


@pytest.mark.parametrize("turn", TURNS)
def test_both_controllers_take_and_refuse_the_same(rootcanal_port, turn):
    theirs = asyncio.run(statuses(rootcanal_port, TURNS[turn]))
    assert asyncio.run(our_statuses(TURNS[turn])) == theirs


def test_an_address_change_on_air_is_refused_by_both(rootcanal_port):
    turn = [*ON_AIR, (SET_ADDRESS, ADDRESS[::-1])]
    refused = [0, 0, 0, 0x0C]
    assert asyncio.run(statuses(rootcanal_port, turn)) == refused
    assert asyncio.run(our_statuses(turn)) == refused


async def reported(port, name=b""):
    """Return the data that a scan which wants no duplicates reports of one address."""
    scanner, sender = await Host.connect(port), await Host.connect(port)
    for host in (scanner, sender):
        await host.status(RESET, b"")
    if name:
        assert await scanner.status(0xFC02, name) == 0
    for opcode, body in [(0x0C01, b"\xff" * 8), (0x2001, b"\xff" * 8), SCAN[0], (0x200C, b"\1\1")]:
        assert await scanner.status(opcode, body) == 0
    assert await sender.status(SET_ADDRESS, ADDRESS) == 0
    assert await sender.status(SET_PARAMETERS, parameters(0x20, 0x20)) == 0
    for data in (b"one", b"two", b"one"):
        await sender.status(SET_DATA, struct.pack("B31s", len(data), data))
        await sender.status(ENABLE, b"\1")
        await asyncio.sleep(0.1)  # five frames
        await sender.status(ENABLE, b"\0")
    # what came is in the buffer before the answer to this
    scanner.writer.write(command_of(0x200C, b"\0\0"))
    data = []
    while (head := await scanner.reader.readexactly(3))[1] == 0x3E:
        data.append((await scanner.reader.readexactly(head[2]))[11:-1])
    await scanner.close()
    await sender.close()
    return data


async def reported_by_ours(filters_by_data):
    air = Air()
    air.listener("north").filters_by_data = filters_by_data
    server = AirServer(air)
    await server.start()
    data = await reported(server.port, b"north")
    await server.close()
    return data


def test_what_is_a_duplicate_to_rootcanal_and_to_us(rootcanal_port):
    theirs = asyncio.run(reported(rootcanal_port))
    assert theirs == [b"one", b"", b"two"]  # nothing: the answer of a sender that was asked
    assert asyncio.run(reported_by_ours(True)) == theirs
    # by the standard the address decides
    assert asyncio.run(reported_by_ours(False)) == [b"one", b""]
