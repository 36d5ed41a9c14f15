"""`fanal listen` as a command: options, streams, exit codes."""

import asyncio
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bleak.exc import BleakBluetoothNotAvailableError, BleakBluetoothNotAvailableReason, BleakError
from click.testing import CliRunner, Result
from fanal import high_water, sealed_work
from fanal.beacon_name import shown as shown_id
from fanal.cli import main
from fanal.error import FanalError
from fanal.heard import Heard
from fanal.keyring import Keyring
from fanal.radio import Patience, Radio
from fanal.registry import REGISTRY_FILE, Reservation

from tests.unit.paper_beacon import PaperBeacon, heard
from tests.unit.paper_fleet import PaperFleet
from tests.unit.paper_scanner import Scanner


class OpenKeyring:
    """A keyring that is open already: the passphrase costs two seconds."""

    def __init__(self, fleet: PaperFleet, has_officer: bool = True) -> None:
        self._fleet = fleet
        self._has_officer = has_officer

    def station(self) -> Any:
        return self._fleet.station

    def officer(self) -> Any:
        if not self._has_officer:
            raise FanalError("Not here.", code="no_secret")
        return self._fleet.officer


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
    monkeypatch.setattr(high_water, "default_folder", lambda: tmp_path / "state")
    yield fleet
    fleet.registry.close()


@pytest.fixture
def beacon(fleet: PaperFleet, tmp_path: Path) -> PaperBeacon:
    from fanal.registry import Registry

    beacon = PaperBeacon(1, fleet.station.root)
    wanted = Reservation(beacon.id, beacon.public_key, "02:00:00:00:00:01", "esp32c3", 0,
                         "shelter-3", "room 12", "fixed")  # fmt: skip
    with Registry(tmp_path / REGISTRY_FILE) as registry:
        registry.reserve(wanted)
    return beacon


def play(monkeypatch: pytest.MonkeyPatch, frames: Iterable[Heard]) -> None:
    """Have the radio hear these frames as soon as it scans, through the paper scanner."""
    queue = list(frames)
    init = Radio.__init__

    def with_paper(self: Radio, **more: Any) -> None:
        more["backend"] = Scanner
        more["patience"] = Patience(quiet_s=0.01, backoff_s=(0.01,), answer_s=0.5)
        init(self, **more)

    start = Scanner.start

    async def start_and_play(self: Scanner) -> None:
        await start(self)
        for frame in queue:
            asyncio.get_running_loop().call_soon(Scanner.advertise, frame.payload)
        queue.clear()

    monkeypatch.setattr(Radio, "__init__", with_paper)
    monkeypatch.setattr(Scanner, "start", start_and_play)


def listen(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["listen", *arguments])


def frames_of(beacon: PaperBeacon) -> list[Heard]:
    return [heard(p) for p in (beacon.alert(1), *beacon.pages(1)[:3])]


def test_until_a_signature(
    fleet: PaperFleet, beacon: PaperBeacon, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, frames_of(beacon))
    result = listen("--until", "signature", "--seconds", "20")
    assert result.exit_code == 0, result.output
    assert f"ALERT    {shown_id(beacon.id)}  shelter-3, room 12  event 1" in result.stdout
    assert "signature complete and valid" in result.stdout
    assert "Listening for 1 beacon of this fleet" in result.stderr
    assert "The radio listens" in result.stderr


def test_a_replayed_signature_is_not_waited_for(
    fleet: PaperFleet, beacon: PaperBeacon, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_a_minute_ago = heard(beacon.alert(2, 60))
    play(monkeypatch, [of_a_minute_ago, *frames_of(beacon)])
    result = listen("--until", "signature", "--seconds", "0.3")
    assert (result.exit_code, "REPLAY" in result.stdout) == (1, True), result.output


def test_json_is_one_object(
    fleet: PaperFleet, beacon: PaperBeacon, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, frames_of(beacon))
    result = listen("--until", "signature", "--seconds", "20", "--json")
    report = json.loads(result.stdout)
    (event,) = report["events"]
    assert (report["ok"], event["beacon_id"], event["kind"]) == (True, beacon.id, "ALERT")
    assert (event["signature"], event["place"]) == (True, "shelter-3, room 12")
    assert report["counts"] == {"fresh": 1, "pages": 3, "signatures": 1}


def test_jsonl_streams_everything(
    fleet: PaperFleet, beacon: PaperBeacon, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, [heard(b"abc"), *frames_of(beacon), heard(beacon.crumb_page(1, 3))])
    result = listen("--seconds", "0.3", "--jsonl")
    assert result.exit_code == 0, result.output
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [e["type"] for e in events[:8]] == [
        "radio", "refusal", "sighting", "page", "page", "page", "signature", "page",
    ]  # fmt: skip
    assert events[1]["reason"] == "length"
    assert events[1]["payload"] == "616263"
    assert events[2]["verdict"] == "fresh"
    assert events[2]["marks"] == []
    assert events[6]["signature"] == beacon.signature(1).hex()
    assert events[8]["type"] == "crumb"
    assert beacon.key(1).hex() not in result.output


def test_what_did_not_come_is_a_failure(
    fleet: PaperFleet, beacon: PaperBeacon, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, [])
    assert listen("--until", "alert", "--seconds", "0.05").exit_code == 1
    assert listen("--seconds", "0.05").exit_code == 0


def test_a_restart_knows_what_was_heard(
    fleet: PaperFleet, beacon: PaperBeacon, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, frames_of(beacon))
    assert listen("--until", "alert", "--seconds", "20").exit_code == 0
    play(monkeypatch, frames_of(beacon))
    later = listen("--until", "alert", "--seconds", "20", "--json")
    assert json.loads(later.stdout)["counts"] == {"duplicate": 1}  # after a restart, still known


def test_that_an_alert_was_heard_is_an_entry_that_nobody_signed_for(
    fleet: PaperFleet, beacon: PaperBeacon, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []
    for _ in range(2):
        play(monkeypatch, frames_of(beacon))
        said.append(listen("--until", "alert", "--seconds", "20").stderr.splitlines()[-1])
    assert said[0].endswith("not signed for yet: `fanal log checkpoint`.")
    assert "not signed for" not in said[1]  # nothing is new the second time


def test_deaf_at_the_end_is_an_exit_code_and_a_shout(
    fleet: PaperFleet, beacon: PaperBeacon, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, [])
    starts = Scanner.start

    async def once(self: Scanner) -> None:
        if Scanner.starts:
            raise BleakError("adapter 'hci0' not found")
        await starts(self)

    monkeypatch.setattr(Scanner, "start", once)
    result = listen("--seconds", "0.2")
    assert result.exit_code == 7
    assert "DEAF: The radio does not listen: adapter 'hci0' not found." in result.stderr
    assert result.stderr.count("DEAF") == 1


def test_no_bluetooth_is_one_sentence_and_a_hint(
    fleet: PaperFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, [])
    reason = BleakBluetoothNotAvailableReason.NO_BLUETOOTH
    Scanner.failures.append(BleakBluetoothNotAvailableError("none", reason))
    result = listen()
    assert result.exit_code == 7
    assert "This computer has no Bluetooth adapter." in result.stderr
    assert "--air" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--json", "--jsonl"), 2),
        (("--until", "christmas"), 2),
        (("--seconds", "0"), 2),
        (("--seconds", "-1"), 2),
        (("--air", "127.0.0.1:1", "--seconds", "1"), 7),
        (("--air", "nowhere", "--seconds", "1"), 2),
    ],
)
def test_bad_usage(fleet: PaperFleet, arguments: tuple[str, ...], code: int) -> None:
    result = listen(*arguments)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(("arguments", "code"), [((), 0), (("--seconds", "9"), 130)])
def test_ctrl_c(
    fleet: PaperFleet, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int
) -> None:
    def interrupted(work: Any) -> None:
        work.close()
        raise KeyboardInterrupt

    play(monkeypatch, [])
    monkeypatch.setattr(asyncio, "run", interrupted)
    result = listen(*arguments)
    assert result.exit_code == code
    assert "Alerts of ours: none" in result.stdout


def test_a_beacon_of_another_station_needs_the_officer(
    fleet: PaperFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fanal.registry import Registry

    beacon = PaperBeacon(2, fleet.officer.station(1).root)
    with Registry(tmp_path / REGISTRY_FILE) as registry:
        registry.reserve(Reservation(beacon.id, beacon.public_key, "02:00:00:00:00:02", "esp32",
                                     1, "depot", "", "carried"))  # fmt: skip
    play(monkeypatch, frames_of(beacon))
    assert listen("--until", "alert", "--seconds", "20").exit_code == 0
    keyring = OpenKeyring(fleet, has_officer=False)
    monkeypatch.setattr(sealed_work, "run", sealed_work.here)
    monkeypatch.setattr(Keyring, "unlock", lambda folder, passphrase: keyring)
    play(monkeypatch, frames_of(beacon))
    result = listen("--until", "alert", "--seconds", "0.3")
    assert result.exit_code == 1
    assert "1 beacon of another station cannot be recognised here" in result.stderr


def test_what_may_be_a_replay_is_marked_until_a_newer_event(
    fleet: PaperFleet, beacon: PaperBeacon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fanal.registry import Registry

    with Registry(tmp_path / REGISTRY_FILE) as registry:
        registry.raise_epoch({beacon.id: 1})
    play(monkeypatch, [heard(beacon.alert(1)), heard(beacon.alert(2))])
    result = listen("--seconds", "0.5", "--json")
    events = {one["event"]: one["marks"] for one in json.loads(result.stdout)["events"]}
    assert events == {1: ["may_be_replay"], 2: []}


def test_what_may_be_a_replay_is_said_to_a_person(
    fleet: PaperFleet, beacon: PaperBeacon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fanal.registry import Registry

    with Registry(tmp_path / REGISTRY_FILE) as registry:
        registry.raise_epoch({beacon.id: 1})
    play(monkeypatch, [heard(beacon.alert(1))])
    assert "MAY BE A REPLAY" in listen("--until", "alert", "--seconds", "20").stdout


def test_a_registry_from_yesterday_is_noticed(
    fleet: PaperFleet, beacon: PaperBeacon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yesterday = (tmp_path / REGISTRY_FILE).read_bytes()
    play(monkeypatch, [heard(beacon.alert(1))])
    first = listen("--until", "alert", "--seconds", "20")
    assert "MAY BE A REPLAY" not in first.stdout
    assert "copied back" not in first.stderr
    (tmp_path / REGISTRY_FILE).write_bytes(yesterday)
    play(monkeypatch, [heard(beacon.alert(1)), heard(beacon.alert(2))])
    result = listen("--seconds", "0.5", "--jsonl")
    told = [json.loads(line) for line in result.stdout.splitlines()]
    marks = {one["event"]: one["marks"] for one in told if one["type"] == "sighting"}
    assert marks == {1: ["may_be_replay"], 2: []}
    assert "copied back" in result.stderr


@pytest.mark.parametrize("retired", [False, True])
def test_a_revoked_beacon_is_an_alert_and_marked(
    fleet: PaperFleet, beacon: PaperBeacon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    retired: bool,
) -> None:  # fmt: skip
    from fanal.registry import Registry

    with Registry(tmp_path / REGISTRY_FILE) as registry:
        registry.revoke(beacon.id, "stolen")
        if retired:
            registry.retire(beacon.id, "not ours any more")
    frames = [*frames_of(beacon), heard(beacon.crumb_page(1, 3))]
    play(monkeypatch, frames)
    shown = listen("--until", "signature", "--seconds", "20")
    assert shown.exit_code == 0, shown.output
    opening, summary = [
        line
        for line in shown.stdout.splitlines()
        if f"{shown_id(beacon.id)} REVOKED  shelter-3" in line
    ]
    assert "ALERT" in opening
    assert "revoked: stolen" in opening
    assert summary.startswith("ALERT")
    play(monkeypatch, [heard(beacon.alert(2)), *frames])
    report = json.loads(listen("--until", "alert", "--seconds", "20", "--json").stdout)
    (event,) = report["events"]
    assert (event["kind"], event["revoked"], event["marks"]) == ("ALERT", "stolen", ["revoked"])
    play(monkeypatch, [heard(beacon.alert(3)), *(heard(p) for p in beacon.pages(3)[:3]),
                       heard(beacon.crumb_page(3, 3))])  # fmt: skip
    streamed = listen("--seconds", "0.3", "--jsonl").stdout.splitlines()
    events = [json.loads(line) for line in streamed]
    of_beacon = [event for event in events if "beacon_id" in event]
    assert {event["type"] for event in of_beacon} == {"sighting", "page", "signature", "crumb"}
    assert all(event["revoked"] == "stolen" for event in of_beacon)


def test_a_revocation_is_noticed_by_a_listener_that_runs(
    fleet: PaperFleet, beacon: PaperBeacon, tmp_path: Path
) -> None:
    from fanal.cli.sitting import Show, Sitting
    from fanal.registry import Registry

    with Registry(tmp_path / REGISTRY_FILE) as registry:
        sitting = Sitting(registry, {0: fleet.station.root}, Show.silent())
        sitting._refresh()
        assert sitting.account.revoked == {}
        registry.revoke(beacon.id, "lost")
        sitting._refresh()
        assert sitting.account.revoked == {beacon.id: "lost"}
        registry.moved(beacon.id, "depot", "")
        sitting._refresh()
        assert sitting.account.places == {beacon.id: "depot"}
