"""The embedded series of carbon dioxide, against what statsmodels and pandas return."""

import numpy as np
import pytest

from seq2seq.config import build, composed
from seq2seq.data.embedded.co2 import Co2, weekly_values
from seq2seq.errors import UserError


@pytest.fixture(scope="module")
def truth():
    from statsmodels.datasets import co2

    return co2.load_pandas().data["co2"]


def test_the_weekly_values_are_those_of_statsmodels(truth):
    values = weekly_values()
    assert values.index.equals(truth.index.as_unit(values.index.unit))
    np.testing.assert_array_equal(values.to_numpy(), truth.to_numpy())


@pytest.mark.parametrize(("frequency", "count"), [("MS", 526), ("W-SAT", 2284)])
def test_gaps_are_interpolated(truth, frequency, count):
    data = Co2(frequency, validation_length=30, test_length=20)
    expected = truth.resample(frequency).mean().interpolate()
    lengths = [(0, count - 50), (count - 50, count - 20), (count - 20, count)]
    for split, (start, end) in zip(data.split_names, lengths, strict=True):
        [record] = data.records(split)
        assert (record["unique_id"], record["frequency"]) == ("co2", frequency)
        assert (record["start"], len(record["ds"])) == (start, end)
        np.testing.assert_allclose(record["y"], expected[:end], rtol=1e-12)
        assert record["ds"] == [f"{date:%Y-%m-%d}" for date in expected.index[:end]]


def test_config_and_fingerprints():
    data = build(composed(["data=co2"]), "data")
    assert next(data.records("test"))["start"] == 502
    others = [Co2(), Co2("W-SAT"), Co2(test_length=12), Co2(train_on_validation=True)]
    prints = [other.fingerprint(split) for other in others for split in data.split_names]
    assert len(set(prints)) == 12
    assert data.fingerprint("train") == prints[0]
    with pytest.raises(UserError, match=r"data\.frequency=D: there is MS and W-SAT"):
        Co2("D")


def test_it_is_said_what_is_missing(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install statsmodels"):
        next(Co2().records("train"))
