"""The wire: every way in which it can end is one sentence, and no key is in any of them."""

import contextlib
import json
import os
import select
import subprocess
import sys
import traceback

import pytest
from fanal import board_link, repl, serial_port
from fanal.board_link import BoardLink
from fanal.error import BoardLost, BoardRefused, DeviceError, EnvironmentFault, FanalError

from tests.unit.paper_repl import LEAVE, PaperRepl

KEY = "5ec7e7" * 10 + "abcd"
GOOD = (b'{"ok": true, "mac": "020000000001"}\r\n', b"")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """The waits of a real board are for people; here nothing is slow."""
    monkeypatch.setattr(repl, "READ_S", 0.3)
    monkeypatch.setattr(repl, "RAW_PROMPT_S", 0.3)
    monkeypatch.setattr(repl, "_RESET_S", 0.3)
    monkeypatch.setattr(repl, "_GREETING_S", 0.1)
    monkeypatch.setattr(board_link, "_LEAVE_S", 0.3)


def answering(*answers):
    """A script: the n-th call gets the n-th answer, `leave` always a good one."""
    left = list(answers)
    return lambda code: GOOD if LEAVE in code else left.pop(0)


def said(problem: BaseException) -> str:
    """Everything that anyone can see of an error, the traceback included."""
    shown = "".join(traceback.format_exception(problem))
    if isinstance(problem, FanalError):
        shown += problem.sentence + problem.hint
    return shown


def test_a_call_is_one_line_of_json(tmp_path):
    with PaperRepl(tmp_path, answering(GOOD)) as line:
        with BoardLink(line.port) as board:
            assert board.call("status") == {"ok": True, "mac": "020000000001"}
        assert line.ran[0] == "from beacon import console\nconsole.status()"
        assert line.resets == 1  # a clean heap


def test_arguments_arrive_as_they_are(tmp_path):
    text = '{"a": "it\'s \\n"}'
    with PaperRepl(tmp_path, answering(GOOD)) as line:
        with BoardLink(line.port) as board:
            board.call("configure", text, 7)
        sent = line.ran[0].removeprefix("from beacon import console\nconsole.configure")
        assert eval(sent) == (text, 7)


def test_the_board_is_handed_back_also_after_an_error(tmp_path):
    with PaperRepl(tmp_path, answering()) as line:
        with pytest.raises(KeyboardInterrupt), BoardLink(line.port):
            raise KeyboardInterrupt
        assert LEAVE in line.ran[-1]


def test_a_refusal_is_the_boards_sentence(tmp_path):
    answer = (
        b'{"ok": false, "error": "bad_hex", "message": "No \x1b[2J: ' + KEY.encode() + b'"}\r\n'
    )
    answer = answer.replace(b"\x1b", b"\\u001b")
    with (
        PaperRepl(tmp_path, answering((answer, b""))) as line,
        pytest.raises(BoardRefused) as caught,
        BoardLink(line.port) as board,
    ):
        board.call("provision", KEY)
    assert caught.value.code == "bad_hex"
    assert caught.value.sentence == "No ?[2J: ..."
    assert KEY not in said(caught.value)


@pytest.mark.parametrize("before", ["", "x" * 130])
@pytest.mark.parametrize("quoted", [KEY, KEY.upper()])
def test_a_refusal_that_quotes_the_key_says_no_part_of_it(tmp_path, before, quoted):
    answer = json.dumps({"ok": False, "error": quoted, "message": before + quoted}) + "\r\n"
    with (
        PaperRepl(tmp_path, answering((answer.encode(), b""))) as line,
        pytest.raises(BoardRefused) as caught,
        BoardLink(line.port) as board,
    ):
        board.call("provision", KEY)
    assert caught.value.code == "refused"
    assert quoted[:16] not in said(caught.value)


TRACE = b'Traceback (most recent call last):\r\n  File "<stdin>", line 2, in <module>\r\n'


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((b"", TRACE + b"ImportError: no module named 'beacon'\r\n"), "not_fanal"),
        ((b"", TRACE + b"AttributeError: no attribute 'status'\r\n"), "not_fanal"),
        ((b"", TRACE + b"MemoryError: " + KEY.encode() + b"\r\n"), "board_failed"),
        ((b"", KEY.encode()), "board_failed"),
        ((b"", b"\x1b[2J\xff\xfe"), "board_failed"),
        ((b"", b"\r\n"), "board_failed"),
        ((b"\r\n", b""), "garbage"),
        ((b"", b""), "garbage"),
        ((b"[1]\r\n", b""), "garbage"),
        ((KEY.encode() + b"\r\n", b""), "garbage"),
        ((b'{"ok": true}', b""), "garbage"),
        ((b'{"ok": true}\r\n{"ok": true}\r\n', b""), "garbage"),
        ((b"\xff\xfe\r\n", b""), "garbage"),
    ],
)
def test_an_answer_that_is_none(tmp_path, answer, code):
    with (
        PaperRepl(tmp_path, answering(answer)) as line,
        pytest.raises(BoardLost) as caught,
        BoardLink(line.port) as board,
    ):
        board.call("provision", KEY)
    assert (caught.value.code, caught.value.exit_code) == (code, 3)
    assert KEY not in said(caught.value)
    assert "\x1b" not in said(caught.value)


def test_every_truncated_answer_is_garbage(tmp_path):
    whole = GOOD[0]
    cut = [(whole[:length], b"") for length in range(len(whole))]
    with PaperRepl(tmp_path, answering(*cut)) as line, BoardLink(line.port) as board:
        for _ in cut:
            with pytest.raises(BoardLost):
                board.call("status")


def test_another_board_behind_the_same_port(tmp_path):
    other = (GOOD[0].replace(b"01", b"02"), b"")
    with PaperRepl(tmp_path, answering(GOOD, other)) as line, BoardLink(line.port) as board:
        board.call("status")
        with pytest.raises(BoardLost) as caught:
            board.call("status")
    assert caught.value.code == "other_board"


def test_a_board_that_stops_answering(tmp_path):
    with (
        PaperRepl(tmp_path, answering(None)) as line,
        pytest.raises(BoardLost) as caught,
        BoardLink(line.port, answer_s=0.3) as board,
    ):
        board.call("provision", KEY)
    assert caught.value.code == "silent"
    assert KEY not in said(caught.value)


def test_a_board_that_is_unplugged_half_way(tmp_path, capsys):
    line = PaperRepl(tmp_path, lambda _: line.unplug() or (b"", b""))
    with line, pytest.raises(BoardLost) as caught, BoardLink(line.port) as board:
        board.call("provision", KEY)
    assert caught.value.code == "unplugged"
    assert KEY not in said(caught.value)
    assert capsys.readouterr().out == ""  # what mpremote prints spoils no result


def test_a_silent_board_is_asked_for_until_patience_ends(tmp_path, capsys):
    waited = []
    with PaperRepl(tmp_path, answering()) as line:
        line.is_deaf = True
        with (
            pytest.raises(BoardLost) as caught,
            BoardLink(line.port, attach_s=0.7, on_waiting=lambda: waited.append(1)),
        ):
            pass
    assert (caught.value.code, waited) == ("no_answer", [1])
    assert "reset button" in caught.value.hint
    assert capsys.readouterr().out == ""


class Chatterbox(PaperRepl):
    """It talks without end: at once, or when it is asked to run something."""

    def _babble(self):
        os.set_blocking(self._master, False)
        while not select.select([self._stop], [], [], 0)[0]:
            select.select([self._stop], [self._master], [])
            with contextlib.suppress(BlockingIOError):
                os.write(self._master, b"x" * 4096)

    def _run(self, code):
        self._say(b"OK")
        self._babble()

    def _say(self, data):
        if self.is_deaf:
            self._babble()
        else:
            super()._say(data)


def test_a_board_that_talks_without_end_is_not_listened_to_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(repl, "_HAND_BACK_S", 0.3)
    with Chatterbox(tmp_path, answering()) as line:
        line.is_deaf = True
        with pytest.raises(BoardLost) as caught, BoardLink(line.port, attach_s=0.5):
            pass
        assert caught.value.code == "no_answer"


def test_an_answer_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(repl, "_HAND_BACK_S", 0.3)
    with (
        Chatterbox(tmp_path, answering()) as line,
        pytest.raises(BoardLost) as caught,
        BoardLink(line.port, answer_s=0.3) as board,
    ):
        board.call("status")
    assert caught.value.code == "silent"


def test_a_board_that_wakes_while_it_is_waited_for(tmp_path):
    with PaperRepl(tmp_path, answering(GOOD)) as line:
        line.is_deaf = True

        def press_reset():
            line.is_deaf = False

        with BoardLink(line.port, on_waiting=press_reset) as board:
            assert board.call("status")["ok"]


def test_a_board_that_does_not_go_back_to_work_is_reported(tmp_path):
    with (
        PaperRepl(tmp_path, lambda _: (b"", TRACE + b"ImportError: x\r\n")) as line,
        pytest.raises(BoardLost) as caught,
        BoardLink(line.port),
    ):
        pass
    assert "Unplug" in caught.value.hint


def test_a_refusal_and_no_way_back_are_both_said(tmp_path):
    refusal = (b'{"ok": false, "error": "x", "message": "No."}\r\n', b"")
    answers = [refusal, (b"", b"oops")]
    with (
        PaperRepl(tmp_path, lambda _: answers.pop(0)) as line,
        pytest.raises(BoardRefused) as caught,
        BoardLink(line.port) as board,
    ):
        board.call("status")
    assert "Unplug" in caught.value.hint


# -- ports


def test_no_such_port(tmp_path):
    with pytest.raises(DeviceError) as caught, BoardLink(str(tmp_path / "none")):
        pass
    assert (caught.value.code, caught.value.exit_code) == ("no_port", 3)


def test_a_port_that_is_something_else(tmp_path):
    (tmp_path / "file").touch()
    for path in (str(tmp_path / "file"), str(tmp_path), os.devnull):
        with pytest.raises(DeviceError) as caught, BoardLink(path):
            pass
        assert caught.value.code == "no_port"


def test_a_port_that_is_not_ours_to_open(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    problem = serial_port.why_not(str(tmp_path / "file"))
    assert isinstance(problem, EnvironmentFault)
    assert problem.exit_code == 7
    assert "usermod" in problem.hint


HOLD = """
import sys
from fanal.repl import SerialTransport
held = SerialTransport(sys.argv[1], exclusive=True)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells who holds a port")
def test_a_port_in_use_names_who_uses_it(tmp_path):
    with PaperRepl(tmp_path, answering()) as line:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD, line.port], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(EnvironmentFault) as caught, BoardLink(line.port):
            pass
        holder.communicate()
    assert (caught.value.code, caught.value.exit_code) == ("port_busy", 7)
    assert f"process {holder.pid} (python" in caught.value.sentence


class Listed:
    def __init__(self, device, vid=0x303A, serial_number=None):
        self.device, self.vid, self.description = device, vid, "USB JTAG"
        self.pid, self.serial_number = 0x1001, serial_number


@pytest.mark.parametrize(
    ("devices", "code"),
    [([], "no_port"), ([Listed("/dev/ttyS0", None)], "no_port"),
     ([Listed("/dev/ttyACM0"), Listed("/dev/ttyACM1")], "several_ports")],
)  # fmt: skip
def test_no_port_or_several(monkeypatch, devices, code):
    monkeypatch.setattr(serial_port.list_ports, "comports", lambda: devices)
    with pytest.raises(DeviceError) as caught:
        serial_port.find_port()
    assert caught.value.code == code
    assert all(d.device in caught.value.sentence for d in devices if d.vid)


def test_the_only_port_is_taken(monkeypatch):
    monkeypatch.setattr(
        serial_port.list_ports, "comports", lambda: [Listed("/dev/ttyS0", None), Listed("/dev/a")]
    )
    assert serial_port.find_port() == "/dev/a"
    with pytest.raises(DeviceError):
        serial_port.find_port("/dev/nope")


def test_a_port_is_found_by_the_mac_that_its_usb_serial_number_is(monkeypatch):
    devices = [
        Listed("/dev/a", serial_number="0001"),
        Listed("/dev/b", serial_number="AA:BB:CC:00:11:22"),
        Listed("/dev/c", 0x10C4, "AA:BB:CC:00:11:33"),
    ]
    monkeypatch.setattr(serial_port.list_ports, "comports", lambda: devices)
    assert serial_port.find_port("aa:bb:cc:00:11:22") == "/dev/b"
    assert [found.mac for found in serial_port.attached()] == [None, "aa:bb:cc:00:11:22", None]
    with pytest.raises(DeviceError) as caught:
        serial_port.find_port("aa:bb:cc:00:11:33")
    assert caught.value.code == "no_port"


def test_ports_that_no_system_lists_are_named(monkeypatch):
    monkeypatch.setattr(serial_port.list_ports, "comports", lambda: [Listed("/dev/a")])
    monkeypatch.setenv("FANAL_PORTS", " rfc2217://127.0.0.1:1 /dev/a /tmp/b1  /tmp/b1")
    ports = [found.port for found in serial_port.attached()]
    assert ports == ["/dev/a", "rfc2217://127.0.0.1:1", "/tmp/b1"]


@pytest.mark.parametrize(
    "port", ["socket://127.0.0.1:1", "rfc2217://", "socket://x:y", "nonsense://1", "socket://[::1"]
)
def test_an_address_where_nothing_is(port):
    with pytest.raises(DeviceError) as caught, BoardLink(port):
        pass
    assert (caught.value.code, caught.value.exit_code) == ("no_port", 3)


@pytest.mark.parametrize(
    "words",
    [b"invalid header: 0xffffffff\r\n", b"waiting for download\r\n", b"csum err:0x12!=0xab"],
)
def test_a_boot_loader_that_has_nothing_to_run_is_not_waited_for(tmp_path, words):
    waited = []
    with PaperRepl(tmp_path, answering()) as line:
        line.is_deaf = True
        line.chatter = b"rst:0x10 (RTCWDT_RTC_RESET)\r\n" + words
        with (
            pytest.raises(DeviceError) as caught,
            BoardLink(line.port, on_waiting=lambda: waited.append(1)),
        ):
            pass
    assert (caught.value.code, waited) == ("nothing_to_run", [])
    assert "fanal flash" in caught.value.hint
