"""The rig of a beacon at the end of a serial line: a board, an emulator, anything that answers."""

import subprocess
import time
from collections.abc import Callable
from typing import Any

from fanal.heard import ArrivalClock

from tests.hil.ears import Ears
from tests.hil.line import open_line, resets_by_wire
from tests.hil.options import Options, words_of
from tests.hil.outcome import Infra
from tests.hil.person import Person

_LOOK_S = 0.02
_HOOK_S = 300.0
# what a person, or a solenoid, is asked for; the names are those of fanal.sim.force
_ASKED = {
    "hold": "squeeze it, and hold on for five seconds",
    "self-test": "press 2 s, let go 2 s, tap once, wait 2 s, press 2 s, let go and stay away",
    "bump": "knock against it once",
    "bag": "carry it in a bag for half a minute, without pressing it",
}


class WiredRig:
    """One beacon on a port, and what this rig can do to it. See `rig.Rig`."""

    def __init__(self, name: str, port: str, options: Options, person: Person | None) -> None:
        """name: as the flag has it; port: a path or a URL. person: None if nobody is there."""
        self.name, self.port = name, port
        self.clock = ArrivalClock()
        self.ears: Ears | None = None
        self._options, self._person = options, person
        self._hook: subprocess.Popen[bytes] | None = None
        self.can = frozenset(self._abilities())

    def open(self) -> None:
        """Find out whether the reset line does anything."""
        if resets_by_wire(self.port):
            self.can |= {"reset", "wake"}

    def close(self) -> None:
        """Wait for the last squeeze to be over."""
        self._finish()

    def now_ms(self) -> int:
        """Return the time, in the milliseconds of `Heard.t_ms`."""
        return self.clock.now_ms()

    def wait_until(self, is_so: Callable[[], Any], timeout_s: float) -> bool:
        """Let time pass until `is_so()`; return False if it did not come."""
        deadline_s = time.monotonic() + timeout_s
        while not is_so():
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(_LOOK_S)
        return True

    def let_pass(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)

    def squeeze(self, curve: str) -> int:
        """Have the sensor squeezed; return when that begins, in ms."""
        self._finish()
        if self._options.squeeze_command:
            words = words_of(self._options.squeeze_command, curve=curve)
            begun_ms = self.now_ms()
            self._hook = _started(words)
            return begun_ms
        assert self._person is not None, "nobody is there"
        self._person.asked(f"{self.name}: {_ASKED.get(curve, curve)}", "as you begin")
        return self.now_ms()

    def release(self) -> None:
        """What was squeezed is let go."""
        self._finish()

    def reset(self) -> None:
        """Reset it: by its line, by its power, by a person."""
        if "reset" in self.can:
            with open_line(self.port) as line:
                if not line.pull_reset():
                    raise Infra(f"The reset line of {self.name} did nothing this time.")
        elif "power" in self.can:
            self.power(False)
            self.power(True)
        else:
            assert self._person is not None, "nobody is there"
            self._person.asked(f"{self.name}: press its reset button", "after that")

    def power(self, is_on: bool) -> None:
        """Switch its power."""
        command = self._options.power_command
        assert command, "no --power-command"
        words = words_of(command, state="on" if is_on else "off")
        _ended(_started(words), words)

    def _abilities(self) -> list[str]:
        options = self._options
        found = []
        if self._person or options.squeeze_command:
            found.append("squeeze")
        if options.power_command:
            found.append("power")
        if self._person or options.power_command:
            found.append("wake")
        return found

    def _finish(self) -> None:
        hook, self._hook = self._hook, None
        if hook is not None:
            _ended(hook, ["--squeeze-command"])


def _started(words: list[str]) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    except OSError as error:
        raise Infra(f"{words[0]} does not start: {error.strerror}.") from None


def _ended(hook: "subprocess.Popen[bytes]", words: list[str]) -> None:
    try:
        status = hook.wait(_HOOK_S)
    except subprocess.TimeoutExpired:
        hook.kill()
        hook.wait()
        raise Infra(f"{words[0]} did not end within {_HOOK_S:.0f} s.") from None
    if status:
        raise Infra(f"{words[0]} ended with status {status}.")
