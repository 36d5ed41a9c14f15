"""The check of one whole record of protocol vectors: a beacon, an event, a slot, all frames.

What is written is compared with what is made, and what is read with what was meant.
"""

from binascii import unhexlify

from fanal_protocol import advert, alert, crumb, ed25519, frame, keys, signature, slot


def check_record(record, equal):
    """Check a record of the shape of protocol-v1.json; both directions of every frame."""
    _check_ladder(record, equal)
    event_key = unhexlify(record["event_key"])
    rid_key = keys.rid_key(event_key)
    rid = slot.rid(rid_key, record["slot"])
    mask = slot.mask(rid_key, record["slot"])
    equal("rid", rid, unhexlify(record["rid"]))
    equal("mask", mask, record["mask"])
    _check_alert(record, equal, keys.alert_key(event_key), mask)
    _check_signature(record, equal, keys.page_key(event_key), rid)
    _check_crumb(record["crumb"], equal, record["event"], event_key, rid)


def _check_ladder(record, equal):
    root = keys.station_root(unhexlify(record["fleet_root"]), record["station"])
    public_key = unhexlify(record["public_key"])
    equal("root", root, unhexlify(record["root"]))
    equal("public_key", ed25519.public_key(unhexlify(record["seed"])), public_key)
    equal("beacon_id", keys.beacon_id(public_key), record["beacon_id"])
    if record["first_event_key"] is None:
        return  # an event too far up the ladder to climb there
    event_key = keys.first_event_key(root, public_key)
    equal("first_event_key", event_key, unhexlify(record["first_event_key"]))
    for _ in range(record["event"] - 1):
        event_key = keys.next_event_key(event_key)
    equal("event_key", event_key, unhexlify(record["event_key"]))


def _check_alert(record, equal, alert_key, mask):
    rid = unhexlify(record["rid"])
    fields = record["alert_plain"]
    plain = alert.Alert(fields["status"], fields["battery"], fields["crumbs"], fields["phase"])
    payload = unhexlify(record["alert"])
    q = slot.masked(record["seq"], mask)
    equal("alert", alert.seal(alert_key, rid, q, plain), payload)
    equal("alert_advert", advert.wrap(payload), unhexlify(record["alert_advert"]))
    heard = frame.decode(advert.unwrap(unhexlify(record["alert_advert"])))
    equal("alert rid", heard.rid, rid)
    equal("seq", slot.unmasked(heard.q, mask), record["seq"])
    equal("alert_plain", alert.open_alert(alert_key, heard), plain)


def _check_signature(record, equal, page_key, rid):
    message = unhexlify(record["signed_message"])
    signed = unhexlify(record["signature"])
    status = record["alert_plain"]["status"]
    equal(
        "signed_message", signature.message(record["event"], record["slot"], rid, status), message
    )
    equal("signature", ed25519.sign(unhexlify(record["seed"]), message), signed)
    equal("verify", ed25519.verify(unhexlify(record["public_key"]), message, signed), True)
    payloads = [unhexlify(payload) for payload in record["signature_pages"]]
    equal("signature_pages", signature.pages(signed, page_key, rid), payloads)
    advertised = unhexlify(record["signature_advert"])
    equal("signature_advert", advert.wrap(payloads[0]), advertised)
    equal("signature_advert payload", advert.unwrap(advertised), payloads[0])
    chunks = {}
    for payload in payloads:
        heard = frame.decode(payload)
        chunks[heard.page] = signature.open_page(page_key, rid, heard)
    for triple in _triples(len(payloads)):
        three = {page: chunks[page] for page in triple}
        equal(f"signature from pages {triple}", signature.assemble(three, page_key, rid), signed)


def _triples(count):
    return [
        (a, b, c) for a in range(count) for b in range(a + 1, count) for c in range(b + 1, count)
    ]


def _check_crumb(record, equal, event, event_key, rid):
    index = record["index"]
    chain = keys.crumb_chain(event_key)
    for _ in range(index + 1):
        crumb_key, chain = keys.crumb_step(chain)
    aps = tuple((unhexlify(bssid), rssi_dbm) for bssid, rssi_dbm in record["aps"])
    plain = crumb.Crumb(record["age_2s"], record["seen"], aps)
    sealed = unhexlify(record["sealed"])
    payload = unhexlify(record["page"])
    page_key = keys.page_key(event_key)
    equal("crumb sealed", crumb.seal(crumb_key, event, index, plain), sealed)
    equal("crumb page", crumb.page(page_key, rid, index, sealed), payload)
    equal("crumb unveiled", crumb.unveil(page_key, rid, frame.decode(payload)), (index, sealed))
    equal("crumb", crumb.open_crumb(crumb_key, event, index, sealed), plain)
