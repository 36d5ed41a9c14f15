"""A board on paper: the console of docs/architecture.md, and nothing else.

It remembers what was called and written; a Fuse fails before or after any step takes effect.
"""

import json
import secrets
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fanal.error import BoardLost, BoardRefused
from fanal_protocol import crypto, keys

DEFAULTS = {
    "profile": "fixed", "hold_ms": 3000, "press_mv": 250, "release_mv": 150, "rest_max_mv": 600,
    "battery_low_mv": 3400, "battery_end_mv": 2900, "vibrate": False,
}  # fmt: skip
FILES = {"main.py": "aa" * 32, "lib/beacon/life.mpy": "bb" * 32}


class Fuse:
    """Blows once, at the `at`-th of the points that pass through it; counts them all."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.points = 0

    def point(self) -> None:
        self.points += 1
        if self.points - 1 == self.at:
            raise BoardLost("The beacon stopped answering.")


class Fused:
    """Any object, with a point before and after each call of one of its methods."""

    def __init__(self, inner: Any, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._fuse.point()
            result = method(*args, **kwargs)
            self._fuse.point()
            return result

        return call


class PaperBoard:
    """One board. says: answers of `status` that differ."""

    def __init__(self, mac: str = "02:00:00:00:00:01") -> None:
        self.mac = mac
        self.seed: bytes | None = None
        self.event_key: bytes | None = None
        self.n = 0
        self.settings: dict[str, Any] = dict(DEFAULTS)
        self.key_writes: list[tuple[bytes, bytes]] = []
        self.calls: list[str] = []
        self.says: dict[str, Any] = {}
        self.files = dict(FILES)
        self.drill_s = 0

    def call(self, function: str, *args: str | int) -> dict[str, Any]:
        self.calls.append(function)
        reply: dict[str, Any] = getattr(self, f"_{function}")(*args)
        return {"ok": True, **reply}

    def squeeze(self) -> None:
        """One whole event."""
        assert self.event_key is not None
        self.n += 1
        self.event_key = keys.next_event_key(self.event_key)

    @property
    def public_key(self) -> bytes | None:
        if self.seed is None:
            return None
        return Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()

    def _status(self) -> dict[str, Any]:
        public_key = self.public_key
        return {
            "fanal": "0.1.0", "protocol": 1, "machine": "Paper with ESP32C3", "chip": "ESP32C3",
            "mac": self.mac.replace(":", ""),
            "id": keys.beacon_id(public_key) if public_key else None,
            "public_key": public_key.hex() if public_key else None,
            "provisioned": self.event_key is not None, "next_event": self.n, "event": None,
            "drill_armed_s": self.drill_s, "battery_mv": 4000, "force_mv": 12,
            "settings": dict(self.settings), "vault": "partition", "faults": [],
            "heap_free": 90000, **self.says,
        }  # fmt: skip

    def _create_identity(self) -> dict[str, Any]:
        created = self.seed is None
        if created:
            self.seed = secrets.token_bytes(32)
        return {"public_key": self.public_key.hex(), "created": created}

    def _challenge(self, nonce_hex: str) -> dict[str, Any]:
        key = Ed25519PrivateKey.from_private_bytes(self.seed)
        return {"signature": key.sign(b"fanal/1 challenge" + bytes.fromhex(nonce_hex)).hex()}

    def _provision(self, event_key_hex: str) -> dict[str, Any]:
        offered = bytes.fromhex(event_key_hex)
        written = self.event_key is None
        if written:
            self.event_key, self.n = offered, 1
            self.key_writes.append((self.public_key, offered))
        led_to = offered
        for _ in range(1, self.n):
            led_to = keys.next_event_key(led_to)
        if self.event_key != led_to:
            raise BoardRefused("This beacon already holds an event key.", code="provisioned")
        check = crypto.kdf(offered, b"fanal/1 first key check", 8)
        return {"check": check.hex(), "written": written}

    def _configure(self, settings_json: str) -> dict[str, Any]:
        wanted = json.loads(settings_json)
        if set(wanted) - set(DEFAULTS):
            raise BoardRefused("A setting is not right; none was changed.", code="bad_setting")
        self.settings = {**DEFAULTS, **wanted}
        return {"settings": dict(self.settings)}

    def _hashes(self) -> dict[str, Any]:
        return {"files": dict(self.files)}

    def _self_test(self) -> dict[str, Any]:
        return {"results": {"sha256": True, "ed25519": True}}

    def _arm_drill(self, seconds: int) -> dict[str, Any]:
        self.drill_s = seconds
        return {"drill_armed_s": seconds}

    def _disarm_drill(self) -> dict[str, Any]:
        self.drill_s = 0
        return {"drill_armed_s": 0}

    def _wipe(self, beacon_id: str) -> dict[str, Any]:
        is_corrupt = "vault_corrupt" in self.says.pop("faults", [])
        if beacon_id != ("corrupt" if is_corrupt else keys.beacon_id(self.public_key)):
            raise BoardRefused("That is not the id of this beacon.", code="wrong_id")
        self.seed, self.event_key, self.n = None, None, 0
        return {"wiped": True}
