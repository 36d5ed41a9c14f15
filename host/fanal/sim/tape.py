"""The recorder and what can be done with a recording: play it later, or forge.

A recording is JSON lines of one frame each: t_ms, address, type, data (hex) and rssi, the mean
strength at which it arrived.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import IO

from fanal.sim.air import ADV_SCAN_IND, RANDOM, Air, Frame

_KINDS = {0: "ADV_IND", 2: "ADV_SCAN_IND", 3: "ADV_NONCONN_IND", 4: "SCAN_RSP"}
_KIND_OF = {name: kind for kind, name in _KINDS.items()}


class Recorder:
    """Writes every frame on `air` to `path`, until closed."""

    def __init__(self, air: Air, path: Path) -> None:
        self._file: IO[str] = path.open("w", encoding="utf-8")
        self._air = air
        self._stop = air.tap(self._note)

    def _note(self, frame: Frame) -> None:
        record = {
            "t_ms": frame.t_ms,
            "address": frame.address.hex(":"),
            "type": _KINDS.get(frame.kind, str(frame.kind)),
            "data": frame.data.hex(),
            "rssi": round(self._air.mean_rssi_dbm(frame)),
        }
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Stop recording."""
        self._stop()
        self._file.close()


def read(path: Path) -> list[Frame]:
    """Return the frames of a recording. Raises ValueError naming the first bad line."""
    frames = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            record = json.loads(line)
            frame = Frame(
                int(record["t_ms"]),
                bytes.fromhex(record["address"].replace(":", "")),
                RANDOM,
                _KIND_OF[record["type"]],
                bytes.fromhex(record["data"]),
            )
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"line {number} of the recording is not a frame") from None
        frames.append(frame)
    return frames


async def replay(air: Air, frames: Iterable[Frame], *, keep_address: bool = False) -> int:
    """Send `frames` again, at their old pace, each old address as a fresh one; return how many.

    An attacker who kept the old addresses would be told apart by them: keep_address does that.
    """
    fresh: dict[bytes, bytes] = {}
    count, last_ms = 0, None
    for frame in frames:
        if last_ms is not None:
            await asyncio.sleep(max(frame.t_ms - last_ms, 0) / 1000)
        last_ms = frame.t_ms
        address = frame.address
        if not keep_address:
            address = fresh.setdefault(address, fresh_address(air))
        air.transmit(replace(frame, t_ms=air.now_ms(), address=address, sender=b""))
        count += 1
    return count


def forge(air: Air, data: bytes, address: bytes | None = None, kind: int = ADV_SCAN_IND) -> None:
    """Send advertising data of one's own making once. Raises ValueError beyond 31 bytes."""
    air.transmit(Frame(air.now_ms(), address or fresh_address(air), RANDOM, kind, data))


def fresh_address(air: Air) -> bytes:
    """Return a new non-resolvable private address."""
    address = bytearray(air.random.randbytes(6))
    address[0] &= 0x3F
    return bytes(address)
