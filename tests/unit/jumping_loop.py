"""An event loop on which hours of waiting take no time: it jumps to the next thing due."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class JumpingLoop(asyncio.SelectorEventLoop):
    """Time stands still while anything runs, and jumps when everything waits."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 1000.0
        select = self._selector.select

        def jump(timeout_s: float | None = None) -> Any:
            if timeout_s is None:
                raise AssertionError("everything waits, and nothing will ever happen")
            self._now_s += timeout_s
            return select(0)

        self._selector.select = jump

    def time(self) -> float:
        return self._now_s


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run one coroutine to its end in jumping time."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(work)
