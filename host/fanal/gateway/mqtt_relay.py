"""The way to the hub over an MQTT broker: each delivery is published at QoS 1 on the area's topic.

The broker keeps it for the hub. A broker that knows no hub throws it away and says so, and then it
stays here. A broker acknowledges before it writes: when the connection is lost, what it took in the
last seconds is published again by the next one, since it may have died with it.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from fanal.gateway.relay import PATIENCE_S, RelayDown, RelayRefused
from fanal.heard import through_suspend_s
from fanal.mqtt import Mqtt, Will
from fanal.mqtt_error import MqttDown, MqttRefused

# a connection that comes back within this was not lost, and needs no alarm
WILL_DELAY_S = 30

# a broker that is set up as docs/relay.md says writes within one of them
_UNSURE_S = 10.0
_MOST_UNSURE_BYTES = 1 << 20


class MqttRelay:
    """A Relay. url: "mqtts://host:port/TOPIC", published to TOPIC/up.

    ca_pem, last_will: as in `relay_for`. will_delay_s: how long the broker waits with the will,
    and keeps this listener's session.
    """

    def __init__(
        self,
        url: str,
        ca_pem: str | None,
        last_will: Callable[[], bytes],
        *,
        will_delay_s: int = WILL_DELAY_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Raises UsageError for an address or certificates that cannot be used."""
        Mqtt(url, ca_pem=ca_pem)
        self._url, self._ca_pem, self._last_will = url, ca_pem, last_will
        self._topic = f"{urlsplit(url).path.strip('/')}/up"
        self._will_delay_s, self._patience_s = will_delay_s, patience_s
        # drawn, so that it tells the broker nothing; kept, so that it is the same session again
        self._client_id = f"fanal-{secrets.token_hex(8)}"
        self._mqtt: Mqtt | None = None
        self._opening = asyncio.Lock()
        # deliveries with the time of their acknowledgement: the last ones, and those to repeat
        self._recent: deque[tuple[float, bytes]] = deque()
        self._unsure: deque[tuple[float, bytes]] = deque()

    async def open(self) -> None:
        """See Relay."""
        await self._connected()

    async def send(self, delivery: bytes) -> None:
        """See Relay."""
        mqtt = await self._connected()
        with _translated():
            await mqtt.publish(self._topic, delivery)
        self._remember(through_suspend_s(), delivery)

    async def close(self) -> None:
        """See Relay."""
        mqtt, self._mqtt = self._mqtt, None
        self._recent.clear()
        if mqtt is not None:
            await mqtt.close()

    async def _connected(self) -> Mqtt:
        """Return a connection by which everything that may be lost was sent again."""
        async with self._opening:
            if self._mqtt is None or self._mqtt.is_lost:
                self._mqtt = None
                self._unsure += self._recent
                self._recent.clear()
                will = Will(self._topic, self._last_will(), self._will_delay_s)
                mqtt = Mqtt(
                    self._url, ca_pem=self._ca_pem, client_id=self._client_id, will=will,
                    session_s=self._will_delay_s, patience_s=self._patience_s,
                )  # fmt: skip
                with _translated():
                    await mqtt.open()
                self._mqtt = mqtt
            while self._unsure:
                at_s, delivery = self._unsure[0]
                with _translated(), suppress(MqttRefused):  # it was taken once
                    held_s = through_suspend_s() - at_s
                    await self._mqtt.publish(self._topic, delivery, held_s=held_s)
                self._remember(*self._unsure.popleft())
            return self._mqtt

    def _remember(self, at_s: float, delivery: bytes) -> None:
        self._recent.append((at_s, delivery))
        size = sum(len(one) for _, one in self._recent)
        while self._recent and (size > _MOST_UNSURE_BYTES or at_s - self._recent[0][0] > _UNSURE_S):
            size -= len(self._recent.popleft()[1])


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except MqttDown as problem:
        raise RelayDown(problem.sentence, problem.hint, code=problem.code) from None
    except MqttRefused as problem:
        raise RelayRefused(problem.sentence, problem.hint, code=problem.code) from None
