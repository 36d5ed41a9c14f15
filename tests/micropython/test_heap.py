"""The heap of a beacon's whole life, signature included, beyond what the stand-ins take."""

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal import firmware_image

from tests.budgets import KIB, LEAST_HEAP_BYTES, LIFE_HEAP_BYTES
from tests.micropython.budget_life import whole_event

pytestmark = pytest.mark.sim

STEP_BYTES = 8 * KIB
TOO_SMALL_BYTES = 64 * KIB


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return firmware_image.build(tmp_path_factory.mktemp("image") / "firmware").folder


def test_a_whole_life_fits_its_budget(image, budget):
    life = whole_event(LIFE_HEAP_BYTES, image)
    assert life.trouble == ""
    budget("heap taken by the stand-ins", life.heap_stand_ins)
    budget("heap left to the firmware", life.heap_free)
    assert LIFE_HEAP_BYTES <= life.heap_free < LIFE_HEAP_BYTES + 2 * STEP_BYTES


def test_a_heap_that_is_too_small_is_noticed(image):
    life = whole_event(TOO_SMALL_BYTES, image)
    assert not life.is_well
    assert "MemoryError" in life.trouble


def test_the_least_heap_of_a_whole_life(image, budget):
    """The true peak: a heap that is collected when it is full knows of no other."""
    too_small, enough = TOO_SMALL_BYTES, LIFE_HEAP_BYTES
    while enough - too_small > STEP_BYTES:
        middle = (too_small + enough) // 2 // STEP_BYTES * STEP_BYTES
        if whole_event(middle, image).is_well:
            enough = middle
        else:
            too_small = middle
    budget("least heap of a whole life", enough, LEAST_HEAP_BYTES)
