"""On PYTHONPATH of a test's child processes: passphrases that cost nothing there too."""

import importlib.util
from pathlib import Path

import pyrage

_SOURCE = Path(__file__).parents[1] / "quick_passphrase.py"
_SPEC = importlib.util.spec_from_file_location("quick_passphrase", _SOURCE)
_QUICK = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_QUICK)
pyrage.passphrase.encrypt = _QUICK.encrypt
pyrage.passphrase.decrypt = _QUICK.decrypt
