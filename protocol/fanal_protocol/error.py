"""What can be wrong: you (`Misuse`) or they (`Refused`), never the same class."""


class Misuse(ValueError):
    """The caller is wrong: an argument has the wrong length or is out of range."""


class Refused(Exception):
    """What was received is wrong. `reason` is one of `REASONS`. SPEC 3.1."""

    reason = ""


class LengthError(Refused):
    """Not 23 or 27 bytes, or not the length of its type, or no payload at all."""

    reason = "length"


class VersionError(Refused):
    """The version in bits 7..5 of the first byte is not 1."""

    reason = "version"


class FrameTypeError(Refused):
    """The type in bits 4..3 of the first byte is 3, which is reserved."""

    reason = "type"


class ReservedError(Refused):
    """One of bits 2..0 of the first byte is set."""

    reason = "reserved"


class SeqError(Refused):
    """The masked sequence of an alert is 450 or more."""

    reason = "seq"


class PageError(Refused):
    """A signature page of 12 or more, or a crumb whose index is 255."""

    reason = "page"


class UnknownError(Refused):
    """No event is known that has this identifier, or that this page could belong to."""

    reason = "unknown"


class TagError(Refused):
    """The CCM tag, the check or the padding is not what the key makes it."""

    reason = "tag"


# In the order in which a receiver looks; `length` is asked again once the type is known.
REASONS = ("length", "version", "type", "reserved", "seq", "page", "unknown", "tag")
