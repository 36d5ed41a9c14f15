"""The virtual machine: booted once, obeys over one connection, and is gone when that is closed."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from tests.bluez.kernel import GUEST, Kernel, found

HOST = "10.0.2.2"  # how the guest of QEMU's user network calls the host
_BOOT_S = {True: 60, False: 600}
_END_S = 10
_LONGEST_LINE = 1 << 22
_MEMORY_MB = 1536


class Program:
    """One program in the machine. out, err: its lines so far; exit_code: None while it runs."""

    def __init__(self, machine: "Machine", number: int) -> None:
        self._machine, self._number = machine, number
        self.out: list[str] = []
        self.err: list[str] = []
        self.exit_code: int | None = None
        self.news = asyncio.Condition()

    async def take(self, told: Mapping[str, Any]) -> None:
        """Take what the machine tells of it."""
        async with self.news:
            if "out" in told:
                self.out.append(told["out"])
            elif "err" in told:
                self.err.append(told["err"])
            elif "exit" in told:
                self.exit_code = told["exit"]
            self.news.notify_all()

    async def wait_until(self, is_so: Any, timeout_s: float) -> None:
        """Wait for `is_so(self)`, asked at each line; AssertionError if it ends without."""
        why = "it ended"
        try:
            async with asyncio.timeout(timeout_s), self.news:
                await self.news.wait_for(lambda: is_so(self) or self.exit_code is not None)
        except TimeoutError:
            why = f"not within {timeout_s} s"
        if not is_so(self):
            tail = "\n".join(self.out[-5:] + self.err[-15:])
            raise AssertionError(f"{why}; it said:\n{tail}")

    async def ended(self, timeout_s: float) -> int:
        """Return its exit code, once it has ended by itself."""
        await self.wait_until(lambda self: self.exit_code is not None, timeout_s)
        assert self.exit_code is not None
        return self.exit_code

    async def stop(self, signal: int = 2, timeout_s: float = 20) -> int:
        """Send it a signal and return its exit code."""
        if self.exit_code is None:
            self._machine.tell(id=self._number, signal=signal)
        return await self.ended(timeout_s)


class Machine:
    """A Linux with BlueZ. `shared` is a folder of the host that it sees as /shared, read-only."""

    def __init__(self, kernel: Kernel, shared: Path) -> None:
        self._kernel, self._shared = kernel, shared
        self._programs: dict[int, Program] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._connected = asyncio.Event()
        self.is_fast = _has_kvm()
        self.console = b""

    async def __aenter__(self) -> Self:
        """Boot. Raises AssertionError with the end of its console."""
        self._server = await asyncio.start_server(self._listen, "127.0.0.1", 0, limit=_LONGEST_LINE)
        port = self._server.sockets[0].getsockname()[1]
        self._qemu = await asyncio.create_subprocess_exec(
            *self._command(port),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._reading = asyncio.create_task(self._read_console())
        booted = asyncio.create_task(self._connected.wait())
        await asyncio.wait(
            {booted, self._reading},
            timeout=_BOOT_S[self.is_fast],
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not self._connected.is_set():
            booted.cancel()
            await self.__aexit__()
            raise AssertionError(f"no boot: {self.console[-2000:].decode(errors='replace')}")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up, which ends it; the process is killed if it does not."""
        if self._writer is not None:
            self._writer.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await self._qemu.wait()
        if self._qemu.returncode is None:
            self._qemu.kill()
            await self._qemu.wait()
        await self._reading
        self._server.close()
        await self._server.wait_closed()

    async def start(self, *words: str, **env: str) -> Program:
        """Start a program."""
        number = len(self._programs)
        program = self._programs[number] = Program(self, number)
        self.tell(id=number, run=words, env=env)
        return program

    async def run(self, *words: str, timeout_s: float = 30, **env: str) -> Program:
        """Run a program to its end."""
        program = await self.start(*words, **env)
        await program.ended(timeout_s)
        return program

    def tell(self, **order: Any) -> None:
        """Send the machine one order."""
        assert self._writer is not None
        self._writer.write(json.dumps(order).encode() + b"\n")

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._connected.set()
        with suppress(ConnectionError):
            async for line in reader:
                told = json.loads(line)
                await self._programs[told["id"]].take(told)
        writer.close()

    async def _read_console(self) -> None:
        assert self._qemu.stdout is not None
        while more := await self._qemu.stdout.read(4096):
            self.console = (self.console + more)[-65536:]

    def _command(self, port: int) -> list[str]:
        words = {
            "folder": GUEST, "modules": self._kernel.modules, "python": sys.executable,
            "port": port,
        }  # fmt: skip
        line = " ".join(f"fanal.{name}={value}" for name, value in words.items())
        share = "security_model=none,readonly=on,multidevs=remap"
        return [
            found("qemu-system-x86_64") or "",
            *("-accel", "kvm" if self.is_fast else "tcg"),
            # TCG's ADX and MULX compute wrong digits of elliptic curves: an older processor
            *("-machine", "q35", "-cpu", "max" if self.is_fast else "Nehalem"),
            *("-m", str(_MEMORY_MB), "-nodefaults", "-no-reboot", "-display", "none"),
            *("-serial", "stdio", "-kernel", str(self._kernel.image)),
            *("-initrd", str(self._kernel.initrd)),
            *("-append", f"console=ttyS0 quiet panic=-1 {line}"),
            *("-virtfs", f"local,path=/,mount_tag=root,{share}"),
            *("-virtfs", f"local,path={self._shared},mount_tag=shared,{share}"),
            *("-nic", "user,model=virtio-net-pci"),
        ]


def _has_kvm() -> bool:
    """Say whether KVM runs an ordinary kernel here; where the processor has no such extension,
    a /dev/kvm is of a kind that runs special ones alone."""
    flags = set(Path("/proc/cpuinfo").read_text().split())
    return bool(flags & {"vmx", "svm"}) and os.access("/dev/kvm", os.R_OK | os.W_OK)
