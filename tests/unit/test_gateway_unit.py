"""The systemd unit: what is quoted, what is hardened, and that systemd itself reads it so."""

import shutil
import subprocess
from pathlib import Path

import pytest
from fanal.error import UsageError
from fanal.gateway.unit import Service, unit

NASTY = '/opt/a b/%h/$HOME/"q"/\\x;'


def test_what_is_started():
    text = unit(Service(Path("/opt/fanal/bin/python"), Path("/etc/h.fanal"), ["--at", "-33.9,18"]))
    assert "LoadCredential=bundle:/etc/h.fanal\n" in text
    assert (
        'ExecStart="/opt/fanal/bin/python" "-m" "fanal" "listen" "--bundle" "%d/bundle"'
        ' --state "%S/fanal" "--at" "-33.9,18"\n'
    ) in text
    assert "ProtectHome=yes" in text
    assert "DynamicUser=yes" in text


def test_a_program_in_a_home_can_be_started():
    assert "ProtectHome=read-only" in unit(Service(Path("/home/pi/v/bin/python"), Path("/e")))


def test_names_are_quoted():
    text = unit(Service(Path(NASTY), Path("/e"), ["$X", "100%"]))
    assert 'ExecStart="/opt/a b/%%h/$$HOME/\\"q\\"/\\\\x;" "-m"' in text
    assert '"$$X" "100%%"' in text


@pytest.mark.parametrize("bad", ["/a\nExecStart=/bin/evil", "/a\x00", "/a\r"])
def test_a_name_cannot_become_a_line(bad):
    for service in (Service(Path(bad), Path("/e")), Service(Path("/p"), Path(bad))):
        with pytest.raises(UsageError):
            unit(service)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_finds_no_fault_with_it(tmp_path):
    bundle = tmp_path / "h.fanal"
    bundle.write_text("{}")
    file = tmp_path / "fanal-listen.service"
    file.write_text(unit(Service(Path("/usr/bin/env"), bundle, ["--gpsd", "127.0.0.1:2947"])))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False
    )
    ours = [one for one in done.stderr.splitlines() if "fanal-listen" in one]
    assert (ours, done.returncode) == ([], 0)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_would_find_a_fault(tmp_path):
    file = tmp_path / "fanal-listen.service"
    text = unit(Service(Path("/nowhere/python"), tmp_path)).replace("PrivateTmp", "PrivateTemp")
    file.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False
    )
    assert "PrivateTemp" in done.stderr
    assert done.returncode != 0
