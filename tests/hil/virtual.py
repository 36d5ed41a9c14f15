"""The rig of a virtual beacon: its own world, in a thread of its own.

Time runs at the wall's pace while the serial line is in use, since tools count real seconds. While
a test waits it jumps, so that hours of a beacon's life cost seconds; --real-time forbids that.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

from fanal.heard import ArrivalClock
from fanal.radio import Radio

from tests.hil.ears import Ears
from tests.hil.options import NO_RADIO, VIRTUAL
from tests.hil.outcome import Infra

_CHIP = "esp32c3"
_START_S = 60.0
_ANSWER_S = 600.0
# what a pair of headphones nearby says; it shows that silence is not deafness
_NEIGHBOUR = bytes.fromhex("0201060303fefe0a09686561647365742d31")
_NEIGHBOUR_EVERY_S = 1.0


class VirtualRig:
    """One virtual beacon and everything that can be done to it. See `rig.Rig`."""

    can = frozenset(("squeeze", "power", "reset", "wake", "jump"))

    def __init__(self, spec: str, *, radio: str, is_real_time: bool = False) -> None:
        """spec: "virtual" or "virtual:CHIP"."""
        self.name, self._chip = spec, spec.partition(":")[2] or _CHIP
        self._has_ears = radio != NO_RADIO
        self._is_real_time = is_real_time
        self.ears: Ears | None = None
        self.board: Any = None
        self._world: Any = None
        self._failure: BaseException | None = None
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=spec, daemon=True)

    def open(self) -> None:
        """Make the world and the beacon. Raises Infra if this computer cannot."""
        self._thread.start()
        if not self._is_up.wait(_START_S):
            raise Infra("The virtual bench did not start.")
        if self._failure is not None:
            raise Infra(f"The virtual bench did not start: {self._failure}") from self._failure

    def close(self) -> None:
        """End them."""
        if self._is_up.is_set() and self._failure is None:
            self._loop.call_soon_threadsafe(self._closing.set)
        if self._thread.ident is not None:
            self._thread.join(_START_S)

    @property
    def port(self) -> str:
        """What tools open."""
        return str(self.board.port)

    def now_ms(self) -> int:
        """Return the world's time, in the milliseconds of `Heard.t_ms`."""
        return self._clock.now_ms()

    def wait_until(self, is_so: Callable[[], Any], timeout_s: float) -> bool:
        """Let time pass until `is_so()`; return False if it did not come."""
        return bool(self._do(self._waiting(is_so, timeout_s)))

    def let_pass(self, seconds: float) -> None:
        """Let time pass."""
        self._do(self._waiting(lambda: False, seconds))

    def squeeze(self, curve: str) -> int:
        """Let a force curve begin, from its first touch on; return when, in ms."""
        return int(self._do(self._squeezing(curve)))

    def reset(self) -> None:
        """Press the reset button."""
        self._call(self.board.reset)

    def power(self, is_on: bool) -> None:
        """Put the battery in, or take it out."""
        self._call(self.board.power_on if is_on else self.board.power_off)

    def release(self) -> None:
        """What was squeezed is let go."""
        self._call(lambda: self.board.squeeze([(0, 0)]))

    # -- the thread of the world

    def _serve(self) -> None:
        from fanal.sim.clock import WarpedLoop

        factory = asyncio.new_event_loop if self._is_real_time else WarpedLoop
        try:
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(self._live())
        except BaseException as problem:  # noqa: BLE001 - told by the thread that waits for us
            self._failure = problem
        finally:
            self._is_up.set()

    async def _live(self) -> None:
        from fanal.sim.air_scanner import scanner_backend
        from fanal.sim.world import World

        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        self._clock = ArrivalClock(steady_s=self._loop.time)
        async with World() as world:
            self._world = world
            self._pace = contextlib.ExitStack()
            self._pace.enter_context(world.at_pace())
            # its name makes its MAC address and its random numbers
            self.board = world.add_board(self.name.replace(":", "-"), self._chip)
            tasks = [asyncio.create_task(self._neighbour())]
            if self._has_ears:
                backend = scanner_backend(world.air_address)
                self.ears = Ears(Radio(backend=backend, now_ms=self._clock.now_ms))
                tasks.append(asyncio.create_task(self.ears.run()))
            self._is_up.set()
            await self._closing.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _neighbour(self) -> None:
        from fanal.sim import tape

        address = tape.fresh_address(self._world.air)
        while True:
            tape.forge(self._world.air, _NEIGHBOUR, address)
            await asyncio.sleep(_NEIGHBOUR_EVERY_S)

    async def _waiting(self, is_so: Callable[[], Any], timeout_s: float) -> bool:
        self._pace.close()
        try:
            await self._world.wait_until(is_so, timeout_s)
        except TimeoutError:
            return bool(is_so())
        else:
            return True
        finally:
            self._pace.enter_context(self._world.at_pace())

    async def _squeezing(self, curve: str) -> int:
        from fanal.sim import force

        points = force.curve(curve)
        first_ms = next((t_ms for t_ms, mv in points if mv > 0), 0)
        begun_ms = self.now_ms()
        self.board.squeeze([(t - first_ms, mv) for t, mv in points if t >= first_ms])
        return begun_ms

    def _call(self, act: Callable[[], Any]) -> None:
        async def acting() -> None:
            act()

        self._do(acting())

    def _do(self, doing: Coroutine[Any, Any, Any]) -> Any:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(doing, self._loop)
        return future.result(_ANSWER_S)


__all__ = ["VIRTUAL", "VirtualRig"]
