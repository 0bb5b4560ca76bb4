"""Scores of generated text: hypotheses against references, over a whole corpus.

BLEU, chrF and TER are sacreBLEU's own, with its signatures, so that a score can be compared with
a paper's. All text metrics stand in one table, `METRICS`: a new one is a new row.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.metrics.base import Metric

from seq2seq.errors import UserError


@dataclass(frozen=True)
class Scores:
    """What a corpus scored.

    Attributes:
        values: Metric name to score. `bleu`, `chrf` and `chrf++` go from 0 to 100, `ter` from 0
            (best) upwards, `exact_match` from 0 to 1.
        signatures: Metric name to sacreBLEU's signature (version, case, tokenizer, ...), for the
            metrics that sacreBLEU computes.
    """

    values: dict[str, float]
    signatures: dict[str, str]


@dataclass(frozen=True)
class Settings:
    """How texts are compared.

    Attributes:
        bleu_tokenize: sacreBLEU's tokenizer for BLEU. `13a` is for plain text, `none` for text that
            is tokenized already, `char` counts characters, `zh` is for Chinese.
        lowercase: Whether BLEU, chrF and the exact match ignore case. TER always does, as
            sacreBLEU's command does.
    """

    bleu_tokenize: str = "13a"
    lowercase: bool = False


Hypotheses = Sequence[str]
ReferenceLists = Sequence[Sequence[str]]
TextMetric = Callable[[Hypotheses, ReferenceLists, Settings], tuple[float, str | None]]


def _bleu(
    hypotheses: Hypotheses, references: ReferenceLists, settings: Settings
) -> tuple[float, str | None]:
    # `force` keeps sacreBLEU silent where the text is tokenized on purpose.
    metric = BLEU(tokenize=settings.bleu_tokenize, lowercase=settings.lowercase, force=True)
    return _corpus_score(metric, hypotheses, references)


def _chrf(
    hypotheses: Hypotheses, references: ReferenceLists, settings: Settings
) -> tuple[float, str | None]:
    return _corpus_score(CHRF(lowercase=settings.lowercase), hypotheses, references)


def _chrf_plus_plus(
    hypotheses: Hypotheses, references: ReferenceLists, settings: Settings
) -> tuple[float, str | None]:
    metric = CHRF(word_order=2, lowercase=settings.lowercase)
    return _corpus_score(metric, hypotheses, references)


def _ter(
    hypotheses: Hypotheses, references: ReferenceLists, settings: Settings
) -> tuple[float, str | None]:
    return _corpus_score(TER(), hypotheses, references)


def _exact_match(
    hypotheses: Hypotheses, references: ReferenceLists, settings: Settings
) -> tuple[float, str | None]:
    def canonical(text: str) -> str:
        return text.strip().lower() if settings.lowercase else text.strip()

    hits = sum(
        canonical(hypothesis) in map(canonical, candidates)
        for hypothesis, candidates in zip(hypotheses, references, strict=True)
    )
    return hits / len(hypotheses), None


METRICS: dict[str, TextMetric] = {
    "bleu": _bleu,
    "chrf": _chrf,
    "chrf++": _chrf_plus_plus,
    "ter": _ter,
    "exact_match": _exact_match,
}


def score_texts(
    hypotheses: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
    metrics: Sequence[str] = ("bleu", "chrf", "exact_match"),
    bleu_tokenize: str = "13a",
    lowercase: bool = False,
) -> Scores:
    """Scores a corpus of hypotheses against its references.

    Example:
        >>> score_texts(["2051-08-07"], ["2051-08-07"], metrics=["exact_match"]).values
        {'exact_match': 1.0}

    Args:
        hypotheses: One text for each source.
        references: For each source one text, or a list of texts that are all right.
        metrics: Names from `METRICS`.
        bleu_tokenize: See `Settings`.
        lowercase: See `Settings`.

    Returns:
        The scores, in the order of `metrics`.

    Raises:
        UserError: A metric or tokenizer is unknown or cannot run here, there is nothing to score,
            or hypotheses and references differ in number.
    """
    check_metrics(metrics, bleu_tokenize)
    candidates = [[text] if isinstance(text, str) else list(text) for text in references]
    _check_corpus(hypotheses, candidates)
    settings = Settings(bleu_tokenize, lowercase)
    scores = Scores(values={}, signatures={})
    for name in metrics:
        value, signature = METRICS[name](hypotheses, candidates, settings)
        scores.values[name] = value
        if signature is not None:
            scores.signatures[name] = signature
    return scores


def check_metrics(metrics: Sequence[str], bleu_tokenize: str = "13a") -> None:
    """Checks names of metrics and the tokenizer, so that a training can refuse them at its start.

    Args:
        metrics: Names to look for in `METRICS`.
        bleu_tokenize: The name of a sacreBLEU tokenizer. It is loaded if BLEU is asked for.

    Raises:
        UserError: A metric or tokenizer is unknown, or the tokenizer cannot run here.
    """
    for name in metrics:
        if name not in METRICS:
            raise UserError(f"Unknown text metric {name!r}. {_nearest(name, sorted(METRICS))}")
    if "bleu" not in metrics:
        return
    tokenizers = sorted(BLEU.TOKENIZERS)
    if bleu_tokenize not in tokenizers:
        raise UserError(
            f"bleu_tokenize: sacreBLEU has no tokenizer {bleu_tokenize!r}. "
            f"{_nearest(bleu_tokenize, tokenizers)}"
        )
    try:
        BLEU(tokenize=bleu_tokenize)
    except (ImportError, RuntimeError, OSError) as error:
        raise UserError(
            f"bleu_tokenize: the tokenizer {bleu_tokenize!r} needs something that is missing "
            f"here: {error}"
        ) from error


def _nearest(name: str, valid: list[str]) -> str:
    guesses = difflib.get_close_matches(name.lower(), valid, n=1)
    hint = f"Did you mean {guesses[0]!r}? " if guesses else ""
    return f"{hint}Valid names: {', '.join(valid)}."


def _check_corpus(hypotheses: Hypotheses, references: ReferenceLists) -> None:
    if len(hypotheses) != len(references):
        raise UserError(
            f"There are {len(hypotheses)} hypotheses but references for {len(references)} sources. "
            "Give one hypothesis and at least one reference for each source."
        )
    if not hypotheses:
        raise UserError("There is nothing to score: no hypothesis was given.")
    for position, candidates in enumerate(references, start=1):
        if not candidates:
            raise UserError(f"Source {position} has no reference. Give at least one for each.")


def _corpus_score(
    metric: Metric, hypotheses: Hypotheses, references: ReferenceLists
) -> tuple[float, str]:
    # sacreBLEU wants one list for each position of a reference, None where a source has fewer.
    streams = [list(stream) for stream in zip_longest(*references)]
    score = metric.corpus_score(list(hypotheses), streams)
    return score.score, str(metric.get_signature())
