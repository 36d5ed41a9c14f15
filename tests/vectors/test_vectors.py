"""All vector files on both interpreters, and that the runner can fail."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.micropython.interpreter import ROOT, run_micropython

RUNNER = ROOT / "tests" / "vectors" / "run_vectors.py"
VECTORS = ROOT / "protocol" / "vectors"


def run_cpython(script: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(script), *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(params=[run_cpython, run_micropython], ids=["cpython", "micropython"])
def run(request):
    return request.param


def test_every_vector_file(run):
    finished = run(RUNNER)
    assert finished.stderr == ""
    assert finished.returncode == 0
    lines = finished.stdout.splitlines()
    assert len(lines) == len(list(VECTORS.glob("*.json")))
    assert all(line.endswith(" 0 failures") for line in lines)


SPOILT = [
    ("protocol-v1.json", ["mask"]),
    ("protocol-v1.json", ["alert"]),
    ("protocol-v1.json", ["signature_pages", 11]),
    ("protocol-v1.json", ["crumb", "page"]),
    ("rfc3610-aes-ccm.json", ["sealed"]),
    ("rfc4231-hmac-sha256.json", ["mac"]),
    ("rfc5869-hkdf-sha256.json", ["okm"]),
    ("time-rules.json", ["steps", 0, "kind"]),
]


@pytest.mark.parametrize(("name", "path"), SPOILT)
def test_a_spoilt_value_is_named(run, name, path, tmp_path):
    content = json.loads((VECTORS / name).read_text())
    records = content["vectors"] if isinstance(content, dict) else content
    del records[2:]  # two are enough
    place = records[1]
    for step in path[:-1]:
        place = place[step]
    value = place[path[-1]]
    place[path[-1]] = value + 1 if isinstance(value, int) else spoilt(value)
    (tmp_path / name).write_text(json.dumps(content))
    finished = run(RUNNER, str(tmp_path / name))
    assert finished.returncode == 1
    assert finished.stderr.startswith(f"{name}[1].")
    assert not finished.stdout.endswith(" 0 failures\n")


def spoilt(text: str) -> str:
    """Another text, still hexadecimal if it was."""
    return ("1" if text[0] == "0" else "0") + text[1:]


def test_an_unknown_shape_fails(run, tmp_path):
    (tmp_path / "x.json").write_text('[{"colour": "red"}]')
    assert run(RUNNER, str(tmp_path / "x.json")).returncode == 1
