"""Every search of `conf/decoding` is built from its config, and refuses what is none of its own."""

import inspect

import pytest

from seq2seq.config import build, composed, folder
from seq2seq.errors import UserError

CHOICES = sorted(
    {path.stem for path in (folder("conf") / "decoding").glob("*.yaml")} - {"none"}  # sets nothing
)


def config(choice, *overrides):
    return composed([f"decoding={choice}", "tracking=none", *overrides])


@pytest.mark.parametrize("choice", CHOICES)
def test_each_choice_is_built_and_spells_out_every_argument(choice):
    composed_ = config(choice)
    built = build(composed_, "decoding")
    arguments = {str(key) for key in composed_.decoding if not str(key).startswith("_")}
    assert arguments == set(inspect.signature(type(built)).parameters)


@pytest.mark.parametrize(
    ("choice", "option"),
    [
        ("greedy", "beam_size"),
        ("greedy", "temperature"),
        ("greedy", "length_penalty"),
        ("sampling", "length_penalty"),
        ("beam", "top_p"),
    ],
)
def test_an_option_of_another_search_is_refused(choice, option):
    with pytest.raises(UserError, match=rf"decoding\.{option}: no such config key"):
        config(choice, f"+decoding.{option}=3")


def test_penalties_are_chosen_by_name():
    built = build(
        config(
            "beam",
            "decoding.length_penalty._target_=seq2seq.decoding.penalties.GNMTLengthPenalty",
            "decoding.length_penalty.alpha=0.6",
            "+decoding.coverage_penalty._target_=seq2seq.decoding.penalties.CoveragePenalty",
            "+decoding.coverage_penalty.beta=0.3",
        ),
        "decoding",
    )
    assert type(built.length_penalty).__name__ == "GNMTLengthPenalty"
    assert built.coverage_penalty.beta == 0.3
