"""Nothing that came from outside moves the cursor, and nothing of it is lost without a mark."""

import pytest
from fanal.cli import console, verify
from fanal.error import FanalError
from fanal.printable import printable
from fanal.verify import FAIL, Check, Verification
from hypothesis import given
from hypothesis import strategies as st


@given(st.text(), st.integers(0, 80))
def test_all_that_is_left_is_shown(text, most):
    assert printable(text).isprintable()
    assert len(printable(text)) == len(text)
    assert printable(text, most) == printable(text)[:most]
    assert printable(printable(text)) == printable(text)


@pytest.mark.parametrize("bad", ["\x1b[2J", "a\nb", "\x9b2J", "\u202e", "\udcff"])
def test_an_error_that_quotes_a_board_obeys_nothing(bad, capsys):
    console.print_error(FanalError(f"{bad} said so.", f"Ask {bad}."))
    shown = capsys.readouterr().err
    assert bad not in shown
    assert len(shown.splitlines()) == 2


def test_a_row_that_quotes_a_board_obeys_nothing(capsys):
    row = Check("firmware", FAIL, "lib/\x1b[2J.mpy is foreign", 4)
    wired = Verification("K7Q29XMD", "02:00:00:00:00:01", "depot", (row,), 1, 20)
    verify._show(verify.Result(wired), "/dev/ttyACM0", is_on_air=False)
    assert "lib/?[2J.mpy is foreign" in capsys.readouterr().out
