"""Each example runs by itself, and what it prints is what it claims."""

import ast
import contextlib
import io
import re
import runpy
from pathlib import Path

import keras
import pytest

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


def output_of(name):
    """Runs an example as if by itself, but in this process, which has imported the libraries."""
    keras.utils.clear_session()
    with contextlib.redirect_stdout(io.StringIO()) as output:
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    return output.getvalue()


def number(pattern, text):
    return float(re.search(pattern, text).group(1))


def test_all_examples_are_listed_and_short():
    listed = (EXAMPLES / "README.md").read_text()
    scripts = sorted(EXAMPLES.glob("*.py"))
    assert len(scripts) == 8
    for path in scripts:
        assert f"({path.name})" in listed
        assert len(path.read_text().splitlines()) < 85


def test_a_decoder_that_starts_from_a_context_knows_what_to_write():
    text = output_of("initial_state")
    zeros, learned, context = (
        number(rf"starts from {start} +validation: ([\d.]+) nats", text)
        for start in ("zeros", "a learned state", "a context")
    )
    assert abs(learned - zeros) < 0.15
    assert context < 0.92 * min(zeros, learned)


def test_the_second_decoder_speaks_where_the_first_predicts_a_hyphen():
    text = output_of("two_decoders")
    assert "fed only where a hyphen was predicted: True" in text
    assert number(r"letters right: +([\d.]+)", text) > 0.9
    assert number(r"words right: +([\d.]+)", text) > 0.8


def test_averaged_cells_are_those_of_a_loop_in_numpy():
    text = output_of("two_streams")
    assert number(r"loop in numpy: (\S+)", text) < 1e-5
    assert number(r"right: ([\d.]+)", text) > 0.7


def test_stacked_grus_tell_the_year():
    text = output_of("stacked_grus")
    assert "state: 50 units" in text
    assert number(r"right: ([\d.]+)", text) > 0.3


def test_the_code_of_an_autoencoder_finds_its_like():
    text = output_of("autoencoder")
    assert number(r"letters right of 400 new dates: ([\d.]+)", text) > 0.3
    assert number(r"same language: ([\d.]+)", text) > 0.5  # 1 of 11 by chance


def test_extra_outputs_leave_loss_and_metrics_alone():
    text = output_of("extra_outputs")
    losses = [
        ast.literal_eval(re.search(rf"loss {word}: *(\[.*\])", text).group(1))
        for word in ("with states", "without")
    ]
    assert losses[0] == losses[1]
    assert losses[0][-1] < losses[0][0]
    one, other = re.search(r"accuracy: (\[.*?\]) (\[.*?\])", text).groups()
    assert one == other
    assert "the same weights to the last bit: True" in text
    for name, shape in {"language": "(8, 25)", "h": "(8, 32)", "c": "(8, 32)"}.items():
        assert re.search(rf"^{name} +{re.escape(shape)}$", text, re.M)


def test_two_texts_are_compared():
    assert number(r"new pairs: ([\d.]+)", output_of("two_texts")) > 0.9


@pytest.fixture(scope="module")
def table():
    lines = output_of("shapes").splitlines()[2:]
    return [re.split(r"  +", line.strip()) for line in lines]


def test_shapes_of_every_combination(table):
    assert len(table) == 64
    assert len({tuple(row[:6]) for row in table}) == 64
    for cell, directions, sequences, state, stateful, _, output, states, second, is_h in table:
        width = 5 * (1 + (directions == "two"))
        assert output == str((4, 6, width) if sequences == "yes" else (4, width))
        count = {"LSTM": 2, "GRU": 1}[cell] * (1 + (directions == "two"))
        assert states == (f"{count} x (4, 5)" if state == "yes" else "-")
        assert second == ("goes on" if stateful == "yes" else "the same")
        assert is_h == "True"
