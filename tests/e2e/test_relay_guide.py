"""docs/relay.md, done as it says: its commands, its files, and whom they let in."""

import asyncio
import re
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from fanal.gateway.mqtt_relay import MqttRelay
from fanal.gateway.relay import RelayDown, RelayRefused
from fanal.hub import config
from fanal.hub.broker import connection
from fanal.hub.subscriber import shared
from fanal.mqtt import Login, Mqtt
from fanal.mqtt_error import MqttDown

from tests.services import Program, free_ports, mosquitto_program

GUIDE = (Path(__file__).parents[2] / "docs" / "relay.md").read_text()
NAME = "relay.example"
PASSWORD = "a long secret"
SHARED = shared(bytes(range(32)))


def blocks(kind):
    """Return the blocks of a language, with the name in them made one that resolves."""
    return [
        text.replace(NAME, "localhost") for text in re.findall(rf"```{kind}\n(.*?)```", GUIDE, re.S)
    ]


def run(commands, folder):
    done = subprocess.run(
        ["sh", "-euc", commands], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Guided:
    """A broker set up by the guide. url: with TLS; ca_pem: whom to trust."""

    def __init__(self, folder):
        self.folder = folder
        certificates, passwords, *_ = blocks("sh")
        self.said = run(certificates, folder)
        run(passwords, folder)
        (folder / "acl").write_text(blocks("acl")[0])
        (self.port,) = free_ports(1)
        text = blocks("conf")[0].replace("/etc/mosquitto/fanal", str(folder))
        text = text.replace("listener 8883", f"listener {self.port} 127.0.0.1")
        (folder / "mosquitto.conf").write_text(
            f"user root\npersistence true\npersistence_location {folder}/\nlog_dest stderr\n{text}"
        )
        self.url = f"mqtts://localhost:{self.port}"
        self.ca_pem = (folder / "ca.pem").read_text()
        self.program = Program([mosquitto_program(), "-c", folder / "mosquitto.conf"])

    def hub(self):
        """Return the hub's connection, as its part of the guide says."""
        text = blocks("toml")[0].replace("8883", str(self.port))
        broker = config.parse(text, self.folder).mqtt
        return connection(broker, client_id="fanal-hub-one", session_s=1000)

    def anybody(self, login=None):
        return Mqtt(self.url, ca_pem=self.ca_pem, login=login)

    def relay(self):
        return MqttRelay(f"{self.url}/fanal/1/north", self.ca_pem, lambda: b"will")


@pytest.fixture(scope="module")
def guided(tmp_path_factory):
    mosquitto_program()
    if shutil.which("mosquitto_passwd") is None:
        pytest.skip("needs mosquitto_passwd (Debian: mosquitto)")
    made = Guided(tmp_path_factory.mktemp("guided"))
    try:
        made.program.wait_for(" running")
        yield made
    finally:
        made.program.stop()


def test_the_certificate_is_good_by_the_strict_rules(guided):
    assert "server.pem: OK" in guided.said
    context = ssl.create_default_context(cafile=guided.folder / "ca.pem")
    assert context.cert_store_stats()["x509_ca"] == 1
    assert "SubjectAltName" not in guided.ca_pem


def test_a_bundle_is_enough_to_hand_over_and_only_the_hub_reads(guided):
    async def steps():
        hub, relay = guided.hub(), guided.relay()
        await hub.open()
        await hub.subscribe([SHARED])
        await relay.send(b"delivery" * 30_000)
        message = await hub.message()
        message.ack()
        await relay.close()
        await hub.close()
        return message

    message = asyncio.run(steps())
    assert (message.topic, message.payload) == ("fanal/1/north/up", b"delivery" * 30_000)


@pytest.mark.parametrize(
    "what",
    ["$share/fanal-hub/fanal/1/+/up", "fanal/1/north/up", "#", "fanal/#", "$share/x/#", "+/+/+/+"],
)
def test_nobody_else_reads(guided, what):
    """A broker may say yes to a filter and pass nothing on: what counts is what arrives."""

    async def steps():
        spy, hub, relay = guided.anybody(), guided.hub(), guided.relay()
        await hub.open()
        await hub.subscribe([SHARED])
        await spy.open()
        await spy.subscribe([what])
        await relay.send(b"secret")
        (await hub.message()).ack()
        # what the spy would have got came before the answer to this
        with pytest.raises(MqttDown):
            await spy.publish("fanal/1/north/down", b"end")
        heard = [one for one in spy._messages._queue if one is not None]
        for one in (spy, relay, hub):
            await one.close()
        return heard

    assert asyncio.run(steps()) == []


@pytest.mark.parametrize(
    "topic", ["fanal/1/north/down", "fanal/1/north", "fanal/2/north/up", "home/x", "fanal/1/a/b/up"]
)
def test_nobody_writes_elsewhere(guided, topic):
    async def steps():
        mqtt = guided.anybody()
        await mqtt.open()
        try:
            with pytest.raises(MqttDown) as caught:
                await mqtt.publish(topic, b"x")
        finally:
            await mqtt.close()
        return caught.value.code

    assert asyncio.run(steps()) == "not_allowed"


@pytest.mark.parametrize(
    "login", [Login("hub", "wrong"), Login("hub", ""), Login("nobody", PASSWORD)]
)
def test_a_wrong_password_is_no_login(guided, login):
    async def steps():
        with pytest.raises(MqttDown) as caught:
            await guided.anybody(login).open()
        return caught.value

    problem = asyncio.run(steps())
    assert problem.code == "not_allowed"
    typed = login.password or "no password at all"
    assert typed not in repr(problem) + problem.hint


def test_what_is_larger_than_any_delivery_stays_out(guided):
    async def steps():
        relay = guided.relay()
        with pytest.raises(RelayRefused):
            await relay.send(bytes(327_680))
        await relay.close()

    asyncio.run(steps())


def test_the_broker_keeps_more_than_a_thousand(guided):
    async def steps():
        hub, relay = guided.hub(), guided.relay()
        await hub.open()
        await hub.subscribe([SHARED])
        await hub.close()
        for at in range(1100):
            await relay.send(b"%d" % at)
        await relay.close()
        hub = guided.hub()
        await hub.open()
        got = []
        for _ in range(1100):
            message = await hub.message()
            got.append(int(message.payload))
            message.ack()
        await hub.close()
        return got

    assert asyncio.run(steps()) == list(range(1100))


def test_plain_connections_are_not_taken(guided):
    async def steps():
        url = guided.url.replace("mqtts:", "mqtt:")
        relay = MqttRelay(f"{url}/fanal/1/north", None, lambda: b"", patience_s=5)
        with pytest.raises(RelayDown) as caught:
            await relay.send(b"x")
        return caught.value.code

    assert asyncio.run(steps()) == "network"


def test_the_log_names_no_address(guided):
    assert not [line for line in guided.program.lines if "127.0.0.1:" in line]
