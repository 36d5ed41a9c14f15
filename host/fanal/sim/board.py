"""One virtual beacon: a supervisor that is the chip, and the interpreter as its program.

The supervisor owns what outlives a boot (flash, RTC memory, clock, sensors, serial line).
Deep sleep, a reset and a cut of power are the death of the interpreter; what the next boot is
told makes the difference. `service.py` answers what the program asks, `port.py` is the way in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fanal.sim import force
from fanal.sim.bootloader import BootImage, Found, NotBootable
from fanal.sim.chip import (
    ASLEEP,
    BOOT_LOOP,
    BOOTING,
    DEEPSLEEP,
    GENEROUS_HEAP,
    HARD,
    HEAP_BUDGET,
    HELD,
    MACHINES,
    OFF,
    PROMPT,
    PWRON,
    ROM,
    RTC_MEMORY,
    RUNNING,
    SOFT,
    WAKE_REASONS,
)
from fanal.sim.clock import Clock, WallClock
from fanal.sim.console import Console
from fanal.sim.download import Download
from fanal.sim.faults import Faults
from fanal.sim.flash import Cut, Flash, PowerCut
from fanal.sim.hand import Hand
from fanal.sim.interpreter import Hatchery, Interpreter
from fanal.sim.keyboard import Keyboard
from fanal.sim.openings import Openings
from fanal.sim.port import Port
from fanal.sim.senses import Curve, Senses
from fanal.sim.service import Service
from fanal.sim.straps import Straps


@dataclass
class Bench:
    """What all boards of a world share."""

    hatchery: Hatchery
    openings: Openings
    clock: Clock | WallClock
    air_port: int
    heap_budget: int = HEAP_BUDGET
    baud: int | None = None  # of every serial line; None for no limit
    has_hands: bool = False  # at the buttons of every board, see hand.py
    # chip -> heap that gives the firmware its budget beyond the stand-ins, found at first boot
    heaps: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Identity:
    """What makes one board this board. seed: of its random numbers, so that runs repeat.

    needs_vault: it boots no image whose partition table has no vault.
    """

    name: str
    chip: str
    mac: bytes
    seed: int
    needs_vault: bool = True


class Board:
    """One virtual beacon. `folder` holds its flash and `port`, the link that tools open."""

    def __init__(self, bench: Bench, identity: Identity, folder: Path, boot_ms: int) -> None:
        self.bench, self.identity, self.boot_ms = bench, identity, boot_ms
        self.name, self.chip = identity.name, identity.chip
        self.loop = asyncio.get_running_loop()
        self.faults = Faults(identity.seed, on_reset=self.reset, on_brown_out=self.brown_out_at)
        self.flash = Flash(folder / "flash.bin", self.faults.bad_sectors)
        self.senses = Senses()
        self.straps = Straps(self._hold, self._release)
        hand = Hand(lambda: self.state, self._press) if bench.has_hands else None
        self._port = Port(
            folder / "port", bench.openings, self.faults, self._typed, self.straps.set_lines, hand
        )
        self._port.line.set_baud(bench.baud)
        self.needs_vault = identity.needs_vault
        self.console = Console(MACHINES[identity.chip], self.printed)
        self.service = Service(self)
        self.keyboard = Keyboard(self.service)
        self.download = Download(self)
        self._boot_image = BootImage(self.flash)
        self.state = OFF
        self.boots = 0
        self.heap_bytes = 0
        self.drift = 1.0  # how many true seconds a second of deep sleep takes
        self.reset_cause, self.wake_reason = PWRON, 0
        self.retained, self.retained_size = bytearray(RTC_MEMORY), 0
        self.rtc_us = 0  # what the real-time clock showed when this boot began
        self.level = 0
        self.interpreter: Interpreter | None = None
        self.found: Found | None = None  # what the last boot started
        self._waits_for_download = False  # as the straps said when they last counted
        self._origin_s = 0.0
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._edges: list[asyncio.TimerHandle] = []
        bench.clock.watch(self.is_busy)

    @property
    def port(self) -> str:
        """The path that mpremote opens."""
        return str(self._port.link)

    @property
    def url(self) -> str:
        """The same line with DTR and RTS, "rfc2217://127.0.0.1:N"."""
        return self._port.url

    @property
    def is_open(self) -> bool:
        """Has a client opened its pseudo-terminal?"""
        return self._port.is_open

    @property
    def is_plugged(self) -> bool:
        """Is its port there?"""
        return self._port.is_plugged

    @property
    def console_text(self) -> str:
        """What it has printed since the world began."""
        return self.console.text()

    def power_on(self) -> None:
        """Connect the battery."""
        if self.state == OFF:
            self._latch()
            self.boot(PWRON)

    def power_off(self) -> None:
        """Take the battery out: RTC memory and clock are lost."""
        self._stop(OFF)
        self.retained, self.retained_size = bytearray(RTC_MEMORY), 0
        self.rtc_us = 0

    def reset(self) -> None:
        """Press the reset button: power stays, so RTC memory survives."""
        if self.state != OFF:
            self._latch()
            self.restart(HARD)

    def strap(self, is_low: bool) -> None:
        """Hold the BOOT button down, or let it go; the next reset or power-on looks at it."""
        self.straps.is_button_down = is_low

    def _press(self, is_boot_held: bool) -> None:
        """Press RESET, with BOOT held down or not."""
        was_down = self.straps.is_button_down
        self.strap(is_boot_held)
        self.reset()
        self.strap(was_down)

    def unplug(self) -> None:
        """Take its port away: the link goes, clients are hung up on. The battery stays."""
        self._port.unplug()

    def plug(self) -> None:
        """Bring the port back, at the same link and URL."""
        self._port.plug()

    def cut(self, cut: Cut | None) -> None:
        """Arm a cut of power at a flash operation; None disarms."""
        self.flash.arm(cut)

    def brown_out_at(self, operation: int | None) -> None:
        """Let the supply dip at that flash operation from now on, 0 the next; None for never."""
        self.flash.arm(None if operation is None else Cut(operation, is_brown_out=True))

    def power_failed(self, cut: PowerCut) -> None:
        """An armed cut has struck."""
        self.power_off()
        if cut.is_brown_out:
            self.console.say(b"\r\nBrownout detector was triggered\r\n\r\n")
            self.power_on()

    def cut_after(self, seconds: float) -> None:
        """Cut the power at a moment."""
        self.loop.call_later(seconds, self.power_off)

    def squeeze(self, curve: str | Curve, *, seed: int = 0, strength: float = 1.0) -> None:
        """Let a force curve play from now on: a name of `force.NAMES`, or (ms, mV) points.

        seed: which hand of that name. strength: what the force is multiplied by.
        """
        points = force.curve(curve, seed) if isinstance(curve, str) else curve
        curve = [(t_ms, mv * strength) for t_ms, mv in points]
        now = self.loop.time()
        self.senses.play(curve, now)
        for edge in self._edges:
            edge.cancel()
        self._edges = [
            self.loop.call_at(t, self._edge, level) for t, level in self.senses.edges(self.level)
        ]

    def battery(self, mv: int) -> None:
        """Set the battery's voltage."""
        self.senses.battery_mv = mv

    def rtc_memory(self) -> bytes:
        """Return all 2048 bytes of RTC memory, as a probe would see them."""
        return bytes(self.retained)

    def flash_bytes(self) -> bytes:
        """Return the whole flash."""
        return self.flash.path.read_bytes()

    def is_busy(self) -> bool:
        """Does it compute, so that virtual time must stand still?"""
        if self.interpreter is None or self.service.is_sleeping:
            return False
        return self.state == RUNNING or self.keyboard.is_typing or not self.interpreter.is_quiet()

    def close(self) -> None:
        """End it with the world; its flash stays."""
        self.bench.clock.unwatch(self.is_busy)
        self._stop(OFF)
        for edge in self._edges:
            edge.cancel()
        self.straps.close()
        self._port.close()
        self.flash.close()

    # --- from one boot to the next ---

    def boot(self, cause: int, wake_reason: int = 0) -> None:
        """Begin a boot; the program starts after the chip's own boot time."""
        self.reset_cause, self.wake_reason = cause, wake_reason
        self._origin_s = self.loop.time()
        self.set_state(BOOTING)
        self.set_timer("boot", self.boot_ms / 1000, self._start)

    def restart(self, cause: int, wake_reason: int = 0) -> None:
        """Reset the chip. RTC memory and the real-time clock survive."""
        self.rtc_us += self.now_us()
        self._stop(BOOTING)
        self.console.chip_reset()
        self.boot(cause, wake_reason)

    def fall_asleep(self) -> None:
        """Go into deep sleep; `wake` ends it."""
        self.rtc_us += self.now_us()
        self._origin_s = self.loop.time()
        self._stop(ASLEEP)
        self.console.chip_reset()

    def wake(self, why: str) -> None:
        """Boot out of deep sleep. The clock that ran meanwhile is the one that drifts."""
        self.rtc_us += int(self.now_us() / self.drift)
        self._stop(BOOTING)
        self.boot(DEEPSLEEP, WAKE_REASONS[why])

    def start_again(self) -> None:
        """Start the same boot once more (its heap was not yet known)."""
        assert self.interpreter is not None
        assert self.found is not None
        self.interpreter.kill()
        self.boots -= 1
        self._run(self.found)

    def _start(self) -> None:
        """Come out of reset: into the ROM's loader, or into what the flash holds."""
        if self._waits_for_download:
            self.set_state(ROM)
            self.download.begin()
            return
        is_cold = self.reset_cause == PWRON
        try:
            self.found = self._boot_image.find(self.silicon, self.needs_vault, is_cold)
        except NotBootable as reason:
            self.found = None
            self.set_state(BOOT_LOOP)
            self.download.boot_in_vain(reason.lines)
        else:
            self._run(self.found)

    def _run(self, found: Found) -> None:
        self.boots += 1
        self.heap_bytes = self.bench.heaps.get(self.chip, GENEROUS_HEAP)
        self.interpreter = Interpreter(
            self.bench.hatchery,
            self.flash.fd,
            self.heap_bytes,
            on_request=self.service,
            on_output=self.console.received,
            on_exit=self._exited,
        )
        self.service.began(self.interpreter)
        self.console.began(self.interpreter, f"v{found.version} on {found.date}")
        self.set_state(RUNNING)

    def _stop(self, state: str) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self.interpreter is not None:
            self.interpreter.kill()
            self.interpreter = None
        self.download.end()
        self.console.ended()
        self.keyboard.clear()
        self.set_state(state)

    def _exited(self) -> None:
        """The interpreter ended by itself: a soft reset. Watchdog and clock run on."""
        self.interpreter = None
        if not self.console.listens:  # it did not even come to boot.py
            self._stop(OFF)
            return
        self.console.soft_reboot()
        self.reset_cause, self.wake_reason = SOFT, 0
        assert self.found is not None
        self._run(self.found)

    # --- straps, and the chip's other ways out of reset ---

    @property
    def silicon(self) -> str:
        """The name of the chip that it really is."""
        return self.faults.chip or self.chip

    def _latch(self) -> None:
        self._waits_for_download = self.straps.is_download

    def _hold(self) -> None:
        """EN goes low."""
        if self.state != OFF:
            self.rtc_us += self.now_us()
            self._origin_s = self.loop.time()
            self._stop(HELD)

    def _release(self) -> None:
        """EN comes up."""
        if self.state == HELD:
            self.reset()

    def run_app(self) -> None:
        """Leave the loader for what the flash holds, whatever the straps said."""
        self._waits_for_download = False
        self.restart(HARD)

    def set_state(self, state: str) -> None:
        """Enter a state."""
        self.state = state

    def set_timer(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        """Have `action` called later in this life of the chip, instead of the one before."""
        if name in self._timers:
            self._timers[name].cancel()
        self._timers[name] = self.loop.call_later(seconds, action)

    @property
    def is_at_prompt(self) -> bool:
        """Has its program ended, so that whatever it does comes from the serial line?"""
        return self.state == PROMPT

    def true_s(self, its_us: int) -> float:
        """Return the world's time at microseconds of this boot."""
        return self._origin_s + its_us / 1_000_000

    def now_us(self) -> int:
        """Return microseconds since this boot, or this sleep, began."""
        return int((self.loop.time() - self._origin_s) * 1_000_000)

    def _edge(self, level: int) -> None:
        self.level = level
        self.service.level_changed()

    # --- the serial line ---

    def type_in(self, data: bytes) -> None:
        """Type on the serial line, as a client at the other end would."""
        self._typed(data)

    def printed(self, data: bytes) -> None:
        """Send what the chip says."""
        self._port.line.from_chip(data)

    def _typed(self, data: bytes) -> None:
        """Take what a client typed; a chip that boots, sleeps or is off does not hear it."""
        if self.download.is_listening:
            self.download.take(data)
        elif self.interpreter is not None and self.console.listens:
            self.keyboard.type_in(self.interpreter, data)
