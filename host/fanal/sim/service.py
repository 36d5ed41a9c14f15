"""What the chip does for its program: the supervisor's answers to the stand-ins' requests."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from fanal.sim.chip import GENEROUS_HEAP, HARD, PROMPT, WDT, WIRING
from fanal.sim.device import opcode
from fanal.sim.flash import PowerCut
from fanal.sim.interpreter import Interpreter, Request

if TYPE_CHECKING:
    from fanal.sim.board import Board

_HEAP_SLACK = 512  # what a boot takes may differ by that much
# how long a board may go on alone, and how far it stays from what comes next
_MOST_FREE_S = 0.25
_MARGIN_S = 0.001

Wakes = dict[str, tuple[list[int], int]]


class Service:
    """Answers one board's program. `outputs` holds what it drives: pin -> level or duty."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._interpreter: Interpreter | None = None
        self._request = Request(0, 0, 0, 0, b"")
        self._wakes: Wakes = {}
        self._wake: Callable[[str], None] | None = None
        self._has_irq = False
        self.is_sleeping = False
        self.is_interrupted = False  # Ctrl-C came while it computed: its next answer says so
        self._least_us = 0  # a board's own time never goes back, whatever rounding does
        self._dog_s = 0.0
        self._dog_bites_s = 0.0
        self.outputs: dict[int, int] = {}
        self.heap_stand_ins = 0
        self.heap_free = 0

    def began(self, interpreter: Interpreter) -> None:
        """A new program starts: nothing is armed."""
        self._interpreter = interpreter
        self._wake, self._has_irq, self.is_sleeping, self._least_us = None, False, False, 0
        self.is_interrupted = False
        self.outputs.clear()

    def __call__(self, request: Request) -> None:
        """Take a request; it is answered now, later or, by a reset, never."""
        self._request = request
        self._board.bench.clock.advance(self._board.true_s(request.now_us))
        if request.fed:
            self._feed_watchdog()
        if self._board.bench.clock.virtual:
            self._least_us = request.now_us
        _HANDLERS[request.op](self, request)

    def answer(self, data: bytes = b"", status: int = opcode.OK) -> None:
        """Answer the outstanding request with what the pins and the clock say now."""
        assert self._interpreter is not None
        board = self._board
        now_s = board.loop.time()
        now_us = max(board.now_us(), self._least_us)
        self.is_sleeping = False
        if self.is_interrupted and status == opcode.OK:
            status = opcode.INTERRUPTED
        self.is_interrupted = False
        senses = (board.level, board.senses.force_mv(now_s), board.senses.battery_mv)
        free_s = 0.0 if board.senses.is_playing(now_s) else self._free_s()
        self._interpreter.reply(status, senses, now_us, int(free_s * 1_000_000), data)

    def _free_s(self) -> float:
        """Return for how long the program may go on without asking what else happened."""
        if self._board.is_at_prompt:
            return 0.0
        free_s = self._board.bench.clock.quiet_s(self._board.is_busy)
        return min(max(free_s - _MARGIN_S, 0.0), _MOST_FREE_S)

    def level_changed(self) -> None:
        """The force pin changed: that may wake the chip or interrupt a sleep."""
        if self._wake is not None:
            self._wake_by_pin()
        elif self.is_sleeping and self._has_irq:
            self.answer(status=opcode.EDGE)

    def _on_hello(self, _: Request) -> None:
        board = self._board
        identity = board.identity
        found = board.found
        assert found is not None
        vfs = found.file_system
        seed = f"{identity.seed} {identity.mac.hex()} {board.boots}".encode()
        hello = {
            "chip": identity.chip,
            "mac": identity.mac.hex(),
            "seed": hashlib.sha256(seed).hexdigest(),
            "virtual": board.bench.clock.virtual,
            "reset_cause": board.reset_cause,
            "wake_reason": board.wake_reason,
            "runs_main": not board.console.wants_raw,
            "fresh": board.flash.read(vfs.address, 64) == b"\xff" * 64,
            "version": found.version,
            "date": found.date,
            "app": found.app.address,
            "vfs": (vfs.address, vfs.size),
            "rtc_us": board.rtc_us,
            "air_port": board.bench.air_port,
            "pins": WIRING[identity.chip],
        }
        self.answer(json.dumps(hello).encode())

    def _on_heap(self, request: Request) -> None:
        board = self._board
        if board.chip not in board.bench.heaps:
            usable = (request.a + request.b) / GENEROUS_HEAP  # the rest is the collector's own
            needed = request.a + board.bench.heap_budget + _HEAP_SLACK
            board.bench.heaps[board.chip] = math.ceil(needed / usable)
        if board.heap_bytes != board.bench.heaps[board.chip]:
            board.start_again()
            return
        self.heap_stand_ins, self.heap_free = request.a, request.b
        board.console.listens = True
        self.answer()

    def _on_ready(self, _: Request) -> None:
        self._board.console.prompt_comes()
        self.answer()
        self._board.set_state(PROMPT)

    def _on_sleep(self, request: Request) -> None:
        self.is_sleeping = True
        until_us = request.now_us + request.a
        self._least_us = until_us if self._board.bench.clock.virtual else 0
        left_us = max(until_us - self._board.now_us(), 0)
        self._board.set_timer("sleep", left_us / 1_000_000, self._slept)

    def _slept(self) -> None:
        if self.is_sleeping:
            self.answer()

    def _on_program(self, request: Request) -> None:
        self._operate(lambda: self._board.flash.program(request.a, request.payload))

    def _on_erase(self, request: Request) -> None:
        self._operate(lambda: self._board.flash.erase(request.a, request.b))

    def _operate(self, operation: Callable[[], None]) -> None:
        try:
            operation()
        except PowerCut as cut:
            self._board.power_failed(cut)
        except ValueError:
            self.answer(status=opcode.REFUSED)
        else:
            self.answer()

    def _on_rtc_read(self, _: Request) -> None:
        self.answer(bytes(self._board.retained[: self._board.retained_size]))

    def _on_rtc_write(self, request: Request) -> None:
        size = len(request.payload)
        self._board.retained[:size] = request.payload
        self._board.retained_size = size
        self.answer()

    def _on_rtc_set(self, request: Request) -> None:
        (self._board.rtc_us,) = struct.unpack("<q", request.payload)
        self.answer()

    def _on_deep_sleep(self, request: Request) -> None:
        board = self._board
        board.fall_asleep()
        self._await_wake(request, board.drift, board.wake)

    def _on_light_sleep(self, request: Request) -> None:
        self.is_sleeping = True
        self._await_wake(request, 1.0, self._end_light_sleep)

    def _end_light_sleep(self, why: str) -> None:
        self._wake = None
        self.answer(status=opcode.OK if why == "timer" else opcode.EDGE)

    def _await_wake(self, request: Request, drift: float, wake: Callable[[str], None]) -> None:
        self._wakes = json.loads(request.payload)
        self._wake = wake
        if request.a:
            self._board.set_timer("sleep", request.a / 1000 * drift, lambda: wake("timer"))
        self._wake_by_pin()

    def _wake_by_pin(self) -> None:
        """Wake if the force pin is one that is watched, at the level that is watched for."""
        pin = WIRING[self._board.chip]["wake"]
        for kind, (pins, level) in self._wakes.items():
            if pin in pins and self._board.level == level and self._wake is not None:
                wake, self._wake = self._wake, None
                wake(kind)
                return

    def _on_reset(self, _: Request) -> None:
        self._board.restart(HARD)

    def _on_watchdog(self, request: Request) -> None:
        self._dog_s = request.a / 1000
        self._feed_watchdog()
        self._board.set_timer("watchdog", self._dog_s, self._look_at_watchdog)
        self.answer()

    def _feed_watchdog(self) -> None:
        self._dog_bites_s = self._board.loop.time() + self._dog_s

    def _look_at_watchdog(self) -> None:
        """Bite, or look again when it might: feeding only moves the moment."""
        left_s = self._dog_bites_s - self._board.loop.time()
        if left_s > 0:
            self._board.set_timer("watchdog", left_s, self._look_at_watchdog)
        else:
            self._board.restart(WDT)

    def _on_pin_out(self, request: Request) -> None:
        self.outputs[request.a] = request.b
        self.answer()

    def _on_pin_irq(self, request: Request) -> None:
        self._has_irq = bool(request.a)
        self.answer()

    def _on_sense(self, _: Request) -> None:
        self.answer()


_HANDLERS: dict[int, Callable[[Service, Request], None]] = {
    opcode.HELLO: Service._on_hello,
    opcode.HEAP: Service._on_heap,
    opcode.READY: Service._on_ready,
    opcode.SLEEP: Service._on_sleep,
    opcode.PROGRAM: Service._on_program,
    opcode.ERASE: Service._on_erase,
    opcode.RTC_READ: Service._on_rtc_read,
    opcode.RTC_WRITE: Service._on_rtc_write,
    opcode.RTC_SET: Service._on_rtc_set,
    opcode.DEEP_SLEEP: Service._on_deep_sleep,
    opcode.LIGHT_SLEEP: Service._on_light_sleep,
    opcode.RESET: Service._on_reset,
    opcode.WATCHDOG: Service._on_watchdog,
    opcode.PIN_OUT: Service._on_pin_out,
    opcode.PIN_IRQ: Service._on_pin_irq,
    opcode.SENSE: Service._on_sense,
}
