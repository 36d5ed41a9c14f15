"""The machinery of whole lives: a beacon on the virtual board, and a witness who holds its keys.

The witness hears every frame, opens it with keys that the test derives itself from E_1, and holds
the beacon to what must never happen (SPEC 1.2 and 2): `Witness` is the list.
"""

import json
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fanal import firmware_image
from fanal.sim.air import Frame
from fanal.sim.board import Board
from fanal.sim.chip import ASLEEP
from fanal.sim.flash import PARTITIONS, SECTOR
from fanal.sim.world import World
from fanal_protocol import advert, alert, frame, keys, signature, slot
from fanal_protocol.error import Refused

from tests.unit.fake_board import FIRST_KEY, SEED, retained, vault

PUBLIC_KEY = Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw()
VAULT = next(p for p in PARTITIONS if p.label == "vault")

SHORT = {
    "alert_s": 10, "event_s": 60, "self_test_s": 8, "burst_s": 4, "track_period_s": 20,
    "window_s": 5,
}  # fmt: skip
HOLD_MS = 3000
PROMPT_MS = HOLD_MS + 1500  # an alert is on air that long after the first touch
UNIT_MS = 2000
SLACK_MS = 150  # a tick of the loop and the delay of a controller
MOST_EVENTS = 40
_BLANK = b"\xff" * SECTOR
CRUMBS = 3

HOLD = ((0, 0), (20, 2000), (3600, 2000), (3650, 0))
BUMP = ((0, 0), (20, 2000), (200, 2000), (250, 0))


def pattern() -> tuple[tuple[int, int], ...]:
    """Return the force curve of an exact self-test."""
    points: list[tuple[int, int]] = []
    t_ms = 0
    for number, part_ms in enumerate((2000, 2000, 350, 2000, 2000)):
        end_ms = t_ms + part_ms
        if number % 2 == 0:
            points += [(t_ms, 0), (t_ms + 20, 2000), (end_ms, 2000), (end_ms + 20, 0)]
        t_ms = end_ms
    return tuple(points)


# --- what a beacon holds ---


@cache
def event_key(n: int) -> bytes:
    """Return E_n, by the ladder alone."""
    return FIRST_KEY if n == 1 else keys.next_event_key(event_key(n - 1))


@cache
def derived(n: int) -> tuple[bytes, bytes, bytes]:
    """Return k_rid, k_alert and k_page of event n."""
    key = event_key(n)
    return keys.rid_key(key), keys.alert_key(key), keys.page_key(key)


@cache
def event_secrets(n: int) -> tuple[bytes, ...]:
    """Return everything that opens event n: E_n, what is derived, the crumb chain's begin."""
    chain, found = keys.crumb_chain(event_key(n)), []
    for _ in range(CRUMBS):
        key, following = keys.crumb_step(chain)
        found += [chain, key]
        chain = following
    return (event_key(n), *derived(n), *found)


@cache
def rids() -> dict[bytes, tuple[int, int]]:
    """Return RID -> (n, slot), of all events that a test can reach."""
    return {
        slot.rid(derived(n)[0], s): (n, s) for n in range(1, MOST_EVENTS) for s in range(slot.SLOTS)
    }


def remains(dump: bytes, secret: bytes) -> bool:
    """Is a secret in a dump, whole or half?"""
    half = max(len(secret) // 2, 12)
    return secret[:half] in dump or secret[-half:] in dump


def written(dump: bytes) -> bytes:
    """Return a dump without its blank sectors, which hold nothing."""
    sectors = (dump[i : i + SECTOR] for i in range(0, len(dump), SECTOR))
    return b"".join(sector for sector in sectors if sector != _BLANK)


def vault_record(board: Board) -> Any:
    """Return the newest vault.Record in flash, as a thief would read it; EMPTY if none is whole."""
    found = []
    for address in range(VAULT.address, VAULT.address + VAULT.size, SECTOR):
        try:
            found.append(vault.decode(board.flash.read(address, vault.RECORD_BYTES)))
        except vault.VaultError:
            continue
    return max(found, key=lambda pair: pair[1])[0] if found else vault.EMPTY


# --- a board with it ---


@lru_cache
def image(folder: Path, settings: str | None, spoiled: str) -> Path:
    """Return a firmware folder with these settings.json, or without any if None.

    spoiled: a file of the firmware that holds garbage, or empty.
    """
    name = folder / f"image-{abs(hash((settings, spoiled)))}"
    shutil.copytree(firmware_image.locate().folder, name)
    if settings is not None:
        (name / "settings.json").write_text(settings)
    if spoiled:
        (name / spoiled).write_bytes(b"\xa5" * 500)
    return name


def install_vault(board: Board, record: Any) -> None:
    """Put a record into the vault's first sector."""
    data = vault.encode(record, 1) + bytes(4)
    os.pwrite(board.flash.fd, data, VAULT.address)


class Heard(NamedTuple):
    """One frame, opened. kind: "alert" or "page"; plain: an alert.Alert or the page's number."""

    t_ms: int
    address: bytes
    payload: bytes
    n: int
    slot: int
    kind: str
    plain: Any
    seq: int


class Witness:
    """Hears everything that one beacon sends and checks it at once; `faults` is what was wrong."""

    def __init__(self, world: World, board: Board) -> None:
        self.world, self.board = world, board
        self.heard: list[Heard] = []
        self.faults: list[str] = []
        self.causes = 0  # squeezes and cuts that no event has answered yet
        self.asked: set[int] = set()  # events that a wire may begin: self-tests, nothing else
        self._opened: dict[bytes, tuple[int, int, str, Any, int]] = {}
        self._sealed: dict[tuple[int, int, int], bytes] = {}
        self._speaker: dict[bytes, tuple[int, int]] = {}
        self._last_address = b""
        self._first_ms: dict[bytes, int] = {}
        self._unit: dict[bytes, int] = {}
        self._newest = 0
        self._looked_at = -1
        world.air.tap(self._hear)

    def _hear(self, seen: Frame) -> None:
        try:
            self._check(seen)
        except (AssertionError, Refused) as fault:
            self.faults.append(f"{seen.t_ms} ms: {fault!r}")

    def _check(self, seen: Frame) -> None:
        payload = advert.unwrap(seen.data)
        assert len(seen.data) == 31, "not 31 bytes"
        assert seen.scan_response == b"", "a scan response"
        assert seen.kind == 2, "not ADV_SCAN_IND"
        assert seen.address_type == 1, "a public address"
        assert not seen.address[0] & 0xC0, "no non-resolvable private address"
        if payload not in self._opened:
            self._opened[payload] = self._open(payload, seen.address)
        n, s, kind, plain, seq = self._opened[payload]
        heard = Heard(seen.t_ms, seen.address, payload, n, s, kind, plain, seq)
        self._check_address(heard)
        self._check_number(heard)
        if kind == "alert":
            self._check_alert(heard)
        self.heard.append(heard)
        if self._looked_at != self.board.flash.operations:
            self.check_flash()

    def _open(self, payload: bytes, address: bytes) -> tuple[int, int, str, Any, int]:
        decoded = frame.decode(payload)
        if isinstance(decoded, frame.AlertFrame):
            assert decoded.rid in rids(), "an unknown RID"
            n, s = rids()[decoded.rid]
            plain = alert.open_alert(derived(n)[1], decoded)
            seq = slot.unmasked(decoded.q, slot.mask(derived(n)[0], s))
            return n, s, "alert", plain, seq
        assert isinstance(decoded, frame.SignatureFrame), "a crumb"
        guesses = [self._speaker[address]] if address in self._speaker else []
        guesses += [(n, s) for n in (self._newest, self._newest + 1) for s in range(slot.SLOTS)]
        for n, s in guesses:
            if n < 1:
                continue
            rid, page_key = slot.rid(derived(n)[0], s), derived(n)[2]
            if signature.check(page_key, rid, decoded.page, decoded.chunk) == decoded.check:
                return n, s, "page", decoded.page, -1
        raise AssertionError("a page of no event")

    def _check_address(self, heard: Heard) -> None:
        owner = (heard.n, heard.slot)
        assert self._speaker.setdefault(heard.address, owner) == owner, (
            f"an address of {self._speaker[heard.address]} speaks for {owner}"
        )
        if heard.address != self._last_address:
            assert heard.address not in self._first_ms, "an address came back"
            self._last_address = heard.address
            self._first_ms[heard.address] = heard.t_ms
        lived_ms = heard.t_ms - self._first_ms[heard.address]
        assert lived_ms <= UNIT_MS + SLACK_MS, f"an address lived for {lived_ms} ms"
        if heard.kind == "alert":
            unit = self._unit.setdefault(heard.address, heard.seq)
            assert unit == heard.seq, "an address in two units"

    def _check_number(self, heard: Heard) -> None:
        assert heard.n >= self._newest, f"event {heard.n} after {self._newest}"
        if heard.n > self._newest:
            assert self.causes > 0, "on air without a cause"
            self.causes -= 1
            self._newest = heard.n
        record = vault_record(self.board)
        assert record.open, "on air with no event open in the vault"
        assert record.n == heard.n + 1, "on air before its commit"
        assert record.event_key == event_key(record.n), "another key in the vault"

    def _check_alert(self, heard: Heard) -> None:
        assert alert.readable(heard.plain), "an unreadable alert"
        if heard.n in self.asked:
            assert heard.plain.status & 0xF2 == 0, "asked for by wire, and no self-test"
        unit = (heard.n, heard.slot, heard.seq)
        assert self._sealed.setdefault(unit, heard.payload) == heard.payload, (
            f"two plaintexts under {unit}"
        )
        last = max(self._sealed)
        assert unit == last, f"{unit} after {last}"

    def check_flash(self) -> None:
        """No key already used, nor an earlier one, is anywhere in the whole flash."""
        self._looked_at = self.board.flash.operations
        dump, memory = written(self.board.flash_bytes()), self.board.rtc_memory()
        record = vault_record(self.board)
        for n in range(1, record.n + 1):
            for number, secret in enumerate(event_secrets(n)):
                # the next event's key must be in flash, and nothing else of any event
                if (n, number) != (record.n, 0):
                    assert not remains(dump, secret), f"secret {number} of event {n} in flash"
                # RTC memory has what opens the event that is open, but no E_n
                if n != record.n - 1 or number == 0:
                    assert not remains(memory, secret), f"secret {number} of event {n} in RTC"

    def check_rtc(self) -> None:
        """RTC memory holds no key at all."""
        memory = self.board.rtc_memory()
        for n in range(1, max(self._newest, 1) + 2):
            for secret in event_secrets(n):
                assert not remains(memory, secret), f"a secret of event {n} in RTC memory"
        assert SEED not in memory

    def alerts(self, n: int | None = None) -> list[Heard]:
        """Return the alerts heard, of event n if given."""
        return [h for h in self.heard if h.kind == "alert" and n in (None, h.n)]

    def signed(self, n: int, s: int) -> bool:
        """Were pages heard that give a valid signature of that slot?"""
        rid, page_key = slot.rid(derived(n)[0], s), derived(n)[2]
        status = next(h.plain.status for h in self.alerts(n) if h.slot == s)
        found = {
            h.plain: frame.decode(h.payload).chunk
            for h in self.heard
            if h.kind == "page" and (h.n, h.slot) == (n, s)
        }
        if len(found) < 3:
            return False
        three = {page: found[page] for page in sorted(found)[-3:]}
        made = signature.assemble(three, page_key, rid)
        Ed25519PrivateKey.from_private_bytes(SEED).public_key().verify(
            made, signature.message(n, s, rid, status)
        )
        return True


class Beacon:
    """A beacon in its world: what is done to it, and its witness."""

    def __init__(self, world: World, board: Board) -> None:
        self.world, self.board = world, board
        self.witness = Witness(world, board)

    @property
    def now_ms(self) -> int:
        """The world's time."""
        return self.world.air.now_ms()

    async def run(self, seconds: float) -> None:
        """Let time pass, and stop at the first thing that the witness saw go wrong."""
        await self.world.run_for(seconds)
        assert not self.witness.faults, self.witness.faults[:3]

    async def asleep(self, timeout_s: float = 600) -> None:
        """Wait for deep sleep."""
        await self.world.wait_until(lambda: self.board.state == ASLEEP, timeout_s)
        assert not self.witness.faults, self.witness.faults[:3]

    async def hold(self, after_s: float = 0.0) -> None:
        """Squeeze and hold; an alert that was sealed later than now must be on air in time."""
        began_ms = self.now_ms
        self.witness.causes = 1
        self.board.squeeze(HOLD)
        await self.run(PROMPT_MS / 1000)
        fresh = [h for h in self.witness.alerts() if h.t_ms > began_ms + HOLD_MS - 500]
        assert fresh, f"no alert within {PROMPT_MS} ms of a hold at {began_ms}"
        await self.run(after_s)

    async def cut(self, off_s: float = 0.5) -> None:
        """Take the battery out, and put it in again."""
        self.board.power_off()
        assert self.board.rtc_memory().count(0) == 2048
        await self.run(off_s)
        self.witness.causes = 1
        self.board.power_on()

    def record(self) -> Any:
        """Return the vault's record."""
        return vault_record(self.board)

    def kept(self) -> Any:
        """Return the record in RTC memory, or None."""
        try:
            return retained.decode(bytes(self.board.retained[: self.board.retained_size]))
        except ValueError:
            return None


@asynccontextmanager
async def beacon(
    settings: dict[str, Any] | None = None,
    record: Any = None,
    *,
    powered: bool = True,
    seed: int = 1,
    chip: str = "esp32c3",
    settings_text: str | None = "",
    spoiled: str = "",
    **world: Any,
) -> AsyncIterator[Beacon]:
    """A beacon in a world of its own, provisioned with E_1 unless `record` is another.

    settings: beside SHORT. settings_text: the file settings.json itself, None for no such file.
    spoiled: see `image`.
    """
    in_file = json.dumps(SHORT | (settings or {})) if settings_text == "" else settings_text
    folder = firmware(in_file, spoiled)
    async with World(firmware=folder, seed=seed, **world) as place:
        board = place.add_board("b1", chip, powered=False)
        install_vault(
            board, record or vault.provisioned(vault.identity(SEED, PUBLIC_KEY), FIRST_KEY)
        )
        made = Beacon(place, board)
        if powered:
            board.power_on()
        yield made
        assert not made.witness.faults, made.witness.faults[:3]


_FOLDER: list[Path] = []


def firmware(settings: str | None, spoiled: str = "") -> Path:
    """Return the image of these; `keep_images` says where."""
    return image(_FOLDER[-1], settings, spoiled)


@contextmanager
def keep_images(folder: Path) -> Iterator[None]:
    """Build images below `folder` meanwhile."""
    _FOLDER.append(folder)
    yield
    image.cache_clear()
    _FOLDER.pop()


# --- its serial line ---


class Wire:
    """A technician at the serial line, in the raw REPL, in the world's own time."""

    def __init__(self, made: Beacon) -> None:
        self._made = made
        self._at = 0

    async def attach(self) -> None:
        """Interrupt the program, enter the raw REPL."""
        self._type(b"\r\x03")
        await self._until(">>> ")
        self._type(b"\r\x01")
        await self._until("raw REPL; CTRL-B to exit\r\n>")

    async def call(self, name: str, *arguments: Any) -> dict[str, Any]:
        """Call a function of the console and return its answer."""
        self.say(name, *arguments)
        text = await self._until("\x04>")
        printed, _, trace = text.partition("OK")[2].partition("\x04")
        lines = printed.strip().splitlines()
        assert len(lines) == 1, (printed, trace)
        answer: dict[str, Any] = json.loads(lines[0])
        return answer

    def say(self, name: str, *arguments: Any) -> None:
        """Call a function of the console that may not come back."""
        said = ", ".join(map(repr, arguments))
        self._type(f"from beacon import console; console.{name}({said})\x04".encode())

    async def soft_reset(self) -> None:
        """What Ctrl-D does in the raw REPL: a new interpreter that does not run main.py."""
        self._type(b"\x04")
        await self._until("raw REPL; CTRL-B to exit\r\n>")

    def _type(self, data: bytes) -> None:
        """Type; not through the pseudo-terminal, whose delay is no part of virtual time."""
        self._at = len(self._made.board.console_text)
        self._made.board._typed(data)

    async def _until(self, end: str) -> str:
        board = self._made.board
        await self._made.world.wait_until(lambda: end in board.console_text[self._at :], 60)
        return board.console_text[self._at :]


async def attached(made: Beacon) -> Wire:
    """Attach to a beacon that is awake."""
    wire = Wire(made)
    await wire.attach()
    return wire
