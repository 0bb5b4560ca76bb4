import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from seq2seq.report import print_report, score_line, tag_lines
from seq2seq.terminal import PlainConsole

TRAINING = {
    "epochs": 1, "steps": 1250, "seconds": 35.7, "target_tokens_per_second": 28824,
    "waiting_share": 0.0282,
}  # fmt: skip


def printed(test, rows, color_system=None):
    metrics = {"validation": test, "test": test, "training": TRAINING}
    console = PlainConsole(
        file=io.StringIO(), width=80, force_terminal=True, color_system=color_system
    )
    print_report(console, metrics, rows, Path("outputs/run"), {"MLflow": "mlflow ui"})
    return console.file.getvalue()


def test_the_main_score_is_bold_and_the_rest_in_a_file():
    text = printed({"exact_match": 0.9953, "loss": 0.004}, [], "standard")
    assert text.startswith("\x1b[1mexact_match 0.9953\x1b[0m on test, 0.9953 on validation\n")
    assert "metrics.json" in text
    assert "loss" not in text
    assert "1 epoch, 1,250 steps in 36 s, 28,824 target tokens/s, 3% waiting for data\n" in text


def test_the_best_baseline_stands_beside_the_score():
    metrics = {"test": {"mase": 0.675}, "validation": {"mase": 0.54}}
    lines = [
        {"method": "model", "mase": 0.675},
        {"method": "naive", "mase": 3.7},
        {"method": "ets", "mase": 0.606},
        {"method": "theta", "smape": 1.0},
    ]
    line = score_line(metrics, lines).plain
    assert line == "mase 0.675 on test (best baseline: ets 0.606), 0.54 on validation"
    assert score_line(metrics, lines[:1]).plain == "mase 0.675 on test, 0.54 on validation"


def test_the_speed_of_forecasts_counts_values():
    row = {"unique_id": "a", "cutoff": 1, "ds": [2], "target": "y", "prediction": [1.0]}
    assert " 28,824 target values/s, " in printed({"mase": 0.7}, [{**row, "reference": [2.0]}])


def test_a_report_of_generated_texts_fits_a_screen():
    text = "To be, or not to be,\nthat is the question: " * 20
    rows = [{"source": text, "prediction": text, "reference": text, "score": 0.0}] * 8
    lines = printed({"nats_per_character": 1.427, "perplexity": 4.2}, rows).splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert "nats_per_character 1.427" in lines[0]


def test_all_references_stand_in_one_line():
    row = {"source": "either", "prediction": "IY1 DH ER0", "reference": "IY1 DH ER0", "score": -1.0}
    text = printed({"word_error_rate": 0.3}, [{**row, "references": ["IY1 DH ER0", "AY1 DH ER0"]}])
    assert "reference   IY1 DH ER0 | AY1 DH ER0\n" in re.sub(" +\n", "\n", text)


def test_tags_stand_below_their_tokens():
    lines = tag_lines(["7", "জুন", "2031"], ["day", "month", "year"], ["day", "day", "year"])
    assert [line.plain.split() for line in lines] == [
        ["7", "জুন", "2031"],
        ["day", "month", "year"],
        ["day", "day", "year"],
    ]
    assert {line.cell_len for line in lines} == {15}
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(lines[2])
    assert console.file.getvalue().count("\x1b[31mday\x1b[0m") == 1
    assert console.file.getvalue().count("\x1b[31m") == 1


@pytest.mark.parametrize("text", ["\x1b[2J", json.loads('"\\ud800"')])
def test_control_characters_are_escaped(text):
    rows = [{"source": text, "prediction": text, "reference": text, "score": 0.0}]
    assert text not in printed({"exact_match": 0.5}, rows)
