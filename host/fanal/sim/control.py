"""The socket through which `fanal sim squeeze ...` speaks to a running `fanal sim start`.

One connection, one request: a line of JSON, {"do": NAME, ...}, answered by one line,
{"ok": true, ...} or {"ok": false, "message": SENTENCE, "hint": SENTENCE}.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from fanal.error import DeviceError, EnvironmentFault, FanalError, UsageError
from fanal.sim import force, tape
from fanal.sim.air import Reception
from fanal.sim.board import Board
from fanal.sim.chip import OFF
from fanal.sim.faults import DIRECTIONS
from fanal.sim.flash import Cut
from fanal.sim.world import World

SOCKET = "control.sock"
_PATIENCE_S = 10.0

Request = dict[str, Any]


def ask(directory: Path, do: str, **arguments: Any) -> dict[str, Any]:
    """Have the world of `directory` do something. Raises EnvironmentFault, FanalError."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(_PATIENCE_S)
        try:
            line.connect(str(directory / SOCKET))
            line.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
            with line.makefile("r", encoding="utf-8") as answers:
                answer: dict[str, Any] = json.loads(answers.readline())
        except (OSError, ValueError):
            raise EnvironmentFault(
                f"No virtual bench runs in {directory}.",
                "Start one in another terminal: fanal sim start",
            ) from None
    if not answer.pop("ok"):
        raise FanalError(answer["message"], answer["hint"], answer["exit_code"])
    return answer


class Control:
    """Serves one world on the socket in its folder."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._recorder: tape.Recorder | None = None
        self._replays: set[asyncio.Task[int]] = set()

    async def __aenter__(self) -> Control:
        """Listen. Raises EnvironmentFault if another world has this folder."""
        require_free(self._world.directory)
        path = self._world.directory / SOCKET
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, path)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up."""
        self._server.close()
        for replay in self._replays:
            replay.cancel()
        self._stop_recording()
        (self._world.directory / SOCKET).unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if request := await reader.readline():  # some only ask whether anybody is here
            writer.write(json.dumps(self.perform(request)).encode() + b"\n")
            with suppress(ConnectionError):
                await writer.drain()
        writer.close()

    def perform(self, line: bytes) -> dict[str, Any]:
        """Carry out one request and return the answer."""
        try:
            request: Request = json.loads(line)
            return {"ok": True, **_DEEDS[request.pop("do")](self, request)}
        except FanalError as error:
            sentence, hint, code = error.sentence, error.hint, error.exit_code
        except OSError as error:
            reason = error.strerror or type(error).__name__
            sentence, hint, code = f"The bench cannot use {error.filename}: {reason}.", "", 7
        except ValueError as error:
            sentence, hint, code = f"That did not work: {error}.", "", 1
        except (KeyError, TypeError):
            sentence, hint, code = "The bench did not understand.", "Are both of one version?", 2
        return {"ok": False, "message": sentence, "hint": hint, "exit_code": code}

    def _board(self, request: Request) -> Board:
        boards = self._world.boards
        name = request.get("board")
        if name is None and len(boards) == 1:
            return next(iter(boards.values()))
        if name is None:
            raise UsageError("Which board?", f"Name one of: {', '.join(boards) or 'none yet'}.")
        if name not in boards:
            raise DeviceError(
                f"There is no board called {name}.", f"There are: {', '.join(boards) or 'none'}."
            )
        return boards[name]

    def _status(self, _: Request) -> dict[str, Any]:
        world = self._world
        return {
            "directory": str(world.directory),
            "air": world.air_address,
            "frames": world.air.frames,
            "loss": world.air.reception.loss,
            "duplicate": world.air.reception.duplicate,
            "recording": self._recorder is not None,
            "boards": [_describe(board) for board in world.boards.values()],
        }

    def _squeeze(self, request: Request) -> dict[str, Any]:
        board, curve = self._board(request), request["curve"]
        if board.state == OFF:
            raise DeviceError(f"{board.name} has no power.", f"fanal sim power on {board.name}")
        if curve not in force.NAMES:
            raise UsageError(
                f"There is no squeeze called {curve}.", f"There are: {', '.join(force.NAMES)}."
            )
        board.squeeze(curve, seed=request["seed"], strength=request["strength"])
        return {"board": board.name}

    def _power(self, request: Request) -> dict[str, Any]:
        board = self._board(request)
        if request["is_on"]:
            board.power_on()
        else:
            board.power_off()
        return {"board": board.name}

    def _battery(self, request: Request) -> dict[str, Any]:
        board = self._board(request)
        board.battery(int(request["mv"]))
        return {"board": board.name}

    def _reset(self, request: Request) -> dict[str, Any]:
        board = self._board(request)
        board.reset()
        return {"board": board.name}

    def _cut(self, request: Request) -> dict[str, Any]:
        board = self._board(request)
        if request.get("after_s") is not None:
            board.cut_after(float(request["after_s"]))
        else:
            board.cut(Cut(request["operation"], request["where"], request["after_bytes"]))
        return {"board": board.name}

    def _reception(self, request: Request) -> Reception:
        name = request.get("listener")
        return self._world.air.listener(name) if name else self._world.air.reception

    def _loss(self, request: Request) -> dict[str, Any]:
        self._reception(request).loss = float(request["share"])
        return {}

    def _duplicate(self, request: Request) -> dict[str, Any]:
        self._reception(request).duplicate = float(request["share"])
        return {}

    def _record(self, request: Request) -> dict[str, Any]:
        self._stop_recording()
        if request["path"] is not None:
            self._recorder = tape.Recorder(self._world.air, Path(request["path"]))
        return {}

    def _stop_recording(self) -> None:
        if self._recorder is not None:
            self._recorder.close()
            self._recorder = None

    def _replay(self, request: Request) -> dict[str, Any]:
        frames = tape.read(Path(request["path"]))[: request["most"]]
        replay = tape.replay(self._world.air, frames, keep_address=request["keep_address"])
        task = asyncio.get_running_loop().create_task(replay)
        self._replays.add(task)
        task.add_done_callback(self._replays.discard)
        return {"frames": len(frames)}

    def _forge(self, request: Request) -> dict[str, Any]:
        tape.forge(self._world.air, bytes.fromhex(request["data"]))
        return {}

    def _add(self, request: Request) -> dict[str, Any]:
        board = self._world.add_board(
            request.get("name"), request["chip"], blank=request.get("blank", False)
        )
        return _describe(board)

    def _fault(self, request: Request) -> dict[str, Any]:
        board = self._board(request)
        names = ("at", "every", "rate", "baud", "chip")
        values = {name: request[name] for name in names if request.get(name) is not None}
        direction = request.get("direction")
        board.faults.set(request["kind"], direction=direction and DIRECTIONS[direction], **values)
        return {"board": board.name}

    def _plug(self, request: Request) -> dict[str, Any]:
        board = self._board(request)
        if request["is_in"]:
            board.plug()
        else:
            board.unplug()
        return {"board": board.name}

    def _boot_button(self, request: Request) -> dict[str, Any]:
        board = self._board(request)
        board.strap(bool(request["is_down"]))
        return {"board": board.name}


def _describe(board: Board) -> dict[str, Any]:
    return {
        "name": board.name,
        "chip": board.chip,
        "port": board.port,
        "url": board.url,
        "plugged": board.is_plugged,
        "mac": board.identity.mac.hex(":"),
        "state": board.state,
        "boots": board.boots,
        "battery_mv": board.senses.battery_mv,
        "force_mv": board.senses.force_mv(board.loop.time()),
        "flash_operations": board.flash.operations,
        "heap_stand_ins": board.service.heap_stand_ins,
        "heap_firmware": board.service.heap_free,
    }


def require_free(directory: Path) -> None:
    """Raise EnvironmentFault if a bench runs in this folder: its boards have one owner."""
    with socket.socket(socket.AF_UNIX) as line:
        is_served = line.connect_ex(str(directory / SOCKET)) == 0
    if is_served:
        raise EnvironmentFault(
            f"A virtual bench runs in {directory} already.",
            "Use that one, or start another with --dir.",
        )


_DEEDS: dict[str, Callable[[Control, Request], dict[str, Any]]] = {
    "status": Control._status,
    "squeeze": Control._squeeze,
    "power": Control._power,
    "battery": Control._battery,
    "reset": Control._reset,
    "cut": Control._cut,
    "loss": Control._loss,
    "duplicate": Control._duplicate,
    "record": Control._record,
    "replay": Control._replay,
    "forge": Control._forge,
    "add": Control._add,
    "fault": Control._fault,
    "plug": Control._plug,
    "boot button": Control._boot_button,
}
