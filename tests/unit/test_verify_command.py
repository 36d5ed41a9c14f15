"""`fanal verify --air` as a command: usage, both parts in one object, exit codes, JUnit."""

import asyncio
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from bleak.exc import BleakError
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fanal import air_check, board_link, firmware_image, sealed_work, serial_port
from fanal.air_rows import Limits
from fanal.cli import main, self_test
from fanal.error import BoardLost, IntegrityError
from fanal.heard import Heard
from fanal.keyring import Keyring
from fanal.provision import Request, provision
from fanal.radio import Patience, Radio
from fanal.registry import PROVISIONED, REGISTRY_FILE, VERIFIED

from tests.unit.paper_beacon import PaperBeacon, heard
from tests.unit.paper_board import FILES, PaperBoard
from tests.unit.paper_fleet import NOW, PaperFleet
from tests.unit.paper_scanner import Scanner
from tests.unit.test_listen_command import OpenKeyring

PORT = "/dev/paper"


class Wired(PaperBoard):
    """A board at the end of a paper cable; a self-test that is asked for is said on air."""

    problem: Exception | None = None
    says_on_air: Iterable[Heard] = ()
    loop: asyncio.AbstractEventLoop | None = None
    links = 0
    is_asked = False

    def __enter__(self) -> "Wired":
        self.links += 1
        if self.problem is not None:
            raise self.problem
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_asked and self.loop:
            self.is_asked = False
            self.loop.call_soon_threadsafe(speak, self.says_on_air)

    def _begin_self_test(self) -> dict[str, Any]:
        self.is_asked = True
        return {"n": self.n}


def speak(frames: Iterable[Heard]) -> None:
    for frame in frames:
        Scanner.advertise(frame.payload, address=frame.address)


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PaperFleet]:
    Scanner.reset()
    fleet = PaperFleet(tmp_path)
    fleet.path.rename(tmp_path / REGISTRY_FILE)
    keyring = OpenKeyring(fleet)
    monkeypatch.setattr(sealed_work, "run", sealed_work.here)
    monkeypatch.setattr(Keyring, "unlock", lambda folder, passphrase: keyring)
    monkeypatch.setenv("FANAL_PASSPHRASE", "of no use")
    monkeypatch.setenv("FANAL_FLEET", str(tmp_path))
    manifest = SimpleNamespace(manifest=SimpleNamespace(files=FILES))
    monkeypatch.setattr(firmware_image, "locate", lambda: manifest)
    monkeypatch.setattr(serial_port, "find_port", lambda port: port or PORT)
    init = Radio.__init__

    def with_paper(self: Radio, **more: Any) -> None:
        init(self, **{**more, "backend": Scanner, "patience": Patience(backoff_s=(0.01,))})

    monkeypatch.setattr(Radio, "__init__", with_paper)
    yield fleet
    fleet.registry.close()


@pytest.fixture
def board(fleet: PaperFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wired:
    """A provisioned board whose self-test lasts no time, and is all said when it begins."""
    from fanal.registry import Registry

    board = Wired()
    with Registry(tmp_path / REGISTRY_FILE) as registry:
        provision(board, fleet.station, registry, Request("shelter-3"), now=lambda: NOW)
    board.calls.clear()
    paper = PaperBeacon(1, fleet.station.root)
    paper.private = Ed25519PrivateKey.from_private_bytes(board.seed)
    paper.public_key = board.public_key
    paper._keys = [board.event_key]
    frames = [paper.alert(1, status=0), *paper.pages(1, 0, 0)[:3]]
    board.says_on_air = [heard(payload, address="00:11:22:33:44:55") for payload in frames]
    monkeypatch.setattr(board_link, "BoardLink", lambda port, **_: board)

    check = air_check.air_check

    async def quick(wired: Any, *args: Any, limits: Limits, **more: Any) -> Any:
        board.loop = asyncio.get_running_loop()
        object.__setattr__(wired, "self_test_s", 0)
        limits = Limits(limits.rssi_min_dbm, limits.rssi_max_dbm, min(limits.patience_s, 0.3), 0.1)
        return await check(wired, *args, limits=limits, **more)

    monkeypatch.setattr(air_check, "air_check", quick)
    return board


def verify(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["verify", *arguments])


def one_line(text: str) -> str:
    """A table without what a narrow terminal does to it."""
    return " ".join(text.split())


def state(tmp_path: Path) -> tuple[str, int]:
    from fanal.registry import Registry

    with Registry(tmp_path / REGISTRY_FILE) as registry:
        (beacon,) = registry.beacons()
        return beacon.state, beacon.newest_event


def suites(path: Path) -> dict[str, tuple[str, str]]:
    found = ElementTree.parse(path).getroot().findall("testsuite")
    return {s.get("name", ""): (s.get("failures", ""), s.get("errors", "")) for s in found}


def test_both_parts_in_one_object(board: Wired, tmp_path: Path) -> None:
    junit = tmp_path / "v.xml"
    done = verify("--air", "--trigger", "--json", "--junit", str(junit))
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["ok"], result["next_event"], result["air"]["event"]) == (True, 1, 1)
    rows = {row["name"]: row["outcome"] for row in result["air"]["checks"]}
    assert rows.pop("address") == "warn"  # one unit, one address
    assert set(rows.values()) == {"ok"}
    assert suites(junit) == {"wired": ("0", "0"), "air": ("0", "0")}
    assert state(tmp_path) == (VERIFIED, 1)
    assert board.links == 2
    assert board.event_key.hex() not in done.output + junit.read_text()


def history(folder: Path) -> list[str]:
    """Return how the beacon was verified, each time."""
    from fanal.registry import Registry

    with Registry(folder / REGISTRY_FILE) as registry:
        (beacon,) = registry.beacons()
        return [x.detail for x in registry.custody(beacon.beacon_id) if x.what == VERIFIED]


def test_a_self_test_that_was_heard_to_its_end_is_no_open_event(
    board: Wired, tmp_path: Path
) -> None:
    from fanal.ports import by_mac
    from fanal.registry import Registry

    assert verify("--air", "--trigger").exit_code == 0
    with Registry(tmp_path / REGISTRY_FILE) as registry:
        (known,) = by_mac(registry).values()
        assert known.heard_ms is not None
        assert known.open_until_ms is not None
        assert known.open_until_ms - known.heard_ms <= 22_000


@pytest.mark.parametrize(
    ("files", "says", "exit_code", "is_told"),
    [
        ({**FILES, "main.py": "00" * 32}, {}, 4, True),
        ({}, {}, 4, True),
        (FILES, {"fanal": "0.0.9"}, 1, True),
        (FILES, {"battery_mv": 3000}, 1, False),
        ({}, {"provisioned": False}, 4, False),  # more is wrong than its files
    ],
)
def test_what_flashing_puts_right_says_so(
    board: Wired, files: dict[str, str], says: dict[str, Any], exit_code: int, is_told: bool
) -> None:
    board.files, board.says = files, says
    done = verify()
    assert done.exit_code == exit_code, done.output
    assert (f"fanal flash --port {PORT}" in one_line(done.stderr)) is is_told
    assert "Do not install this beacon" in done.stderr


def test_a_table_for_a_person(board: Wired, tmp_path: Path) -> None:
    done = verify("--air", "--trigger")
    assert done.exit_code == 0, done.output
    assert "valid under the registered key" in one_line(done.stdout)
    assert "is ready, on the wire and on air" in done.stdout
    assert history(tmp_path) == ["by wire and on air"]
    assert "✓ ok" in done.stdout
    plain = verify()  # of this board on paper no event is used up, and it shows
    assert (plain.exit_code, "is ready" in plain.stdout) == (4, False)
    assert "FAIL counter" in one_line(plain.stdout)


def test_by_hand_the_pattern_is_told(
    board: Wired, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    note = self_test.console.note

    def squeezed(text: str) -> None:
        note(text)
        if "hands off" in text:
            asyncio.get_running_loop().call_soon(speak, board.says_on_air)

    monkeypatch.setattr(self_test.console, "note", squeezed)
    done = verify("--air")
    assert done.exit_code == 0, done.output
    assert "press 2 s, let go 2 s, tap once, let go 2 s, press 2 s" in done.stderr
    assert "begin_self_test" not in board.calls
    assert board.links == 1


def test_not_squeezed_is_a_finding_with_a_hint(
    board: Wired, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(self_test.console, "note", lambda _: Scanner.advertise(None))
    done = verify("--air")
    assert done.exit_code == 1
    assert "was the pattern exact? Try again, or with --trigger" in one_line(done.stdout)
    assert state(tmp_path) == (PROVISIONED, 0)


def test_what_fails_on_the_wire_is_not_heard_on_air(board: Wired, tmp_path: Path) -> None:
    board.says = {"battery_mv": 0}
    junit = tmp_path / "v.xml"
    done = verify("--air", "--trigger", "--junit", str(junit))
    assert done.exit_code == 1
    assert "It was not heard on air, since it failed on the wire." in done.stderr
    assert suites(junit) == {"wired": ("1", "0")}
    assert not Scanner.starts
    assert json.loads(verify("--air", "--trigger", "--json").stdout)["air"] is None
    assert "begin_self_test" not in board.calls


def test_what_fails_on_air_is_not_proven(board: Wired, tmp_path: Path) -> None:
    done = verify("--air", "--trigger", "--rssi-min", "-50", "--json")
    assert done.exit_code == 1
    result = json.loads(done.stdout)
    assert not result["ok"]
    failed = [row["name"] for row in result["air"]["checks"] if row["outcome"] == "fail"]
    assert failed == ["rssi"]
    assert state(tmp_path) == (PROVISIONED, 1)


def test_a_deaf_radio_is_an_error_and_no_failure(board: Wired, tmp_path: Path) -> None:
    junit = tmp_path / "v.xml"
    Scanner.failures.append(BleakError("adapter 'hci0' not found"))
    done = verify("--air", "--trigger", "--json", "--junit", str(junit))
    assert done.exit_code == 7, done.output
    result = json.loads(done.stdout)
    assert (result["ok"], result["air"]["exit_code"]) == (False, 7)
    assert {row["outcome"] for row in result["checks"]} == {"ok"}
    assert suites(junit) == {"wired": ("0", "0"), "air": ("0", "1")}
    assert 'type="INFRA"' in junit.read_text()
    assert "begin_self_test" not in board.calls
    assert state(tmp_path) == (PROVISIONED, 0)
    Scanner.failures.append(BleakError("adapter 'hci0' not found"))
    for_a_person = verify("--air", "--trigger")
    assert "adapter 'hci0' not found" in for_a_person.stderr
    assert "is ready" not in for_a_person.stdout


def test_a_dead_cable_is_an_error_in_the_file(board: Wired, tmp_path: Path) -> None:
    junit = tmp_path / "v.xml"
    board.problem = BoardLost("The board on /dev/paper does not answer.", code="no_answer")
    done = verify("--junit", str(junit), "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["error"] == "no_answer"
    assert suites(junit) == {"wired": ("0", "1")}


def test_a_wrong_passphrase_disturbs_no_beacon(
    board: Wired, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object) -> None:
        raise IntegrityError("The passphrase is wrong.")

    monkeypatch.setattr(sealed_work, "run", sealed_work.here)
    monkeypatch.setattr(Keyring, "unlock", wrong)
    assert verify("--air", "--trigger").exit_code == 4
    assert board.links == 0
    assert verify().exit_code == 0, "the wire alone needs no passphrase"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--trigger",), ("--air-from", "127.0.0.1:1"), ("--adapter", "hci0"), ("--air-wait", "5"),
        ("--air", "--rssi-min", "-20", "--rssi-max", "-60"), ("--air", "--rssi-min", "loud"),
        ("--air", "--air-wait", "0"), ("--junit", "/nowhere/at/all.xml"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_bad_usage_disturbs_no_beacon(board: Wired, arguments: tuple[str, ...]) -> None:
    done = verify(*arguments)
    assert done.exit_code == 2, done.output
    assert board.links == 0
