"""What a client types, on its way to the program: Ctrl-C is not a byte like others."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from fanal.sim.device import opcode
from fanal.sim.interpreter import Interpreter

if TYPE_CHECKING:
    from fanal.sim.service import Service

_PATIENCE_S = 0.1  # after which a program that asks for nothing is interrupted by a signal


class Keyboard:
    """Types into one program at a time."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._loop = asyncio.get_running_loop()
        self._interpreter: Interpreter | None = None
        self._typing = bytearray()
        self._ctrl_c_s: float | None = None  # since when one is on its way, on the wall's clock

    @property
    def is_typing(self) -> bool:
        """Is there something that the program has not got yet?"""
        return bool(self._typing)

    def type_in(self, interpreter: Interpreter, data: bytes) -> None:
        """Type; what cannot arrive yet follows by itself."""
        self._interpreter = interpreter
        self._typing += data
        self._pass_on()

    def clear(self) -> None:
        """There is no program any more: forget what was on its way."""
        self._interpreter = None
        self._typing.clear()
        self._ctrl_c_s = None

    def _pass_on(self) -> None:
        while self._typing and self._interpreter is not None:
            before, ctrl_c, rest = bytes(self._typing).partition(b"\x03")
            if before:
                self._interpreter.write(before)
            if ctrl_c and not self._interrupt(self._interpreter):
                self._typing[:] = ctrl_c + rest
                self._loop.call_soon(self._pass_on)
                return
            self._typing[:] = rest

    def _interrupt(self, interpreter: Interpreter) -> bool:
        """Deliver one Ctrl-C; False if it has yet to arrive.

        A signal can fall into the interpreter's collector and leave its heap locked for good. So
        a program that still asks for things is told with the next answer.
        """
        service, asked_s = self._service, self._ctrl_c_s
        if asked_s is not None and not service.is_interrupted:
            self._ctrl_c_s = None
            return True
        if not interpreter.is_catching_interrupts():
            service.is_interrupted, self._ctrl_c_s = False, None
            interpreter.write(b"\x03")
            return True
        if service.is_sleeping:
            self._ctrl_c_s = None
            service.answer(status=opcode.INTERRUPTED)
            return True
        if asked_s is None:
            service.is_interrupted, self._ctrl_c_s = True, time.monotonic()
        elif time.monotonic() - asked_s > _PATIENCE_S and interpreter.interrupt():
            service.is_interrupted = False
        return False
