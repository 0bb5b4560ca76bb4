import itertools

from hypothesis import given
from hypothesis import strategies as st

from seq2seq.data.records import chunks


@given(items=st.lists(st.integers()), size=st.integers(1, 9))
def test_all_items_in_order_and_only_the_last_chunk_small(items, size):
    parts = list(chunks(items, size))
    assert list(itertools.chain.from_iterable(parts)) == items
    assert all(len(part) == size for part in parts[:-1])
    assert all(parts)


def test_takes_no_more_than_it_gives():
    endless = itertools.count()
    assert next(chunks(endless, 3)) == [0, 1, 2]
    assert next(endless) == 3
