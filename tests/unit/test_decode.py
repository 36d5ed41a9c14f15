"""`fanal decode` explains everything, and says of a packet what a receiver would say."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from fanal.cli import main
from fanal.decode import ADVERTISING_DATA, PAYLOAD, decode
from fanal.error import UsageError
from fanal_protocol import advert, frame
from fanal_protocol.error import Refused
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
VECTOR = json.loads((ROOT / "protocol/vectors/protocol-v1.json").read_text("utf-8"))[0]
ALERT = bytes.fromhex(VECTOR["alert"])
PAGE = bytes.fromhex(VECTOR["signature_pages"][3])
CRUMB = bytes.fromhex(VECTOR["crumb"]["page"])


def receiver_reason(data, form):
    try:
        frame.decode(advert.unwrap(data) if form == ADVERTISING_DATA else data)
    except Refused as refused:
        return refused.reason
    return ""


def assert_sound(data):
    """Every byte is in just one field, the reason is the receiver's, and a field shows it."""
    told = decode(data.hex())
    assert b"".join(field.data for field in told.fields) == data
    at = 0
    for field in told.fields:
        assert field.offset == at
        assert field.name
        assert field.meaning
        at += len(field.data)
    assert told.reason == receiver_reason(data, told.form)
    assert f"({told.reason})" in told.verdict if told.reason else "Well formed" in told.verdict
    if not told.reason and told.form == PAYLOAD:
        assert not any(field.is_wrong for field in told.fields)
    if told.reason not in ("", "length"):
        assert any(field.is_wrong for field in told.fields)
    return told


@given(st.binary(min_size=1, max_size=80))
def test_trash_is_explained(data):
    assert_sound(data)


@given(
    st.sampled_from([ALERT, PAGE, CRUMB]),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 255)), max_size=3),
)
def test_mutated_frames_are_explained(payload, is_whole, changes):
    data = bytearray(advert.wrap(payload) if is_whole else payload)
    for at, value in changes:
        data[at % len(data)] = value
    assert_sound(bytes(data))


@pytest.mark.parametrize("payload", [ALERT, PAGE, CRUMB], ids=["alert", "signature", "crumb"])
def test_every_truncation_is_explained_and_refused(payload):
    for whole, form in ((payload, PAYLOAD), (advert.wrap(payload), ADVERTISING_DATA)):
        for size in range(1, len(whole)):
            told = assert_sound(whole[:size])
            assert told.form == form
            assert told.reason == "length"
            assert any(field.is_wrong for field in told.fields) or form == ADVERTISING_DATA


@pytest.mark.parametrize("payload", [ALERT, PAGE, CRUMB], ids=["alert", "signature", "crumb"])
def test_every_flipped_bit_is_explained(payload):
    for whole in (payload, advert.wrap(payload)):
        for bit in range(8 * len(whole)):
            data = bytearray(whole)
            data[bit // 8] ^= 1 << bit % 8
            assert_sound(bytes(data))


@pytest.mark.parametrize(
    ("data", "form", "name"),
    [
        (ALERT, PAYLOAD, "alert"),
        (PAGE, PAYLOAD, "signature page"),
        (CRUMB, PAYLOAD, "crumb page"),
        (advert.wrap(ALERT), ADVERTISING_DATA, "alert"),
        (advert.wrap(PAGE), ADVERTISING_DATA, "signature page"),
        (advert.wrap(CRUMB), ADVERTISING_DATA, "crumb page"),
        (bytes.fromhex("1a16a1f5") + ALERT, ADVERTISING_DATA, "alert"),  # 27 bytes, like a page
    ],
)
def test_form_and_frame_are_told(data, form, name):
    told = assert_sound(data)
    assert (told.form, told.frame, told.reason) == (form, name, "")


def test_version_0_of_a_payload_s_length_is_a_payload():
    told = assert_sound(b"\x00" + ALERT[1:])
    assert (told.form, told.frame, told.reason) == (PAYLOAD, "", "version")


def test_alert_is_told_field_by_field():
    told = decode(VECTOR["alert"])
    assert [(field.offset, len(field.data), field.name) for field in told.fields] == [
        (0, 1, "hdr"),
        (1, 8, "rid"),
        (9, 2, "q"),
        (11, 4, "ciphertext"),
        (15, 8, "tag"),
    ]
    assert told.fields[2].meaning.startswith(f"{(VECTOR['seq'] + VECTOR['mask']) % 450}: ")


def test_advertising_data_that_no_beacon_sends_is_well_formed_and_remarked():
    whole = advert.wrap(ALERT)
    assert "No beacon" not in decode(whole.hex()).verdict
    told = assert_sound(bytes.fromhex("020106") + whole)
    assert told.reason == ""
    assert "No beacon" in told.verdict


@pytest.mark.parametrize(
    "spelling",
    [
        lambda data: data.hex().upper(),
        lambda data: data.hex(" "),
        lambda data: data.hex(":"),
        lambda data: data.hex("-").upper(),
        lambda data: "0x" + data.hex(),
        lambda data: "0X" + data.hex(),
        lambda data: ", ".join(f"0x{byte:02x}" for byte in data),
        lambda data: "".join(f"\\x{byte:02x}" for byte in data),
        lambda data: data.hex("\n", 8) + "\n",
        lambda data: data.hex("_", 4),
    ],
)
def test_spellings_of_hexadecimal(spelling):
    assert decode(spelling(ALERT)) == decode(ALERT.hex())


@pytest.mark.parametrize("text", ["", "  ", "0x", "2", "20 6", "zz", "20g0", "0x20 0x", "２０"])
def test_what_is_no_hexadecimal_is_said(text):
    if text == "0x20 0x":  # a prefix with nothing behind it is passed over like a space
        assert decode(text) == decode("20")
        return
    with pytest.raises(UsageError):
        decode(text)


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [
        ([ALERT.hex()], 0),
        (ALERT.hex(" ").split(), 0),
        ([ALERT[:-1].hex()], 4),
        (["--json", "ff"], 4),
        (["123"], 2),
        (["zz"], 2),
        ([], 2),
    ],
)
def test_command_sets_the_exit_code(arguments, exit_code):
    assert CliRunner().invoke(main, ["decode", *arguments]).exit_code == exit_code


def test_command_prints_one_json_object():
    result = CliRunner().invoke(main, ["decode", "--json", PAGE.hex()])
    told = json.loads(result.stdout)
    assert (told["ok"], told["form"], told["frame"], told["reason"]) == (
        True,
        "payload",
        "signature page",
        None,
    )
    assert "".join(field["hex"] for field in told["fields"]) == PAGE.hex()
    assert sum(field["length"] for field in told["fields"]) == 27


@pytest.mark.parametrize("payload", [ALERT, PAGE, CRUMB], ids=["alert", "signature", "crumb"])
def test_table_fits_80_columns_without_colour(payload, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = CliRunner().invoke(main, ["decode", advert.wrap(payload).hex()])
    lines = result.stdout.splitlines()
    assert max(len(line) for line in lines) <= 80
    assert "\x1b" not in result.stdout
    assert "…" not in result.stdout  # nothing was cut off
    assert lines[-1].startswith("✓ ok")
