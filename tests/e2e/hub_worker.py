"""One worker of a hub as a process of its own: deliveries on standard input, answers on output.

    python -m tests.e2e.hub_worker URL [--die-at N] [--largest-file BYTES] [--patience-ms N]

Each delivery is u32(length) || bytes. The answers are "ok N" or "no N CODE", N counting from 0. At
the end of the input everything is resolved, and "done" is said. --die-at: killed (SIGKILL, by
itself) before that statement or commit of the database.
"""

import argparse
import os
import resource
import signal
import struct
import sys
import threading
import time
from concurrent.futures import Future

from fanal.envelope import Opener
from fanal.hub.config import Limits
from fanal.hub.inbox import Inbox
from fanal.hub.intake import Intake
from fanal.hub.resolving import Resolving
from fanal.hub.store import Store
from fanal.hub.tables import InboxRow
from sqlalchemy import event, select

from tests.unit.paper_listener import KEYS, SEALING
from tests.unit.paper_story import SENT_MS

_HOUR_NS = 3600 * 10**9
_lock = threading.Lock()


def say(text: str) -> None:
    with _lock:
        print(text, flush=True)


def clock_ms() -> int:
    """A clock that all workers share, near the time of the story."""
    return SENT_MS + time.monotonic_ns() % _HOUR_NS // 10**6


def die_at(store: Store, number: int) -> None:
    """Be killed before a statement or a commit, counted over all threads."""
    left = [number]

    def count(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(store.engine, "before_cursor_execute", count)
    event.listen(store.engine, "commit", count)


def feed(intake: Intake) -> None:
    """Submit what comes, and say what becomes of it."""

    def answer(number: int, future: Future) -> None:
        problem = future.exception()
        say(f"ok {number}" if problem is None else f"no {number} {getattr(problem, 'code', '?')}")

    number = 0
    while header := sys.stdin.buffer.read(4):
        data = sys.stdin.buffer.read(*struct.unpack(">I", header))
        intake.submit(data, "").add_done_callback(lambda future, n=number: answer(n, future))
        number += 1


def is_empty(store: Store) -> bool:
    with store.reading() as session:
        return session.scalar(select(InboxRow.id).limit(1)) is None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--die-at", type=int, default=0)
    parser.add_argument("--largest-file", type=int, default=0)
    parser.add_argument("--patience-ms", type=int, default=0)
    arguments = parser.parse_args()
    # what is received is at one moment, so that two runs can be compared; turns need a real clock
    store, turns = Store(arguments.url, lambda: SENT_MS), Store(arguments.url, clock_ms)
    if arguments.die_at:
        die_at(store, arguments.die_at)
        die_at(turns, arguments.die_at)
    if arguments.largest_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (arguments.largest_file,) * 2)
    stop, wake = threading.Event(), threading.Event()
    resolving = Resolving(turns, KEYS, "worker", patience_ms=arguments.patience_ms)
    thread = threading.Thread(target=resolving.run, args=(stop, wake))
    thread.start()
    intake = Intake(Inbox(store, Opener(SEALING), Limits(10**9, 10**9, 10**9)), on_taken=wake.set)
    feed(intake)
    intake.close()
    nap = threading.Event()
    while not arguments.largest_file and (not is_empty(store) or resolving.has_more):
        nap.wait(0.02)
    stop.set()
    wake.set()
    thread.join()
    say("done")


if __name__ == "__main__":
    main()
