"""The collector passes over what was there before, and over nothing for good."""

import gc
import weakref

import pytest

from seq2seq.garbage_collection import collect_frozen, existing_objects_frozen


def test_old_objects_are_passed_over_until_the_end():
    old = [[]]
    assert any(each is old for each in gc.get_objects())
    with existing_objects_frozen():
        new = [[]]
        tracked = gc.get_objects()
        assert not any(each is old for each in tracked)
        assert any(each is new for each in tracked)
    assert any(each is old for each in gc.get_objects())


def test_also_after_an_error():
    with pytest.raises(ValueError, match="oops"), existing_objects_frozen():
        raise ValueError("oops")
    assert gc.get_freeze_count() == 0


class Cycle:
    def __init__(self):
        self.itself = self


def test_garbage_among_frozen_objects_is_freed_and_the_rest_stays_frozen():
    released, used = Cycle(), Cycle()
    reference = weakref.ref(released)
    with existing_objects_frozen():
        del released
        gc.collect()
        assert reference() is not None
        collect_frozen()
        assert reference() is None
        assert not any(each is used for each in gc.get_objects())
