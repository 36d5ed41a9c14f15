"""What our own Ed25519 and SHA-512 cost on both interpreters, as multiples of `cryptography`.

Only the ratios mean something: they were measured in one run on one machine. Neither the
library nor a table of this machine says how long a beacon takes; README.md says what does.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from signature_times import BLOCK, MESSAGE, SEED, median_us
from surroundings import description

HERE = Path(__file__).resolve().parent
PROTOCOL = HERE.parent / "protocol"
MICROPYTHON = Path(sys.executable).with_name("micropython")
CALLS = 100


def library_us() -> dict[str, float]:
    """Return the times of `cryptography` (OpenSSL), in microseconds."""
    private_key = Ed25519PrivateKey.from_private_bytes(SEED)
    public_key = private_key.public_key()
    signed = private_key.sign(MESSAGE)
    return {
        "public key": median_us(
            lambda: Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw(),
            CALLS,
        ),
        "sign": median_us(lambda: private_key.sign(MESSAGE), CALLS),
        "verify": median_us(lambda: public_key.verify(signed, MESSAGE), CALLS),
        "sha512": median_us(lambda: hashlib.sha512(BLOCK).digest(), CALLS),
    }


def ours_us(interpreter: str | Path) -> dict[str, float]:
    """Return our own times on an interpreter, in microseconds."""
    finished = subprocess.run(
        [str(interpreter), str(HERE / "signature_times.py")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "MICROPYPATH": f".frozen:{PROTOCOL}", "PYTHONPATH": str(PROTOCOL)},
    )
    times_us: dict[str, float] = json.loads(finished.stdout)
    return times_us


def micropython_version() -> str:
    """Return the version that the interpreter gives of itself."""
    finished = subprocess.run(
        [str(MICROPYTHON), "-c", "import sys; print(sys.version)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return finished.stdout.strip()


def main() -> None:
    """Measure, print the ratios, write results/signature.json."""
    library = library_us()
    measured = {"CPython": ours_us(sys.executable), "MicroPython": ours_us(MICROPYTHON)}
    print(f"{'':<14} {'cryptography':>14} {'ours on CPython':>24} {'ours on MicroPython':>24}")
    for name in {**measured["CPython"], **measured["MicroPython"]}:
        base_us = library[name.split(",")[0]]
        cells = ""
        for times_us in measured.values():
            here_us = times_us.get(name)
            text = "" if here_us is None else f"{here_us:,.0f} us, x {here_us / base_us:,.0f}"
            cells += f" {text:>24}"
        print(f"{name:<14} {base_us:>11,.1f} us{cells}")
    machine = {**description(), "micropython": micropython_version()}
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    text = json.dumps({**machine, "cryptography_us": library, "ours_us": measured}, indent=1)
    (results / "signature.json").write_text(text + "\n", encoding="utf-8")
    print()
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    print("results/signature.json written")


if __name__ == "__main__":
    main()
