"""The real `fanal listen`, which also notes what it seals, what is on its disk, and what is taken.

    python tests/e2e/noting_listener.py NOTES [--hasty] listen --bundle FILE ...

NOTES gets a line of JSON for each group: {"sealed": content id, "frames": [[payload, heard_ms,
last_ms, count, rssi_dbm]...]} when it is made, {"written": id} after the outbox has it, {"taken":
id} after the relay said so. It survives SIGKILL, since each line is one write. --hasty: it tries
again after half a second at the most, so that a test need not wait for minutes, and so on.
"""

import json
import os
import sys

from fanal.cli import main
from fanal.envelope import Sealer, content_id
from fanal.gateway import grouping, relay, sender
from fanal.gateway.cargo import Cargo
from fanal.gateway.outbox import Outbox

HASTY_TOGETHER_MS = 1000


def note_in(path: str) -> None:
    """From now on note in the file at `path`."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    group, add, remove = Sealer.group, Outbox.add, Cargo.remove

    def note(**what: object) -> None:
        os.write(file, (json.dumps(what) + "\n").encode())

    def noted_group(self, heard):
        sealed = group(self, heard)
        ahead_ms = heard.wall_ms - heard.steady_ms
        note(sealed=content_id(sealed), frames=[
            [f.payload.hex(), f.first_ms + ahead_ms, f.last_ms + ahead_ms, f.count, f.rssi_dbm]
            for f in heard.frames
        ])  # fmt: skip
        return sealed

    def noted_add(self, sealed):
        number = add(self, sealed)
        note(written=content_id(sealed))
        return number

    def noted_remove(self, numbers):
        for _, sealed in self.get(numbers):
            note(taken=content_id(sealed))
        remove(self, numbers)

    Sealer.group, Outbox.add, Cargo.remove = noted_group, noted_add, noted_remove


def be_hasty() -> None:
    """Wait for no longer than half a second, and gather for no longer than a second."""
    made = relay.Backoff.__init__

    def hasty(self, first_s=0.1, most_s=0.5, **more):
        made(self, min(first_s, 0.1), min(most_s, 0.5), **more)

    relay.Backoff.__init__ = hasty
    sender._SOON_S = (0.1, 0.3)
    began = grouping.Grouper.__init__

    def quick(self, limits=None, *more):
        began(self, limits or grouping.Limits(together_ms=HASTY_TOGETHER_MS), *more)

    grouping.Grouper.__init__ = quick


if __name__ == "__main__":
    note_in(sys.argv.pop(1))
    if sys.argv[1] == "--hasty":
        be_hasty()
        del sys.argv[1]
    main(prog_name="fanal")
