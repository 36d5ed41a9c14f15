"""Builds the firmware into the wheel: an installed `fanal` verifies without a compiler."""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).parent / "host"))

from fanal import firmware_image


class BuildWithFirmware(build_py):
    """The ordinary build, and then the firmware's image beside it."""

    def run(self) -> None:
        """Build. In an editable install `make mpy` does it, whenever a source changed."""
        super().run()
        if not self.editable_mode:
            firmware_image.build(Path(self.build_lib) / "fanal" / "_firmware")


setup(cmdclass={"build_py": BuildWithFirmware})
