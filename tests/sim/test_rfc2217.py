"""The line over RFC 2217: what a client asks, what the wires do, and one client at a time."""

import asyncio

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

import serial
from fanal.sim import telnet
from fanal.sim.chip import BOOT_LOOP, HELD, PROMPT, ROM
from fanal.sim.telnet import COM_PORT, DO, IAC, SB, SE, WILL, Option, Parser, Subnegotiation
from fanal.sim.world import World
from hypothesis import given
from hypothesis import strategies as st

from tests.sim.flashing import ESPTOOL, ESPTOOL_SOONER, MPREMOTE, image_file

pytestmark = pytest.mark.sim


@pytest.fixture
async def world():
    async with World(firmware="", boot_ms=0) as world:
        yield world


@pytest.fixture
async def board(world):
    board = world.add_board("b1")
    await world.wait_until(lambda: board.state == PROMPT)
    return board


class Client:
    """A client of our own, byte by byte."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self._parser = Parser()
        self.events = []

    @classmethod
    async def connect(cls, board):
        port = int(board.url.rpartition(":")[2])
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def send(self, data):
        self.writer.write(data)

    def ask(self, request, value):
        self.send(telnet.subnegotiation(bytes((COM_PORT, request)) + value))

    async def until(self, is_so):
        async with asyncio.timeout(10):
            while not is_so():
                data = await self.reader.read(4096)
                if not data:
                    raise EOFError
                self.events += self._parser.feed(data)

    async def answer(self, request, value):
        """Ask, and return the value that is answered."""
        self.ask(request, value)
        return await self.said(request)

    async def said(self, request):
        head = bytes((COM_PORT, request + 100))
        found = []

        def is_there():
            found[:] = [
                e.content[2:]
                for e in self.events
                if isinstance(e, Subnegotiation) and e.content.startswith(head)
            ]
            return found

        await self.until(is_there)
        self.events.clear()
        return found[-1]

    def data(self):
        return b"".join(e for e in self.events if isinstance(e, bytes))

    async def close(self):
        self.writer.close()
        await self.writer.wait_closed()


@pytest.fixture
async def client(board):
    client = await Client.connect(board)
    yield client
    await client.close()


# --- telnet ---

EVENTS = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=40),
        st.builds(Option, st.sampled_from([WILL, DO]), st.integers(0, 255)),
        st.builds(Subnegotiation, st.binary(max_size=64)),
    )
)


def wire(event):
    if isinstance(event, Option):
        return bytes((IAC, event.verb, event.option))
    if isinstance(event, Subnegotiation):
        return telnet.subnegotiation(event.content)
    return telnet.escape(event)


def joined(events):
    """Return the events with neighbouring data as one."""
    out = []
    for event in events:
        if isinstance(event, bytes) and out and isinstance(out[-1], bytes):
            out[-1] += event
        else:
            out.append(event)
    return out


@given(EVENTS, st.integers(1, 9))
def test_telnet_is_read_in_any_pieces(events, size):
    stream = b"".join(map(wire, events))
    parser = Parser()
    found = [e for at in range(0, len(stream), size) for e in parser.feed(stream[at : at + size])]
    assert joined(found) == joined(events)


@given(st.lists(st.binary(max_size=50)))
def test_no_bytes_are_too_strange_for_it(pieces):
    parser = Parser()
    for piece in pieces:
        parser.feed(piece)
    parser.feed(bytes((IAC, SE)))
    assert (
        parser.feed(b"\0" + bytes((IAC, SB)) + bytes(1000) + bytes((IAC, SE)) + b"end")[-1]
        == b"end"
    )


# --- what a client asks ---


async def test_options_are_agreed_once(client):
    for option, verb in ((COM_PORT, WILL), (COM_PORT, DO), (0, WILL), (1, DO), (COM_PORT, WILL)):
        client.send(bytes((IAC, verb, option)))
    await client.answer(7, b"")
    client.ask(7, b"")
    await client.until(lambda: client.events)
    client.events.clear()
    client.send(bytes((IAC, DO, COM_PORT, IAC, WILL, 99)))
    await client.until(lambda: client.events)
    assert client.events == [Option(telnet.DONT, 99)]


@pytest.mark.parametrize(
    ("request_", "value", "answer"),
    [
        (1, b"\0\x07\x08\0", b"\0\x07\x08\0"),
        (1, bytes(4), b"\0\x01\xc2\0"),  # how fast is it?
        (2, b"\x08", b"\x08"),
        (2, b"\0", b"\x08"),
        (3, b"\x01", b"\x01"),
        (3, b"\0", b"\x01"),
        (4, b"\x01", b"\x01"),
        (5, b"\0", b"\x01"),
        (5, b"\x01", b"\x01"),
        (5, b"\x04", b"\x06"),
        (5, b"\x07", b"\x09"),
        (5, b"\x08", b"\x08"),
        (5, b"\x0a", b"\x0c"),
        (6, b"", b"\0"),
        (7, b"", b"\xb0"),
        (12, b"\x03", b"\x03"),
    ],
)
async def test_every_request_is_answered(client, request_, value, answer):
    assert await client.answer(request_, value) == answer


async def test_dtr_and_rts_reach_the_chip_and_fall_when_the_client_leaves(world, board, client):
    await client.answer(5, b"\x0b")
    assert board.state == HELD
    await client.answer(5, b"\x08")
    await client.answer(5, b"\x0c")
    await world.wait_until(lambda: board.state == ROM)
    await client.answer(5, b"\x09")
    await client.answer(5, b"\x0b")
    assert board.state == HELD
    await client.close()  # it died in the middle
    await world.wait_until(lambda: board.state == PROMPT)


async def test_all_bytes_pass_both_ways(world, board, client):
    board.strap(True)
    board.reset()
    await world.wait_until(lambda: board.state == ROM)
    await client.until(lambda: b"waiting for download" in client.data())
    client.events.clear()
    sync = b"\xc0\x00\x08\x24\0\0\0\0\0\x07\x07\x12\x20" + b"\x55" * 32 + b"\xc0"
    client.send(telnet.escape(sync))
    await client.until(lambda: client.data().count(b"\xc0") == 16)
    board.printed(bytes(range(256)) * 2)
    client.events.clear()
    await client.until(lambda: len(client.data()) == 512)
    assert client.data() == bytes(range(256)) * 2


async def test_hostile_bytes_end_nothing(world, board, client):
    junk = "ff|fff0|fffa" + "00" * 5000 + "fff0|fffa2cfff0|fffafff0|fffa2c05fff0|fffa2c0100fff0"
    for piece in [*junk.split("|"), "fffa2cc800fff0", "fffb01", "fffe07"]:
        client.send(bytes.fromhex(piece))
    assert await client.answer(1, bytes(4)) == (115200).to_bytes(4, "big")


# --- one client at a time ---


async def test_a_second_client_is_told_and_hung_up_on(world, board, client):
    await client.answer(1, bytes(4))
    second = await Client.connect(board)
    with pytest.raises(EOFError):
        await second.until(lambda: False)
    assert b"in use" in second.data()
    await second.close()
    answer = await world.run_client(*MPREMOTE, "connect", board.port, "exec", "print(1)")
    assert (answer.exit_code, "in use" in answer.output) == (1, True), answer.output
    await client.close()
    answer = await world.run_client(*MPREMOTE, "connect", board.port, "exec", "print(1)")
    assert answer.output == "1\r\n"


async def test_a_client_at_the_terminal_keeps_others_out(world, board):
    with open(board.port, "r+b", buffering=0):
        client = await Client.connect(board)
        with pytest.raises(EOFError):
            await client.until(lambda: False)
        await client.close()
    client = await Client.connect(board)
    assert await client.answer(1, bytes(4))
    await client.close()


async def test_clients_come_and_go(board):
    for _ in range(20):
        client = await Client.connect(board)
        assert await client.answer(1, bytes(4))
        await client.close()


async def test_nobody_hears_what_was_said_to_the_one_before(world, board, client):
    await client.answer(1, bytes(4))
    await client.close()
    board.printed(b"to nobody")
    client = await Client.connect(board)
    await client.answer(1, bytes(4))
    board.printed(b"to it")
    await client.until(lambda: client.data())
    assert client.data() == b"to it"
    await client.close()


async def test_unplugged_it_hangs_up_and_plugged_in_it_is_where_it_was(world, board, client):
    url = board.url
    await client.answer(1, bytes(4))
    board.unplug()
    with pytest.raises(EOFError):
        await client.until(lambda: False)
    with pytest.raises(ConnectionRefusedError):
        await Client.connect(board)
    board.plug()
    again = await Client.connect(board)
    assert await again.answer(1, bytes(4))
    assert board.url == url
    await again.close()


# --- real tools ---


def use_pyserial(url):
    """Open the URL as any program does; return what the board answered to Enter."""
    with serial.serial_for_url(url, timeout=5) as port:
        port.write(b"\r")
        answer = port.read_until(b">>> ")
        port.dtr, port.rts = False, True
        port.baudrate = 460800
        return answer


@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")  # pyserial's own
async def test_pyserial_opens_it_and_resets_nothing(world, board):
    answer = await asyncio.to_thread(use_pyserial, board.url)
    assert answer.endswith(b">>> ")
    await world.wait_until(lambda: board.state == PROMPT)
    assert board.boots == 2  # by RTS at the end


async def test_esptool_resets_it_into_its_rom_and_out_again(world, board):
    """Unmodified, over the network."""
    words = ("--chip", "esp32c3", "--port", board.url, "--no-stub", "read-mac")
    outcome = await world.run_client(*ESPTOOL, *words)
    assert outcome.exit_code == 0, outcome.output
    assert board.identity.mac.hex(":") in outcome.output
    assert "waiting for download" in board.console_text
    await world.wait_until(lambda: board.state == PROMPT)


async def test_flashed_over_the_network_it_boots_and_mpremote_follows(world, tmp_path):
    board = world.add_board("b2", "esp32", blank=True)
    await world.wait_until(lambda: board.state == BOOT_LOOP)
    place = image_file(tmp_path, "esp32")
    outcome = await world.run_client(
        *ESPTOOL_SOONER, "--port", board.url, "--baud", "460800", "write-flash", *place
    )
    assert outcome.exit_code == 0, outcome.output
    await world.wait_until(lambda: board.state == PROMPT)
    answer = await world.run_client(*MPREMOTE, "connect", board.url, "exec", "print(6 * 7)")
    assert answer.output == "42\r\n"


async def test_socket_urls_are_for_lines_without_rfc2217(board):
    """The same server speaks plainly with who does not negotiate."""
    url = board.url.replace("rfc2217", "socket")

    def use():
        with serial.serial_for_url(url, timeout=5) as port:
            port.write(b"\r")
            return port.read_until(b">>> ")

    assert (await asyncio.to_thread(use)).endswith(b">>> ")


async def test_a_bench_has_more_boards_than_a_user_has_descriptors_of_inotify(world):
    for _ in range(130):
        world.add_board(powered=False, blank=True)
    last = world.boards["b130"]
    with open(last.port, "rb"):
        assert last._port._terminal.is_open
    assert not last._port._terminal.is_open
