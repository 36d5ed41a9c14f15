"""Run vector files against fanal_protocol, on CPython and on MicroPython alike.

python tests/vectors/run_vectors.py [FILE...]       all of protocol/vectors without arguments

One line per file goes to stdout; each failure names file, index and field on stderr. Exit
status 0 if everything was as written, 1 if not.
"""

import json
import os
import sys

HERE = __file__.rsplit("/", 1)[0] if "/" in __file__ else "."
PROTOCOL = HERE + "/../../protocol"
for path in (HERE, PROTOCOL):
    if path not in sys.path:
        sys.path.insert(0, path)

from checks import CHECKS  # noqa: E402  both paths are needed first

# A plain list names its kind by a field that only its records have.
KIND_OF_FIELD = {"fleet_root": "protocol", "steps": "time-rules", "reason": "frames-negative"}


class Expectations:
    """Counts what was compared in one file and keeps what was not as expected."""

    def __init__(self):
        self.compared = 0
        self.failures = []
        self.index = 0

    def equal(self, field, got, expected):
        """Compare one field of the record at `index`."""
        self.compared += 1
        if got != expected:
            self.failures.append((self.index, field, f"got {got!r}, expected {expected!r}"))


def read(name):
    """Return (kind, records) of a vector file. Raises ValueError for an unknown shape."""
    with open(name) as file:
        content = json.load(file)
    if isinstance(content, dict):
        return content["kind"], content["vectors"]
    for field, kind in KIND_OF_FIELD.items():
        if content and field in content[0]:
            return kind, content
    raise ValueError("no known kind of vectors")


def run(name):
    """Check every record of one file; return whether all were as expected."""
    expectations = Expectations()
    kind, records = read(name)
    for index, record in enumerate(records):
        expectations.index = index
        try:
            CHECKS[kind](record, expectations.equal)
        except Exception as error:  # noqa: BLE001  one bad record must not hide the others
            text = f"{type(error).__name__}: {error}"
            expectations.failures.append((index, "exception", text))
    short = name.rsplit("/", 1)[-1]
    for index, field, text in expectations.failures:
        print(f"{short}[{index}].{field}: {text}", file=sys.stderr)
    failed = len(expectations.failures)
    counts = f"{len(records)} records, {expectations.compared} comparisons, {failed} failures"
    print(f"{short}: {kind}, {counts}")
    return bool(records) and not expectations.failures


def all_files():
    """Return the paths of all files of protocol/vectors, in order."""
    folder = PROTOCOL + "/vectors"
    return [folder + "/" + name for name in sorted(os.listdir(folder)) if name.endswith(".json")]


if __name__ == "__main__":
    passed = [run(name) for name in sys.argv[1:] or all_files()]
    sys.exit(0 if passed and all(passed) else 1)
