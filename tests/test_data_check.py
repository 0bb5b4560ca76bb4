"""What `seq2seq check` measures, on small files with known faults."""

import pytest

from seq2seq.cli import main
from seq2seq.commands.check import print_measures
from seq2seq.config import composed
from seq2seq.data_check import check_data
from seq2seq.overrides import with_registered_recipes
from seq2seq.terminal import PlainConsole

SPLITS = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def measured(recipe, *overrides):
    return check_data(composed([with_registered_recipes(f"recipe={recipe}"), *overrides]))


def files(folder, texts, ending):
    for split, text in zip(SPLITS, texts, strict=True):
        (folder / f"{split}.{ending}").write_text(text)
    return [f"data.files.{split}={split}.{ending}" for split in SPLITS]


def test_translation_counts_duplicates_leaks_and_what_is_left_out(tmp_path):
    train = "a b\tA B\na b\tA B\na b\tC\nc\tD\n \tE\n" + "long " * 9 + "\tF\n"
    names = files(tmp_path, (train, "a b\tC\nnew\tN\n", "c\tX\nc\tX\n"), "tsv")
    words = ["tokenizer=word", "batching.maximum_length.source=5", "data=tsv"]
    measures = measured("translation/own_data", *words, "data.directory=.", *names)
    train, validation, test = (measures.splits[split] for split in SPLITS)
    assert (train.records, train.used) == (6, 4)
    assert "1 empty (train.tsv:5)" in train.left_out
    assert "1 too long (train.tsv:6)" in train.left_out
    assert (train.duplicates, train.other_targets) == (1, 1)
    assert (validation.shared_inputs, validation.shared_records) == (1, 1)
    assert (test.shared_inputs, test.shared_records, test.duplicates) == (2, 0, 1)
    assert train.lengths["source"][-1] == 9
    assert validation.unknown["source"] == pytest.approx(1 / 3)
    assert measures.batches == 1
    problems = "\n".join(measures.problems())
    assert "test: 2 of 2 inputs are also in an earlier split, 0 with the same target" in problems
    assert "validation: 33.3% unknown tokens in source" in problems
    assert "test: 2 records are few; one of them changes an accuracy by 50.0%" in problems


def test_classification_counts_labels_and_texts_that_are_cut(tmp_path):
    train = "text,label\none two three,x\nfour,x\nfive,y\nsix,y\n"
    names = files(tmp_path, (train, "text,label\nten,x\n", "text,label\nnew,z\nsix,y\n"), "csv")
    options = ["tokenizer=text/word", "task.maximum_length=2", "data.directory=."]
    measures = measured("classification/own_data", *options, *names)
    assert measures.splits["train"].labels == {"x": 2, "y": 2}
    assert measures.splits["test"].labels == {"x": 0, "y": 1}
    assert measures.splits["train"].cut == {"text": 1}
    assert measures.splits["train"].lengths["text"][-1] == 3
    assert "without a label that training has (test.csv:2)" in measures.splits["test"].left_out


def test_tagging_names_labels_that_training_does_not_have(tmp_path):
    names = files(tmp_path, ("a X\nb Y\n\nc X\n", "a X\n", "b Z\n\nd Y\n"), "conll")
    measures = measured("tagging/own_data", "data.directory=.", *names)
    assert measures.splits["train"].labels == {"X": 2, "Y": 1}
    assert [text for text in measures.warnings if "1 label(s)" in text and "Z (" in text]
    assert any("label(s) that training does not have" in text for text in measures.problems())


def test_generation_has_no_padding(tmp_path):
    (tmp_path / "book.txt").write_text("To be, or not to be. " * 40)
    measures = measured(
        "generation/own_data", "data.directory=.", "data.files.train=book.txt", "seed=3"
    )
    assert measures.padding is None
    assert measures.splits["train"].lengths["text"][0] > 500


def test_near_duplicates_are_counted_and_drawn(tmp_path, capsys):
    train = "text,label\nGood film!,x\ngood  film,x\nbad,y\nbad,y\n"
    names = files(tmp_path, (train, "text,label\nBAD,y\nbad,y\n", "text,label\nnew,x\n"), "csv")
    options = ["tokenizer=text/word", "data.directory=."]
    measures = measured("classification/own_data", *options, *names)
    assert [split.near_duplicates for split in measures.splits.values()] == [1, 1, 0]
    assert [split.near_shared for split in measures.splits.values()] == [0, 1, 0]
    assert any("validation: 1 of 2 inputs are near-dupl" in text for text in measures.problems())
    assert measures.splits["train"].length_counts["text"].tolist() == [0, 2, 2]
    command = ["check", "classification/own_data", *options, *names, "--figure"]
    with pytest.raises(SystemExit, match="0"):
        main([*command, "data.png"])
    assert (tmp_path / "data.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SystemExit, match="2"):
        main([*command, "nowhere/data.png"])
    assert "--figure nowhere/data.png: there is no such folder" in capsys.readouterr().err


def test_texts_of_a_wrong_encoding_are_a_problem(tmp_path):
    wrong = "crème".encode().decode("cp1252")
    names = files(tmp_path, (f"text,label\n{wrong},x\ngood,y\n", *["text,label\nx,x\n"] * 2), "csv")
    options = ["tokenizer=text/word", "data.directory=."]
    problems = measured("classification/own_data", *options, *names).problems()
    assert (
        f"train: 1 of 2 records have characters of a wrong encoding, such as {wrong!r}" in problems
    )
    assert not [text for text in problems if text.startswith("test: 1 of 1 records have char")]


def test_the_report_fits_80_columns_and_the_exit_code_is_0(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    labels = [f"label{number % 12}" for number in range(60)]
    train = "".join(f"word{n % 50},{label}\n" for n, label in enumerate(labels))
    names = files(tmp_path, [f"text,label\n{train}"] * 3, "csv")
    with pytest.raises(SystemExit, match="0"):
        main(["check", "classification/own_data", "data.directory=.", *names])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[1:])) <= 80
    assert any(line.startswith(" 7 more") for line in lines)
    assert any(line.startswith(" ! test: 60 of 60 inputs are also") for line in lines)


def test_data_that_cannot_be_read_exit_with_2(capsys):
    for arguments in (["check"], ["check", "tagging/own_data", "data.directory=nowhere"]):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
    assert "There is no folder" in capsys.readouterr().err


def test_series_are_measured_in_steps_and_windows(tmp_path):
    rows = [f"{name},{step},{step}.5\n" for name, n in (("a", 40), ("b", 30)) for step in range(n)]
    (tmp_path / "series.csv").write_text("unique_id,ds,y\n" + "".join(rows))
    sizes = ["task.horizon=4", "task.context_length=8", "task.minimum_context=5"]
    ends = ["data.validation_length=6", "data.test_length=8"]
    names = ["data.directory=.", "data.files=series.csv"]
    measures = measured("forecasting/own_data", *names, *sizes, *ends)
    train, validation, test = (measures.splits[split].lengths for split in SPLITS)
    assert (train["steps"][0], train["steps"][-1]) == (30 - 14, 40 - 14)
    assert (train["windows"][0], train["windows"][-1]) == (16 - 8, 26 - 8)  # 5 steps, then 4
    assert validation == {"steps": [6] * 5, "windows": [1] * 5}
    assert test == {"steps": [8] * 5, "windows": [2] * 5}
    assert measures.remarks == []


def test_filled_values_are_counted(tmp_path, capsys):
    rows = [f"{step},{step if step % 10 else ''}\n" for step in range(1, 41)]
    (tmp_path / "series.csv").write_text("ds,y\n" + "".join(rows))
    sizes = ["task.horizon=4", "task.context_length=8", "task.minimum_context=5"]
    ends = ["data.validation_length=6", "data.test_length=8", "data.missing=linear"]
    names = ["data.directory=.", "data.files=series.csv"]
    measures = measured("forecasting/own_data", *names, *sizes, *ends)
    assert measures.remarks == ["4 of 40 values are missing: data.missing=linear"]
    print_measures(measures, PlainConsole())
    assert " 4 of 40 values are missing: data.missing=linear\n" in capsys.readouterr().out
