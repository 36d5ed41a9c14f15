"""Telnet (RFC 854) as RFC 2217 uses it: bytes in, data and commands out."""

from __future__ import annotations

from dataclasses import dataclass

SE, SB, WILL, WONT, DO, DONT, IAC = 0xF0, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF
BINARY, SUPPRESS_GO_AHEAD, COM_PORT = 0x00, 0x03, 0x2C

_MOST_SUBNEGOTIATION = 64


@dataclass(frozen=True)
class Option:
    """The other side is willing, or asks us, to use an option. verb: WILL, WONT, DO, DONT."""

    verb: int
    option: int


@dataclass(frozen=True)
class Subnegotiation:
    """What stood between SB and SE, the number of the option first."""

    content: bytes


Event = bytes | Option | Subnegotiation


def escape(data: bytes) -> bytes:
    """Return data as it goes over the wire."""
    return data.replace(b"\xff", b"\xff\xff")


def subnegotiation(content: bytes) -> bytes:
    """Return one as it goes over the wire."""
    return bytes((IAC, SB)) + escape(content) + bytes((IAC, SE))


class Parser:
    """Takes a stream in any pieces."""

    def __init__(self) -> None:
        self._after = b""  # of a command that is not yet whole: IAC, or IAC and a verb
        self._inside: bytearray | None = None

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that `data` completes; data bytes in a row are one event."""
        events: list[Event] = []
        plain = bytearray()
        for byte in data:
            event = self._step(byte, plain)
            if event is not None:
                _put(events, plain)
                events.append(event)
        _put(events, plain)
        return events

    def _step(self, byte: int, plain: bytearray) -> Event | None:
        if not self._after:
            if byte == IAC:
                self._after = bytes((IAC,))
            else:
                self._keep(byte, plain)
            return None
        if len(self._after) == 2:
            verb, self._after = self._after[1], b""
            return Option(verb, byte)
        if byte in (WILL, WONT, DO, DONT):
            self._after += bytes((byte,))
            return None
        self._after = b""
        if byte == IAC:
            self._keep(byte, plain)
        elif byte == SB:
            self._inside = bytearray()
        elif byte == SE and self._inside is not None:
            content, self._inside = bytes(self._inside), None
            return Subnegotiation(content)
        return None

    def _keep(self, byte: int, plain: bytearray) -> None:
        if self._inside is None:
            plain.append(byte)
        elif len(self._inside) < _MOST_SUBNEGOTIATION:
            self._inside.append(byte)


def _put(events: list[Event], plain: bytearray) -> None:
    if plain:
        events.append(bytes(plain))
        plain.clear()
