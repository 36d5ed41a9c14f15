"""What is checked for one record of each kind of vectors: check(record, equal).

`equal(field, got, expected)` takes note of a difference. Runs on both interpreters.
"""

from binascii import unhexlify

from fanal_protocol import (
    alert,
    ccm,
    crumb,
    crypto,
    ed25519,
    frame,
    keys,
    line,
    sha512,
    signature,
    slot,
)
from fanal_protocol.error import REASONS, Refused, TagError, UnknownError
from protocol_record import check_record


def check_ccm(record, equal):
    """Seal and open with the beacon's CCM and with that of this interpreter; refuse each bit."""
    nonce, ad = unhexlify(record["nonce"]), unhexlify(record["ad"])
    plaintext, sealed = unhexlify(record["plaintext"]), unhexlify(record["sealed"])
    for name in ("BlockCcm", "Ccm"):
        cipher = getattr(ccm, name)(unhexlify(record["key"]))
        equal(name + ".seal", cipher.seal(nonce, plaintext, ad), sealed)
        equal(name + ".open", cipher.open(nonce, sealed, ad), plaintext)
        for bit in range(8 * len(sealed)):
            spoilt = bytearray(sealed)
            spoilt[bit >> 3] ^= 1 << (bit & 7)
            try:
                cipher.open(nonce, bytes(spoilt), ad)
                equal(f"{name} bit {bit}", "opened", "tag")
            except TagError as error:
                equal(f"{name} bit {bit}", error.reason, "tag")


def check_hmac(record, equal):
    """The HMAC of this interpreter and the one made of SHA-256; a short mac is truncated."""
    key, data, mac = unhexlify(record["key"]), unhexlify(record["data"]), unhexlify(record["mac"])
    equal("mac", crypto.hmac_sha256(key, data)[: len(mac)], mac)
    equal("mac of sha256", crypto.hmac_of_sha256(key, data)[: len(mac)], mac)


def check_hkdf(record, equal):
    """Extract is one HMAC; Expand is compared in its first block, at every length."""
    prk, okm = unhexlify(record["prk"]), unhexlify(record["okm"])
    salt, ikm = unhexlify(record["salt"]), unhexlify(record["ikm"])
    equal("prk", crypto.hmac_sha256(salt, ikm), prk)
    for length in range(1, 33):
        equal("okm", crypto.kdf(prk, unhexlify(record["info"]), length), okm[:length])


def check_ed25519(record, equal):
    """Public key and signature as published; the signature of another message is refused."""
    seed, public_key = unhexlify(record["seed"]), unhexlify(record["public_key"])
    message, signature = unhexlify(record["message"]), unhexlify(record["signature"])
    equal("public_key", ed25519.public_key(seed), public_key)
    equal("signature", ed25519.sign(seed, message), signature)
    equal("verify", ed25519.verify(public_key, message, signature), True)
    equal("verify another", ed25519.verify(public_key, message + b"\x00", signature), False)


def check_ed25519_verify(record, equal):
    """Whether a signature is accepted: one that is, and one for every reason to refuse it."""
    public_key, message = unhexlify(record["public_key"]), unhexlify(record["message"])
    accepted = ed25519.verify(public_key, message, unhexlify(record["signature"]))
    equal(record["case"], accepted, record["verifies"])


def check_sha512(record, equal):
    """The digest by what this interpreter chose and by the plain functions."""
    message, expected = unhexlify(record["message"]), unhexlify(record["digest"])
    equal("sha512", sha512.sha512(message), expected)
    equal("plain", sha512.digest(message, sha512.expand, sha512.rounds), expected)


def check_refused(record, equal):
    """A payload that is refused, and why; the one it was made of is not.

    `known`, if there, is all that the receiver knows: (event, slot) pairs with a sighting.
    """
    known = record.get("known")
    equal(record["case"], _reason(unhexlify(record["payload"]), known), record["reason"])
    if "valid" in record:
        equal(record["case"] + " valid", _reason(unhexlify(record["valid"]), known), "")


def _reason(payload, known):
    """Return why a payload is refused, "" if it is not. known: None to look at no key."""
    try:
        heard = frame.decode(payload)
        if known is not None:
            _open_by_any(heard, known)
    except Refused as error:
        return error.reason
    return ""


def _open_by_any(heard, known):
    """Open a frame with the first that fits; raise what the one that came furthest raised."""
    furthest = None
    for candidate in known:
        try:
            return _open(heard, candidate)
        except Refused as error:
            if furthest is None or REASONS.index(error.reason) > REASONS.index(furthest.reason):
                furthest = error
    raise furthest or UnknownError("no event for it")


def _open(heard, candidate):
    event_key = unhexlify(candidate["event_key"])
    rid = slot.rid(keys.rid_key(event_key), candidate["slot"])
    if isinstance(heard, frame.AlertFrame):
        if heard.rid != rid:
            raise UnknownError("rid")
        return alert.open_alert(keys.alert_key(event_key), heard)
    page_key = keys.page_key(event_key)
    if isinstance(heard, frame.SignatureFrame):
        return signature.open_page(page_key, rid, heard)
    index, sealed = crumb.unveil(page_key, rid, heard)
    chain = keys.crumb_chain(event_key)
    for _ in range(index + 1):
        crumb_key, chain = keys.crumb_step(chain)
    return crumb.open_crumb(crumb_key, candidate["event"], index, sealed)


def check_time(record, equal):
    """The verdict at every step, what leaves the line, and the line at the end."""
    judged = line.Line()
    for number, step in enumerate(record["steps"]):
        entry = line.Entry(step["t_ms"], step["slot"], step["seq"])
        verdict = judged.judge(entry, step["later_began_ms"])
        field = f"{record['case']} step {number}"
        equal(field + " kind", verdict.kind, step["kind"])
        equal(field + " left", [list(left) for left in verdict.left], step["left"])
    equal(record["case"] + " line", [list(entry) for entry in judged.entries()], record["line"])
    equal(record["case"] + " began_ms", judged.began_ms(), record["began_ms"])


CHECKS = {
    "protocol": check_record,
    "aes-ccm": check_ccm,
    "hmac-sha256": check_hmac,
    "hkdf-sha256": check_hkdf,
    "ed25519": check_ed25519,
    "ed25519-verify": check_ed25519_verify,
    "sha512": check_sha512,
    "frames-negative": check_refused,
    "time-rules": check_time,
}
