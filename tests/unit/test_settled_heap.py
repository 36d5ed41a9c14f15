"""What lasts is looked through no more, and what is left over is found all the same."""

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from fanal import heap
from fanal.hub import recall

from tests.unit.paper_listener import PaperHub


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


class Node:
    def __init__(self) -> None:
        self.me = self


def test_what_lasts_is_out_of_the_way() -> None:
    lasting = Node()
    heap.settle()
    assert gc.get_freeze_count() > 0
    assert not any(one is lasting for one in gc.get_objects())


def test_what_was_replaced_is_found_when_it_is_settled_again() -> None:
    node = Node()
    gone = weakref.ref(node)
    heap.settle()
    del node
    gc.collect()
    assert gone() is not None
    heap.settle()
    assert gone() is None


def test_what_is_new_is_still_collected() -> None:
    heap.settle()
    gone = weakref.ref(Node())
    for generation in (0, 1, 2):
        gc.collect(generation)
    assert gone() is None


@pytest.mark.parametrize("least", [0, 1000])
def test_a_hub_of_many_beacons_settles_once_it_knows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: int
) -> None:
    known: list[int] = []
    monkeypatch.setattr(heap, "settle", lambda: known.append(1))
    monkeypatch.setattr(recall, "WIDE", least)
    hub = PaperHub(tmp_path / "hub.db", 3, now_ms=0)
    with hub.store.reading() as session:
        mind = recall.recall(session, hub.keys.storage, 0, lambda: None)
    hub.close()
    assert len(mind.anchors) == 3
    assert bool(known) is (least == 0)
