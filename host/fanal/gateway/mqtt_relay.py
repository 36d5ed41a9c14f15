"""The way to the hub over an MQTT broker: each delivery is published at QoS 1 on the area's topic.

The broker keeps it for the hub. A broker that knows no hub throws it away and says so, and then it
stays here.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from fanal.gateway.relay import PATIENCE_S, RelayDown, RelayRefused
from fanal.mqtt import Mqtt, Will
from fanal.mqtt_error import MqttDown, MqttRefused

# a connection that comes back within this was not lost, and needs no alarm
WILL_DELAY_S = 30


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
        self._url, self._ca_pem, self._last_will = url, ca_pem, last_will
        self._topic = f"{urlsplit(url).path.strip('/')}/up"
        self._will_delay_s, self._patience_s = will_delay_s, patience_s
        # drawn, so that it tells the broker nothing; kept, so that it is the same session again
        self._client_id = f"fanal-{secrets.token_hex(8)}"
        self._mqtt: Mqtt | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """See Relay."""
        await self._connected()

    async def send(self, delivery: bytes) -> None:
        """See Relay."""
        mqtt = await self._connected()
        with _translated():
            await mqtt.publish(self._topic, delivery)

    async def close(self) -> None:
        """See Relay."""
        mqtt, self._mqtt = self._mqtt, None
        if mqtt is not None:
            await mqtt.close()

    async def _connected(self) -> Mqtt:
        async with self._opening:
            if self._mqtt is None or self._mqtt.is_lost:
                self._mqtt = None
                will = Will(self._topic, self._last_will(), self._will_delay_s)
                mqtt = Mqtt(
                    self._url, ca_pem=self._ca_pem, client_id=self._client_id, will=will,
                    session_s=self._will_delay_s, patience_s=self._patience_s,
                )  # fmt: skip
                with _translated():
                    await mqtt.open()
                self._mqtt = mqtt
            return self._mqtt


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except MqttDown as problem:
        raise RelayDown(problem.sentence, problem.hint, code=problem.code) from None
    except MqttRefused as problem:
        raise RelayRefused(problem.sentence, problem.hint, code=problem.code) from None
