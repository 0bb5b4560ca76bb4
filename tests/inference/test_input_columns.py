"""Tables to predict from may have the columns of the table that was trained on."""

import pandas as pd
import pytest

import seq2seq
from seq2seq.cli import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reviews")
    rows = [f"{n},film {n} is {('bad', 'good')[n % 2]},{n % 2}\n" for n in range(80)]
    (folder / "reviews.csv").write_text("id,review,stars\n" + "".join(rows))
    return seq2seq.train(
        "classification/own_data",
        {
            "data.directory": folder,
            "data.files.train": "reviews.csv",
            "data.columns.text": "review",
            "data.columns.label": "stars",
            "model.encoder.units": 8,
            "trainer.epochs": 1,
            "tracking": "none",
            "hydra.run.dir": folder / "run",
        },
    )


@pytest.mark.parametrize("column", ["review", "text"])
def test_a_table_of_either_name(run, column, tmp_path, capsys):
    table = tmp_path / "new.csv"
    table.write_text(f"id,{column}\n1,a good film\n2,a bad film\n")
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(run.folder), str(table)])
    assert not ended.value.code
    frame = run.predictor()(pd.read_csv(table))
    assert capsys.readouterr().out.split() == list(frame["prediction"])


def test_a_table_with_both_columns_is_read_by_the_name_of_the_field(run):
    texts = ["a good film", "a bad film"]
    both = pd.DataFrame({"text": texts, "review": ["other", "words"]})
    assert list(run.predictor()(both)["source"]) == texts


def test_a_large_field_in_the_header(run, tmp_path, capsys):
    table = tmp_path / "new.csv"
    table.write_text("x" * 200_000 + ",text\n1,a good film\n")
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(run.folder), str(table)])
    assert not ended.value.code
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_another_table_is_refused(run, tmp_path, capsys):
    table = tmp_path / "new.csv"
    table.write_text("id,comment\n1,a good film\n")
    with pytest.raises(SystemExit):
        main(["predict", str(run.folder), str(table)])
    assert "there is no column 'review'" in capsys.readouterr().err
