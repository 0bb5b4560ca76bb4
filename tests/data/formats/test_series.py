"""Time series from tables, against what pandas writes and computes."""

import gzip
import io
import json
import logging
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.config import build, composed
from seq2seq.data.formats.series import Series, read_history
from seq2seq.data.formats.series_format import SeriesFormat

SPLITS = ("train", "validation", "test")
LENGTHS = {"validation_length": 2, "test_length": 3}


def nixtla(count=3, length=10, frequency="MS"):
    """A frame in the long format of Nixtla's libraries; the series begin at different dates."""
    generator = np.random.default_rng(1)
    start = pd.date_range("2001-01-01", periods=count, freq=frequency)
    return pd.concat(
        pd.DataFrame(
            {
                "unique_id": f"id_{number}",
                "ds": pd.date_range(start[number], periods=length + number, freq=frequency),
                "y": generator.normal(size=length + number),
                "holiday": generator.integers(0, 2, length + number).astype(bool),
                "price": generator.normal(size=length + number),
                "shop": f"0{number}",
                "size": number * 2.5,
            }
        )
        for number in range(count)
    ).reset_index(drop=True)


COVARIATES = {"known": ["holiday"], "past": ["price"], "static": ["shop", "size"]}


def written(frame, folder, name, **options):
    if name.endswith(".parquet"):
        frame.to_parquet(folder / name, **options)
    else:
        frame.to_csv(folder / name, **{"index": False, **options})
    return name


def check(record, frame, start, end):
    part = frame[frame.unique_id == record["unique_id"]].iloc[:end]
    assert record["ds"] == [f"{date:%Y-%m-%d}" for date in part.ds]
    for column in ("y", "holiday", "price"):
        assert record[column] == part[column].astype(float).tolist()
    assert (record["shop"], record["size"]) == (part.shop.iloc[0], part["size"].iloc[0])
    assert (record["start"], record["frequency"]) == (start, "MS")


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
@pytest.mark.parametrize("train_on_validation", [False, True])
def test_what_pandas_writes_is_split_by_time(tmp_path, name, train_on_validation):
    frame = nixtla()
    files = written(frame, tmp_path, name)
    data = Series(
        str(tmp_path), files, **COVARIATES, **LENGTHS, train_on_validation=train_on_validation
    )
    assert data.split_names == SPLITS
    for split, start, end in (
        ("train", None, 3 if train_on_validation else 5),
        ("validation", 5, 3),
        ("test", 3, 0),
    ):
        records = list(data.records(split))
        assert [record["unique_id"] for record in records] == ["id_0", "id_1", "id_2"]
        for number, record in enumerate(records):
            count = 10 + number
            check(record, frame, 0 if start is None else count - start, count - end)
    places = [record.place for record in data.records("test")]
    row = "a.parquet, row 11" if name == "a.parquet" else f"{name}:12"
    assert places[1] == f"{tmp_path}/{row} (id_1)"


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_rows_of_series_may_be_mixed(tmp_path, name):
    frame = nixtla()
    by_date = frame.sort_values(["ds", "unique_id"], ascending=[True, False])
    settings = {**COVARIATES, **LENGTHS}
    mixed = Series(str(tmp_path), written(by_date, tmp_path, name), **settings)
    for record in mixed.records("test"):
        check(record, frame, 10 + int(record["unique_id"][-1]) - 3, None)
    shuffled = written(frame.sample(frac=1, random_state=1), tmp_path, f"b{name}")
    data = Series(str(tmp_path), shuffled, **settings, sort=True)
    for record in data.records("test"):
        check(record, frame, 10 + int(record["unique_id"][-1]) - 3, None)


def test_several_files_are_one_table(tmp_path):
    frame = nixtla()
    early = frame.ds < "2001-06-01"
    files = [
        written(frame[early], tmp_path, "early.csv"),
        written(frame[~early], tmp_path, "late.parquet"),
    ]
    data = Series(str(tmp_path), files, **COVARIATES, **LENGTHS)
    for record in data.records("validation"):
        number = int(record["unique_id"][-1])
        check(record, frame, 5 + number, 7 + number)
        assert f"early.csv:{2 + [0, 5, 9][number]} " in record.place


def test_an_index_and_other_dtypes_of_parquet(tmp_path):
    frame = nixtla().astype({"y": "float32", "unique_id": "category"})
    frame["ds"] = frame.ds.dt.date
    name = written(frame.set_index("unique_id"), tmp_path, "a.parquet")
    data = Series(str(tmp_path), name, **LENGTHS)
    assert next(data.records("test"))["y"] == frame.y[:10].astype(float).tolist()


def test_a_file_without_names_is_one_series(files):
    folder = files(shop__csv="date;sold\r\n2001-12-30;1\r\n2001-12-31;2\r\n2002-01-01;4\r\n")
    columns = {"ds": "date"}
    for options in ({}, {"frequency": "D"}):
        data = Series(
            str(folder), "shop.csv", columns=columns, targets=["sold"], delimiter=";", **options
        )
        assert list(data.records("test")) == [
            {
                "unique_id": "shop",
                "ds": ["2001-12-30", "2001-12-31", "2002-01-01"],
                "frequency": "D",
                "sold": [1.0, 2.0, 4.0],
                "start": 2,
            }
        ]


def test_steps_and_rows_without_them(files):
    folder = files(a="unique_id,ds,y\nNA,5,1\nNA,6.0,2\nNA,7,3\n", b="y\n1\n2\n3\n")
    [record] = Series(str(folder), "a").records("test")
    assert (record["unique_id"], record["ds"], record["frequency"]) == ("NA", [5, 6, 7], None)
    [record] = Series(str(folder), "b", columns={"unique_id": None, "ds": None}).records("test")
    assert (record["unique_id"], record["ds"], record["y"]) == ("b", [1, 2, 3], [1.0, 2.0, 3.0])


def test_wide(tmp_path):
    dates = pd.date_range("2001-01-01", periods=8, freq="W-SAT")
    wide = pd.DataFrame({"a": np.arange(8.0), "b": np.arange(8.0) ** 2}, index=dates)
    wide.loc[dates[:2], "b"] = np.nan  # begins later
    wide.loc[dates[6:], "a"] = np.nan  # ends earlier
    for ending in ("csv", "parquet"):
        name = written(wide.rename_axis("ds"), tmp_path, f"w.{ending}", index=True)
        records = list(Series(str(tmp_path), name, layout="wide", **LENGTHS).records("test"))
        assert [record["y"] for record in records] == [
            [0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
            [4.0, 9.0, 16.0, 25.0, 36.0, 49.0],
        ]
        assert records[1]["ds"][0] == "2001-01-20"
        assert [record["start"] for record in records] == [3, 3]
        assert {record["frequency"] for record in records} == {"W-SAT"}


@pytest.mark.parametrize(
    ("policy", "truth"),
    [
        ("zero", lambda values: values.fillna(0)),
        ("forward", lambda values: values.ffill().bfill()),
        ("linear", lambda values: values.interpolate(limit_direction="both")),
        ("mask", lambda values: values),
    ],
)
def test_missing_values_and_gaps(tmp_path, caplog, policy, truth):
    caplog.set_level(logging.INFO)
    dates = pd.date_range("2001-01-01", periods=12, freq="D")
    y = pd.Series(np.arange(12.0) ** 2, index=dates)
    y.iloc[[0, 3, 8]] = np.nan
    frame = pd.DataFrame({"ds": dates, "y": y.to_numpy(), "price": y.to_numpy()})
    name = written(frame.drop(index=[4, 5]), tmp_path, "a.csv")
    y.iloc[[4, 5]] = np.nan
    data = Series(
        str(tmp_path), name, past=["price"], missing=policy, frequency="D",
        validation_length=3, test_length=3,
    )  # fmt: skip
    for split, end in {"train": 6, "validation": 9, "test": 12}.items():
        record = next(data.records(split))
        # What comes behind the start is not used before it.
        history = truth(y[: record["start"]])
        expected = truth(pd.concat([history, y[record["start"] : end]]))
        np.testing.assert_array_equal(record["y"], expected.to_numpy())
        assert len(record["ds"]) == end
        assert record["ds"][4] == "2001-01-05"
        covariate = expected if policy != "mask" else y[:end].ffill().bfill()
        np.testing.assert_array_equal(record["price"], covariate.to_numpy())
    assert f"10 of 24 values are missing: data.missing={policy}." in caplog.text


@pytest.mark.parametrize(
    "frequency",
    ["h", "15min", "D", "2D", "B", "W-SAT", "W-SUN", "MS", "ME", "QS-OCT", "QE-DEC", "YS-JAN",
     "YE-JUN", "2MS"],
)  # fmt: skip
def test_frequencies_are_inferred_and_gaps_found(tmp_path, frequency):
    dates = pd.date_range("2001-01-31", periods=14, freq=frequency)
    frame = pd.DataFrame({"unique_id": "a", "ds": dates, "y": range(14)})
    later = frame[3:].assign(unique_id="b").drop(index=6)
    name = written(pd.concat([frame, later]), tmp_path, "a.csv")
    a, b = Series(str(tmp_path), name, missing="linear").records("test")
    assert a["frequency"] == b["frequency"] == pd.infer_freq(dates)
    assert pd.DatetimeIndex(a["ds"]).equals(pd.DatetimeIndex(dates.to_numpy()))
    assert b["ds"] == a["ds"][3:]
    assert b["y"] == a["y"][3:]


def test_weeks_may_end_on_another_day_in_each_series(tmp_path):
    frames = [
        pd.DataFrame(
            {
                "unique_id": day,
                "ds": pd.date_range("2001-01-01", periods=9, freq=f"W-{day}"),
                "y": range(9),
            }
        )
        for day in ("SAT", "SUN")
    ]
    name = written(pd.concat(frames), tmp_path, "a.csv")
    records = list(Series(str(tmp_path), name).records("test"))
    assert [record["frequency"] for record in records] == ["W-SAT", "W-SUN"]
    assert [record["ds"][0] for record in records] == ["2001-01-06", "2001-01-07"]


def test_hours_days_and_time_zones(files):
    day = "2001-03-25"
    rows = [f"{day}T00:00:00+01:00", f"{day}T01:00:00+01:00", f"{day}T03:00:00+02:00"]
    folder = files(
        zone="\n".join(["ds,y", *(f"{date},1" for date in rows)]),
        plain=f"ds,y\n{day} 00:00:00,1\n{day} 01:00:00,1\n{day} 02:00:00,1\n",
        german="ds,y\n30.12.2001,1\n31.12.2001,1\n01.01.2002,1\n",
    )
    [record] = Series(str(folder), "plain").records("test")
    assert record["ds"] == [f"{day}T0{hour}:00:00" for hour in range(3)]
    [record] = Series(str(folder), "zone").records("test")
    assert record["ds"] == ["2001-03-24T23:00:00", *(f"{day}T0{hour}:00:00" for hour in (0, 1))]
    [record] = Series(str(folder), "german", date_format="%d.%m.%Y").records("test")
    assert record["ds"] == ["2001-12-30", "2001-12-31", "2002-01-01"]


def test_short_series_are_left_out(tmp_path, caplog):
    frame = nixtla(count=7)
    name = written(frame, tmp_path, "a.csv")
    data = Series(str(tmp_path), name, **LENGTHS, minimum_length=11)
    with caplog.at_level(logging.WARNING):
        assert [record["unique_id"] for record in data.records("train")] == ["id_6"]
    assert "6 of 7 series are too short and left out" in caplog.text
    assert "a.csv:2 (id_0)" in caplog.text
    assert caplog.text.count("(id_") == 5
    list(data.records("test"))
    assert caplog.text.count("too short") == 1  # files are read once


def test_the_fingerprint_changes_with_files_and_settings(tmp_path):
    name = written(nixtla(), tmp_path, "a.csv")
    options = [{}, {"test_length": 4}, {"missing": "zero"}, {"past": ["price"]}]
    prints = [
        Series(str(tmp_path), name, **option).fingerprint(split)
        for option in options
        for split in SPLITS
    ]
    (tmp_path / "a.csv").write_text((tmp_path / "a.csv").read_text() + "\n")
    prints.append(Series(str(tmp_path), name).fingerprint("train"))
    assert len(set(prints)) == len(prints)


class TestCsv:
    """Files that csv and pandas write with quotes, line breaks and more."""

    def test_places_behind_values_of_several_lines(self, files):
        frame = pd.DataFrame(
            {"note": ['say "a"\nb', "c,d", ""], "ds": [1, 2, 3], "y": ["1", "2", "x"]}
        )
        folder = files(a=frame.to_csv(index=False))
        with pytest.raises(Exception, match=r"a:5: 'x' in the column 'y' is no number"):
            list(Series(str(folder), "a").records("test"))

    @settings(derandomize=True, deadline=None, max_examples=40)
    @given(
        st.lists(
            st.tuples(
                st.floats(allow_nan=False, allow_infinity=False), st.text(st.sampled_from('a",\n '))
            ),
            min_size=2,
            max_size=6,
        )
    )
    def test_all_numbers_come_back_exactly(self, tmp_path_factory, rows):
        folder = tmp_path_factory.mktemp("series")
        frame = pd.DataFrame(rows, columns=["y", "note"]).reset_index(names="ds")
        frame.to_csv(folder / "a.csv", index=False)
        frame.to_parquet(folder / "a.parquet")
        columns = {"unique_id": None}
        for name in ("a.csv", "a.parquet"):
            history = read_history(folder / name, SeriesFormat(columns))
            assert history[0]["y"] == [number for number, _ in rows]

    def test_rows_without_any_value(self, files):
        folder = files(a="ds,y\n\n1,1\n,\n2,2\n3,3\n\n", b='y\n1\n""\n3\n', c="a,b\n1,2\n,\n3,4\n")
        assert next(Series(str(folder), "a").records("test"))["y"] == [1.0, 2.0, 3.0]
        columns = {"unique_id": None, "ds": None}
        data = Series(str(folder), "b", columns=columns, missing="linear")
        assert next(data.records("test"))["y"] == [1.0, 1.0, 3.0]
        data = Series(str(folder), "c", columns=columns, layout="wide", missing="zero")
        assert [record["y"] for record in data.records("test")] == [
            [1.0, 0.0, 3.0],
            [2.0, 0.0, 4.0],
        ]


class TestHistory:
    FORM = SeriesFormat(known=["holiday"], past=["price"], static=["shop"])

    def future(self):
        frame = nixtla()
        last = frame.groupby("unique_id").cumcount(ascending=False)
        frame.loc[last < 4, ["y", "price"]] = np.nan
        return frame

    def sources(self, frame, folder):
        buffer = io.BytesIO()
        frame.to_parquet(buffer)
        csv = frame.to_csv(index=False)
        (folder / "a.csv.gz").write_bytes(gzip.compress(csv.encode()))
        return [frame, csv.encode(), buffer.getvalue(), folder / "a.csv", str(folder / "a.csv.gz")]

    def test_rows_of_the_future(self, tmp_path):
        frame = self.future()
        for source in self.sources(frame, tmp_path):
            records = read_history(source, self.FORM)
            for number, record in enumerate(records):
                rows = frame[frame.unique_id == f"id_{number}"]
                history = rows[:-4]
                assert record["ds"] == [f"{date:%Y-%m-%d}" for date in history.ds]
                assert record["y"] == history.y.tolist()
                assert record["price"] == history.price.tolist()
                assert record["holiday"] == rows.holiday.astype(float).tolist()
                assert (record["horizon_rows"], record["start"]) == (4, 6 + number)
                assert (record["shop"], record["frequency"]) == (f"0{number}", "MS")

    def test_places(self, tmp_path):
        sources = self.sources(self.future(), tmp_path)
        places = [read_history(source, self.FORM)[0].place for source in sources]
        assert places == [
            "the DataFrame, row 1 (id_0)",
            "stdin:2 (id_0)",
            "stdin, row 1 (id_0)",
            f"{tmp_path}/a.csv.gz:2 (id_0)",
            f"{tmp_path}/a.csv.gz:2 (id_0)",
        ]

    def test_only_history(self):
        form = SeriesFormat(frequency="MS")
        [record] = read_history(b"ds,y\r\n7,1\r\n8,2\r\n", form)  # steps, in spite of dates
        assert (record["ds"], record["frequency"], record["horizon_rows"]) == ([7, 8], None, 0)
        [record] = read_history(b"ds,y\n2001-01,1\n", form)  # too short to infer a frequency
        assert (record["ds"], record["frequency"]) == (["2001-01-01"], "MS")

    def test_the_format_can_be_saved(self):
        saved = json.loads(json.dumps(asdict(self.FORM)))
        assert SeriesFormat(**saved) == self.FORM

    def test_wide(self):
        wide = b"ds,a,b\n2001-01-01,1,\n2001-01-02,2,3\n2001-01-03,,4\n2001-01-04,,5\n"
        a, b = read_history(wide, SeriesFormat(layout="wide"))
        assert (a["y"], a["ds"][-1], a["horizon_rows"]) == ([1.0, 2.0], "2001-01-02", 0)
        assert (b["y"], b["ds"][0]) == ([3.0, 4.0, 5.0], "2001-01-02")


@pytest.mark.parametrize(
    ("choice", "name", "counts", "frequency", "last"),
    [
        ("airline", "airline-passengers", [96, 120, 144], "MS", ("1960-12-01", 432.0)),
        ("sunspots", "monthly-sunspots", [2424, 2556, 2820], "MS", ("1983-12-01", 33.4)),
        # 3,650 rows, and 31 December of two leap years
        ("temperatures", "daily-min-temperatures", [2922, 3287, 3652], "D", ("1990-12-31", 13.0)),
    ],
)
def test_shared_series(real_data, monkeypatch, choice, name, counts, frequency, last):
    monkeypatch.setenv("SEQ2SEQ_DATA", str(real_data))
    target = {"airline": "Passengers", "sunspots": "Sunspots", "temperatures": "Temp"}[choice]
    task = ["task=forecasting", "task.horizon=1", "task.context_length=2"]
    data = build(composed([f"data={choice}", *task, f"task.targets=[{target}]"]), "data")
    records = [next(data.records(split)) for split in SPLITS]
    assert [len(record["ds"]) for record in records] == counts
    assert [record["start"] for record in records] == [0, *counts[:2]]
    assert {record["unique_id"] for record in records} == {name}
    assert {record["frequency"] for record in records} == {frequency}
    assert (records[2]["ds"][-1], records[2][target][-1]) == last


def test_own_series(tmp_path):
    written(nixtla(length=40), tmp_path, "train.csv")
    task = ["task=forecasting", "task.horizon=1", "task.context_length=2"]
    data = build(composed(["data=own_series", *task, f"data.directory={tmp_path}"]), "data")
    assert [len(list(data.records(split))) for split in SPLITS] == [3, 3, 3]
    path = tmp_path / "train.csv"
    assert data.describe() == {"name": f"{tmp_path.name}/train", "source": str(path)}
    several = Series(str(tmp_path), ["train.csv", "more.csv"])
    assert several.describe()["source"] == str(tmp_path)
