"""Windows of series: each once, a pure function of seed and epoch."""

import numpy as np
import pytest

from seq2seq.data.series_columns import ragged, read_future, read_past
from seq2seq.data.series_windows import MIRRORED, SeriesWindows
from seq2seq.errors import UserError

COUNTS = np.array([3, 0, 5, 1])
HASHES = np.array([40, 10, 30, 20], np.uint64)
ALL = {(0, 0), (0, 1), (0, 2), (2, 0), (2, 1), (2, 2), (2, 3), (2, 4), (3, 0)}


def flat(batches):
    return [tuple(row[:2]) for batch in batches for row in batch.tolist()]


def test_an_epoch_has_each_window_once():
    batches = SeriesWindows(batch_size=4).training_batches(COUNTS, HASHES, seed=1, epoch=0)
    assert [len(batch) for batch in batches] == [4, 4, 1]
    assert len(flat(batches)) == 9
    assert set(flat(batches)) == ALL
    assert flat(SeriesWindows(batch_size=4).evaluation_batches(COUNTS)) == sorted(ALL)


@pytest.mark.parametrize("weighting", ["windows", "series"])
@pytest.mark.parametrize("steps", [None, 5])
def test_the_order_depends_on_seed_and_epoch_and_not_on_the_stored_order(steps, weighting):
    windows = SeriesWindows(4, steps, weighting)
    first = flat(windows.training_batches(COUNTS, HASHES, 1, 0))
    assert first == flat(windows.training_batches(COUNTS, HASHES, 1, 0))
    assert first != flat(windows.training_batches(COUNTS, HASHES, 1, 1))
    assert first != flat(windows.training_batches(COUNTS, HASHES, 2, 0))
    order = np.array([2, 3, 1, 0])
    moved = flat(windows.training_batches(COUNTS[order], HASHES[order], 1, 0))
    assert [(order[series], number) for series, number in moved] == first


@pytest.mark.parametrize(("weighting", "share"), [("windows", 1 / 9), ("series", 1 / 3)])
def test_what_is_drawn_equally_often(weighting, share):
    batches = SeriesWindows(1000, 30, weighting).training_batches(COUNTS, HASHES, 0, 0)
    drawn = np.concatenate(batches)
    assert len(batches) == 30
    assert set(flat(batches)) == ALL
    assert not drawn[:, MIRRORED].any()
    assert np.mean(drawn[:, 0] == 3) == pytest.approx(share, abs=0.02)


def test_a_share_of_training_windows_is_mirrored_and_none_of_others():
    windows = SeriesWindows(1000, 30, mirror=0.3)
    drawn = np.concatenate(windows.training_batches(COUNTS, HASHES, 0, 0))
    assert np.mean(drawn[:, MIRRORED]) == pytest.approx(0.3, abs=0.02)
    assert not np.concatenate(windows.evaluation_batches(COUNTS))[:, MIRRORED].any()


@pytest.mark.parametrize(
    "arguments",
    [{"batch_size": 0}, {"steps_per_epoch": 0}, {"weighting": "steps"}, {"mirror": 1.0}],
)
def test_impossible_arguments_are_refused(arguments):
    with pytest.raises(UserError, match=f"batching.{next(iter(arguments))}"):
        SeriesWindows(**arguments)


def test_windows_are_read_as_slices_of_the_series():
    series = [np.arange(10.0), 100 + np.arange(3.0), 200 + np.arange(7.0)]
    column = ragged(series)
    rows, origins = np.array([0, 2, 1, 0]), np.array([8, 2, 3, 1])
    past, real = read_past(column, rows, origins, context_length=4)
    future = read_future(column, rows, origins, horizon=3)
    for i, (row, origin) in enumerate(zip(rows, origins, strict=True)):
        expected = series[row][max(0, origin - 4) : origin]
        np.testing.assert_array_equal(past[i][real[i]], expected)
        assert real[i].tolist() == [step < len(expected) for step in range(4)]
        after = series[row][origin : origin + 3]
        np.testing.assert_array_equal(future[i], [*after, *[np.nan] * (3 - len(after))])
