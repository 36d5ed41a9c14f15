"""The way from a listener to the hub: a delivery is handed over, or it is not.

Two doors, chosen by the URL of the bundle: HTTPS POST, and MQTT. Whoever sends keeps what it sends
until `send` returns, and tries again by a `Backoff` when the relay is down.
"""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from fanal.error import EnvironmentFault, FanalError, UsageError

if TYPE_CHECKING:
    from fanal.gateway.bundle import Bundle

# for one delivery of 256 KiB over a poor mobile network (20 kbit/s), answer included
PATIENCE_S = 120.0
LONGEST_WAIT_S = 300.0


class RelayDown(EnvironmentFault):
    """This delivery was not taken, or nobody can tell; it has to be sent again, later.

    code: "network", "certificate", "no_hub", "not_allowed", "busy", "not_a_hub", "protocol".
    retry_after_s: how long the other side asks to wait, None if it does not say.
    """

    code = "network"

    def __init__(
        self, sentence: str, hint: str = "", *, code: str, retry_after_s: float | None = None
    ) -> None:
        super().__init__(sentence, hint, code=code)
        self.retry_after_s = retry_after_s


class RelayRefused(FanalError):
    """This delivery will never be taken, however often it is sent. code: "form" or "size"."""

    code = "form"


class Relay(Protocol):
    """Hands deliveries to the hub."""

    async def open(self) -> None:
        """Connect, if it is not connected. Raises RelayDown, UsageError (no certificate in PEM)."""

    async def send(self, delivery: bytes) -> None:
        """Return when the other side has acknowledged `delivery`; connects if need be.

        Raises RelayDown, RelayRefused. After anything but a return the delivery may have been
        taken nevertheless, and has to be sent again: the hub knows its groups by their contents.
        """

    async def close(self) -> None:
        """Disconnect in order. Raises nothing."""


def relay_for(bundle: "Bundle", last_will: Callable[[], bytes]) -> Relay:
    """Return the relay of a bundle, not yet connected. Raises UsageError for another URL.

    last_will: makes the delivery that a broker publishes when this listener is gone without a
    word; called anew for each connection. By HTTPS there is none: silence must do.
    """
    # each of them loads a library that the other does without
    scheme = urlsplit(bundle.relay).scheme
    if scheme in ("https", "http"):
        from fanal.gateway.post import PostRelay

        return PostRelay(bundle.relay, bundle.ca_pem)
    if scheme in ("mqtts", "mqtt"):
        from fanal.gateway.mqtt_relay import MqttRelay

        return MqttRelay(bundle.relay, bundle.ca_pem, last_will)
    raise UsageError(
        "The relay's address in the bundle begins with none of https, http, mqtts and mqtt.",
        "Ask the NGO for the bundle again.",
    )


class Backoff:
    """How long to wait before trying again: longer and longer, and never all at once.

    first_s: at most, before the second attempt; doubles up to most_s. The wait itself is drawn
    evenly from zero to that ("full jitter"), so that thousands of listeners that lost one hub
    come back spread out. draw: a number from 0 to 1.
    """

    def __init__(
        self,
        first_s: float = 1.0,
        most_s: float = LONGEST_WAIT_S,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._first_s = self._within_s = first_s
        self._most_s = most_s
        self._draw = draw

    def wait_s(self, at_least_s: float | None = None) -> float:
        """Return the seconds to wait after one more failure. at_least_s: what was asked for."""
        # nobody may silence a listener for longer than the network could
        asked_s = min(max(at_least_s or 0.0, 0.0), self._most_s)
        wait_s = asked_s + self._draw() * self._within_s
        self._within_s = min(2 * self._within_s, self._most_s)
        return wait_s

    def reset(self) -> None:
        """Begin anew: it worked."""
        self._within_s = self._first_s
