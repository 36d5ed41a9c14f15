"""One run of `fanal listen --bundle`: a volunteer's listener, and what it says of itself.

Only counts and sentences about the computer: nothing that is heard is ever shown.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from fanal.cli import console
from fanal.error import EnvironmentFault, UsageError
from fanal.gateway.bundle import Bundle
from fanal.gateway.clocks import of_this_computer
from fanal.gateway.gateway import Gateway
from fanal.gateway.listener_key import ListenerKey
from fanal.gateway.locate import Fixed, Gpsd, Locator
from fanal.gateway.outbox import OUTBOX_FILE, Outbox
from fanal.gateway.relay import relay_for
from fanal.gateway.state import State
from fanal.position import typed
from fanal.radio import DEAF, Radio

LINES, OBJECTS, SILENT = "lines", "objects", "silent"

_TELL_EVERY_S = 600.0


@dataclass
class Relaying:
    """One run. show: LINES for a person, OBJECTS for a stream, SILENT for one object at the end."""

    bundle: Bundle
    folder: Path
    locator: Locator
    show: str
    last: State | None = None
    sent: int = 0
    began_s: float = 0.0

    def run(self, make_radio: Callable[[Callable[[], int]], Radio], seconds: float | None) -> int:
        """Listen until the end and return the exit code. make_radio: with its clock."""
        outbox = _outbox(self.folder)
        try:
            key = ListenerKey.in_folder(self.folder)
            self._greet(key, outbox)
            with suppress(KeyboardInterrupt):
                asyncio.run(self._listen(make_radio, key, outbox, seconds))
            waiting = len(outbox)
        finally:
            outbox.close()
        self._end(waiting)
        return 7 if self.last is None or self.last.radio == DEAF else 0

    async def _listen(
        self,
        make_radio: Callable[[Callable[[], int]], Radio],
        key: ListenerKey,
        outbox: Outbox,
        seconds: float | None,
    ) -> None:
        clocks = of_this_computer()
        gateway = Gateway(
            make_radio(clocks.steady_ms), self.bundle, key, outbox, relay_for, self.locator,
            clocks, self._tell,
        )  # fmt: skip
        self.began_s = time.monotonic()
        running = asyncio.current_task()
        assert running is not None
        with suppress(NotImplementedError):  # Windows has no such thing
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
        telling = asyncio.create_task(self._tell_regularly(gateway))
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await gateway.run()
        except asyncio.CancelledError:
            pass
        finally:
            telling.cancel()
            self.last, self.sent = gateway.state(), gateway.sent

    async def _tell_regularly(self, gateway: Gateway) -> None:
        while True:
            await asyncio.sleep(_TELL_EVERY_S)
            self._tell(gateway.state())

    def _greet(self, key: ListenerKey, outbox: Outbox) -> None:
        console.note(f"Listening for {self.bundle.area} (bundle {self.bundle.fingerprint}),"
                     f" sending to {self.bundle.relay}")  # fmt: skip
        console.note(f"This listener is {key.name}: tell the NGO, so that it is enrolled.")
        if outbox.was_damaged:
            console.note(f"{console.mark('warn', sys.stderr)} The outbox was damaged; it was put"
                         " aside, and what waited in it is lost.")  # fmt: skip

    def _tell(self, state: State) -> None:
        if self.show == OBJECTS:
            console.print_json(state.as_object())
        elif self.show == LINES:
            click.echo(f"{time.strftime('%H:%M')}  {state.line()}")
        if self.show != OBJECTS:
            for sentence in state.warnings():
                console.note(f"{console.mark('warn', sys.stderr)} {sentence}")

    def _end(self, waiting: int) -> None:
        if self.show == LINES:
            groups = "1 group waits" if waiting == 1 else f"{waiting} groups wait"
            click.echo(f"Stopped: {groups} to be sent, {self.sent} sent.")

    def report(self) -> dict[str, Any]:
        """Return the one object of `--json`."""
        state = {} if self.last is None else self.last.as_object()
        is_fine = self.last is not None and self.last.radio != DEAF
        return {"ok": is_fine, "seconds": round(time.monotonic() - self.began_s, 1),
                "sent": self.sent, **state}  # fmt: skip


def locator(at: str | None, gpsd: str | None) -> Locator:
    """Return who says where this computer is. Raises UsageError."""
    if at is not None and gpsd is not None:
        raise UsageError("--at and --gpsd exclude each other.", "Use one of them.")
    if gpsd is not None:
        return Gpsd(gpsd)
    return Fixed(None if at is None else typed(at))


def default_state_folder() -> Path:
    """Return where a listener keeps its key and its outbox unless told otherwise."""
    import platformdirs

    return Path(platformdirs.user_data_dir("fanal", appauthor=False)) / "listener"


def _outbox(folder: Path) -> Outbox:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise EnvironmentFault(
            f"The folder {folder} cannot be made: {problem.strerror}.",
            "Name another one with --state DIR.",
        ) from None
    return Outbox(folder / OUTBOX_FILE)
