"""Every frame once more, as a declaration: what SPEC 2 says, in the words of `construct`.

Written from the specification and importing nothing of `fanal_protocol`, so that the two can
disagree: property tests hold one against the other, `fanal decode` takes its fields from here.
What a beacon may not send does not parse: every description here is strict.
"""

from construct import (
    Array,
    BitsInteger,
    BitStruct,
    Byte,
    Bytes,
    Const,
    ExprValidator,
    Flag,
    FocusedSeq,
    Int8sb,
    Int16ub,
    Int16ul,
    Int32ub,
    Select,
    Struct,
    Terminated,
    obj_,
)

SERVICE_UUID = 0xF5A1
ADVERT_BYTES = 31

VERSION = 1
FRAME_NAMES = {0: "alert", 1: "signature page", 2: "crumb page"}

AD_UUID_LIST = 0x03
AD_SERVICE_DATA = 0x16


def _header(frame_type: int) -> BitStruct:
    return BitStruct(
        "version" / Const(VERSION, BitsInteger(3)),
        "type" / Const(frame_type, BitsInteger(2)),
        "reserved" / Const(0, BitsInteger(3)),
    )


def _ad_header(data_bytes: int, ad_type: int) -> Struct:
    """Describe the start of an AD structure of one 16-bit UUID and `data_bytes` after it."""
    return Struct(
        "length" / Const(1 + 2 + data_bytes, Byte),
        "ad_type" / Const(ad_type, Byte),
        "uuid" / Const(SERVICE_UUID, Int16ul),
    )


def _whole(frame: Struct) -> FocusedSeq:
    """Describe `frame` with nothing behind it."""
    return FocusedSeq("frame", "frame" / frame, Terminated)


# The header as it may come, to be read whatever is in it.
ANY_HEADER = BitStruct(
    "version" / BitsInteger(3), "type" / BitsInteger(2), "reserved" / BitsInteger(3)
)

# SPEC 2.1: 23 bytes
ALERT = Struct(
    "hdr" / _header(0),
    "rid" / Bytes(8),
    "q" / ExprValidator(Int16ub, obj_ < 450),
    "ciphertext" / Bytes(4),
    "tag" / Bytes(8),
)

# SPEC 2.1: the four bytes of `ciphertext`, in clear; status bits from the highest
ALERT_PLAINTEXT = Struct(
    "status"
    / BitStruct(
        "activation" / ExprValidator(BitsInteger(3), obj_ <= 1),
        "drill" / Flag,
        "battery_low" / Flag,
        "zero_2" / Const(0, BitsInteger(1)),
        "resumed" / Flag,
        "zero_0" / Const(0, BitsInteger(1)),
    ),
    "battery_20mv" / Byte,
    "crumbs" / Byte,
    "phase" / ExprValidator(Byte, obj_ <= 1),
)

# SPEC 2.2: 38 bytes, signed and never sent
SIGNED_MESSAGE = Struct(
    "label" / Const(b"fanal/1 alert signature"),
    "event" / Int32ub,
    "slot" / Int16ub,
    "rid" / Bytes(8),
    "status"
    / BitStruct(
        "activation" / BitsInteger(3), "drill" / Flag, "unsigned_bits" / Const(0, BitsInteger(4))
    ),
)

# SPEC 2.2: 27 bytes
SIGNATURE_PAGE = Struct(
    "hdr" / _header(1),
    "page" / ExprValidator(Byte, obj_ < 12),
    "chunk" / Bytes(22),
    "check" / Bytes(3),
)

# SPEC 2.3: 27 bytes; the index is veiled, so every value of `x` may come
CRUMB_PAGE = Struct("hdr" / _header(2), "x" / Byte, "v" / Bytes(25))

# SPEC 2.3: 17 bytes, sealed to the 25 that `v` veils
CRUMB_PLAINTEXT = Struct(
    "age_2s" / Int16ub,
    "seen" / Byte,
    "aps" / Array(2, Struct("bssid" / Bytes(6), "rssi_dbm" / Int8sb)),
)

FRAMES = {0: ALERT, 1: SIGNATURE_PAGE, 2: CRUMB_PAGE}

PAYLOAD = Select(*(_whole(frame) for frame in FRAMES.values()))

# SPEC 2.4: 31 bytes
ALERT_ADVERT = Struct(
    "uuid_list" / _ad_header(0, AD_UUID_LIST),
    "service_data" / _ad_header(ALERT.sizeof(), AD_SERVICE_DATA),
    "payload" / ALERT,
)
SIGNATURE_ADVERT = Struct(
    "service_data" / _ad_header(SIGNATURE_PAGE.sizeof(), AD_SERVICE_DATA),
    "payload" / SIGNATURE_PAGE,
)
CRUMB_ADVERT = Struct(
    "service_data" / _ad_header(CRUMB_PAGE.sizeof(), AD_SERVICE_DATA), "payload" / CRUMB_PAGE
)

ADVERT = Select(_whole(ALERT_ADVERT), _whole(SIGNATURE_ADVERT), _whole(CRUMB_ADVERT))
