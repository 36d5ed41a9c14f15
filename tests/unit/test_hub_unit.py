"""The hub's systemd unit: what it may write, and that systemd itself reads it so."""

import shutil
import subprocess
from pathlib import Path

import pytest
from fanal.error import UsageError
from fanal.hub.unit import Service, unit

NASTY = '/srv/a b/%h/$HOME/"q"/\\x;'


def service(folder="/srv/hub", user="hub", **more):
    given = {"python": Path("/opt/fanal/bin/python"), "passphrase": Path("/etc/x"), "port": 8060}
    return Service(folder=Path(folder), user=user, **{**given, **more})


def test_a_folder_is_named_as_an_argument_and_as_a_path():
    text = unit(service(NASTY))
    assert '"--hub" "/srv/a b/%%h/$$HOME/\\"q\\"/\\\\x;"' in text
    assert 'ReadWritePaths="/srv/a b/%%h/$HOME/\\"q\\"/\\\\x;"\n' in text


@pytest.mark.parametrize("folder", ["/home/hub/fanal", "/root/hub"])
def test_a_hub_in_a_home_may_look_there(folder):
    assert "ProtectHome=read-only\n" in unit(service(folder))
    assert "ProtectHome=yes\n" in unit(service())


@pytest.mark.parametrize("bad", ["/a\nExecStart=/bin/evil", "/a\x00", "/a\r"])
def test_a_name_cannot_become_a_line(bad):
    for one in (service(bad), service(user=bad), service(passphrase=Path(bad))):
        with pytest.raises(UsageError):
            unit(one)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_finds_no_fault_with_it(tmp_path):
    file = tmp_path / "fanal-hub.service"
    file.write_text(unit(service(tmp_path / "a b$", "root", python=Path("/usr/bin/env"), port=443)))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False
    )
    ours = [one for one in done.stderr.splitlines() if "fanal-hub" in one]
    assert (ours, done.returncode) == ([], 0)


def test_a_crash_writes_no_keys_to_the_disk():
    assert "\nLimitCORE=0\n" in unit(service())


def test_a_hub_waits_for_a_clock_that_is_waited_for():
    (after,) = [line for line in unit(service()).splitlines() if line.startswith("After=")]
    assert "time-sync.target" in after.split("=")[1].split()
