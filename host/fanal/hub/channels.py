"""What sends to each channel of a configuration."""

from collections.abc import Callable

from fanal.hub.channel_config import MAIL, MQTT, WEBHOOK, Channel
from fanal.hub.config import Config
from fanal.hub.parcel import Sender


def senders(config: Config, now_ms: Callable[[], int]) -> dict[str, Sender]:
    """Return channel name -> what sends to it. A library is imported if a channel needs it."""
    return {channel.name: _sender(channel, config, now_ms) for channel in config.channels}


def _sender(channel: Channel, config: Config, now_ms: Callable[[], int]) -> Sender:
    if channel.kind == WEBHOOK and channel.secret_file is not None:
        from fanal.hub.webhook import Webhook

        return Webhook(channel.url, channel.secret_file, now_ms)
    if channel.kind == MAIL:
        from fanal.hub.mail import Mail

        return Mail(channel)
    if channel.kind == MQTT and config.mqtt is not None:
        from fanal.hub.topic import Topic

        return Topic(config.mqtt, channel.topic)
    raise ValueError(f"a channel of kind {channel.kind} that the configuration let through")
