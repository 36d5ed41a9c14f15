"""The desk at which commands are killed, and how it is prepared."""

import shutil
import subprocess
import time

import pyrage
import pytest
from fanal import sealed_work

from tests.adversary.desk import HERE, Desk
from tests.adversary.moments import ASKED
from tests.unit import quick_passphrase


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A desk; passphrases cost nothing while a module has it."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    root = tmp_path_factory.mktemp("desk")
    library = root / "killing.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, HERE / "killing.c", "-ldl"],
                   check=True)  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyrage.passphrase, "encrypt", quick_passphrase.encrypt)
        patch.setattr(pyrage.passphrase, "decrypt", quick_passphrase.decrypt)
        patch.setattr(sealed_work, "run", sealed_work.here)
        desk = Desk(root, library, bool(ASKED))
        desk.began_s = time.time()
        yield desk
        desk.stop()
