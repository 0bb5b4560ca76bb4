"""What is wrong in files and settings of time series, and what the messages say."""

import numpy as np
import pandas as pd
import pytest

from seq2seq.config import build, composed
from seq2seq.data.formats.series import Series, read_history
from seq2seq.data.formats.series_format import SeriesFormat
from seq2seq.errors import UserError

DAYS = [f"2001-01-{day:02}" for day in range(1, 10)]


def daily(**changes):
    """A CSV of nine days with some lines replaced: `l3="..."` for line 3."""
    lines = ["unique_id,ds,y,price,shop", *(f"a,{day},{i},{i}.5,x" for i, day in enumerate(DAYS))]
    for key, line in changes.items():
        lines[int(key[1:]) - 1] = line
    return "\n".join(lines) + "\n"


def fault(files, content, **options):
    folder = files(a__csv=content)
    with pytest.raises(UserError) as error:
        list(Series(str(folder), "a.csv", **options).records("train"))
    return str(error.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("line", "options", "parts"),
    [
        ("a,31.1.2001,1,1,x", {}, ["a.csv:4: '31.1.2001' is no date", "data.date_format"]),
        ("a,2001-02-30,1,1,x", {}, ["a.csv:4: '2001-02-30' is no date"]),
        ("a,,1,1,x", {}, ["a.csv:4: the column 'ds' is empty"]),
        (",2001-01-03,1,1,x", {}, ["a.csv:4: the column 'unique_id' is empty"]),
        ("a,2001-01-03,1e,1,x", {}, ["a.csv:4: '1e' in the column 'y' is no number", "'a'"]),
        ('a,2001-01-03,"1,5",1,x', {}, ["a.csv:4: '1,5' in", "decimal point"]),
        ("a,2001-01-03,1_0,1,x", {}, ["a.csv:4: '1_0' in the column 'y' is no number"]),
        ("a,2001-01-03,inf,1,x", {}, ["a.csv:4: 'inf' in the column 'y' is not finite"]),
        ("a,2001-01-03,-1e999,1,x", {}, ["a.csv:4: '-1e999' in the column 'y' is not finite"]),
        (
            "a,2001-01-03,1,?,x",
            {"past": ["price"]},
            ["a.csv:4: '?' in the column 'price' is no number"],
        ),
        (
            "a,2001-01-03,,1,x",
            {},
            ["a.csv:4: the series 'a' has no value in the column 'y'", "zero, forward", "mask"],
        ),
        (
            "a,2001-01-03,1,NA,x",
            {"known": ["price"]},
            ["a.csv:4: the series 'a' has no value in the column 'price'", "linear"],
        ),
        (
            "a,2001-01-02,1,1,x",
            {},
            ["a.csv:4: the series 'a' has a second row for 2001-01-02", "the first is a.csv:3"],
        ),
        (
            "a,2000-12-03,1,1,x",
            {},
            ["a.csv:4: the series 'a' goes back from 2001-01-02 to 2000-12-03", "data.sort=true"],
        ),
        (
            "a,2001-01-03,1,1,y",
            {"static": ["shop"]},
            ["a.csv:4: the series 'a' has 'y' in the column 'shop', but 'x' in its first row"],
        ),
        (
            "a,2001-01-03,1,1,",
            {"static": ["shop"]},
            ["a.csv:4: the series 'a' has no value in the column 'shop'"],
        ),
        ("a,2001-01-03,1,1", {}, ["a.csv:4: 4 column(s), but the header has 5"]),
        ("a,2001-01-03,1,1,x,y", {}, ["a.csv:4: 6 column(s), but the header has 5"]),
        ('a,2001-01-03,1,1,"x', {}, ["a.csv:", "cannot be read as CSV"]),
        ("a,2001-01-03T12:00,1,1,x", {"frequency": "D"}, ["a.csv:4: ", "2001-01-03T12:00:00"]),
    ],
)
def test_a_wrong_line(files, line, options, parts):
    message = fault(files, daily(l4=line), **options)
    for part in parts:
        assert part in message


def test_gaps(files):
    without = daily(l4="").replace("\n\n", "\n")
    message = fault(files, without, frequency="D")
    assert "a.csv:4: the series 'a' has no row between 2001-01-02 and 2001-01-04" in message
    assert "(frequency D)" in message
    assert "data.missing: zero, forward" in message
    message = fault(files, without)
    assert "a.csv:2: the series 'a': no frequency can be inferred from its 8 date(s)" in message
    assert "Give data.frequency (which may be D)" in message
    message = fault(files, "ds,y\n1,1\n2,2\n4,4\n")
    assert "a.csv:4: the series 'a' has no row between 2 and 4." in message
    message = fault(files, "ds,y\n20010130,1\n20010131,2\n20010201,3\n")
    assert "data.date_format=%Y%m%d" in message
    message = fault(files, daily(l10="a,9999-01-01,1,1,x"), frequency="D", missing="zero")
    assert "a.csv:10: the series 'a' goes from 2001-01-08 to 9999-01-01: far more" in message


def test_mixed_frequencies(files):
    monthly = "".join(f"b,2001-{month:02}-01,1,1,x\n" for month in range(1, 7))
    message = fault(files, daily() + monthly)
    assert "a.csv:11: the series 'b' has the frequency MS, but others have D" in message
    message = fault(files, daily() + monthly, frequency="MS")
    assert "a.csv:3: the series 'a': the date 2001-01-02 is none of data.frequency=MS" in message


def test_steps(files):
    assert "a.csv:3: the step 1.5 is no whole number" in fault(files, "ds,y\n1,1\n1.5,1\n")
    message = fault(files, "ds,y\n1990,1\n1991,1\n", frequency="YS")
    assert "a.csv:2: the series 'a' has steps, such as 1990" in message
    assert "data.date_format=%Y" in message


def test_files_and_columns(files):
    assert "has no rows below its header" in fault(files, "ds,y\n")
    assert "a.csv is empty" in fault(files, "")
    assert "has no rows" in fault(files, "\n\n")
    message = fault(files, daily(), targets=["Price"])
    assert "task.targets: a.csv has no column 'Price'; the nearest is 'price'" in message
    message = fault(files, daily(), delimiter=";")
    assert "it has unique_id,ds,y,price,shop. Is data.delimiter=';' right?" in message
    message = fault(files, daily(), columns={"ds": "date"})
    assert "data.columns.ds: a.csv has no column 'date'" in message
    message = fault(files, daily().replace("unique_id", "Unique_ID"))
    assert "data.columns.unique_id: a.csv has no column 'unique_id'; the nearest is" in message
    message = fault(files, daily().replace("price", "y"))
    assert "a.csv has 2 columns named 'y'" in message
    message = fault(files, "id,ds,y\na,1,1\na,2,1\nb,1,1\n")
    assert "a.csv:4: the series 'a' has a second row for 1" in message
    assert "data.columns.unique_id names the column" in message


def test_wide(files):
    frame = pd.DataFrame({"ds": DAYS, "a": range(9)})
    message = fault(files, frame.to_csv(), layout="wide")
    assert "a column has no name, such as the index that pandas writes" in message
    message = fault(files, "ds\n1\n2\n", layout="wide")
    assert "has no column besides 'ds'" in message
    message = fault(files, "ds,a,b\n1,1,\n2,1,\n3,1,\n", layout="wide")
    assert "a.csv:2: the series 'b' has no value" in message
    message = fault(files, "ds,a,b\n1,1,1\n2,1,\n3,1,1\n", layout="wide")
    assert "a.csv:3: the series 'b' has no value" in message


def test_short_series(files):
    message = fault(files, daily(), test_length=9)
    assert "the longest of 1 has 9 steps. 11 steps are needed: data.validation_length=1" in message
    content = daily() + "b,2001-01-01,1,1,x\nb,2001-01-02,1,1,x\n"
    message = fault(files, content, too_short="refuse")
    assert "1 of 2 series are too short (a.csv:11 (b))" in message


def test_nothing_to_repeat(files):
    content = "ds,y\n" + "".join(f"{i},{i if i > 6 else ''}\n" for i in range(1, 9))
    assert "data.missing=zero" in fault(files, content, missing="forward")


def test_damaged_parquet(files):
    folder = files(a__parquet=b"PAR1 nothing")
    with pytest.raises(UserError, match=r"a\.parquet: cannot be read as Parquet"):
        next(Series(str(folder), "a.parquet").records("train"))
    pd.DataFrame({"ds": DAYS, "y": pd.to_datetime(DAYS)}).to_parquet(folder / "b.parquet")
    with pytest.raises(UserError, match=r"b\.parquet, row 1: .* is no number"):
        next(Series(str(folder), "b.parquet").records("train"))
    pd.DataFrame({"ds": DAYS, "y": [np.inf] * 9}).to_parquet(folder / "c.parquet")
    with pytest.raises(UserError, match=r"c\.parquet, row 1: inf in the column 'y' is not finite"):
        next(Series(str(folder), "c.parquet").records("train"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"ds,y\n1,\n2,\n", "stdin:2: the series 'stdin' has no value of y"),
        (b"ds,y\n1,1\n2,\n3,3\n4,\n", "stdin:3: the series 'stdin' has no value"),
        (b"ds,y\n\xff,1\n", "stdin:2: invalid UTF-8"),
        (b"PAR1", "stdin: cannot be read as Parquet"),
        (b"", "stdin has no rows"),
    ],
)
def test_histories(content, message):
    with pytest.raises(UserError, match=message):
        read_history(content, SeriesFormat())


def test_a_known_covariate_is_needed_in_the_future():
    with pytest.raises(UserError, match=r"stdin:3: .* has no value in the column 'price'"):
        read_history(b"ds,y,price\n1,1,1\n2,,\n", SeriesFormat(known=["price"]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"id": "x"}}, "data.columns.id: no such column"),
        ({"targets": []}, "task.targets is empty"),
        ({"known": ["y"]}, "'y' is named twice"),
        ({"static": ["ds"]}, "'ds' is also named in data.columns"),
        ({"past": ["start"]}, "'start' has the name of another field"),
        ({"layout": "wide", "past": ["x"]}, "data.layout=wide has one target and no covariates"),
        ({"layout": "tall"}, "data.layout=tall: no such choice"),
        ({"missing": "zeros"}, "data.missing=zeros: no such choice; the nearest is 'zero'"),
        ({"frequency": "monthly"}, "data.frequency=monthly: no alias of pandas"),
        ({"frequency": "-1D"}, "data.frequency=-1D: cannot be the step"),
        ({"delimiter": ""}, "must be one character"),
        ({"columns": {"ds": None}, "frequency": "D"}, "data.frequency needs dates"),
        ({"columns": {"ds": None}, "sort": True}, "data.sort=true needs data.columns.ds"),
        ({"test_length": 0}, "data.test_length=0 is below 1"),
        ({"too_short": "drop"}, "data.too_short=drop: there is leave_out and refuse"),
        ({"files": []}, "data.files is empty"),
    ],
)
def test_settings(options, message):
    with pytest.raises(UserError, match=message):
        Series(".", **{"files": "a.csv", **options})


def test_settings_of_the_config():
    own = ["data=own_series", "task=forecasting", "task.horizon=1", "task.context_length=2"]
    with pytest.raises(UserError, match=r"data\.mising: no such config key.*'data\.missing'"):
        composed([*own, "data.mising=zero"])
    with pytest.raises(UserError, match=r"data\.missing: must be Literal"):
        composed([*own, "data.missing=zeros"])
    with pytest.raises(UserError, match=r"data\.frequency=X: no alias"):
        build(composed([*own, "data.frequency=X"]), "data")
