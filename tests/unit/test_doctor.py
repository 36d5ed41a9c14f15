"""The doctor: each thing that can be wrong with a computer, and the exact words that mend it."""

import hashlib
import os
import socket
import sys
from datetime import UTC, datetime

import pytest
from fanal.doctor import clock, distribution, own, packages
from fanal.doctor.elsewhere import macos, windows
from fanal.doctor.examination import examine, exit_code
from fanal.doctor.finding import FAIL, OK, UNCHECKED, WARN
from fanal.doctor.own import Own
from fanal.doctor.system import Done, Node, ThisSystem
from fanal.error import EnvironmentFault, FanalError, IntegrityError
from fanal.firmware_image import MICROPYTHON, FirmwareImage, Manifest

from tests.unit.paper_system import (
    ARCH,
    DEBIAN,
    FEDORA,
    FLEET,
    NOW,
    STRANGE,
    SUSE,
    UBUNTU,
    PaperSystem,
    healthy,
    row,
    told,
)


@pytest.fixture
def image(tmp_path):
    (tmp_path / "main.py").write_bytes(b"main")
    files = {"main.py": hashlib.sha256(b"main").hexdigest()}
    manifest = Manifest("0.1.0", 1, MICROPYTHON, "", files, {"main.py": 4})
    return FirmwareImage(tmp_path, manifest)


def found(image, **other):
    chips = ("esp32", "esp32c3")
    images = dict.fromkeys(chips, MICROPYTHON)
    usual = {"registry": None, "newest_ms": 1, "firmware": image, "images": images}
    return Own(**{**usual, "chips": chips, **other})


# -- all of it


def test_a_healthy_computer_has_nothing_to_mend(image):
    rows = examine(healthy(), FLEET, found(image))
    assert [row for row in rows if row.outcome != OK] == []
    assert exit_code(rows) == 0
    assert len({row.name for row in rows}) == len(rows)


def test_warnings_do_not_fail_and_what_was_not_looked_at_does_not_either(image):
    system = healthy()
    system.commands["timedatectl"] = Done(0, "no")
    del system.commands["busctl"]
    rows = examine(system, FLEET, found(image))
    assert {row.outcome for row in rows} == {OK, WARN, UNCHECKED}
    assert exit_code(rows) == 0


def test_one_failure_is_the_environments(image):
    system = healthy()
    system.packages.pop("mpremote")
    assert exit_code(examine(system, FLEET, found(image))) == 7


@pytest.mark.parametrize("platform", ["darwin", "win32", "freebsd14"])
def test_elsewhere_it_says_what_it_does_not_look_at(image, platform):
    system = healthy()
    system.platform = platform
    rows = examine(system, FLEET, found(image))
    assert any(row.outcome == UNCHECKED for row in rows)
    assert not any(row.name in ("brltty", "ModemManager", "serial permission") for row in rows)


def test_a_computer_without_anything_is_still_examined(image):
    system = PaperSystem("")
    system.files, system.nodes, system.sockets, system.commands = {}, {}, set(), {}
    system.session = system.database = system.existing = set()
    rows = examine(system, FLEET, found(image))
    assert row(rows, "Bluetooth").outcome == FAIL


# -- python and packages


def test_an_old_python():
    system = PaperSystem()
    system.python = (3, 9, 2)
    assert told(packages.python(system)) == (
        FAIL, "3.9.2 is too old", "Install Python 3.11 or newer, and Fanal in it.", (),
    )  # fmt: skip


def test_a_missing_extra():
    system = PaperSystem()
    del system.packages["mpremote"], system.packages["esptool"]
    assert told(row(packages.packages(system), "technician")) == (
        FAIL, "missing: esptool, mpremote", "Install them:",
        ("/venv/bin/python -m pip install 'fanal[technician]'",),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "version", "wanted"),
    [
        ("mpremote", "1.29.1", "==1.29.0"),
        ("mpremote", "1.28.0", "==1.29.0"),
        ("esptool", "6.0", "<6,>=5.3"),
        ("esptool", "5.2.9", "<6,>=5.3"),
        ("esptool", "4.8.1", "<6,>=5.3"),
    ],
)
def test_a_tool_of_another_release_than_pinned(name, version, wanted):
    system = PaperSystem()
    system.packages[name] = version
    assert told(row(packages.packages(system), "technician")) == (
        FAIL, f"of another release: {name} {version} (wanted {wanted})", "Install them:",
        ("/venv/bin/python -m pip install 'fanal[technician]'",),
    )  # fmt: skip


def test_a_base_package_that_is_missing():
    system = PaperSystem()
    del system.packages["click"]
    assert told(row(packages.packages(system), "packages")) == (
        FAIL, "missing: click", "Install them:", ("/venv/bin/python -m pip install 'fanal'",),
    )  # fmt: skip


def test_what_only_plots_need_is_no_failure():
    system = PaperSystem()
    del system.packages["matplotlib"]
    found = row(packages.packages(system), "plot")
    assert (found.outcome, found.reason) == (UNCHECKED, "not installed: matplotlib")
    assert "pip install 'fanal[plot]'" in found.fix
    system.packages["matplotlib"] = "3.1"
    assert row(packages.packages(system), "plot").outcome == FAIL


def test_fanal_that_is_not_installed():
    system = PaperSystem()
    system.required = []
    (one,) = packages.packages(system)
    assert one.outcome == FAIL
    assert one.commands == ("/venv/bin/python -m pip install '.[technician]'",)


@pytest.mark.parametrize(
    ("version", "specifiers", "is_fit"),
    [
        ("1.28.0.post2", (("==", "1.28.0.post2"),), True),
        ("1.0", (("==", "1.0"), ("<", "4")), True),
        ("10.0", ((">=", "9.9"),), True),
        ("9.10", ((">=", "9.9"),), True),
        ("4.0.0", (("<", "4"),), False),
        ("3.99", (("<", "4"), (">=", "1.0")), True),
        ("4.0", (("<=", "4"),), True),
        ("4", ((">=", "4.0"),), True),
        ("2.5", (("~=", "2.2"),), True),
        ("3.0", (("~=", "2.2"),), False),
        ("1.1", (("!=", "1.1"),), False),
        ("nonsense", ((">=", "1"),), False),
        ("2", (), True),
        ("1.006", (("==", "1.6"),), True),
        ("1.6.0", (("==", "1.6"),), True),
        ("1.60", (("==", "1.6"),), False),
        ("1.6.post2", (("==", "1.6"),), False),
        ("1.28.0.post1", (("==", "1.28.0.post2"),), False),
        ("1.28.0rc1", (("==", "1.28.0"),), False),
        ("1.006", (("!=", "1.6"),), False),
    ],
)
def test_releases_are_compared_as_numbers(version, specifiers, is_fit):
    assert packages.fits(version, specifiers) is is_fit


@pytest.mark.parametrize("text", ["", ";", "a b c", "x[;", "\x00", 'y; extra == "'])
def test_metadata_that_makes_no_sense_is_read_all_the_same(text):
    assert isinstance(packages.requirement(text), packages.Requirement)


# -- the clock


SET = (
    "sudo timedatectl set-ntp true",
    "sudo timedatectl set-time 'YYYY-MM-DD HH:MM:SS'",
)
HOW = "Set it: with a network by the first command, else by the second with the right time."


@pytest.mark.parametrize("year", [1970, 2015, 2025, 2100])
def test_a_year_that_cannot_be(year):
    system = PaperSystem()
    system.time = datetime(year, 1, 1, tzinfo=UTC)
    assert told(clock.clock(system, None)) == (FAIL, f"it says {year}-01-01 00:00 UTC", HOW, SET)
    system.platform = "win32"
    assert told(clock.clock(system, None))[2:] == (
        "Set it in the system's settings, Date & Time.", (),
    )  # fmt: skip


def test_a_registry_from_the_future():
    now_ms = int(NOW.timestamp() * 1000)
    assert clock.clock(PaperSystem(), now_ms + 60_000).outcome == OK
    assert told(clock.clock(PaperSystem(), now_ms + 3_600_000)) == (
        FAIL, "it says 2026-05-06 07:08 UTC, but the registry has an entry of 2026-05-06 08:08 UTC",
        f"One of them is wrong. {HOW}", SET,
    )  # fmt: skip


@pytest.mark.parametrize("newest_ms", [1 << 62, -(1 << 62)])
def test_a_registry_from_beyond_time(newest_ms):
    clock.clock(PaperSystem(), newest_ms)


def test_no_time_server():
    system = PaperSystem()
    system.commands["timedatectl"] = Done(0, "no")
    assert told(clock.synchronised(system)) == (
        WARN, "no time server sets it now, which is usual without a network",
        "Compare the clock with a telephone; with a network, let it be set:",
        ("sudo timedatectl set-ntp true",),
    )  # fmt: skip


@pytest.mark.parametrize("answer", [None, Done(1, "yes"), Done(0, ""), Done(0, "Failed")])
def test_a_system_that_does_not_tell_who_sets_the_clock(answer):
    system = PaperSystem()
    system.commands["timedatectl"] = answer
    assert clock.synchronised(system).outcome == UNCHECKED


# -- Fanal's own


def fleet_row(system, problem=None):
    (one,) = own.fleet(system, FLEET, problem)
    return told(one)


def test_no_fleet_yet():
    expected = (
        WARN, f"none in {FLEET}", "Create it, copy it here, or name another folder with --fleet"
        " DIR:", ("fanal fleet init",),
    )  # fmt: skip
    assert fleet_row(PaperSystem()) == expected
    assert fleet_row(healthy(), FanalError("None.", code="no_fleet")) == expected


def test_a_registry_that_does_not_open():
    problem = IntegrityError("registry.db is damaged.", "Take it from your backup.")
    assert fleet_row(healthy(), problem) == (
        FAIL, "registry.db is damaged.", "Take it from your backup.", (),
    )  # fmt: skip


@pytest.mark.parametrize("path", [FLEET, FLEET / "key.age"])
def test_a_fleet_that_others_may_read(path):
    system = healthy()
    system.nodes[str(path)] = Node("tech", 0o740, True)
    assert fleet_row(system) == (
        WARN, f"others on this computer may read {FLEET}", "Close it to them:",
        (f"chmod -R go-rwx '{FLEET}'",),
    )  # fmt: skip
    system.platform = "win32"
    assert fleet_row(system)[0] == OK


def test_a_fleet_of_somebody_else():
    system = healthy()
    system.nodes[f"{FLEET}/registry.db"] = Node("root", 0o600, False)
    assert fleet_row(system) == (
        FAIL, f"{FLEET}/registry.db may not be written", "Take the folder back:",
        (f"sudo chown -R \"$(id -un)\" '{FLEET}'",),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("free", "outcome"), [(10 << 20, FAIL), (100 << 20, WARN), (1 << 30, OK), (None, FAIL)]
)
def test_room_on_the_disk(free, outcome):
    system = healthy()
    system.free = free
    one = own.disk(system, FLEET)
    assert one.outcome == outcome
    assert outcome == OK or one.fix


def test_no_firmware():
    problem = EnvironmentFault("This installation holds no firmware.", "Run `make mpy`.")
    assert told(own.firmware(problem)) == (
        FAIL, "This installation holds no firmware.", "Run `make mpy`.", (),
    )  # fmt: skip


@pytest.mark.parametrize("damage", [lambda path: path.write_text("x"), lambda path: path.unlink()])
def test_firmware_that_is_not_what_was_built(image, damage):
    damage(image.folder / "main.py")
    assert told(own.firmware(image)) == (
        FAIL, "1 of 1 files differ from the manifest: main.py",
        "Install Fanal again; in a clone of its repository run `make mpy`.", (),
    )  # fmt: skip


def test_images(image):
    (none,) = own.images(found(image, images={"esp32": "1.20.0"}))
    assert told(none) == (
        WARN, f"no MicroPython {MICROPYTHON} in the store: no board can be flashed",
        "With a network the first command gets them; else add a file that you brought:",
        ("fanal image get --all --pin", "fanal image add FILE"),
    )  # fmt: skip
    (some,) = own.images(found(image, images={"esp32": MICROPYTHON}))
    assert (some.outcome, some.reason) == (
        OK, f"MicroPython {MICROPYTHON} for ESP32; none for ESP32-C3",
    )  # fmt: skip
    damaged = IntegrityError("An image is damaged.", "Add it again.")
    (bad,) = own.images(found(image, images=damaged))
    assert told(bad) == (FAIL, "An image is damaged.", "Add it again.", ())
    assert own.images(found(image, images=None)) == []


# -- elsewhere


def test_macos():
    system = PaperSystem()
    system.commands["system_profiler"] = Done(0, "      State: Off\n")
    assert told(macos(system)[0]) == (
        FAIL, "is switched off", "Switch it on in System Settings, Bluetooth.", (),
    )  # fmt: skip
    system.commands["system_profiler"] = Done(0, "  Bluetooth Power: On\n")
    assert macos(system)[0].outcome == OK
    system.commands = {}
    assert macos(system)[0].outcome == UNCHECKED
    assert [row.outcome for row in macos(system)[1:]] == [UNCHECKED] * 3


def test_windows():
    system = PaperSystem()
    system.commands["sc"] = Done(0, "        STATE              : 1  STOPPED\n")
    assert told(windows(system)[0]) == (
        FAIL, "its service does not run", "In a terminal of the administrator:",
        ("sc start bthserv",),
    )  # fmt: skip
    system.commands["sc"] = Done(0, "        STATE              : 4  RUNNING\n")
    assert windows(system)[0].outcome == OK
    system.commands = {}
    assert windows(system)[0].outcome == UNCHECKED


# -- distributions, and the real thing


@pytest.mark.parametrize(
    ("release", "family"),
    [(DEBIAN, "debian"), (UBUNTU, "debian"), (FEDORA, "fedora"), (ARCH, "arch"), (SUSE, "suse"),
     ('ID="rocky"\nID_LIKE="rhel centos fedora"', "fedora"), ("ID=alpine", "alpine"),
     (STRANGE, ""), ("", ""), ("=\n==\nID", "")],
)  # fmt: skip
def test_families(release, family):
    assert distribution.of(PaperSystem(release)).family == family


def test_this_computer(tmp_path):
    system = ThisSystem()
    (tmp_path / "file").write_text(" text \n")
    assert system.read(str(tmp_path / "file")) == "text"
    assert system.read(str(tmp_path)) is None
    assert system.names(str(tmp_path)) == ["file"]
    assert system.names(str(tmp_path / "none")) == []
    assert system.node(str(tmp_path / "none")) is None
    assert system.node(str(tmp_path / "file")).is_usable
    assert system.package("click")
    assert system.package("no-such-package-here") is None
    assert any(text.startswith("click") for text in system.requirements())
    assert system.free_bytes(str(tmp_path / "not" / "there")) > 0
    assert system.run("no-such-command-here") is None
    done = system.run(sys.executable, "-c", "import sys; sys.stderr.write('x'); sys.exit(3)")
    assert (done.exit_code, done.text) == (3, "x")
    assert not system.connects(str(tmp_path / "file"))
    assert system.groups().existing or os.name == "nt"
    with socket.socket(socket.AF_UNIX) as line:
        line.bind(str(tmp_path / "s"))
        line.listen()
        assert system.connects(str(tmp_path / "s"))


def test_a_command_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr("fanal.doctor.system._COMMAND_S", 0.2)
    assert ThisSystem().run(sys.executable, "-c", "import time; time.sleep(60)") is None
