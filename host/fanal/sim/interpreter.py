"""The MicroPython interpreter of one boot: a child process, its console and control channel."""

from __future__ import annotations

import asyncio
import fcntl
import importlib.util
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

from fanal.sim.device import opcode

DEVICE = Path(__file__).parent / "device"
_REQUEST = struct.Struct(opcode.REQUEST)
_REPLY = struct.Struct(opcode.REPLY)


class Hatchery:
    """Owns the process that interpreters are forked from (`hatchery.py`)."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("micropython_run")
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError("micropython_run", name="micropython_run")
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        script = str(Path(__file__).with_name("hatchery.py"))
        launch = "import os,sys; os.dup2(int(sys.argv[1]),3); os.execv(sys.executable,sys.argv[2:])"
        argv = [sys.executable, "-I", "-S", script, str(Path(spec.origin).parent)]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", launch, str(theirs.fileno()), *argv],
            pass_fds=[theirs.fileno(), 3] if theirs.fileno() != 3 else [3],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()

    def hatch(self, arguments: list[str], descriptors: list[int]) -> tuple[int, int]:
        """Start an interpreter; return (pid, pidfd). descriptors: console, control, flash."""
        socket.send_fds(self._socket, [json.dumps(arguments).encode()], descriptors)
        answer, pidfds, _, _ = socket.recv_fds(self._socket, 64, 1)
        if not answer:
            raise RuntimeError("the process that starts interpreters has died")
        return int(answer), pidfds[0]

    def close(self) -> None:
        """End it, and every interpreter with it."""
        self._socket.close()
        self._process.wait()


class Request:
    """One request of the board: op, a, b, its own time in microseconds, payload."""

    __slots__ = ("a", "b", "fed", "now_us", "op", "payload")

    def __init__(
        self, op: int, a: int, b: int, now_us: int, payload: bytes, fed: bool = False
    ) -> None:
        self.fed = fed
        self.op, self.a, self.b, self.now_us, self.payload = op, a, b, now_us, payload


class Interpreter:
    """One child from its start to its death.

    `on_request(Request)`, `on_output(bytes)` and `on_exit()` are called from the event loop;
    after `kill()` none of them is called any more.
    """

    def __init__(
        self,
        hatchery: Hatchery,
        flash_fd: int,
        heap_bytes: int,
        on_request: Callable[[Request], None],
        on_output: Callable[[bytes], None],
        on_exit: Callable[[], None],
    ) -> None:
        self._on_request, self._on_output, self._on_exit = on_request, on_output, on_exit
        self._console, console = socket.socketpair()
        self._control, control = socket.socketpair()
        arguments = ["micropython", "-X", f"heapsize={heap_bytes}", "-i", str(DEVICE / "stage0.py")]
        descriptors = [console.fileno(), control.fileno(), flash_fd]
        self.pid, self._pidfd = hatchery.hatch(arguments, descriptors)
        console.close()
        control.close()
        self._control.setblocking(False)
        self._console.setblocking(False)
        self._partial = b""
        self._to_console = bytearray()
        self.is_waiting = False  # for the answer to a request
        self.alive = True
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._control, self._read_control)
        self._loop.add_reader(self._console, self._read_console)
        self._loop.add_reader(self._pidfd, self._exited)

    def reply(
        self, status: int, senses: tuple[int, int, int], now_us: int, free_us: int, data: bytes
    ) -> None:
        """Answer the outstanding request. senses: level, force in mV, battery in mV.

        now_us: its new time; free_us: for how long after that nothing else happens.
        """
        self.is_waiting = False
        self._control.sendall(_REPLY.pack(status, *senses, len(data), now_us, free_us) + data)

    def write(self, data: bytes) -> None:
        """Type `data` into the console."""
        self._to_console += data
        self._flush()

    def is_catching_interrupts(self) -> bool:
        """Does the program (and not the prompt) run, so that Ctrl-C must come as a signal?"""
        for line in self._proc("status").splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) & (1 << (signal.SIGINT - 1)))
        return False

    def interrupt(self) -> bool:
        """Deliver Ctrl-C as a signal; False if this is not the moment (try again).

        The child is held still meanwhile, so that the signal falls neither between a request
        and its answer nor on the prompt, where nothing would catch it.
        """
        self._signal(signal.SIGSTOP)
        try:
            if not self._has_stopped() or self._has_traffic():
                return False
            if self.is_catching_interrupts():
                self._signal(signal.SIGINT)
            else:
                self.write(b"\x03")
            return True
        finally:
            self._signal(signal.SIGCONT)

    def is_quiet(self) -> bool:
        """Does it wait for somebody to type, with nothing of ours left to read?"""
        if self._to_console or _unread(self._console) or self.is_waiting:
            return False
        return self._proc("syscall").startswith("0 0x0 ")  # read, of descriptor 0

    def kill(self) -> None:
        """End it at once, as a cut of power does, and stop listening to it."""
        if not self.alive:
            return
        self.alive = False
        self._signal(signal.SIGKILL)
        for source in (self._control, self._console, self._pidfd):
            self._loop.remove_reader(source)
        self._loop.remove_writer(self._console)
        self._await_death()
        self.drain_console()
        os.close(self._pidfd)
        self._control.close()
        self._console.close()

    def _await_death(self) -> None:
        """Its sockets close when it is gone, and only then is its radio silent."""
        select.select([self._pidfd], [], [], 5)

    def drain_console(self) -> None:
        """Hand on everything that it has printed so far."""
        try:
            while data := self._console.recv(65536):
                self._on_output(data)
        except (BlockingIOError, ConnectionError):
            return

    def _signal(self, number: int) -> None:
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return

    def _has_stopped(self) -> bool:
        for _ in range(200):
            state = self._proc("stat").rpartition(")")[2].split()
            if not state or state[0] in "TZX":
                return True
            os.sched_yield()
        return False

    def _has_traffic(self) -> bool:
        return self.is_waiting or _unread(self._control) > 0 or _readable(self._control) > 0

    def _proc(self, name: str) -> str:
        try:
            return Path(f"/proc/{self.pid}/{name}").read_text()
        except OSError:
            return ""

    def _read_control(self) -> None:
        try:
            data = self._control.recv(65536)
        except (BlockingIOError, ConnectionError):
            return
        self._partial += data
        if not data:
            self._loop.remove_reader(self._control)
            return
        if len(self._partial) < _REQUEST.size:
            return
        op, fed, size, a, b, now_us = _REQUEST.unpack_from(self._partial)
        if len(self._partial) < _REQUEST.size + size:
            return
        payload = self._partial[_REQUEST.size :]
        self._partial = b""
        self.is_waiting = True
        self._on_request(Request(op, a, b, now_us, payload, bool(fed)))

    def _read_console(self) -> None:
        try:
            data = self._console.recv(65536)
        except (BlockingIOError, ConnectionError):
            return
        if data:
            self._on_output(data)
        else:
            self._loop.remove_reader(self._console)

    def _flush(self) -> None:
        try:
            sent = self._console.send(self._to_console)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._to_console.clear()
            return
        del self._to_console[:sent]
        if self._to_console:
            self._loop.add_writer(self._console, self._flush)
        else:
            self._loop.remove_writer(self._console)

    def _exited(self) -> None:
        """It ended by itself: Ctrl-D, sys.exit(), a soft reset."""
        self.kill()
        self._on_exit()


def _unread(sock: socket.socket) -> int:
    """Return the bytes that we wrote and the other side has not read yet."""
    return _ioctl_int(sock, termios.TIOCOUTQ)


def _readable(sock: socket.socket) -> int:
    """Return the bytes that wait for us to read."""
    return _ioctl_int(sock, termios.FIONREAD)


def _ioctl_int(sock: socket.socket, request: int) -> int:
    answer = fcntl.ioctl(sock, request, b"\0\0\0\0")
    return int(struct.unpack("i", answer)[0])
