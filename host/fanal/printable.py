"""Text from outside, such as what a board calls itself, so that terminals and XML can take it."""


def printable(text: str, most: int | None = None) -> str:
    """Return the text with a question mark for whatever a terminal would obey instead of show.

    most: how many letters at the most, None for all of them.
    """
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:most]
