"""A file from outside, read whole if it is not larger than what it should be ever is."""

from pathlib import Path

from fanal.error import EnvironmentFault, UsageError


def read(path: Path, most: int, what: str) -> bytes:
    """Return the content of a file of at most `most` bytes; a device without an end is a file too.

    what: it should be, such as "a backup". Raises EnvironmentFault (not readable), UsageError.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as problem:
        raise EnvironmentFault(
            f"{path} cannot be read: {problem.strerror}.", f"Name the file that is {what}."
        ) from None
    if len(content) > most:
        raise UsageError(f"{path} is too large to be {what}.", "Look at which file it is.")
    return content
