"""Several boards at once: a thread and a bar for each, plain lines where there is no terminal."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from fanal.cli import console
from fanal.error import BatchError, FanalError
from fanal.flash_plan import Progress as BoardProgress

T = TypeVar("T")

MOST_AT_ONCE = 32
_LOOK_AGAIN_S = 0.5


@dataclass(frozen=True)
class Bar:
    """Where a board's progress is shown. end: takes the word that stays there."""

    progress: BoardProgress
    end: Callable[[str], None]


@contextmanager
def bars() -> Iterator[Callable[[str], Bar]]:
    """Give a function that makes the bar of a board."""
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
    on_done: Callable[[str, T], str],
    more: Callable[[], Sequence[str] | None] | None = None,
) -> None:
    """Do the work on every port at once, and tell of each as it is done.

    on_done: returns the word that stands beside its bar then. more: asked again and again for
    ports that came since; None ends it when those under way are done. Ctrl-C begins no more of
    them and waits for those under way, so that none is left half done; then it goes on as
    KeyboardInterrupt. What work raises is raised when all others are done.
    """
    unforeseen: list[BaseException] = []
    with bars() as progress, ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        waiting: dict[Future[T], tuple[str, Bar]] = {}

        def begin(new: Sequence[str]) -> None:
            under_way = {port for port, _ in waiting.values()}
            # a chip's own USB port goes and comes with each reset of the board on it
            for port in [port for port in new if port not in under_way]:
                bar = progress(port)
                waiting[pool.submit(work, port, bar.progress)] = port, bar

        def end(future: Future[T]) -> None:
            port, bar = waiting.pop(future)
            problem = future.exception()
            if problem is None:
                bar.end(on_done(port, future.result()))
            else:
                unforeseen.append(problem)
                bar.end("not done")

        try:
            begin(ports)
            while waiting or more is not None:
                done, _ = wait(waiting, timeout=_LOOK_AGAIN_S, return_when=FIRST_COMPLETED)
                for future in done:
                    end(future)
                if more is not None:
                    new = more()
                    more = None if new is None else more
                    begin(new or ())
                    if not waiting:
                        time.sleep(_LOOK_AGAIN_S)
        except KeyboardInterrupt:
            console.note("Stopping: boards under way are brought to an end, no other is begun.")
            pool.shutdown(wait=True, cancel_futures=True)
            for future in list(waiting):
                if not future.cancelled():
                    end(future)
            raise
    if unforeseen:
        raise unforeseen[0]


def exit_code(problems: Sequence[FanalError], count: int) -> int:
    """Return the exit code of work on so many boards: a single one's own, or that of a part."""
    if count == 1 and problems:
        return problems[0].exit_code
    return BatchError.exit_code if problems else 0


def _bar(shown: Progress, port: str) -> Bar:
    task: TaskID = shown.add_task("", port=_short(port), total=1.0)
    told = BoardProgress(
        step=lambda text: shown.update(task, description=text, completed=0.0),
        share=lambda share: shown.update(task, completed=share),
    )
    return Bar(told, lambda word: shown.update(task, description=word, completed=1.0))


def _plain(port: str) -> Bar:
    def step(text: str) -> None:
        with _lines:
            console.note(f"{port}: {text}")

    return Bar(BoardProgress(step=step), lambda _: None)


_lines = threading.Lock()


def _short(port: str, most: int = 28) -> str:
    return port if len(port) <= most else f"…{port[-most + 1 :]}"
