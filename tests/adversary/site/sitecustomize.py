"""On PYTHONPATH of the commands that are killed: cheap passphrases, and a tape of every key made.

Whoever is killed takes its new keys along, and nobody could search for them. So each secret of 32
bytes and each age identity is noted as it is made, in a file that is mapped and so written without
a call that could be counted. The tape lies among the person's own things, which are not searched.
"""

import importlib.util
import mmap
import os
import secrets
from pathlib import Path

import pyrage

_SOURCE = Path(__file__).parents[2] / "unit" / "quick_passphrase.py"
_SPEC = importlib.util.spec_from_file_location("quick_passphrase", _SOURCE)
_QUICK = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_QUICK)
pyrage.passphrase.encrypt = _QUICK.encrypt
pyrage.passphrase.decrypt = _QUICK.decrypt

_ENTRY = 128
_real_token_bytes = secrets.token_bytes
_Identity = pyrage.x25519.Identity


def _note(secret):
    tape = _tape()
    if tape is not None:
        number = int.from_bytes(tape[:4], "little")
        at = 4 + _ENTRY * number
        if at + _ENTRY <= len(tape):
            tape[at : at + 1 + len(secret)] = bytes([len(secret)]) + secret
            tape[:4] = (number + 1).to_bytes(4, "little")


def _tape(_made=[]):  # noqa: B006 - mapped once in each process
    if not _made:
        path = os.environ.get("FANAL_KEY_TAPE")
        _made.append(None)
        if path:
            with open(path, "r+b") as file:
                _made[0] = mmap.mmap(file.fileno(), 0)
    return _made[0]


def _token_bytes(nbytes=None):
    made = _real_token_bytes(nbytes)
    if len(made) == 32:
        _note(made)
    return made


class _Noted:
    """Stands for pyrage.x25519.Identity, whose own methods cannot be replaced."""

    @staticmethod
    def generate():
        made = _Identity.generate()
        _note(str(made).encode())
        return made

    from_str = staticmethod(_Identity.from_str)


secrets.token_bytes = _token_bytes
pyrage.x25519.Identity = _Noted
