"""The firmware's files on a MicroPython that is not the virtual board and knows no hardware.

As bytecode and as source, over the serial line of its own prompt, with the real mpremote.
"""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version

import pytest

pytest.importorskip("mpremote", reason="needs the extra `technician`")
pytest.importorskip("micropython_run", reason="needs the extra `sim`")

from fanal import firmware_image
from fanal.board_link import BoardLink
from fanal.error import BoardRefused
from fanal.provision import Request, provision
from fanal.verify import FAIL, OK, WARN, verify

from tests.micropython.interpreter import ROOT
from tests.micropython.plain_board import PlainBoard, install_image, install_sources

pytestmark = pytest.mark.sim

KNOWN_ANSWERS = {"kdf", "rid", "ccm", "sha512", "ed25519", "pages"}
MODULES = sorted(
    f"{folder.name}.{path.stem}"
    for folder in (ROOT / "firmware" / "beacon", ROOT / "protocol" / "fanal_protocol")
    for path in folder.glob("*.py")
    if path.stem != "__init__"
)
# what they are made of is named when they are asked for, and nobody asks before there is a board
HARDWARE = {"beacon.sensor": "ADC", "beacon.sleep": "Pin"}

IMPORTS = """
for name in {names!r}:
    try:
        __import__(name)
        print(name, "ok")
    except Exception as error:
        print(name, type(error).__name__, error)
"""
# As on a Pico W: a machine module with pins and a watchdog, no esp32, an RTC without memory,
# an identifier that is no MAC address. It must be neither taken for an ESP32 nor stumbled over.
OTHER_MACHINE = """
class Pin:
    IN = OUT = 0
    def __init__(self, *arguments, **options): raise RuntimeError("a pin was touched")
class ADC(Pin): pass
class WDT(Pin): pass
class RTC:
    def datetime(self): return (2026, 1, 1, 0, 0, 0, 0, 0)
def unique_id(): return b"\\xe6\\x61\\x38\\x01\\x02\\x03\\x04\\x05"
def reset(): raise RuntimeError("reset")
def reset_cause(): return 1
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return firmware_image.build(tmp_path_factory.mktemp("image") / "firmware")


@pytest.fixture(params=["bytecode", "source"])
def flash(request, image, tmp_path):
    """The file system of a board with the firmware on it."""
    folder = tmp_path / "flash"
    folder.mkdir()
    if request.param == "bytecode":
        install_image(folder, image.folder)
    else:
        install_sources(folder)
    return folder


@pytest.fixture
def board(flash):
    with PlainBoard(flash) as board:
        yield board


def mpremote(board, *command):
    """Run the mpremote of the command line; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", board.port, *command],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def test_every_module_imports_or_names_the_hardware_that_it_lacks(board):
    printed = mpremote(board, "exec", IMPORTS.format(names=MODULES))
    found = dict(line.split(" ", 1) for line in printed.splitlines())
    assert found.keys() == set(MODULES)
    failed = {name: text for name, text in found.items() if text != "ok"}
    assert failed.keys() == HARDWARE.keys()
    for name, lacking in HARDWARE.items():
        assert re.fullmatch(rf"ImportError .*\b{lacking}\b.*", failed[name]), failed[name]


def test_a_radio_is_missed_when_it_is_switched_on(board):
    code = """
from beacon import radio
absent = radio.Radio(100)
absent.stop(); absent.off()
try:
    absent.start(bytes(31))
except ImportError as error:
    print(error)
"""
    assert "bluetooth" in mpremote(board, "exec", code)


def test_its_program_ends_at_the_prompt(board):
    assert mpremote(board, "exec", "import boot, main; print('prompt')") == "prompt\n"


def test_known_answers_and_refusals_over_the_wire(board):
    with BoardLink(board.port) as link:
        assert link.call("self_test")["results"] == dict.fromkeys(KNOWN_ANSWERS, True)
        with pytest.raises(BoardRefused) as caught:
            link.call("challenge", "00" * 32)
        assert caught.value.code == "no_identity"
        link.call("create_identity")
        assert link.call("create_identity")["created"] is False
    assert board.boots >= 2  # attaching restarted it, and its vault is a file: it was kept


def provision_and_verify(board, fleet, image):
    """Provision, twice, and verify; return the rows by name, and the result."""
    with BoardLink(board.port) as link:
        first = provision(link, fleet.station, fleet.registry, Request("depot"))
    with BoardLink(board.port) as link:
        again = provision(link, fleet.station, fleet.registry, Request("depot"))
        result = verify(link, fleet.registry, image.manifest.files, version("fanal"))
    assert (first.changed, again.changed) == (True, False)
    assert first.beacon_id == again.beacon_id == result.beacon_id
    return {row.name: row for row in result.checks}, result


def check_rows(rows, result, unlike_shipped):
    """A plain board fails vault and chip alone; what it cannot measure is a warning, with why."""
    assert (rows["vault"].outcome, "file" in rows["vault"].reason) == (FAIL, True)
    assert (rows["chip"].outcome, "no pins" in rows["chip"].reason) == (FAIL, True)
    for name in ("battery", "sensor"):
        assert (rows.pop(name).outcome, name) == (WARN, name)
    expected = {"vault", "chip"} | ({"firmware"} if unlike_shipped else set())
    assert {name for name, row in rows.items() if row.outcome == FAIL} == expected
    assert {row.outcome for name, row in rows.items() if name not in expected} == {OK}
    assert result.exit_code == rows["firmware" if unlike_shipped else "vault"].exit_code != 0


def test_it_is_provisioned_and_verified_over_its_serial_line(board, fleet, image, flash):
    rows, result = provision_and_verify(board, fleet, image)
    is_source = (flash / "lib" / "beacon" / "life.py").exists()
    check_rows(rows, result, unlike_shipped=is_source)


def test_a_machine_of_another_kind_is_no_stumbling_block(flash, fleet, image):
    (flash / "machine.py").write_text(OTHER_MACHINE)
    with PlainBoard(flash) as board:
        found = mpremote(board, "exec", "import machine; print(hasattr(machine, 'WDT'))")
        assert found == "True\n"
        rows, result = provision_and_verify(board, fleet, image)
        assert mpremote(board, "exec", "import boot, main; print('prompt')") == "prompt\n"
    is_source = (flash / "lib" / "beacon" / "life.py").exists()
    check_rows(rows, result, unlike_shipped=is_source)


def test_the_commands_themselves(image, tmp_path):
    flash, folder = tmp_path / "flash", tmp_path / "fleet"
    flash.mkdir()
    install_image(flash, firmware_image.locate().folder)
    environment = {**os.environ, "FANAL_PASSPHRASE": "correct horse battery staple"}

    def fanal(*words):
        return subprocess.run(
            [sys.executable, "-m", "fanal", "--fleet", str(folder), *words],
            capture_output=True, text=True, timeout=60, env=environment, check=False,
        )  # fmt: skip

    assert fanal("fleet", "init").returncode == 0
    with PlainBoard(flash) as board:
        made = fanal("provision", "--site", "depot", "--port", board.port)
        assert made.returncode == 0, made.stderr
        assert "Provisioned: " in made.stdout
        checked = fanal("verify", "--json", "--port", board.port)
    result = json.loads(checked.stdout)
    failed = {row["name"]: row for row in result["checks"] if row["outcome"] == FAIL}
    assert failed.keys() == {"vault", "chip"}
    assert checked.returncode == failed["vault"]["exit_code"]
    assert "Traceback" not in checked.stderr + made.stderr
