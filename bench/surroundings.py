"""What a bench ran on, so that its figures can be read later."""

import os
import platform


def description() -> dict[str, str | int]:
    """Return interpreter, system, processor model and number of processors."""
    return {
        "interpreter": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.platform(),
        "processor": _processor(),
        "processors": os.cpu_count() or 0,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass  # no Linux
    return platform.processor() or platform.machine()
