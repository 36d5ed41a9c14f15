"""The worked examples of SPEC.md are those of the vectors, and its tables name real cases."""

import json
import re
from pathlib import Path

import pytest
from fanal_protocol import crumb, crypto, keys, slot
from fanal_protocol.error import REASONS

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "protocol/SPEC.md").read_text("utf-8")
VECTOR = json.loads((ROOT / "protocol/vectors/protocol-v1.json").read_text("utf-8"))[0]
NEGATIVE = json.loads((ROOT / "protocol/vectors/frames-negative.json").read_text("utf-8"))
TIME = json.loads((ROOT / "protocol/vectors/time-rules.json").read_text("utf-8"))

EVENT_KEY = bytes.fromhex(VECTOR["event_key"])
FIRST_KEY = bytes.fromhex(VECTOR["first_event_key"])
PAGE_KEY = keys.page_key(EVENT_KEY)
RID = bytes.fromhex(VECTOR["rid"])


def crumb_key(index):
    chain = keys.crumb_chain(EVENT_KEY)
    for _ in range(index + 1):
        key, chain = keys.crumb_step(chain)
    return key, chain


def crumb_plaintext():
    fields = VECTOR["crumb"]
    aps = tuple((bytes.fromhex(bssid), rssi_dbm) for bssid, rssi_dbm in fields["aps"])
    return crumb.encode(crumb.Crumb(fields["age_2s"], fields["seen"], aps))


EXAMPLES = {
    "E_1": FIRST_KEY,
    "E_2": keys.next_event_key(FIRST_KEY),
    "E_11": EVENT_KEY,
    "k_rid": keys.rid_key(EVENT_KEY),
    "k_alert": keys.alert_key(EVENT_KEY),
    "k_page": PAGE_KEY,
    "c_0": keys.crumb_chain(EVENT_KEY),
    "k_0": crumb_key(0)[0],
    "c_1": crumb_key(0)[1],
    "rid": slot.rid(keys.rid_key(EVENT_KEY), VECTOR["slot"]),
    "id": crypto.sha256(b"fanal/1 id" + bytes.fromhex(VECTOR["public_key"]))[:5],
    "alert": bytes.fromhex(VECTOR["alert"]),
    "alert advert": bytes.fromhex(VECTOR["alert_advert"]),
    "signature": bytes.fromhex(VECTOR["signature"])[:22],
    "veil": crypto.kdf(PAGE_KEY, b"fanal/1 veil" + RID + b"\x00", 22),
    "page 0": bytes.fromhex(VECTOR["signature_pages"][0]),
    "crumb plaintext": crumb_plaintext(),
    "k_120": crumb_key(120)[0],
    "sealed crumb": bytes.fromhex(VECTOR["crumb"]["sealed"]),
    "crumb page": bytes.fromhex(VECTOR["crumb"]["page"]),
    "first key check": crypto.kdf(FIRST_KEY, b"fanal/1 first key check", 8),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_worked_example_is_that_of_the_vectors(name):
    assert EXAMPLES[name].hex() in SPEC.replace(" ", "")


def test_every_long_example_of_the_text_is_checked_here():
    shown = re.findall(r"(?<![\w])[0-9a-f]{16,}(?![\w])", SPEC)
    known = "|".join(value.hex() for value in EXAMPLES.values())
    assert shown
    assert [digits for digits in shown if digits not in known] == []


def test_examples_of_time_are_cases_of_the_table():
    named = re.findall(r"^\| \d+ \| `(\w+_\w+)` \|", SPEC, re.MULTILINE)
    assert len(named) == 10
    assert set(named) <= {case["case"] for case in TIME}


def test_reasons_are_the_closed_list_and_each_has_its_vectors():
    listed = re.findall(r"^\| \d \| `(\w+)` \|", SPEC, re.MULTILINE)
    reasons = [name for name in listed if name in REASONS]
    assert list(dict.fromkeys(reasons)) == list(REASONS)
    assert {case["reason"] for case in NEGATIVE} == set(REASONS)
    assert len({case["case"] for case in NEGATIVE}) == len(NEGATIVE)
    assert [case["number"] for case in TIME] == list(range(1, len(TIME) + 1))


def test_resumption_table_is_its_formula():
    row = re.search(r"^\| sleep \| (.*) \|$", SPEC, re.MULTILINE)
    assert row is not None
    assert row[1] == " | ".join(f"{min(60 * 2**r, 3600)} s" for r in range(2, 7))
