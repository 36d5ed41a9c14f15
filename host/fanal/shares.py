"""Shares on paper: a key of 32 bytes as SLIP-39 words, any K of N of which give it back.

The splitting is done by `shamir-mnemonic`, the reference implementation, which is not hardened
against whoever measures its time or reads its memory. So it runs in a short-lived process of its
own, without network, files or programs; this module is both sides of it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fanal import secret_process
from fanal.error import FanalError, IntegrityError, UsageError
from fanal.sealed_work import NOT_INHERITED

MOST = 16
WORDS = 33  # of a key of 32 bytes
KEY_BYTES = 32


@dataclass(frozen=True)
class Share:
    """What one share says of itself. of: a number that all shares of one key have in common.

    index: which of them it is, from 1; threshold: how many are needed.
    """

    of: int
    index: int
    threshold: int


def plan(text: str) -> tuple[int, int]:
    """Return (K, N) of "K/N". Raises UsageError unless 2 <= K <= N <= 16."""
    threshold, _, count = text.partition("/")
    if threshold.isascii() and threshold.isdigit() and count.isascii() and count.isdigit():
        found = int(threshold), int(count)
        if 2 <= found[0] <= found[1] <= MOST:
            return found
    raise UsageError(
        f"Shares are K/N: K of N people are needed, 2 or more and {MOST} at most.",
        "For example --shares 3/5",
    )


def split(key: bytes, threshold: int, count: int) -> list[str]:
    """Return `count` shares of a key of 32 bytes: 33 words each, with a space between them."""
    shares: list[str] = _child({"do": "split", "key": key.hex(), "plan": [threshold, count]})
    return shares


def check(number: int, words: str) -> Share:
    """Return what a share says of itself. number: by which errors call it.

    Raises IntegrityError, which says where the typo is and quotes no word.
    """
    return Share(*_child({"do": "check", "number": number, "words": words}))


def combine(shares: Sequence[str]) -> bytes:
    """Return the key that shares were made of. Raises IntegrityError, which quotes no word."""
    return bytes.fromhex(_child({"do": "combine", "shares": list(shares)}))


# -- the child


def _child(asked: dict[str, Any]) -> Any:
    secret_process.harden()  # we hold the words too
    done = subprocess.run(
        [sys.executable, "-P", "-m", "fanal.shares", str(os.getpid())],
        input=json.dumps(asked).encode("ascii"), stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, check=False,
        env={k: v for k, v in os.environ.items() if k not in NOT_INHERITED},
    )  # fmt: skip
    try:
        told = json.loads(done.stdout)
    except ValueError:
        raise FanalError("The process that handles shares ended early.", "Try again.", 7) from None
    if "missing" in told:
        raise ModuleNotFoundError("No module named 'shamir_mnemonic'", name="shamir_mnemonic")
    if "problem" in told:
        raise IntegrityError(*told["problem"], code="share")
    return told["value"]


class _Problem(Exception):
    """What is wrong with the shares: a sentence and a hint."""


def _main() -> None:
    secret_process.harden()
    secret_process.end_with(int(sys.argv[1]))
    try:
        import shamir_mnemonic
        import shamir_mnemonic.rs1024
        import shamir_mnemonic.share
        import shamir_mnemonic.wordlist
    except ModuleNotFoundError:
        print(json.dumps({"missing": True}))
        return
    secret_process.go_offline()
    asked = json.loads(sys.stdin.buffer.read())
    try:
        value = _done(shamir_mnemonic, asked)
    except _Problem as problem:
        print(json.dumps({"problem": problem.args}))
    else:
        print(json.dumps({"value": value}))


def _done(library: Any, asked: dict[str, Any]) -> Any:
    if asked["do"] == "split":
        key = bytes.fromhex(asked["key"])
        (shares,) = library.generate_mnemonics(1, [tuple(asked["plan"])], key)
        threshold = asked["plan"][0]
        if _combined(library, shares[-threshold:]) != key:
            raise _Problem("The shares do not give the key back.", "Try again; report it.")
        return shares
    if asked["do"] == "check":
        share = _parsed(library, asked["number"], asked["words"])
        return [share.identifier, share.index + 1, share.member_threshold]
    return _combined(library, asked["shares"]).hex()


def _combined(library: Any, shares: Sequence[str]) -> bytes:
    parsed = [_parsed(library, number, words) for number, words in enumerate(shares, 1)]
    if not parsed:
        raise _Problem("There is no share.", "Give one share on each line.")
    first = parsed[0]
    for number, share in enumerate(parsed, 1):
        if share.common_parameters() != first.common_parameters() or (
            share.member_threshold != first.member_threshold
        ):
            raise _Problem(f"Share {number} belongs to another backup than share 1.",
                           "Use shares that were written down together.")  # fmt: skip
    by_index = {share.index: words for share, words in zip(parsed, shares, strict=True)}
    if len(by_index) < first.member_threshold:
        raise _Problem(
            f"{len(by_index)} different shares are here, and {first.member_threshold} are needed.",
            "Ask for another one.",
        )
    try:
        key: bytes = library.combine_mnemonics(
            _tidied(words) for words in list(by_index.values())[: first.member_threshold]
        )
    except library.MnemonicError:
        raise _Problem("The shares do not fit together.", "Check each of them again.") from None
    return key


def _parsed(library: Any, number: int, words: str) -> Any:
    """Return one share, or say where it is wrong."""
    tidied = _tidied(words).split()
    if len(tidied) != WORDS:
        raise _Problem(f"Share {number} has {len(tidied)} words, and {WORDS} are needed.",
                       "A word is missing, or there twice.")  # fmt: skip
    known = library.wordlist.WORDLIST
    strange = [str(at) for at, word in enumerate(tidied, 1) if word not in known]
    if strange:
        which = "word " if len(strange) == 1 else "words "
        raise _Problem(f"Share {number}: {which}{', '.join(strange)} of {WORDS} cannot be right.",
                       "It is no word of the list: look at it again.")  # fmt: skip
    try:
        share = library.Share.from_mnemonic(" ".join(tidied))
    except library.MnemonicError:
        raise _Problem(*_mistake(library, number, tidied)) from None
    if share.group_count != 1 or share.group_threshold != 1:
        raise _Problem(f"Share {number} is of a scheme with groups, which Fanal does not make.", "")
    return share


def _mistake(library: Any, number: int, words: list[str]) -> tuple[str, str]:
    """Say which single word makes the checksum wrong, if one does: its code can tell."""
    indices = list(library.wordlist.mnemonic_to_indices(" ".join(words)))
    if _sums_up(library, indices):
        return (f"Share {number} was not made by this method, though its checksum fits.",
                "Ask for another one.")  # fmt: skip
    for at in range(len(indices)):
        for other in range(1024):
            changed = [*indices[:at], other, *indices[at + 1 :]]
            if _sums_up(library, changed):
                return (f"Share {number}: word {at + 1} of {WORDS} is probably the wrong one.",
                        "Compare it with the paper.")  # fmt: skip
    return (f"Share {number} has a mistake: its checksum does not fit.",
            "Compare all of its words, and their order, with the paper.")  # fmt: skip


def _sums_up(library: Any, indices: list[int]) -> bool:
    # bit 4 of the second word's index says which of two customisations the checksum has
    is_extendable = bool(indices[1] >> 4 & 1)
    said = library.share._customization_string(is_extendable)
    return bool(library.rs1024.verify_checksum(indices, said))


def _tidied(words: str) -> str:
    return " ".join(words.lower().split())


if __name__ == "__main__":
    _main()
