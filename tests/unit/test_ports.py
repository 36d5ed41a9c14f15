"""What is attached: nothing is opened to list it, and no device can spoil the list."""

import json
import os
import subprocess
import sys
import threading

import pytest
from click.testing import CliRunner
from fanal import ports as ports_module
from fanal import probe as probe_module
from fanal.cli import main
from fanal.error import BoardLost, DeviceError, EnvironmentFault
from fanal.ports import answered, by_mac, ports, spared
from fanal.probe import BLANK, NO_ANSWER, NOT_ASKED, Answer, ask_board, probe
from fanal.registry import Reservation
from fanal.serial_port import Attached
from fanal_protocol import alert, keys

from tests.unit import fake_board
from tests.unit.paper_board import PaperBoard
from tests.unit.paper_repl import PaperRepl

C3 = Attached("/dev/ttyACM0", "USB JTAG", "02:00:00:00:00:01", 0x303A, 0x1001, "02:00:00:00:00:01")
CP = Attached("/dev/ttyUSB0", "CP2102", "0001", 0x10C4, 0xEA60)
NOW_MS = 1_800_000_000_000


def registered(fleet, number=1, mac=C3.mac, settings=None, profile="fixed"):
    """Register a beacon on a board and return its id."""
    public_key = bytes([number]) * 32
    beacon_id = keys.beacon_id(public_key)
    fleet.registry.reserve(
        Reservation(beacon_id, public_key, mac, "ESP32C3", 0, "shelter-3", "room 12", profile),
        replace=True,
    )
    where = {"site": "shelter-3", "place": "room 12", "profile": profile}
    fleet.registry.provisioned(beacon_id, b"", settings=settings or {"event_s": 3600}, **where)
    return beacon_id


def heard(fleet, beacon_id, ago_s, event=1, verdict="fresh", activation=None, age_s=2):
    fleet.registry.record_sighting(
        beacon_id, event, slot=0, seq=age_s // 2, t_ms=NOW_MS - ago_s * 1000, verdict=verdict,
        activation=activation,
    )  # fmt: skip


def listed(fleet, *attached, holder=lambda _: None):
    return ports(fleet and fleet.registry, attached=lambda: attached, holder=holder)


# -- without asking


def test_a_port_that_names_its_mac_is_looked_up(fleet):
    beacon_id = registered(fleet)
    c3, cp = listed(fleet, C3, CP)
    assert (c3.known.beacon_id, c3.known.site, c3.known.place) == (
        beacon_id, "shelter-3", "room 12",
    )  # fmt: skip
    assert cp.known is None


def test_without_a_fleet_the_rest_of_the_list_is_there():
    (c3,) = listed(None, C3, holder=lambda port: f"process 7 (picocom) has {port}")
    assert c3.known is None
    assert c3.holder == "process 7 (picocom) has /dev/ttyACM0"


def test_the_identity_that_counts_goes_before_a_retired_one(fleet):
    registered(fleet, 1)
    newer = registered(fleet, 2)  # retires the first
    assert by_mac(fleet.registry)[C3.mac].beacon_id == newer
    fleet.registry.retire(newer, "worn")
    assert by_mac(fleet.registry)[C3.mac].beacon_id == newer


def test_an_event_of_an_identity_that_was_retired_counts_too(fleet):
    older = registered(fleet, 1)
    heard(fleet, older, 60)
    newer = registered(fleet, 2)
    known = by_mac(fleet.registry)[C3.mac]
    assert known.beacon_id == newer
    assert known.may_be_open(NOW_MS)


def test_a_revoked_beacon_says_so(fleet):
    beacon_id = registered(fleet)
    fleet.registry.revoke(beacon_id, "stolen")
    assert listed(fleet, C3)[0].known.revoked == "stolen"


@pytest.mark.parametrize(
    ("settings", "profile", "ago_s", "is_open"),
    [
        ({"event_s": 3600}, "fixed", 3599, True),
        ({"event_s": 3600}, "fixed", 3600, False),
        ({"event_s": 10}, "fixed", 11, False),
        ({"event_s": 86400}, "fixed", 86399, True),
        ({"event_s": "long"}, "fixed", 3599, True),
        ({"other": 1}, "fixed", 3599, True),
        ({"event_s": 10}, "carried", 86399, True),
        ({"event_s": 10}, "carried", 86400, False),
        ({"event_s": 10}, "fixed", -999, True),  # a clock that is wrong: in doubt it goes on
    ],
)
def test_until_when_an_event_may_go_on(fleet, settings, profile, ago_s, is_open):
    beacon_id = registered(fleet, settings=settings, profile=profile)
    heard(fleet, beacon_id, ago_s)
    assert listed(fleet, C3)[0].known.may_be_open(NOW_MS) is is_open


def test_the_newest_sighting_counts_and_a_replay_does_not(fleet):
    beacon_id = registered(fleet)
    heard(fleet, beacon_id, 7200, event=1)
    heard(fleet, beacon_id, 10, event=1, verdict="replay")
    assert not listed(fleet, C3)[0].known.may_be_open(NOW_MS)
    heard(fleet, beacon_id, 100, event=2)
    heard(fleet, beacon_id, 7000, event=3)
    assert listed(fleet, C3)[0].known.may_be_open(NOW_MS)


@pytest.mark.parametrize(
    ("settings", "activation", "age_s", "ago_s", "is_open"),
    [
        ({"self_test_s": 20}, alert.SELF_TEST, 4, 17, True),
        ({"self_test_s": 20}, alert.SELF_TEST, 4, 18, False),
        ({"self_test_s": 20}, alert.SELF_TEST, 20, 3, False),
        ({"self_test_s": 20}, alert.SELF_TEST, 30, 1, True),
        ({"self_test_s": "long"}, alert.SELF_TEST, 0, 22, False),
        ({"self_test_s": 20}, alert.HOLD, 4, 3599, True),
        ({"self_test_s": 20}, 7, 4, 3599, True),
        ({"self_test_s": 20}, None, 4, 3599, True),  # of an older release: in doubt it goes on
    ],
)
def test_a_self_test_ends_whoever_heard_it(fleet, settings, activation, age_s, ago_s, is_open):
    beacon_id = registered(fleet, settings=settings)
    heard(fleet, beacon_id, ago_s, activation=activation, age_s=age_s)
    assert listed(fleet, C3)[0].known.may_be_open(NOW_MS) is is_open


def test_a_self_test_ends_the_event_before_it_and_not_the_one_after_it(fleet):
    beacon_id = registered(fleet, settings={"self_test_s": 20})
    heard(fleet, beacon_id, 300, event=1, activation=alert.HOLD)
    heard(fleet, beacon_id, 60, event=2, activation=alert.SELF_TEST)
    assert not listed(fleet, C3)[0].known.may_be_open(NOW_MS)
    heard(fleet, beacon_id, 50, event=3, activation=alert.HOLD)
    assert listed(fleet, C3)[0].known.may_be_open(NOW_MS)


def test_a_clock_that_went_back_ends_nothing(fleet):
    beacon_id = registered(fleet, settings={"self_test_s": 20})
    heard(fleet, beacon_id, 300, event=2, activation=alert.HOLD)
    heard(fleet, beacon_id, 60, event=1, activation=alert.SELF_TEST)
    assert listed(fleet, C3)[0].known.may_be_open(NOW_MS)


def test_the_length_of_an_event_is_that_of_the_firmware():
    assert fake_board.Settings({}).event_s == ports_module._EVENT_S
    assert fake_board.Settings({}).self_test_s == ports_module._SELF_TEST_S
    assert fake_board.event.LAST_MS == ports_module._CARRIED_S * 1000


OPENS = """
import json, sys
opened = []
def audit(event, args):
    if event in ("open", "socket.connect", "socket.connect_ex"):
        opened.append(repr(args))
sys.addaudithook(audit)
from fanal.cli import main
try:
    main(sys.argv[2:])
except SystemExit:
    pass
with open(sys.argv[1], "w") as file:
    json.dump(opened, file)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("words", "is_opened"), [((), False), (("--probe", "--yes"), True)])
def test_listing_opens_no_port_and_asking_does(tmp_path, words, is_opened):
    """The second case shows that the first could fail."""
    with PaperRepl(tmp_path, lambda _: (b"", b"")) as repl:
        url = "rfc2217://127.0.0.1:9"
        done = subprocess.run(
            [sys.executable, "-c", OPENS, str(tmp_path / "opened"), "--fleet", str(tmp_path / "f"),
             "ports", "--json", *words],
            env={**os.environ, "FANAL_PORTS": f"{repl.port} {url}"},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
        )  # fmt: skip
        opened = json.loads((tmp_path / "opened").read_text())
        names = (repl.port, os.path.realpath(repl.port), "127.0.0.1")
        touched = [one for one in opened if any(name in one for name in names)]
        rows = json.loads(done.stdout)["ports"]
        assert [row["port"] for row in rows] == [repl.port, url]
    assert bool(touched) is is_opened
    assert len(opened) > 0


# -- who is spared


def test_a_port_in_use_is_not_opened(fleet):
    (cp,) = listed(fleet, CP, holder=lambda _: "process 7 (picocom)")
    answer = spared(cp, NOW_MS, disturb=True)
    assert (answer.state, answer.code) == (NOT_ASKED, "port_busy")
    assert "process 7 (picocom)" in answer.problem


def test_a_beacon_in_an_event_is_spared_unless_one_insists(fleet):
    beacon_id = registered(fleet)
    (quiet,) = listed(fleet, C3)
    assert spared(quiet, NOW_MS) is None
    heard(fleet, beacon_id, 60)
    (busy,) = listed(fleet, C3)
    assert spared(busy, NOW_MS).code == "in_event"
    assert "--disturb" in spared(busy, NOW_MS).hint
    assert spared(busy, NOW_MS, disturb=True) is None


# -- what the registry says to an answer


def told(fleet, answer, attached=CP):
    (port,) = answered(listed(fleet, attached), {attached.port: answer}, fleet and fleet.registry)
    return port


def test_an_answer_names_the_beacon_that_no_usb_number_named(fleet):
    beacon_id = registered(fleet)
    port = told(fleet, Answer("Fanal 0.1.0", mac=C3.mac, beacon_id=beacon_id, is_provisioned=True))
    assert (port.known.beacon_id, port.remark) == (beacon_id, "")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"mac": "02:00:00:00:00:09", "beacon_id": None}, "on another board, 02:00:00:00:00:01"),
        ({"mac": C3.mac, "beacon_id": "AAAAAAAA"}, "on this board, not this identity"),
        ({"mac": "02:00:00:00:00:09", "beacon_id": "AAAAAAAA"}, "not in this fleet's registry"),
        ({"mac": C3.mac, "beacon_id": "", "is_provisioned": False}, "which holds no identity"),
    ],
)
def test_board_and_registry_disagree(fleet, answer, words):
    beacon_id = registered(fleet)
    if answer["beacon_id"] is None:
        answer = {**answer, "beacon_id": beacon_id}
    answer["beacon_id"] = answer["beacon_id"] or None
    assert words in told(fleet, Answer("Fanal 0.1.0", **answer)).remark


def test_without_a_registry_there_is_nothing_to_disagree_with():
    assert told(None, Answer("Fanal 0.1.0", mac=C3.mac, beacon_id="AAAAAAAA")).remark == ""


def test_a_retired_board_without_identity_is_as_it_should_be(fleet):
    fleet.registry.retire(registered(fleet), "worn")
    answer = Answer("Fanal 0.1.0", mac=C3.mac, is_provisioned=False)
    assert told(fleet, answer).remark == ""


def test_a_port_that_was_not_asked_stays_as_it_is(fleet):
    before = listed(fleet, C3, CP)
    assert answered(before, {}, fleet.registry) == before


# -- asking, side by side


def test_one_bad_device_never_spoils_the_list():
    release = threading.Event()

    def ask(port):
        match port:
            case "hangs":
                release.wait()
            case "lost":
                raise BoardLost("It is gone.", "Plug it in.", code="unplugged")
            case "forbidden":
                raise EnvironmentFault("You may not.", "Join.", code="permission")
            case "odd":
                raise ZeroDivisionError("the key is 5ec7e7")
            case "none":
                return None
        return Answer("Fanal 0.1.0")

    found = probe(["hangs", "lost", "forbidden", "odd", "none", "good"], ask, limit_s=0.3)
    release.set()
    assert {port: answer.code for port, answer in found.items()} == {
        "hangs": "hangs", "lost": "unplugged", "forbidden": "permission", "odd": "unexpected",
        "none": "hangs", "good": "",
    }  # fmt: skip
    assert found["good"].state == "Fanal 0.1.0"
    assert all(answer.problem for port, answer in found.items() if port != "good")
    assert "5ec7e7" not in repr(found)


HANGS = """
import threading
from fanal.probe import probe
print(probe(["x"], lambda _: threading.Event().wait(), limit_s=0.1)["x"].code)
"""


def test_a_device_that_hangs_keeps_no_command_from_ending():
    done = subprocess.run(
        [sys.executable, "-c", HANGS], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "hangs\n"


def test_they_are_asked_all_at_once():
    together = threading.Barrier(20)

    def ask(port):
        together.wait(timeout=10)  # each waits until all are being asked
        return Answer(port)

    names = [str(number) for number in range(20)]
    assert [answer.state for answer in probe(iter(names), ask).values()] == names


def test_ctrl_c_waits_for_the_boards_to_be_handed_back(monkeypatch):
    done = []
    go_on = threading.Event()

    def ask(port):
        go_on.wait(10)
        done.append(port)
        return Answer(port)

    waits = []

    def wait(threads, deadline):
        waits.append(1)
        if len(waits) == 1:
            raise KeyboardInterrupt
        go_on.set()
        for thread in threads:
            thread.join(10)

    monkeypatch.setattr(probe_module, "_wait", wait)
    with pytest.raises(KeyboardInterrupt):
        probe(["a", "b"], ask)
    assert sorted(done) == ["a", "b"]


def test_nothing_to_ask():
    assert probe([], lambda _: pytest.fail("asked")) == {}


# -- asking one board, on a serial line


@pytest.fixture
def impatient(monkeypatch):
    from fanal import repl

    monkeypatch.setattr(repl, "READ_S", 0.3)
    monkeypatch.setattr(repl, "RAW_PROMPT_S", 0.3)
    monkeypatch.setattr(repl, "_RESET_S", 0.3)
    monkeypatch.setattr(repl, "_GREETING_S", 0.1)
    monkeypatch.setattr("fanal.board_link._LEAVE_S", 0.3)
    monkeypatch.setattr(probe_module, "_ATTACH_S", 0.3)
    monkeypatch.setattr(probe_module, "_ANSWER_S", 0.5)


LOOKED = {"machine": "Paper with ESP32C3", "banner": "3.4.0; MicroPython v1.28.0 on 2026-04-06",
          "mac": "020000000001"}  # fmt: skip


def board_that(status=None, looked=LOOKED):
    """Answer as a MicroPython does, with Fanal on it if there is a status."""

    def answer(code):
        if "sys.version" in code:
            return json.dumps(looked).encode() + b"\r\n", b""
        if "console.status()" in code and status is not None:
            return json.dumps({"ok": True, **status}).encode() + b"\r\n", b""
        if "console.leave()" in code and status is not None:
            return b'{"ok": true}\r\n', b""
        return (
            b"",
            b"Traceback (most recent call last):\r\nImportError: no module named 'beacon'\r\n",
        )

    return answer


def asked(tmp_path, answer, identify=None):
    with PaperRepl(tmp_path, answer) as repl:
        return ask_board(repl.port, identify)


def test_a_fanal_board(tmp_path, impatient):
    board = PaperBoard()
    board._create_identity()
    board._provision("11" * 32)
    board.says = {"event": {"n": 3, "activation": 1, "drill": False, "age_s": 30}}
    answer = asked(tmp_path, board_that(board._status()))
    assert answer == Answer(
        "Fanal 0.1.0", "ESP32-C3", C3.mac, True, keys.beacon_id(board.public_key),
        {"n": 3, "activation": 1, "drill": False, "age_s": 30},
    )  # fmt: skip


def test_a_fanal_board_is_handed_back_to_its_loop(tmp_path, impatient):
    with PaperRepl(tmp_path, board_that(PaperBoard()._status())) as repl:
        answer = ask_board(repl.port)
        assert "console.leave()" in repl.ran[-1]
    assert (answer.is_provisioned, answer.problem) == (False, "")


def test_a_micropython_without_fanal_is_no_failure(tmp_path, impatient):
    assert asked(tmp_path, board_that()) == Answer("MicroPython 1.28.0", "ESP32-C3", C3.mac)


def test_a_micropython_that_is_no_esp32(tmp_path, impatient):
    looked = {"machine": "linux [GCC]\x1b[2J", "banner": "3.4.0; MicroPython v1.28.0 on 2026"}
    answer = asked(tmp_path, board_that(looked=looked))
    assert (answer.state, answer.mac, answer.problem) == ("MicroPython 1.28.0", None, "")
    assert "\x1b" not in answer.chip


@pytest.mark.parametrize("output", [b"\r\n", b"[]\r\n", b"\xff\xfe", b"{}\r\n", b'{"mac": 7}\r\n'])
def test_garbage_is_said_to_be_garbage(tmp_path, impatient, output):
    answer = asked(tmp_path, lambda code: (output, b""))
    assert answer.state == NO_ANSWER
    assert answer.problem


@pytest.mark.parametrize("field", ["event", "settings", "vault", "faults", "public_key"])
def test_a_status_that_makes_no_sense_keeps_what_is_known(tmp_path, impatient, field):
    status = {**PaperBoard()._status(), field: 3.5}
    answer = asked(tmp_path, board_that(status))
    assert (answer.state, answer.mac) == ("MicroPython 1.28.0", C3.mac)
    assert answer.code == "garbage"


def test_silence(tmp_path, impatient):
    with PaperRepl(tmp_path, lambda _: None) as repl:
        repl.is_deaf = True
        answer = ask_board(repl.port)
    assert (answer.state, answer.code) == (NO_ANSWER, "no_answer")


def test_a_board_that_vanishes_while_it_is_asked(tmp_path, impatient):
    repl = PaperRepl(tmp_path, lambda _: repl.unplug() or (b"", b""))
    with repl:
        answer = ask_board(repl.port)
    assert (answer.state, answer.code) == (NO_ANSWER, "unplugged")


def test_a_port_that_is_not_there_is_not_asked(tmp_path, impatient):
    answer = ask_board(str(tmp_path / "none"), lambda _: pytest.fail("asked its ROM"))
    assert (answer.state, answer.code) == (NOT_ASKED, "no_port")


def test_the_rom_is_asked_only_of_a_board_without_a_prompt(tmp_path, impatient):
    def found(_):
        return "ESP32-C3", C3.mac

    with PaperRepl(tmp_path, lambda _: None) as repl:
        repl.is_deaf = True
        answer = ask_board(repl.port, found)
    assert (answer.state, answer.chip, answer.mac) == (NO_ANSWER, "ESP32-C3", C3.mac)
    assert answer.code == "rom_only"
    (tmp_path / "other").mkdir()
    assert asked(tmp_path / "other", board_that(), lambda _: pytest.fail("asked its ROM"))


def test_a_board_that_only_slept_is_asked_again_after_its_reset(tmp_path, impatient):
    status = PaperBoard()._status()
    with PaperRepl(tmp_path, board_that(status)) as repl:
        repl.is_deaf = True

        def reset(_):
            repl.is_deaf = False
            return "ESP32-C3", C3.mac

        answer = ask_board(repl.port, reset)
    assert (answer.state, answer.mac, answer.problem) == ("Fanal 0.1.0", C3.mac, "")


def test_a_rom_that_does_not_answer_either(tmp_path, impatient):
    def fails(_):
        raise DeviceError("The chip does not answer.", "Hold BOOT.", code="no_rom")

    with PaperRepl(tmp_path, lambda _: None) as repl:
        repl.is_deaf = True
        answer = ask_board(repl.port, fails)
    assert (answer.code, answer.hint) == ("no_rom", "Hold BOOT.")


def test_a_blank_board_is_blank_and_no_problem(impatient, monkeypatch):
    def attach(*_, **__):
        raise DeviceError("It has nothing to run.", "Flash it.", code="nothing_to_run")

    monkeypatch.setattr("fanal.board_link.BoardLink", attach)
    answer = ask_board("/dev/x", lambda _: ("ESP32-S3", C3.mac))
    assert answer == Answer(BLANK, "ESP32-S3", C3.mac, hint="Flash it.", code="nothing_to_run")


# -- the command


@pytest.fixture
def bench(monkeypatch, fleet):
    """A fleet in its folder, and ports that a test chooses; returns run(*words)."""
    attached, answers = [], {}
    monkeypatch.setattr("fanal.serial_port.attached", lambda: attached)
    monkeypatch.setattr(ports_module.ports, "__kwdefaults__",
                        {"attached": lambda: attached, "holder": lambda _: None})  # fmt: skip
    monkeypatch.setattr("time.time_ns", lambda: NOW_MS * 1_000_000)
    monkeypatch.setattr(
        "fanal.probe.ask_board", lambda port, identify: answers.get(port, Answer(NO_ANSWER))
    )

    class Bench:
        ports, says, fleet_dir = attached, answers, fleet.path.parent

        def run(self, *words, **options):
            folder = fleet.path.parent
            if not (folder / "registry.db").exists():
                fleet.path.rename(folder / "registry.db")
                fleet.registry.close()
            return CliRunner().invoke(main, ["--fleet", str(folder), "ports", *words], **options)

    return Bench()


def test_nothing_attached_is_a_list_too(bench):
    done = bench.run()
    assert (done.exit_code, done.stdout) == (0, "")
    assert "data" in done.stderr
    assert json.loads(bench.run("--json").stdout) == {"ok": True, "probed": False, "ports": []}


def test_the_list_for_a_person(bench, fleet):
    beacon_id = registered(fleet)
    bench.ports += [C3, CP]
    assert bench.run().stdout.splitlines() == [
        "/dev/ttyACM0  USB JTAG  02:00:00:00:00:01",
        f"    fleet  {beacon_id[:4]}-{beacon_id[4:]}  shelter-3, room 12  provisioned",
        "/dev/ttyUSB0  CP2102  0001",
    ]


def test_asking_says_that_it_does_and_an_event_is_loud(bench, fleet):
    beacon_id = registered(fleet)
    bench.ports.append(CP)
    event = {"n": 3, "activation": 1, "drill": False, "age_s": 130}
    bench.says[CP.port] = Answer("Fanal 0.1.0", "ESP32-C3", C3.mac, True, beacon_id, event)
    done = bench.run("--probe")
    assert done.exit_code == 0
    assert "Asking 1 board: it is interrupted" in done.stderr
    loud = "!!! EVENT OPEN on /dev/ttyUSB0"
    assert loud in done.stderr
    assert "number 3, somebody may need help, began 2 min ago. It goes on now." in done.stderr
    assert "!!! EVENT OPEN: number 3" in done.stdout
    row = json.loads(bench.run("--probe", "--json").stdout)["ports"][0]
    assert (row["answer"]["event"], row["beacon"]["beacon_id"]) == (event, beacon_id)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"n": 1, "activation": 0, "drill": False, "age_s": 5}, "a self-test, began 5 s ago"),
        ({"n": 1, "activation": 1, "drill": True, "age_s": 7200}, "a drill, began 2 h ago"),
        ({"n": 1, "activation": 1, "drill": False, "age_s": None}, "somebody may need help"),
        ({"n": "\x1b", "activation": "\x1b"}, "somebody may need help"),
    ],
)
def test_an_event_in_words(bench, event, words):
    bench.ports.append(CP)
    bench.says[CP.port] = Answer("Fanal 0.1.0", event=event)
    done = bench.run("--probe")
    assert words in done.stdout
    assert "\x1b" not in done.output


def test_a_beacon_in_an_event_is_warned_of_and_spared(bench, fleet):
    beacon_id = registered(fleet)
    heard(fleet, beacon_id, 240)
    bench.ports += [C3, CP]
    done = bench.run("--probe")
    assert "Asking 1 board" in done.stderr
    assert "--disturb" in done.stdout
    assert "may be on a port that does not say" not in done.stderr  # it is on one that does
    done = bench.run("--probe", "--disturb")
    assert "Asking 2 boards" in done.stderr
    assert "heard in an event 4 min ago" in done.stderr


def test_a_beacon_in_an_event_may_be_on_a_port_that_does_not_say(bench, fleet):
    heard(fleet, registered(fleet), 240)
    bench.ports.append(CP)
    assert "may be on a port that does not say" in bench.run("--probe").stderr


@pytest.mark.parametrize(
    ("words", "is_heard", "resets"),
    [((), False, False), (("--reset",), False, True), (("--reset",), True, False),
     (("--reset", "--disturb"), True, True)],
)  # fmt: skip
def test_no_board_is_reset_that_may_be_in_an_event(
    bench, fleet, monkeypatch, words, is_heard, resets
):
    beacon_id = registered(fleet)
    if is_heard:
        heard(fleet, beacon_id, 240)
    bench.ports.append(CP)
    given = []

    def ask(port, identify):
        given.append(identify is not None)
        return Answer(NO_ANSWER)

    monkeypatch.setattr("fanal.probe.ask_board", ask)
    done = bench.run("--probe", *words)
    assert given == [resets]
    assert ("no board is reset" in done.stderr) is (is_heard and not resets)


@pytest.mark.parametrize(
    ("is_terminal", "words", "answer", "exit_code"),
    [
        (True, (), False, 1), (True, (), True, 0), (True, ("--yes",), None, 0),
        (False, (), None, 0),
    ],
)  # fmt: skip
def test_a_person_is_asked_first(bench, monkeypatch, is_terminal, words, answer, exit_code):
    bench.ports.append(CP)
    monkeypatch.setattr("fanal.cli.ports._is_person", lambda: is_terminal)
    monkeypatch.setattr(
        "click.confirm", lambda *_, **__: pytest.fail("asked") if answer is None else answer
    )
    probed = []
    monkeypatch.setattr("fanal.probe.ask_board", lambda port, identify: probed.append(port))
    monkeypatch.setattr("fanal.probe.LIMIT_S", 0.1)
    done = bench.run("--probe", *words)
    assert done.exit_code == exit_code
    assert probed == ([CP.port] if exit_code == 0 else [])


@pytest.mark.parametrize("word", ["--reset", "--disturb"])
def test_what_only_asking_can_do_wants_to_be_asked_for(bench, word):
    assert bench.run(word).exit_code == 2


def test_a_damaged_registry_costs_its_column_only(bench, fleet):
    registered(fleet)
    bench.ports.append(C3)
    bench.run()
    (bench.fleet_dir / "registry.db").write_bytes(b"not a registry, and long enough to be read")
    done = bench.run()
    assert done.exit_code == 0
    assert "/dev/ttyACM0" in done.stdout
    assert "damaged" in done.stderr


def test_what_a_usb_device_calls_itself_obeys_no_terminal(bench):
    bench.ports.append(Attached("/dev/ttyUSB0", "evil\x1b[2J\n/dev/ttyUSB1  fine", "\x07"))
    done = bench.run()
    assert "\x1b" not in done.output
    assert "\x07" not in done.output
    assert len(done.stdout.splitlines()) == 1
