"""The hand of the host inside the virtual machine: runs programs and tells what they print.

It connects to HOST PORT and speaks JSON, one object a line. The host says
`{"id": 1, "run": ["program", ...], "env": {}}` and later perhaps `{"id": 1, "signal": 2}`; it is
told `{"id": 1, "pid": 77}`, then `{"id": 1, "out": LINE}` and `{"id": 1, "err": LINE}` as they
come, and last `{"id": 1, "exit": 0}`. The end of the connection ends the machine.
"""

import asyncio
import ctypes
import json
import os
import sys
from contextlib import suppress

_POWER_OFF = 0x4321FEDC
_LONGEST_LINE = 1 << 22


class Agent:
    """Everything that the host had started."""

    def __init__(self, writer):
        self._writer = writer
        self._running = {}
        self._tasks = set()

    def tell(self, **what):
        """Send the host one object."""
        self._writer.write(json.dumps(what).encode() + b"\n")

    def obey(self, order):
        """Start a program, or send a signal to one that runs."""
        if "run" in order:
            task = asyncio.ensure_future(self._run(order["id"], order["run"], order["env"]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif process := self._running.get(order["id"]):
            with suppress(ProcessLookupError):
                process.send_signal(order["signal"])

    async def _run(self, number, words, env):
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=os.environ | env,
                limit=_LONGEST_LINE,
            )
        except OSError as error:
            self.tell(id=number, err=str(error))
            self.tell(id=number, exit=127)
            return
        self._running[number] = process
        self.tell(id=number, pid=process.pid)
        await asyncio.gather(
            self._pass_on(number, "out", process.stdout),
            self._pass_on(number, "err", process.stderr),
        )
        self.tell(id=number, exit=await process.wait())
        del self._running[number]

    async def _pass_on(self, number, name, lines):
        async for line in lines:
            self.tell(id=number, **{name: line.decode(errors="replace").rstrip("\n")})


async def main(host, port):
    """Obey until the host hangs up."""
    reader, writer = await asyncio.open_connection(host, port, limit=_LONGEST_LINE)
    agent = Agent(writer)
    async for line in reader:
        agent.obey(json.loads(line))


if __name__ == "__main__":
    os.environ |= {"HOME": "/root", "LANG": "C.UTF-8"}
    try:
        asyncio.run(main(sys.argv[1], int(sys.argv[2])))
    finally:
        ctypes.CDLL(None).reboot(_POWER_OFF)
