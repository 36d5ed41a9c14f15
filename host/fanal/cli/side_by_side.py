"""Several boards at once: a thread and a bar for each, plain lines where there is no terminal."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from fanal.cli import console
from fanal.flash import Progress as BoardProgress

T = TypeVar("T")

MOST_AT_ONCE = 32
_LOOK_AGAIN_S = 0.5


@contextmanager
def bars() -> Iterator[Callable[[str], BoardProgress]]:
    """Give a function that makes what a board's progress is told to."""
    if not sys.stderr.isatty():
        yield _plain
        return
    shown = Progress(
        TextColumn("{task.fields[port]}"), BarColumn(20), TextColumn("{task.description}"),
        TimeElapsedColumn(), console=console.err(),
    )  # fmt: skip
    with shown:
        yield lambda port: _bar(shown, port)


def run(
    ports: Sequence[str],
    work: Callable[[str, BoardProgress], T],
    on_done: Callable[[str, T], None],
    more: Callable[[], Sequence[str] | None] | None = None,
) -> None:
    """Do the work on every port at once, and tell of each as it is done.

    more: asked again and again for ports that came since; None ends it when those under way are
    done. Ctrl-C begins no more of them and waits for those under way, so that none is left half
    done; then it goes on as KeyboardInterrupt.
    """
    with bars() as progress, ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        waiting: dict[Future[T], str] = {}

        def begin(new: Sequence[str]) -> None:
            waiting.update({pool.submit(work, port, progress(port)): port for port in new})

        begin(ports)
        try:
            while waiting or more is not None:
                done, _ = wait(waiting, timeout=_LOOK_AGAIN_S, return_when=FIRST_COMPLETED)
                for future in done:
                    on_done(waiting.pop(future), future.result())
                if more is not None:
                    new = more()
                    more = None if new is None else more
                    begin(new or ())
                    if not waiting:
                        time.sleep(_LOOK_AGAIN_S)
        except KeyboardInterrupt:
            console.note("Stopping: boards under way are brought to an end, no other is begun.")
            pool.shutdown(wait=True, cancel_futures=True)
            for future, port in waiting.items():
                if not future.cancelled() and future.exception() is None:
                    on_done(port, future.result())
            raise


def _bar(shown: Progress, port: str) -> BoardProgress:
    task: TaskID = shown.add_task("", port=_short(port), total=1.0)
    return BoardProgress(
        step=lambda text: shown.update(task, description=text, completed=0.0),
        share=lambda share: shown.update(task, completed=share),
    )


_lines = threading.Lock()


def _plain(port: str) -> BoardProgress:
    def step(text: str) -> None:
        with _lines:
            console.note(f"{port}: {text}")

    return BoardProgress(step=step)


def _short(port: str, most: int = 28) -> str:
    return port if len(port) <= most else f"…{port[-most + 1 :]}"
