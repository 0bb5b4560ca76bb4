"""The known name that a misspelt one means."""

import pytest

from seq2seq.nearest_name import nearest


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("task.h", "'task.horizon'"),
        ("task.horizn", "'task.horizon'"),
        ("task.targts", "'task.targets'"),
        ("horizon", "'task.horizon'"),
        ("task.xyz", ""),
    ],
)
def test_the_nearest_key_shares_more_than_its_group(name, hint):
    known = ["task.seed", "task.horizon", "task.targets", "seed"]
    assert nearest(name, known) == (hint and f"; the nearest is {hint}")
