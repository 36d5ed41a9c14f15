"""Shares on paper: any K of N are enough, K-1 are not, and a typo is named where it is."""

import itertools
import random
import secrets
import subprocess
import sys

import pytest
import shamir_mnemonic
from fanal import shares
from fanal.error import IntegrityError, UsageError
from shamir_mnemonic import rs1024, share, wordlist  # noqa: F401 - used as attributes

KEY = bytes(range(32))


@pytest.fixture(scope="module")
def three_of_five():
    return shares.split(KEY, 3, 5)


def combined(found):
    """Combine in this process: a process each would cost a second for every combination."""
    return shares._combined(shamir_mnemonic, found)


def problem(found):
    with pytest.raises(shares._Problem) as caught:
        combined(found)
    return caught.value.args[0]


def test_any_three_give_the_key_and_no_two_do(three_of_five):
    assert {len(one.split()) for one in three_of_five} == {33}
    for some in itertools.permutations(three_of_five, 3):
        if some[0] < some[1]:  # half of the orders are enough
            assert combined(some) == KEY
    for some in itertools.combinations(three_of_five, 2):
        assert problem(some) == "2 different shares are here, and 3 are needed."
    assert combined(three_of_five) == KEY


def test_the_process_of_its_own_says_the_same(three_of_five):
    assert shares.combine(three_of_five[2:]) == KEY
    told = shares.check(1, f"  {three_of_five[1].upper()} ")
    assert (told.index, told.threshold) == (2, 3)
    with pytest.raises(IntegrityError, match="2 different shares"):
        shares.combine(three_of_five[:2])


@pytest.mark.parametrize("plan", [(2, 2), (16, 16), (2, 16)])
def test_other_plans(plan):
    key = secrets.token_bytes(32)
    found = shares.split(key, *plan)
    assert len(set(found)) == plan[1]
    random.Random(1).shuffle(found)
    assert combined(found[: plan[0]]) == key


def test_a_typo_is_named(three_of_five):
    rng = random.Random(5)
    for at in rng.sample(range(33), 3):
        words = three_of_five[1].split()
        words[at] = rng.choice([w for w in wordlist.WORDLIST if w != words[at]])
        said = problem([three_of_five[0], " ".join(words), three_of_five[2]])
        assert said == f"Share 2: word {at + 1} of 33 is probably the wrong one."
    words = three_of_five[2].split()
    words[6] = words[6] + "x"
    said = problem([*three_of_five[:2], " ".join(words)])
    assert said == "Share 3: word 7 of 33 cannot be right."
    assert problem([three_of_five[0], " ".join(words[:-1])]).startswith("Share 2 has 32 words")


def test_two_words_exchanged_are_noticed(three_of_five):
    words = three_of_five[0].split()
    at = next(i for i in range(4, 32) if words[i] != words[i + 1])
    words[at], words[at + 1] = words[at + 1], words[at]
    assert problem([" ".join(words)]).startswith("Share 1 has a mistake")


def test_shares_of_two_backups_do_not_mix(three_of_five):
    others = shares.split(KEY, 3, 5)
    said = problem([three_of_five[0], others[1], three_of_five[2]])
    assert said == "Share 2 belongs to another backup than share 1."
    assert problem([three_of_five[0]] * 3) == ("1 different shares are here, and 3 are needed.")
    assert problem([]) == "There is no share."


def test_no_word_is_ever_quoted(three_of_five):
    words = three_of_five[0].split()
    for bad in (["quokka", *words[1:]], words[:-1], [*words[:-1], words[0]]):
        with pytest.raises(shares._Problem) as caught:
            combined([" ".join(bad)])
        said = " ".join(caught.value.args).lower().replace(":", " ").split()
        assert not {"quokka", *words} - {"of", "the"} & set(said)


# of the vectors of SLIP-39, those of one group and 256 bits: passphrase TREZOR
VECTORS = [
    (["theory painting academic academic armed sweater year military elder discuss acne wildlife"
      " boring employer fused large satoshi bundle carbon diagnose anatomy hamster leaves tracks"
      " paces beyond phantom capital marvel lips brave detect luck"],
     "989baf9dcaad5b10ca33dfd8cc75e42477025dce88ae83e75a230086a0e00e92"),
    (["humidity disease academic always aluminum jewelry energy woman receiver strategy amuse"
      " duckling lying evidence network walnut tactics forget hairy rebound impulse brother survive"
      " clothes stadium mailman rival ocean reward venture always armed unwrap",
      "humidity disease academic agency actress jacket gross physics cylinder solution fake"
      " mortgage benefit public busy prepare sharp friar change work slow purchase ruler again"
      " tricycle involve viral wireless mixture anatomy desert cargo upgrade"],
     "c938b319067687e990e05e0da0ecce1278f75ff58d9853f19dcaeed5de104aae"),
]  # fmt: skip
# of the same, those that have to be refused, and what we say
REFUSED = [
    (["theory painting academic academic armed sweater year military elder discuss acne wildlife"
      " boring employer fused large satoshi bundle carbon diagnose anatomy hamster leaves tracks"
      " paces beyond phantom capital marvel lips brave detect lunar"], "word 33 of 33"),
    (["theory painting academic academic campus sweater year military elder discuss acne wildlife"
      " boring employer fused large satoshi bundle carbon diagnose anatomy hamster leaves tracks"
      " paces beyond phantom capital marvel lips facility obtain sister"], "not made by"),
    (["humidity disease academic always aluminum jewelry energy woman receiver strategy amuse"
      " duckling lying evidence network walnut tactics forget hairy rebound impulse brother survive"
      " clothes stadium mailman rival ocean reward venture always armed unwrap"], "2 are needed"),
    (["wildlife deal beard romp alcohol space mild usual clothes union nuclear testify course"
      " research heat listen task location thank hospital slice smell failure fawn helpful priest"
      " ambition average recover lecture process dough stadium"], "groups"),
    (["duckling enlarge academic academic agency result length solution fridge kidney coal piece"
      " deal husband erode duke ajar critical decision keyboard"], "20 words"),
]  # fmt: skip


@pytest.mark.parametrize(("found", "secret"), VECTORS)
def test_published_vectors(found, secret):
    class Trezor:
        """The library as it is, with the passphrase of the vectors."""

        def __getattr__(self, name):
            return getattr(shamir_mnemonic, name)

        def combine_mnemonics(self, mnemonics):
            return shamir_mnemonic.combine_mnemonics(mnemonics, b"TREZOR")

    assert shares._combined(Trezor(), found).hex() == secret


@pytest.mark.parametrize(("found", "said"), REFUSED)
def test_published_vectors_that_are_wrong(found, said):
    assert said in problem(found)


@pytest.mark.parametrize(
    "text", ["", "3", "3/", "/5", "1/1", "1/5", "5/3", "2/17", "0/0", "-2/3", "2/3/4", "²/3", "a/b"]
)
def test_a_plan_that_is_none(text):
    with pytest.raises(UsageError):
        shares.plan(text)
    assert shares.plan("2/3") == (2, 3)


@pytest.mark.parametrize(
    "attempt",
    ["import socket; socket.socket()", "open('/etc/hostname')", "import os; os.system('true')",
     "import subprocess; subprocess.run(['true'])", "import os; os.fork()",
     "import os; os.open('x', os.O_CREAT | os.O_WRONLY)", "import os; os.remove('x')",
     "import os; os.symlink('key', 'x')", "import os; os.listdir('.')"],
)  # fmt: skip
def test_where_words_are_made_nothing_gets_out(attempt, tmp_path):
    program = (
        "import socket, subprocess, os\nfrom fanal import secret_process\n"
        "secret_process.go_offline()\ntry:\n    exec(__import__('sys').argv[1])\n"
        "except PermissionError:\n    print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", program, attempt], capture_output=True, text=True,
                          cwd=tmp_path, check=False)  # fmt: skip
    assert done.stdout == "refused\n", done.stderr
    assert list(tmp_path.iterdir()) == []
