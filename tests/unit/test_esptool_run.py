"""Whatever esptool says becomes one sentence and an exit code. A paper esptool says it here."""

import os
import subprocess
import sys
import textwrap

import pytest
from fanal import esptool_run, serial_port
from fanal.chips import CHIPS
from fanal.error import FanalError, is_infra
from fanal.esptool_run import Part
from fanal.partition_table import TABLE_BYTES

GREETING = """\
esptool v5.6.0
Connected to ESP32-C3 on PORT:
Chip type:          ESP32-C3 (QFN32) (revision v0.4)
Features:           Wi-Fi, BT 5 (LE), Single Core, 160MHz, Embedded Flash 4MB (XMC)
MAC:                AA:bb:cc:00:11:22
"""


@pytest.fixture
def paper(tmp_path, monkeypatch):
    """Return a function that makes `python -m esptool` run `body`; its argv is in `argv.txt`."""
    package = tmp_path / "paper" / "esptool"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    port = tmp_path / "port"
    port.touch()

    def make(body="", says="", code=0):
        (package / "__main__.py").write_text(
            f"import sys, time, pathlib, os\n"
            f"pathlib.Path({str(tmp_path / 'argv.txt')!r}).write_text(repr(sys.argv[1:]))\n"
            f"print({says!r}, flush=True)\n{textwrap.dedent(body)}\nsys.exit({code})\n"
        )
        return str(port)

    make.argv = lambda: eval((tmp_path / "argv.txt").read_text())
    return make


def test_it_says_which_chip_there_is(paper):
    found = esptool_run.identify(paper(says=GREETING))
    assert (found.chip.name, found.mac) == ("esp32c3", "aa:bb:cc:00:11:22")
    assert paper.argv()[-1] == "read-mac"


def test_the_table_comes_with_the_chip(paper):
    body = f"pathlib.Path(sys.argv[-1]).write_bytes(b'x' * {TABLE_BYTES})"
    found, table = esptool_run.read_table(paper(body, GREETING))
    assert table == b"x" * TABLE_BYTES
    assert found.chip.name == "esp32c3"
    assert paper.argv()[-4:-1] == ["read-flash", "0x8000", "0xc00"]


def test_parts_arrive_as_files_and_progress_moves(paper):
    body = """
    files = sys.argv[sys.argv.index('write-flash') + 2::2]
    assert [open(f, 'rb').read() for f in files] == [b'one', b'two'], files
    for share in ('3.5', '50.0', '100.0'):
        print(f'\\rWriting at 0x1000 [===] {share}% ', end='', flush=True)
        time.sleep(0.05)
    """
    shares = []
    port = paper(body, GREETING)
    esptool_run.write(
        port, CHIPS["esp32c3"], [Part(0, b"one"), Part(0x200000, b"two")], on_share=shares.append
    )
    assert shares[-1] == 1.0
    assert shares == sorted(shares)
    assert paper.argv()[paper.argv().index("write-flash") + 1] == "0x0"
    assert paper.argv()[paper.argv().index("--chip") + 1] == "esp32c3"


# what esptool 5.6 prints, and its exit code -> our code and exit code, and whether it is infra
FATAL = "A fatal error occurred: "
FAILURES = [
    (FATAL + "Failed to connect to ESP32: No serial data received.", "no_rom", 3, True),
    (FATAL + "Failed to connect to ESP32-C3: Wrong boot mode detected (0x13)!",
     "no_rom", 3, True),
    ("This chip is ESP32, not ESP32-C3. Wrong --chip argument?", "wrong_chip", 3, False),
    (FATAL + "'x.bin' is not an ESP32-C3 image. Use --force to flash anyway.",
     "wrong_chip", 3, False),
    (FATAL + "Serial data stream stopped: Possible serial noise or corruption.",
     "silent", 3, True),
    (FATAL + "Packet content transfer stopped (received 3 bytes)", "silent", 3, True),
    (FATAL + "Invalid head of packet (0x65): Possible serial noise", "silent", 3, True),
    ("A serial exception error occurred: device reports readiness to read but", "silent", 3, True),
    (FATAL + "The chip stopped responding.", "silent", 3, True),
    (FATAL + "MD5 of file does not match data in flash!", "read_back", 5, False),
    (FATAL + "Failed to write compressed data to flash after seq 3 (result was C400: Failed SPI "
     "operation)", "read_back", 5, False),
    (FATAL + "Failed to write compressed data to flash after seq 3 (result was C100: Bad data "
     "checksum)", "silent", 3, True),
    (FATAL + "Failed to write to target RAM (result was 0107: Operation or feature not supported)",
     "silent", 3, True),
    (FATAL + "The 'x' command is not available in Secure Download Mode.",
     "locked", 3, False),
    ("something that nobody foresaw \x1b[2J", "esptool", 1, False),
    ("/usr/bin/python: No module named esptool", "missing_extra", 7, True),
    ("", "esptool", 1, False),
]  # fmt: skip


@pytest.mark.parametrize(("says", "code", "exit_code", "infra"), FAILURES)
def test_a_failure_is_a_sentence(paper, says, code, exit_code, infra):
    with pytest.raises(FanalError) as caught:
        esptool_run.identify(paper(says=GREETING + says, code=2))
    problem = caught.value
    assert (problem.code, problem.exit_code, is_infra(problem)) == (code, exit_code, infra)
    assert problem.sentence.endswith(".") or code == "esptool"
    assert problem.hint
    assert "\x1b" not in problem.sentence


def test_a_chip_that_does_not_answer_is_shown_the_button(paper):
    with pytest.raises(FanalError) as caught:
        esptool_run.identify(paper(says=FAILURES[0][0], code=2))
    assert "BOOT" in caught.value.hint
    assert "RESET" in caught.value.hint


def test_a_port_that_is_gone_is_said_before_anything_else(paper, monkeypatch):
    port = paper(says=FAILURES[4][0], code=2)
    monkeypatch.setattr(serial_port, "exists", lambda _: False)
    with pytest.raises(FanalError) as caught:
        esptool_run.identify(port)
    assert caught.value.code == "unplugged"


def test_a_child_that_says_nothing_is_ended(paper, monkeypatch):
    monkeypatch.setattr(esptool_run, "_SILENCE_S", 0.3)
    with pytest.raises(FanalError) as caught:
        esptool_run.identify(paper("time.sleep(60)", "Connecting..."))
    assert caught.value.code == "silent"


def test_a_child_that_somebody_ends_says_nothing_of_the_board(paper):
    with pytest.raises(FanalError) as caught:
        esptool_run.identify(paper("os.kill(os.getpid(), 9)", GREETING))
    assert (caught.value.exit_code, is_infra(caught.value)) == (7, True)


def test_ctrl_c_at_the_terminal_does_not_reach_it(paper):
    body = "assert os.getpgid(0) == os.getpid() != os.getpgid(os.getppid())"
    assert esptool_run.identify(paper(body, GREETING))


def test_it_is_told_no_passphrase(paper, monkeypatch):
    monkeypatch.setenv("FANAL_PASSPHRASE", "correct horse battery staple")
    body = "assert not any('correct horse' in value for value in os.environ.values())"
    assert esptool_run.identify(paper(body, GREETING))


def test_a_file_of_the_folder_is_not_run_in_its_place(paper, tmp_path, monkeypatch):
    (tmp_path / "esptool.py").write_text("raise SystemExit('run')")
    monkeypatch.chdir(tmp_path)
    assert esptool_run.identify(paper(says=GREETING))


def test_an_interrupted_run_leaves_no_child(paper, tmp_path):
    def interrupt(_):
        raise KeyboardInterrupt

    body = f"""
    pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
    print('50.0%', flush=True)
    time.sleep(60)
    """
    port = paper(body, GREETING)
    with pytest.raises(KeyboardInterrupt):
        esptool_run.write(port, CHIPS["esp32c3"], [Part(0, b"x")], on_share=interrupt)
    process = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.mark.parametrize("says", ["", "Chip type: ESP32-C3\n", GREETING.replace("MAC", "CAM")])
def test_an_esptool_that_says_something_else(paper, says):
    with pytest.raises(FanalError) as caught:
        esptool_run.identify(paper(says=says))
    assert caught.value.exit_code == 7


def test_an_unknown_chip_is_refused(paper):
    with pytest.raises(FanalError) as caught:
        esptool_run.identify(paper(says=GREETING.replace("ESP32-C3 (", "ESP32-P9 (")))
    assert caught.value.code == "chip"


def test_nothing_of_esptool_is_imported_here():
    code = "import sys, fanal.esptool_run, fanal.flash; sys.exit('esptool' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
