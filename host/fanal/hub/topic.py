"""Messages to a topic of the hub's MQTT broker, at QoS 1 and never retained."""

import asyncio

from fanal.error import FanalError
from fanal.hub.channel_config import Broker
from fanal.hub.parcel import ChannelDown, Parcel
from fanal.hub.webhook import content
from fanal.mqtt import Login, Mqtt
from fanal.mqtt_error import MqttRefused

_PATIENCE_S = 30.0


class Topic:
    """Publishes to one topic, by a connection made for each message."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self._broker = broker
        self._topic = topic

    def __repr__(self) -> str:
        return "Topic()"

    def __call__(self, parcel: Parcel) -> str:
        """Send one. Raises ChannelDown: also if nobody subscribed, since nobody was told then."""
        try:
            asyncio.run(self._publish(content(parcel)[1]))
        except MqttRefused as problem:
            raise ChannelDown(problem.sentence, code="refused") from None
        except FanalError as problem:
            raise ChannelDown(problem.sentence) from None
        except (OSError, UnicodeDecodeError):
            raise ChannelDown("A file that [mqtt] names cannot be read.") from None
        return ""

    async def _publish(self, payload: bytes) -> None:
        broker = self._broker
        ca_pem = None if broker.ca is None else broker.ca.read_text(encoding="ascii")
        login = None
        if broker.password_file is not None:
            password = broker.password_file.read_text(encoding="utf-8").split("\n", 1)[0]
            login = Login(broker.user, password.rstrip("\r"))
        mqtt = Mqtt(broker.url, ca_pem=ca_pem, login=login, patience_s=_PATIENCE_S)
        try:
            await mqtt.open()
            await mqtt.publish(self._topic, payload)
        finally:
            await mqtt.close()
