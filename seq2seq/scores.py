"""The main score of a run, and how scores are written for readers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_MAIN_SCORES = (
    "bleu",
    "chrf",
    "chrf++",
    "chrfpp",  # the same in MLflow
    "word_error_rate",
    "exact_match",
    "f1",
    "f1_micro",
    "accuracy",
    "nats_per_character",
    "mase",
    "smape",
    "perplexity",
    "loss",
)
_LOSSES = ("loss", "perplexity")

LOWER_IS_BETTER = (
    "loss",
    "perplexity",
    "nats_per_character",
    "bits_per_character",
    "ter",
    "word_error_rate",
    "word_error_rate_without_stress",
    "phone_error_rate",
    "phone_error_rate_without_stress",
    "ece",
    "hamming_loss",
    "mae",
    "rmse",
    "mase",
    "smape",
    "rmsse",
    "owa",
    "pinball",
    "crps",
    "width_80",
    "width_95",
)


def main_score(names: Iterable[str]) -> str | None:
    """Returns the name of the score that stands for a run, from the names of all its test scores.

    Example:
        >>> main_score(["accuracy", "f1", "loss", "perplexity"])
        'f1'
        >>> main_score([]) is None
        True
    """
    own = list(names)
    ranked = [name for name in _MAIN_SCORES if name in own]
    others = [name for name in own if name not in _MAIN_SCORES]  # of a task of the user
    if ranked and ranked[0] not in _LOSSES:
        return ranked[0]
    return next(iter([*others, *ranked]), None)


def best_baseline(lines: Sequence[Mapping[str, Any]], score: str) -> tuple[str, float] | None:
    """Returns name and score of the best baseline; None if none has the score.

    Args:
        lines: The scores of each `method`, those of `model` among them.
        score: The name of the score.

    Example:
        >>> lines = [{"method": "model", "mase": 0.7}, {"method": "ets", "mase": 0.6}]
        >>> best_baseline(lines, "mase")
        ('ets', 0.6)
    """
    sign = 1 if score in LOWER_IS_BETTER else -1
    scored = [
        (line["method"], float(line[score]))
        for line in lines
        if line["method"] != "model" and math.isfinite(line.get(score, math.nan))
    ]
    return min(scored, key=lambda item: sign * item[1], default=None)


def number(value: float, digits: int = 4) -> str:
    """Returns a number in four digits, without an exponent unless it is below a millionth.

    Example:
        >>> [number(value) for value in (15020.4, 27.9, 0.99531, 0.0000183, 2)]
        ['15,020', '27.9', '0.9953', '0.000018', '2']
    """
    if not math.isfinite(value) or abs(value) < 1e-6:
        return f"{value:.{digits}g}"
    decimals = min(max(digits - 1 - math.floor(math.log10(abs(value))), 0), 6)
    text = f"{value:z,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if decimals else text


def counted(count: int, noun: str) -> str:
    """Returns a count with its noun: `1 epoch`, `1,250 steps`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
