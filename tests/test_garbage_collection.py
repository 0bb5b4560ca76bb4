"""The collector passes over what was there before, and over nothing for good."""

import gc

import pytest

from seq2seq.garbage_collection import existing_objects_frozen


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
