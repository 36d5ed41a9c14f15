"""hub.toml: what it may say, and that every mistake is a sentence that names the key alone."""

import re
import socket
from pathlib import Path

import pytest
from fanal.error import EnvironmentFault, UsageError
from fanal.hub import config, config_files, founding
from fanal.hub.channel_config import is_loopback
from fanal.hub.config import parse
from fanal.hub.store import Store
from fanal.sighting import ALERT, DRILL

FOLDER = Path("/srv/hub")
WEBHOOK = (
    '[[channel]]\nname = "w"\nkind = "webhook"\nurl = "https://a.example"\nsecret_file = "s"\n'
)
MAIL = (
    '[[channel]]\nname = "m"\nkind = "mail"\nsmtp = "smtp://a.example:587"\n'
    'from = "hub@a.example"\nto = ["b@a.example"]\n'
)
MQTT = '[mqtt]\nurl = "mqtts://broker.example:8883"\n'
TOPIC = '[[channel]]\nname = "t"\nkind = "mqtt"\ntopic = "alarm"\n'


def refused(text):
    with pytest.raises(UsageError) as caught:
        parse(text, FOLDER)
    assert "\n" not in caught.value.sentence
    return caught.value


def test_files_for_tls_are_looked_at_before_anything_starts(tmp_path):
    settings = parse('[hub]\ntls_cert = "c.pem"\ntls_key = "k.pem"\n', tmp_path)
    for name in ("c.pem", "k.pem"):
        with pytest.raises(UsageError) as caught:
            config_files.require_tls(settings)
        assert (
            f"hub.tls_{'cert' if name[0] == 'c' else 'key'} names a file" in caught.value.sentence
        )
        (tmp_path / name).write_text("no PEM")
    with pytest.raises(UsageError) as caught:
        config_files.require_tls(settings)
    assert "in PEM" in caught.value.sentence
    config_files.require_tls(parse("", tmp_path))


def test_each_other_file_that_is_missing_is_named_by_its_key(tmp_path):
    text = MQTT + 'ca = "ca.pem"\nuser = "hub"\npassword_file = "p"\n' + WEBHOOK + MAIL
    text += 'smtp_user = "u"\nsmtp_password_file = "m"\n'
    settings = parse(text, tmp_path)
    said = config_files.missing_files(settings)
    keys = (
        "mqtt.ca",
        "mqtt.password_file",
        "channel 1.secret_file",
        "channel 2.smtp_password_file",
    )
    assert [any(f" {key} names" in one for one in said) for key in keys] == [True] * 4
    assert len(said) == 4
    for name in ("ca.pem", "p", "s", "m"):
        (tmp_path / name).write_text("x")
    assert config_files.missing_files(settings) == []


def test_nothing_is_a_hub_for_this_computer_alone():
    plain = parse("", FOLDER)
    assert (plain.host, plain.port, plain.mqtt, plain.channels) == ("127.0.0.1", 8060, None, ())
    assert plain.database.render_as_string() == "sqlite:////srv/hub/hub.db"
    assert plain.escalation.after_s == (120, 300)
    assert not plain.is_https


def test_a_folder_with_any_name_has_its_database(tmp_path):
    folder = tmp_path / "a?b#c%41"
    assert parse("", folder).database.database == str(folder / "hub.db")


def test_the_template_says_nothing_but_defaults(tmp_path):
    assert parse(founding.TEMPLATE, tmp_path) == parse("", tmp_path)


def test_each_example_of_the_template_is_one(tmp_path):
    """All that it leaves out, put in: then it is right too, and says something."""
    text = re.sub(r"^# (\w+ = |\[)", r"\1", founding.TEMPLATE, flags=re.MULTILINE)
    full = parse(text, tmp_path)
    assert [channel.kind for channel in full.channels] == ["webhook", "mail", "mqtt"]
    assert full.channels[0].secret_file == tmp_path / "dispatch-secret"
    assert full.channels[1].level == 1
    assert full.mqtt.foreign == ("home/TheengsGateway/BTtoMQTT/#",)
    assert full.is_https
    assert (full.limits, full.escalation) == (parse("", tmp_path).limits, config.Escalation())


def test_defaults_of_a_channel():
    hook, mail = parse(WEBHOOK + MAIL, FOLDER).channels
    assert (hook.detail, hook.format, hook.kinds, hook.level) == ("full", "json", (ALERT, DRILL), 0)
    assert (mail.detail, mail.to) == ("minimal", ("b@a.example",))
    assert hook.secret_file == FOLDER / "s"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[hub]\nbnd = 'x'", "hub.bnd"),
        ("[hubs]\n", "hubs"),
        ("bind = 'x'", "bind"),
        ("hub = 3", "hub"),
        ("[hub]\nbind = 8060", "hub.bind"),
        ("[hub]\nbind = '127.0.0.1'", "hub.bind"),
        ("[hub]\nbind = '127.0.0.1:99999'", "hub.bind"),
        ("[hub]\nbind = '127.0.0.1:80/x'", "hub.bind"),
        ("[hub]\nbind = 'user@127.0.0.1:80'", "hub.bind"),
        ("[hub]\nbind = ''", "hub.bind"),
        ("[hub]\nbehind_proxy = 1", "hub.behind_proxy"),
        ("[hub]\ntls_cert = 'a'", "hub.tls_cert"),
        ("[hub]\ntls_key = 'a'", "hub.tls_cert"),
        ("[hub]\npublic_url = 'hub.example'", "hub.public_url"),
        ("[hub]\npublic_url = 'javascript://x'", "hub.public_url"),
        ("[hub]\npublic_url = 'https://a:b@hub.example'", "hub.public_url"),
        ("[hub]\nsender = 'a b'", "hub.sender"),
        ("[hub]\nsender = 'a&b'", "hub.sender"),
        ('[hub]\narea = "two\\nlines"', "hub.area"),
        ("[mqtt]\n", "mqtt.url"),
        ("[mqtt]\nurl = 'mqtt://broker.example'", "mqtt.url"),
        ("[mqtt]\nurl = 'http://broker.example'", "mqtt.url"),
        (MQTT + "user = 'a'", "mqtt.user"),
        (MQTT + "password = 'a'", "mqtt.password"),
        (MQTT + "foreign = 'a'", "mqtt.foreign"),
        (MQTT + "foreign = [1]", "mqtt.foreign"),
        ("[channel]\nname = 'a'", "channel"),
        ("channel = [1]", "channel 1"),
        ("[[channel]]\nname = 'a'", "channel 1.kind"),
        ("[[channel]]\nkind = 'webhook'", "channel 1.name"),
        ("[[channel]]\nname = 'a'\nkind = 'fax'", "channel 1.kind"),
        (WEBHOOK.replace("https", "http"), "channel 1.url"),
        (WEBHOOK.replace('secret_file = "s"\n', ""), "channel 1.secret_file"),
        (WEBHOOK + "secret = 'x'", "channel 1.secret"),
        (WEBHOOK + "format = 'xml'", "channel 1.format"),
        (WEBHOOK + "detail = 'some'", "channel 1.detail"),
        (WEBHOOK + "kinds = []", "channel 1.kinds"),
        (WEBHOOK + "kinds = ['alert']", "channel 1.kinds"),
        (WEBHOOK + "level = 3", "channel 1.level"),
        (WEBHOOK + "level = true", "channel 1.level"),
        (WEBHOOK + WEBHOOK, "channel"),
        (MAIL.replace("smtp://", "http://"), "channel 1.smtp"),
        (MAIL.replace("b@a.example", "b"), "channel 1.to"),
        (MAIL.replace('["b@a.example"]', '"b@a.example"'), "channel 1.to"),
        (MAIL.replace('from = "hub@a.example"', ""), "channel 1.from"),
        (MAIL + "smtp_user = 'a'", "channel 1.smtp_user"),
        (TOPIC, "channel 1.topic"),
        (MQTT + TOPIC.replace("alarm", "alarm/#"), "channel 1.topic"),
        ("[escalation]\nafter_s = [300, 120]", "escalation.after_s"),
        ("[escalation]\nafter_s = [0]", "escalation.after_s"),
        ("[escalation]\nafter_s = [1.5]", "escalation.after_s"),
        ("[escalation]\nafter_s = [true]", "escalation.after_s"),
        ("[escalation]\nafter = [1]", "escalation.after"),
        ("[limits]\nlistener_frames = 0", "limits.listener_frames"),
        ("[limits]\nintake_mib = 10000", "limits.intake_mib"),
        ("[limits]\nframes = 1", "limits.frames"),
    ],
)
def test_a_mistake_is_named_by_its_key(text, key):
    problem = refused(text)
    assert re.search(rf"(?<![\w.]){re.escape(key)}(?![\w])", problem.sentence), problem.sentence
    assert problem.exit_code == 2


@pytest.mark.parametrize("bind", ["0.0.0.0:80", "[::]:443", "192.0.2.1:8060", "hub.example:8060"])
def test_passwords_never_cross_a_network_in_the_clear(bind):
    assert refused(f"[hub]\nbind = '{bind}'").code == "no_tls"
    with pytest.raises(UsageError):
        parse("", FOLDER, {"bind": bind})
    named = f"[hub]\nbind = '{bind}'\npublic_url = 'https://hub.example/'\n"
    assert parse(f"{named}behind_proxy = true", FOLDER).public_url == "https://hub.example"
    tls = parse(f"{named}tls_cert = 'c'\ntls_key = '/k'", FOLDER)
    assert (tls.tls_cert, tls.tls_key) == (FOLDER / "c", Path("/k"))
    assert tls.is_https


@pytest.mark.parametrize("bind", ["0.0.0.0:80", "[::]:80"])
def test_every_address_is_no_address_for_a_link(bind):
    assert "hub.public_url" in refused(f"[hub]\nbind = '{bind}'\nbehind_proxy = true").sentence


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "127.9.9.9:80", "[::1]:8060", "localhost:1"])
def test_this_computer_alone_needs_no_tls(bind):
    assert is_loopback(parse(f"[hub]\nbind = '{bind}'", FOLDER).host)


@pytest.mark.parametrize("host", ["127.0.0.1.example", "localhost.example", "0", "", "0.0.0.0"])
def test_what_only_looks_like_this_computer(host):
    assert not is_loopback(host)


def test_the_command_line_comes_first():
    mine = parse("[hub]\nbind = '127.0.0.1:1'\narea = 'North'", FOLDER, {"bind": "127.0.0.1:2"})
    assert (mine.port, mine.area) == (2, "North")


SECRET = "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"[hub]\nbind = '{SECRET}'",
        f"[hub]\npublic_url = '{SECRET}'",
        f"[mqtt]\nurl = 'mqtts://u:{SECRET}@b'",
        WEBHOOK.replace("https://a.example", SECRET),
        f"[hub]\ndatabase = ['{SECRET}']",
        f"[hub\n{SECRET} = '{SECRET}'",
        f"a = '{SECRET}' '{SECRET}'",
    ],
)
def test_no_value_is_quoted(text):
    problem = refused(text)
    assert SECRET not in problem.sentence + problem.hint


def test_a_database_with_a_password_is_not_shown():
    held = parse(f"[hub]\ndatabase = 'postgresql://fanal:{SECRET}@db/fanal'", FOLDER)
    assert SECRET in str(held.database)
    assert SECRET not in repr(held)


def test_a_database_that_is_away_is_told_with_the_reason_and_no_password():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(EnvironmentFault) as caught:
        Store(f"postgresql://fanal:{SECRET}@127.0.0.1:{port}/fanal")
    assert f"port {port} failed" in caught.value.sentence
    assert "\n" not in caught.value.sentence
    assert SECRET not in caught.value.sentence + caught.value.hint + str(caught.value.__cause__)


def test_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "hub.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(EnvironmentFault):
        config.load(tmp_path)
    (tmp_path / "hub.toml").unlink()
    (tmp_path / "hub.toml").mkdir()
    with pytest.raises(EnvironmentFault):
        config.load(tmp_path)


def test_every_beginning_of_a_file_is_read_or_refused():
    """What an editor or a full disk left of it: no surprise, whatever it is."""
    text = re.sub(r"^# (\w+ = |\[)", r"\1", founding.TEMPLATE, flags=re.MULTILINE)
    refusals = []
    for length in range(0, len(text), 3):
        try:
            parse(text[:length], FOLDER)
        except UsageError as problem:
            refusals.append(problem.sentence)
    assert len(refusals) > 10
    assert not any("\n" in sentence for sentence in refusals)
