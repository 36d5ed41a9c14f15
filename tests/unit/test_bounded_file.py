"""What is read whole has an end."""

from pathlib import Path

import pytest
from fanal import bounded_file
from fanal.error import EnvironmentFault, UsageError


def test_at_most(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert bounded_file.read(path, 5, "a backup") == b"12345"
    with pytest.raises(UsageError):
        bounded_file.read(path, 4, "a backup")


def test_a_device_without_an_end():
    if not Path("/dev/zero").exists():
        pytest.skip("there is no /dev/zero")
    with pytest.raises(UsageError):
        bounded_file.read(Path("/dev/zero"), 1 << 16, "a station's file")


@pytest.mark.parametrize("name", [".", "none"])
def test_what_is_no_file(tmp_path, name):
    with pytest.raises(EnvironmentFault, match="cannot be read"):
        bounded_file.read(tmp_path / name, 5, "a backup")
