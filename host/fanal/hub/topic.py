"""Messages to a topic of the hub's MQTT broker, at QoS 1 and never retained."""

import asyncio

from fanal.error import FanalError
from fanal.hub.broker import connection
from fanal.hub.channel_config import Broker
from fanal.hub.parcel import ChannelDown, Parcel
from fanal.hub.webhook import content
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
        return ""

    async def _publish(self, payload: bytes) -> None:
        try:
            mqtt = connection(self._broker, patience_s=_PATIENCE_S)
        except FanalError:
            # where it is, is for the log, and not for everybody who sees the timeline
            raise ChannelDown("A file that [mqtt] names cannot be used.") from None
        try:
            await mqtt.open()
            await mqtt.publish(self._topic, payload)
        finally:
            await mqtt.close()
