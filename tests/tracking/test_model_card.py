"""Model cards."""

from pathlib import Path

import huggingface_hub

from seq2seq.tracking.model_card import ModelCard, SplitSummary

CARD = ModelCard(
    tags={"recipe": "translation/cldr_dates", "task": "translation"},
    splits=[
        SplitSummary("train", "cldr_dates", "Unicode CLDR", "ab" * 32, 40_000),
        SplitSummary("test", "cldr_dates", "Unicode CLDR", "cd" * 32, 4_000),
    ],
    metrics={
        "validation": {"exact_match": 0.99, "loss": 0.1},
        "test": {"loss": 0.1234567, "exact_match": 0.995},
        "training": {"steps": 1, "seconds": 600},
    },
    overrides=["recipe=translation/cldr_dates", "data.name='a b'", "hydra.run.dir=/tmp/run"],
    parameters=1_234,
    run_folder=Path("/runs/first one"),
    example={"source": "<fr> 7|8|51", "prediction": "2051-08-07"},
    intervals={"exact_match": (0.9912, 0.9981)},
    seed=3,
)


def test_a_card_has_what_a_reader_needs():
    lines = str(CARD).splitlines()
    assert lines[0] == "# translation/cldr_dates"
    summary = "Translation, exact_match 0.995 on the test split; 1,234 parameters, trained for "
    assert f"{summary}1 step in 10 minutes." in lines
    scores = lines.index("| score | validation | test | 95 % of test |")
    main = "| **exact_match** | **0.99** | **0.995** | **0.9912 to 0.9981** |"
    assert lines[scores + 2] == main  # the first
    assert lines[scores + 3] == "| loss | 0.1 | 0.1235 |  |"
    assert "| train | 40,000 | `abababababab` | cldr_dates | Unicode CLDR |" in lines
    assert "predict = seq2seq.load('/runs/first one')" in lines
    assert "seq2seq predict '/runs/first one' FILE" in lines
    assert "print(predict('<fr> 7|8|51')[\"prediction\"])  # 2051-08-07" in lines


def test_baselines_are_ranked_by_the_main_score():
    lines = [
        {"method": "model", "smape": 3.0, "mase": 0.675},
        {"method": "naive", "smape": 15.0, "mase": 3.7},
        {"method": "ets", "smape": 2.9, "mase": 0.606},
    ]
    scores = {"mase": 0.675, "smape": 3.0}
    metrics = {**CARD.metrics, "test": scores, "validation": scores}
    card = str(ModelCard(**{**vars(CARD), "baselines": lines, "metrics": metrics}))
    assert "mase 0.675 on the test split (best baseline: ets 0.606); " in card
    table = card.split("## Baselines\n\n")[1].split("\n\n", maxsplit=1)[0].splitlines()
    assert table[0] == "| on the test split | mase | smape |"
    assert table[2:] == [
        "| ets | 0.606 | 2.9 |", "| **model** | **0.675** | **3** |", "| naive | 3.7 | 15 |"
    ]  # fmt: skip
    assert "Baselines" not in str(CARD)


def test_the_command_leaves_out_what_does_not_change_results():
    assert """seq2seq train recipe=translation/cldr_dates 'data.name='"'"'a b'"'"''\n""" in str(
        CARD
    )
    assert "hydra.run.dir" not in str(CARD)


def test_the_license_is_unknown_unless_it_is_given():
    assert "## License\n\nUnknown" in str(CARD)
    given = ModelCard(**{**vars(CARD), "tags": {"license": "CC-BY-4.0"}})
    assert str(given).endswith("## License\n\nCC-BY-4.0\n")
    assert given.title == "# first one"


def test_the_file_has_the_metadata_of_the_hugging_face_hub():
    card = huggingface_hub.ModelCard(CARD.file())
    assert card.data.license == "unknown"
    assert card.data.library_name == "seq2seq"
    assert card.data.pipeline_tag == "translation"
    [first, second] = card.data.eval_results
    assert (first.metric_type, first.metric_value) == ("loss", 0.1234567)
    assert (second.metric_type, second.dataset_name) == ("exact_match", "cldr_dates")
    assert str(CARD).strip() in card.text


def test_what_it_has_learned_from_is_its_limit():
    text = " ".join(str(CARD).split())
    assert "has learned from 40,000 records of cldr_dates alone" in text
    assert "one training, with seed 3" in text
    assert "seq2seq export '/runs/first one' FOLDER --format onnx" in text
