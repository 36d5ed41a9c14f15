"""`fanal volunteer` and `fanal listen --bundle` as commands; and what they leave on a disk."""

import asyncio
import base64
import json
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bleak.exc import BleakError
from click.testing import CliRunner, Result
from fanal import sealed_work
from fanal.cli import main, relaying
from fanal.cli.relaying import Relaying
from fanal.envelope import Opener
from fanal.gateway import bundle
from fanal.gateway.listener_key import ListenerKey
from fanal.gateway.locate import Fixed, Gpsd
from fanal.gateway.outbox import OUTBOX_FILE, Outbox
from fanal.gateway.relay import RelayDown
from fanal.gateway.sender import UNTRIED
from fanal.gateway.state import State
from fanal.keyring import Keyring
from fanal.radio import Patience, Radio

from tests.unit.paper_beacon import PaperBeacon
from tests.unit.paper_fleet import PaperFleet
from tests.unit.paper_relay import SEALING, PaperRelay, down
from tests.unit.paper_scanner import Scanner

RECIPIENT = Opener(SEALING).recipient


def fanal(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "h.fanal"
    bundle.write(path, bundle.make("Harbour", RECIPIENT, "https://hub.example"))
    return path


class Listening:
    """Runs `fanal listen --bundle` on a paper radio and a paper relay."""

    def __init__(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file, self.folder = file, file.parent / "state"
        self.payloads: list[bytes] = []
        self.relay: PaperRelay | None = None
        self.cut: Callable[[], Exception] | None = None
        Scanner.reset()
        init, start, tell = Radio.__init__, Scanner.start, Relaying._tell

        def with_paper(radio: Radio, **more: Any) -> None:
            more |= {"backend": Scanner, "patience": Patience(quiet_s=5, answer_s=0.5)}
            init(radio, **more)

        async def start_and_play(scanner: Scanner) -> None:
            await start(scanner)
            for payload in self.payloads:
                asyncio.get_running_loop().call_soon(Scanner.advertise, payload)

        def make_relay(_: Any, last_will: Callable[[], bytes]) -> PaperRelay:
            self.relay = PaperRelay(asyncio.get_running_loop().time)
            self.relay.cut = self.cut
            return self.relay

        def tell_and_end(run: Relaying, state: State) -> None:
            tell(run, state)
            if state.relay != UNTRIED and not self.has_ended:
                self.has_ended = True
                signal.raise_signal(signal.SIGTERM)  # as systemd ends it

        monkeypatch.setattr(Relaying, "_tell", tell_and_end)
        monkeypatch.setattr(Radio, "__init__", with_paper)
        monkeypatch.setattr(Scanner, "start", start_and_play)
        monkeypatch.setattr(relaying, "relay_for", make_relay)
        monkeypatch.setattr("fanal.gateway.gateway._TICK_S", 0.05)

    def run(self, *more: object, seconds: float = 60) -> Result:
        """Listen until it is known whether the relay is there."""
        self.has_ended = False
        return fanal("listen", "--bundle", self.file, "--state", self.folder,
                     "--seconds", seconds, *more)  # fmt: skip


@pytest.fixture
def listening(file: Path, monkeypatch: pytest.MonkeyPatch) -> Listening:
    monkeypatch.delenv("FANAL_PASSPHRASE", raising=False)
    monkeypatch.setenv("FANAL_FLEET", str(file.parent / "no-fleet"))
    return Listening(file, monkeypatch)


def test_a_volunteer_needs_neither_fleet_nor_passphrase(listening: Listening) -> None:
    listening.payloads = [PaperBeacon(1).alert(1)]
    result = listening.run("--at", "-33.9,18.4,30")
    assert result.exit_code == 0, result.output
    assert " waiting, last heard any Bluetooth 0 s ago, relay connected" in result.stdout
    assert "1 sent" in result.stdout
    assert ListenerKey.in_folder(listening.folder).name in result.stderr
    (group,) = listening.relay.groups().values()
    assert (group.position.latitude, group.position.accuracy_m) == (-33.9, 30.0)
    assert [f.payload for f in group.frames] == listening.payloads
    assert not (listening.file.parent / "no-fleet").exists()


def test_it_ends_by_itself(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    listening.cut = down
    monkeypatch.setattr(signal, "raise_signal", lambda _: None)
    assert listening.run(seconds=0.2).exit_code == 0


def test_json_is_one_object_and_jsonl_a_stream(listening: Listening) -> None:
    result = listening.run("--json")
    told = json.loads(result.stdout)
    assert (told["ok"], told["relay"], told["waiting"]) == (True, "connected", 0)
    result = listening.run("--jsonl")
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert (told[-1]["radio"], told[-1]["relay"]) == ("hearing", "connected")


def test_it_says_what_is_wrong(listening: Listening) -> None:
    listening.cut = down
    listening.payloads = [PaperBeacon(1).alert(1)]
    result = listening.run()
    assert result.exit_code == 0
    assert "What is heard waits here. It cannot be reached. Wait." in result.stderr
    assert "1 group waits to be sent, 0 sent" in result.stdout
    Scanner.failures[:] = [BleakError("no adapter")]
    listening.payloads = []
    result = listening.run()
    assert result.exit_code == 7
    assert "This listener is deaf." in result.stderr


def test_what_waited_is_sent_by_the_next_run(listening: Listening) -> None:
    listening.cut = down
    listening.payloads = [PaperBeacon(1).alert(1)]
    listening.run()
    listening.cut, listening.payloads = None, []
    result = listening.run()
    assert "0 groups wait to be sent, 1 sent" in result.stdout
    assert len(listening.relay.groups()) == 1


def test_a_second_one_in_the_same_folder_is_refused(listening: Listening) -> None:
    listening.folder.mkdir()
    outbox = Outbox(listening.folder / OUTBOX_FILE)
    result = listening.run()
    assert (result.exit_code, "Another `fanal listen`" in result.stderr) == (7, True)
    outbox.close()


@pytest.mark.parametrize(
    "more",
    [
        ("--until", "alert"), ("--passphrase-file", "x"), ("--at", "x"), ("--at", "91,0"),
        ("--gpsd", "nowhere"), ("--at", "1,2", "--gpsd", "h:1"), ("--json", "--jsonl"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense(listening: Listening, more: tuple[str, ...]) -> None:
    result = listening.run(*more)
    assert result.exit_code == 2, result.output
    assert not listening.folder.exists()


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        (("--gpsd",), Gpsd),
        (("--gpsd", "127.0.0.1:1"), Gpsd),
        (("--at", "-1,-2"), Fixed),
        ((), Fixed),
    ],
)
def test_who_says_where_it_is(
    listening: Listening, more: tuple[str, ...], kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    true = relaying.locator
    monkeypatch.setattr(relaying, "locator", lambda *asked: made.append(true(*asked)) or made[0])
    assert listening.run("--json", *more).exit_code == 0
    assert type(made[0]) is kind


@pytest.mark.parametrize("more", [("--at", "1,2"), ("--gpsd", "h:1"), ("--state", "x")])
def test_options_of_a_volunteer_alone(more: tuple[str, ...], tmp_path: Path) -> None:
    assert fanal("--fleet", tmp_path / "none", "listen", *more).exit_code == 2


def test_no_bundle_and_a_bad_one(listening: Listening) -> None:
    listening.file.write_text("{}")
    assert listening.run().exit_code == 4
    listening.file.unlink()
    assert listening.run().exit_code == 7
    assert not listening.folder.exists()


def test_nothing_on_the_disk_or_the_screen_tells_what_was_heard(listening: Listening) -> None:
    beacons = [PaperBeacon(number) for number in (1, 2)]
    listening.payloads = [b.alert(1) for b in beacons] + beacons[0].pages(1)
    listening.cut = lambda: RelayDown("It cannot be reached.", code="network")
    secrets = [SEALING, *(b.key(1) for b in beacons), *(b.public_key for b in beacons)]
    said = ""
    for more in ((), ("--json",), ("--jsonl",)):
        said += listening.run("--at", "35.8989,14.5146,7.25", *more).output
    assert len(list(listening.folder.iterdir())) >= 3
    outbox = Outbox(listening.folder / OUTBOX_FILE)
    assert len(outbox) > 0  # else there was nothing to find
    outbox.refuse([number for number, _ in outbox.next(1 << 40, 1)])
    outbox.close()
    haystack = said.encode() + b"".join(
        file.read_bytes() for file in listening.file.parent.rglob("*") if file.is_file()
    )
    needles = listening.payloads + [p[1:9] for p in listening.payloads] + secrets
    needles += [p[-8:] for p in listening.payloads]
    needles += [b.id.encode() for b in beacons] + [b"35.8989", b"14.5146", b"7.25"]
    found = [n for needle in needles for n in forms(needle) if n.lower() in haystack.lower()]
    assert found == []
    # the search finds what is there
    assert RECIPIENT.encode() in haystack
    assert [n for n in forms(b"harbour") if n.lower() in haystack.lower()]


def forms(needle: bytes) -> list[bytes]:
    """What bytes look like in a file: raw, in hex, in base64 at each of three places."""
    shifted = [
        base64.b64encode(bytes(n) + needle)[4 * bool(n) :].rstrip(b"=")[:-1] for n in range(3)
    ]
    return [needle, needle.hex().encode(), *(s[1:] for s in shifted if len(s) > 7)]


@pytest.mark.parametrize("name", ["listener.key", "outbox.db", "outbox.spare"])
def test_the_folder_is_its_owners(listening: Listening, name: str) -> None:
    listening.run()
    assert stat.S_IMODE(listening.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((listening.folder / name).stat().st_mode) == 0o600


class TestVolunteer:
    @pytest.fixture(autouse=True)
    def fleet(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PaperFleet:
        fleet = PaperFleet(tmp_path)

        class Open:
            officer = staticmethod(lambda: fleet.officer)

        monkeypatch.setattr(sealed_work, "run", sealed_work.here)
        monkeypatch.setattr(Keyring, "unlock", lambda folder, passphrase: Open)
        monkeypatch.setenv("FANAL_PASSPHRASE", "of no use")
        yield fleet
        fleet.registry.close()

    def test_a_bundle_holds_the_public_half_and_no_secret(
        self, tmp_path: Path, fleet: PaperFleet
    ) -> None:
        out = tmp_path / "b"
        result = fanal("volunteer", "bundle", "--area", "Harbour", "--relay",
                       "https://hub.example", "--out", out)  # fmt: skip
        assert result.exit_code == 0, result.output
        made = bundle.read(out)
        assert made.recipient == Opener(fleet.officer.sealing).recipient
        assert made.fingerprint in result.stdout
        secrets = (fleet.officer.root, fleet.officer.signing, fleet.officer.sealing)
        text = out.read_bytes() + result.output.encode()
        assert not [s for secret in secrets for s in forms(secret) if s.lower() in text.lower()]
        shown = fanal("volunteer", "show", out)
        assert made.fingerprint in shown.stdout
        assert json.loads(fanal("volunteer", "show", out, "--json").stdout)["area"] == "Harbour"

    @pytest.mark.parametrize(
        ("more", "exit_code"),
        [
            (("--relay", "http://hub.example"), 2),
            (("--relay", "mqtt://hub.example"), 2),
            (("--relay", "http://hub.example", "--plain"), 0),
            (("--relay", "http://127.0.0.1:8060"), 0),
            (("--relay", "mqtts://hub.example:8883"), 0),
            (("--relay", "https://u:p@hub.example"), 2),
            (("--relay", "https://hub.example", "--ca", "/nowhere"), 7),
            ((), 2),
        ],
    )
    def test_what_a_bundle_may_be(self, tmp_path: Path, more: tuple[str, ...], exit_code: int):
        out = tmp_path / "b"
        result = fanal("volunteer", "bundle", "--area", "Harbour", "--out", out, *more)
        assert result.exit_code == exit_code, result.output
        assert out.exists() == (exit_code == 0)

    def test_a_bundle_is_never_written_over(self, tmp_path: Path) -> None:
        (tmp_path / "b").write_text("mine")
        result = fanal("volunteer", "bundle", "--area", "H", "--relay", "https://h", "--out",
                       tmp_path / "b")  # fmt: skip
        assert (result.exit_code, (tmp_path / "b").read_text()) == (2, "mine")

    def test_a_unit_is_shown_or_written(self, tmp_path: Path, file: Path) -> None:
        shown = fanal("volunteer", "unit", "--bundle", file, "--at", "-33.9,18.4")
        assert shown.exit_code == 0, shown.output
        assert f"LoadCredential=bundle:{file}\n" in shown.stdout
        assert '"--at" "-33.9,18.4"' in shown.stdout
        out = tmp_path / "fanal-listen.service"
        for _ in range(2):
            again = fanal("volunteer", "unit", "--bundle", file, "--at", "-33.9,18.4", "--out", out)
            assert again.exit_code == 0
        assert out.read_text() == shown.stdout
        other = fanal("volunteer", "unit", "--bundle", file, "--out", out)
        assert (other.exit_code, out.read_text()) == (2, shown.stdout)

    @pytest.mark.parametrize("more", [("--at", "x"), ("--gpsd", "x")])
    def test_a_unit_that_would_not_start(self, file: Path, more: tuple[str, ...]) -> None:
        assert fanal("volunteer", "unit", "--bundle", file, *more).exit_code == 2
        file.write_text("{}")
        assert fanal("volunteer", "unit", "--bundle", file).exit_code == 4
