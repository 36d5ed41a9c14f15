"""What can go wrong with a broker, in sentences that quote no topic, no payload and no password."""

import ssl

from fanal import tls
from fanal.error import EnvironmentFault, FanalError

_NOBODY = 0x10  # no subscription wants the message
_FAILURE = 0x80  # reason codes from here on
_UNFIT = 0x99
_NOT_ALLOWED = (0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C)
_BUSY = {0x88: "it is unavailable", 0x89: "it is busy", 0x8B: "it shuts down",
         0x97: "a quota is used up", 0x9F: "too many come at once"}  # fmt: skip
_TAKEN_OVER = 0x8E
_LATER = "It is tried again later by itself; check the network if it lasts."


class MqttDown(EnvironmentFault):
    """The connection was not made, or is lost, or a message was not taken this time.

    What was under way may have arrived. code: "network", "certificate", "not_allowed", "no_hub"
    (the broker knows nobody who wants the message, and threw it away), "busy" or "protocol".
    """

    code = "network"


class MqttRefused(FanalError):
    """The broker will never take this message. code: "size" or "form"."""

    code = "form"


def require(host: str, reason: int) -> None:
    """Raise MqttDown or MqttRefused for a reason code (MQTT 5, 2.4) that is no success."""
    if reason == _UNFIT:
        raise MqttRefused(f"{host} refuses this message for its form.", code="form")
    if reason == _NOBODY:
        raise MqttDown(
            f"{host} knows nobody who wants this message, and kept nothing of it.",
            "Start the hub once: from then on the broker keeps for it what comes.",
            code="no_hub",
        )
    if reason >= _FAILURE:
        raise ended(host, reason)


def ended(host: str, reason: int) -> MqttDown:
    """Return the error for a connection that the broker refused or ended by a reason code."""
    if reason in _NOT_ALLOWED:
        return MqttDown(
            f"{host} does not allow this (MQTT reason {reason:#04x}).",
            "Check user, password and the broker's access list, and that it speaks MQTT 5.",
            code="not_allowed",
        )
    if reason == _TAKEN_OVER:
        return MqttDown(
            f"{host} ended the connection: another client has the same name.",
            "Give each worker of the hub a name of its own.",
            code="protocol",
        )
    why = _BUSY.get(reason)
    if why is not None:
        return MqttDown(f"{host} cannot now: {why}.", _LATER, code="busy")
    return MqttDown(f"{host} gave up (MQTT reason {reason:#04x}).", _LATER, code="protocol")


def cut(host: str) -> MqttDown:
    """Return the error for a connection that ended without a word."""
    return MqttDown(f"The connection to {host} broke.", _LATER)


def silent(host: str) -> MqttDown:
    """Return the error for an answer that did not come."""
    return MqttDown(f"{host} does not answer.", _LATER)


def unreachable(host: str, error: Exception) -> MqttDown:
    """Return the error for a connection that was never made."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return MqttDown(
            tls.distrusted(host, error),
            "Check this computer's clock and use another network; somebody may be in between.",
            code="certificate",
        )
    is_silent = isinstance(error, TimeoutError)
    why = "no answer in time" if is_silent else getattr(error, "strerror", None)
    return MqttDown(f"{host} cannot be reached: {why or 'the connection broke'}.", _LATER)
