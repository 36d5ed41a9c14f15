"""A beacon's id as people and barcode readers write it."""

import string

import pytest
from fanal.beacon_name import ALPHABET, LETTERS, parse, shown
from fanal.error import UsageError
from fanal_protocol import keys
from hypothesis import given
from hypothesis import strategies as st

IDS = st.text(alphabet=ALPHABET, min_size=LETTERS, max_size=LETTERS)


@given(IDS)
def test_what_is_shown_is_read(beacon_id):
    assert parse(shown(beacon_id)) == parse(beacon_id) == parse(beacon_id.lower()) == beacon_id


@given(st.binary(min_size=32, max_size=32))
def test_what_a_beacon_calls_itself_is_read(public_key):
    beacon_id = keys.beacon_id(public_key)
    assert parse(shown(beacon_id)) == beacon_id


@pytest.mark.parametrize(
    "text",
    [
        "K7Q29XMD", "k7q2-9xmd", "K7Q2 9XMD", " k 7 q 2 9 x m d ", "K7Q29XMD\r\n", "K7Q2\t9XMD\n",
        "FANAL:K7Q29XMD", "fanal:k7q2-9xmd\r", "FANAL: K7Q2-9XMD", "]Q1K7Q29XMD\r",
        "\x02K7Q29XMD\x03", "]q3FANAL:K7Q29XMD", "K7Q2–9XMD", "K7Q2‑9XMD", "K7Q2\u00a09XMD",
        "\x1dK7Q29XMD\x00",
    ],
)  # fmt: skip
def test_taken(text):
    assert parse(text) == "K7Q29XMD"


@pytest.mark.parametrize(("letter", "read"), [("O", "0"), ("I", "1"), ("L", "1")])
def test_letters_that_no_id_has_are_read_as_the_digit_they_look_like(letter, read):
    for at in range(LETTERS):
        wrong = "K7Q29XMD"[:at] + letter + "K7Q29XMD"[at + 1 :]
        expected = "K7Q29XMD"[:at] + read + "K7Q29XMD"[at + 1 :]
        assert parse(wrong) == parse(wrong.lower()) == expected


def test_every_other_letter_stays_what_it_is():
    for letter in set(string.ascii_uppercase + string.digits) - set("OILU"):
        assert parse(letter * 8) == letter * 8
    with pytest.raises(UsageError) as caught:
        parse("KUQ29XMD")
    assert "no U" in caught.value.hint


@pytest.mark.parametrize("length", [n for n in range(20) if n != LETTERS])
def test_of_another_length(length):
    with pytest.raises(UsageError) as caught:
        parse("K" * length)
    assert caught.value.exit_code == 2
    assert caught.value.code == "beacon_id"


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "\r\n", "FANAL:", "FANAL:FANAL:K7Q29XMD", "]Q1", "K7Q2/9XMD", "K7Q29XMD;rm -rf /",
        "../../etc", "K7Q2\x009XMD", "K7Q2\x1b[31m9XMD",
        "Ｋ７Ｑ２９ＸＭＤ", "K7Q29XM\u0661", "K7Q29ſMD",
        "ıııııııı", "K7Q29XM𝟙", "K7Q29XMD" * 2, "K7Q29XMD" * 100_000, "\u202eDMX92Q7K", "ßßßß",
        "K7Q29XMD K7Q2", "%s%s%s%s", "' OR 1=1",
    ],
    ids=ascii,
)  # fmt: skip
def test_hostile(text):
    with pytest.raises(UsageError) as caught:
        parse(text)
    said = caught.value.sentence + caught.value.hint
    assert said.isprintable()
    assert len(said) < 200


@given(st.text(max_size=80))
def test_whatever_comes_it_is_an_id_or_a_sentence(text):
    try:
        said = parse(text)
        assert set(said) <= set(ALPHABET)
        assert len(said) == LETTERS
    except UsageError as error:
        said = error.sentence + error.hint
    assert said.isprintable()
