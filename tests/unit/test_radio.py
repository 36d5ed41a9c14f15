"""The ears over a scanner that fails in every way a scanner can."""

import asyncio
import builtins
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakDBusError,
    BleakError,
)
from fanal.heard import Heard
from fanal.radio import DEAF, HEARING, QUIET, Patience, Radio, RadioState, RadioUnavailable

from tests.unit.jumping_loop import run
from tests.unit.paper_scanner import OURS, Scanner


@pytest.fixture(autouse=True)
def _clean_air() -> None:
    Scanner.reset()


def in_jumping_time(
    test: Callable[[], Coroutine[Any, Any, None]],
) -> Callable[[], None]:
    def wrapped() -> None:
        run(test())

    wrapped.__name__ = test.__name__
    return wrapped


def ears(**more: Any) -> Radio:
    now_ms = lambda: int(1000 * asyncio.get_running_loop().time())  # noqa: E731
    return Radio(backend=Scanner, now_ms=now_ms, **more)


async def state(radio: Radio) -> str:
    item = await anext(radio)
    assert isinstance(item, RadioState), item
    assert item.reason.endswith(".")
    return item.kind


@in_jumping_time
async def test_what_is_ours_arrives_and_the_rest_is_counted() -> None:
    async with ears() as radio:
        assert await state(radio) == HEARING
        Scanner.advertise(b"\x20abc", rssi=127)
        Scanner.advertise(b"x", uuid="0000feaa-0000-1000-8000-00805f9b34fb")
        Scanner.advertise()
        Scanner.advertise(uuids=(OURS,))
        Scanner.advertise(b"", uuids=(OURS,))
        heard = await anext(radio)
        assert heard == Heard(b"\x20abc", None, 1_000_000, "AA:BB")
        assert (await anext(radio)).payload == b""
        assert radio.counts == {"adverts": 5, "foreign": 2, "malformed": 1}
    assert not Scanner.running


@in_jumping_time
async def test_a_slow_reader_loses_the_newest_and_it_is_counted() -> None:
    async with ears(queue_length=3) as radio:
        for i in range(5):
            Scanner.advertise(bytes([i]))
        assert radio.counts["overflow"] == 3  # the state waits there too
        assert await state(radio) == HEARING
        assert [(await anext(radio)).payload for _ in range(2)] == [b"\0", b"\1"]
        Scanner.advertise(b"\7")
        assert (await anext(radio)).payload == b"\7"


@in_jumping_time
async def test_quiet_air_is_said_once_and_the_scanner_is_doubted() -> None:
    async with ears(patience=Patience(quiet_s=30)) as radio:
        assert await state(radio) == HEARING
        assert await state(radio) == QUIET
        await asyncio.sleep(29)  # restarted at once, and again after 60 s, not 30
        assert (radio.counts["restarts"], len(Scanner.running)) == (1, 1)
        await asyncio.sleep(1000)
        assert radio.counts["restarts"] == 6  # at 30, 90, 210, 450, 750, 1050 s
        Scanner.advertise()
        assert await state(radio) == HEARING
        assert await state(radio) == QUIET


@in_jumping_time
async def test_a_radio_that_fails_is_deaf_until_it_is_back() -> None:
    async with ears() as radio:
        assert await state(radio) == HEARING
        Scanner.failures += [BleakError("adapter 'hci0' not found"), OSError(5, "gone"), None]
        assert await state(radio) == QUIET
        item = await anext(radio)
        assert isinstance(item, RadioState)
        assert item.kind == DEAF
        assert "adapter 'hci0' not found" in item.reason
        assert await state(radio) == HEARING
        assert not Scanner.failures
        Scanner.advertise(b"\x20")
        assert (await anext(radio)).payload == b"\x20"
    assert not Scanner.running


@in_jumping_time
async def test_attempts_come_further_apart_and_never_end() -> None:
    async with ears() as radio:
        await state(radio)
        Scanner.failures += [BleakError("gone")] * 1000
        assert [await state(radio), await state(radio)] == [QUIET, DEAF]
        await asyncio.sleep(3600)
        assert 100 < Scanner.starts < 130


@in_jumping_time
async def test_a_scan_is_refreshed_even_on_a_busy_air() -> None:
    async with ears() as radio:
        await state(radio)
        for _ in range(800):
            Scanner.advertise()
            await asyncio.sleep(10)
        assert radio.counts["restarts"] == 2
        assert not radio._queue  # nobody had to know


class System:
    """The system's Bluetooth, as far as the radio watches it."""

    def __init__(self) -> None:
        self.changed: Callable[[], None] = lambda: None
        self.is_watched = False

    async def watch(self, changed: Callable[[], None]) -> None:
        self.changed, self.is_watched = changed, True
        try:
            await asyncio.Event().wait()
        finally:
            self.is_watched = False


@in_jumping_time
async def test_an_adapter_that_goes_is_noticed_at_once_and_so_is_its_return() -> None:
    system = System()
    async with ears(watch=system.watch) as radio:
        assert await state(radio) == HEARING
        await asyncio.sleep(1)
        Scanner.failures += [BleakError("No Bluetooth adapters found.")] * 8
        began_s = asyncio.get_running_loop().time()
        system.changed()
        assert await state(radio) == DEAF
        assert asyncio.get_running_loop().time() == began_s
        await asyncio.sleep(20)  # far between two attempts
        assert len(Scanner.failures) == 1
        assert not Scanner.running
        back_s = asyncio.get_running_loop().time()
        system.changed()  # it is there, and not ready yet
        assert await state(radio) == HEARING
        assert asyncio.get_running_loop().time() == back_s + 1
    assert not Scanner.running
    assert not system.is_watched


@in_jumping_time
async def test_a_change_that_does_not_end_the_scan_is_no_news() -> None:
    system = System()
    async with ears(watch=system.watch) as radio:
        assert await state(radio) == HEARING
        await asyncio.sleep(1)
        system.changed()
        await asyncio.sleep(1)
        assert (radio.counts["restarts"], len(Scanner.running)) == (1, 1)
        assert not radio._queue


@in_jumping_time
async def test_what_bluez_takes_back_is_not_heard_again() -> None:
    async with ears() as radio:
        await state(radio)
        Scanner.advertise(b"\x20abc", rssi=-60)
        Scanner.advertise(b"\x20abc", rssi=-127)
        Scanner.advertise(b"\x20abc", rssi=-127, address="CC:DD")  # never heard before: it is news
        Scanner.advertise(b"\x20abd", rssi=-127)
        Scanner.advertise(b"\x20abd", rssi=127)
        heard = [await anext(radio) for _ in range(4)]
        assert [(item.payload[-1:], item.rssi_dbm, item.address) for item in heard] == [
            (b"c", -60, "AA:BB"), (b"c", None, "CC:DD"), (b"d", None, "AA:BB"),
            (b"d", None, "AA:BB"),
        ]  # fmt: skip
        assert radio.counts["stale"] == 1


@in_jumping_time
async def test_what_is_remembered_of_addresses_is_bounded() -> None:
    async with ears(queue_length=10_000) as radio:
        for i in range(1000):
            Scanner.advertise(b"\x20", address=str(i))
        assert len(radio._latest) <= 256
        assert "999" in radio._latest


@in_jumping_time
async def test_leaving_while_a_start_hangs_stops_everything() -> None:
    async with ears() as radio:
        await state(radio)
        Scanner.failures += [None]
        assert await state(radio) == QUIET
        await asyncio.sleep(1)
    assert not Scanner.running


Reason = BleakBluetoothNotAvailableReason


@pytest.mark.parametrize(
    ("failure", "sentence", "hint"),
    [
        (BleakBluetoothNotAvailableError("x", Reason.POWERED_OFF), "switched off", "on"),
        (BleakBluetoothNotAvailableError("x", Reason.NO_BLUETOOTH), "no Bluetooth", "--air"),
        (BleakBluetoothNotAvailableError("x", Reason.DENIED_BY_SYSTEM), "may not", "Allow"),
        (BleakBluetoothNotAvailableError("x", Reason.UNKNOWN), "cannot listen", "--air"),
        (PermissionError(13, "denied"), "may not", "Allow"),
        (FileNotFoundError(2, "no bus"), "does not answer", "systemctl"),
        (ConnectionRefusedError(111, "refused"), "does not answer", "systemctl"),
        (BleakError("adapter 'hci7' not found"), "adapter 'hci7' not found", "--adapter"),
        (
            BleakDBusError("org.freedesktop.DBus.Error.ServiceUnknown", ["not provided"]),
            "does not answer",
            "systemctl",
        ),
        (
            BleakDBusError("org.freedesktop.DBus.Error.Spawn.ChildExited", ["Launch helper"]),
            "does not answer",
            "systemctl",
        ),
        (BleakDBusError("org.bluez.Error.InProgress", ["Busy."]), "says: Busy", "--adapter"),
        (BleakDBusError("org.bluez.Error.Failed", []), "says: Failed", "--adapter"),
        (None, "in time", "on"),
    ],
)
def test_a_first_scan_that_cannot_start_is_a_sentence(
    failure: Exception | None, sentence: str, hint: str
) -> None:
    async def enter() -> None:
        Scanner.failures.append(failure)  # type: ignore[arg-type]
        async with ears():
            pass

    with pytest.raises(RadioUnavailable) as caught:
        run(enter())
    assert (caught.value.exit_code, caught.value.code) == (7, "radio")
    assert sentence in caught.value.sentence
    assert hint in caught.value.hint
    assert caught.value.sentence.count(".") == 1


def test_without_bleak_it_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name == "bleak":
            raise ModuleNotFoundError(name)
        return found(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)

    async def enter() -> None:
        async with ears():
            pass

    with pytest.raises(RadioUnavailable, match="bleak") as caught:
        run(enter())
    assert "fanal[listener]" in caught.value.hint
