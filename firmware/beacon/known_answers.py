"""The boot self-test: does this interpreter, on this chip, still compute what it must?

The answers are those of the first entry of protocol/vectors/protocol-v1.json, of RFC 8032 and
of FIPS 180-4. They are not secret: no beacon has these keys.
"""

from binascii import unhexlify

_SEED = unhexlify(b"140b675676bce11275840801ed52ecf58867412e6c4009295861905c0d1bba59")
_PUBLIC_KEY = unhexlify(b"6b0f71ba85470806beb076cc55ad6360a049078427399afc0739a8f2231edac1")
_EVENT_KEY = unhexlify(b"3ef97258b1ca11e3dd19cd133e6d72b06cb55215969a1f503a43a1eeb5cfa2c7")
_RID = unhexlify(b"6872ed8c9de1b012")
_SLOT = 76
_SEQ = 186
_PLAIN = (56, 167, 76, 0)
_ALERT = unhexlify(b"206872ed8c9de1b01200b7a6266d47d8fb43b3572f7cbe")
_FIRST_PAGE = unhexlify(b"280050717a96685e849d295c839df2a64d11c4a84eb266664f4b10")
_EVENT = 11
_SIGNATURE = unhexlify(
    b"b691e1607619858fd912f335fafc63742fd0ee96ba192096dcfd012d9f918151"
    b"78e77dd32097ca4e4b241e49dd7b3f984570484344d46d1ca415db612941690c"
)
_SHA512_ABC = unhexlify(
    b"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
    b"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
)


def run():
    """Return name → bool for every answer."""
    results = {}
    for name, check in _CHECKS:
        results[name] = check()
    return results


def _kdf():
    from fanal_protocol import keys

    return keys.beacon_id(_PUBLIC_KEY) == "F7F45YHV" and len(keys.rid_key(_EVENT_KEY)) == 16


def _rid():
    from fanal_protocol import keys, slot

    return slot.rid(keys.rid_key(_EVENT_KEY), _SLOT) == _RID


def _ccm():
    from fanal_protocol import alert, keys, slot

    q = slot.masked(_SEQ, slot.mask(keys.rid_key(_EVENT_KEY), _SLOT))
    return alert.seal(keys.alert_key(_EVENT_KEY), _RID, q, alert.Alert(*_PLAIN)) == _ALERT


def _sha512():
    from fanal_protocol import sha512

    return sha512.sha512(b"abc") == _SHA512_ABC


def _ed25519():
    from fanal_protocol import ed25519, signature

    message = signature.message(_EVENT, _SLOT, _RID, _PLAIN[0])
    return ed25519.sign(_SEED, message, _PUBLIC_KEY) == _SIGNATURE


def _pages():
    from fanal_protocol import keys, signature

    pages = signature.pages(_SIGNATURE, keys.page_key(_EVENT_KEY), _RID)
    return pages[0] == _FIRST_PAGE


_CHECKS = (
    ("kdf", _kdf),
    ("rid", _rid),
    ("ccm", _ccm),
    ("sha512", _sha512),
    ("ed25519", _ed25519),
    ("pages", _pages),
)
