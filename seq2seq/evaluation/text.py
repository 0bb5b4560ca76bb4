"""Scores of generated text: hypotheses against references, over a whole corpus.

BLEU, chrF and TER are sacreBLEU's, with its signatures, so that scores can be compared with those
of papers. A new metric of sacreBLEU is an entry of `SACREBLEU_METRICS`, and one that is a sum of
errors, divided, an entry of `ERROR_RATES`; `compare` takes both from there. Any other one is a name
in `METRICS` and a branch of `score_texts`, and, to be tested by `compare`, a statistic in
`item_statistics`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.metrics.base import Metric

from seq2seq.errors import UserError
from seq2seq.evaluation.error_rates import ERROR_RATES, Errors
from seq2seq.nearest_name import nearest

SACREBLEU_METRICS: dict[str, Callable[[str, bool], Metric]] = {
    # `force` turns off the warning about text that is tokenized on purpose.
    "bleu": lambda tokenize, lowercase: BLEU(tokenize=tokenize, lowercase=lowercase, force=True),
    "chrf": lambda tokenize, lowercase: CHRF(lowercase=lowercase),
    "chrf++": lambda tokenize, lowercase: CHRF(word_order=2, lowercase=lowercase),
    "ter": lambda tokenize, lowercase: TER(),
}
"""Creates a metric from BLEU's tokenizer and `lowercase`."""
METRICS = (*SACREBLEU_METRICS, "exact_match", *ERROR_RATES)


@dataclass(frozen=True)
class Scores:
    """The scores of a corpus.

    Attributes:
        values: Metric name to score. `bleu`, `chrf` and `chrf++` go from 0 to 100, `ter` from 0
            (best) upwards, `exact_match` from 0 to 1, error rates from 0 (best) to 1 or more.
        signatures: Metric name to sacreBLEU's signature (version, case, tokenizer, ...), for the
            metrics that sacreBLEU computes.
    """

    values: dict[str, float]
    signatures: dict[str, str]


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
        references: For each source one text, or a list of texts that are all correct.
        metrics: Names from `METRICS`.
        bleu_tokenize: sacreBLEU's tokenizer for BLEU: `13a` for plain text, `none` for tokenized
            text, `char` for characters, `zh` for Chinese.
        lowercase: Whether all metrics ignore case. TER always does, as sacreBLEU's command does.

    Returns:
        The scores, in the order of `metrics`.

    Raises:
        UserError: If a metric or tokenizer is unknown or cannot run here, there is nothing to
            score, or hypotheses and references differ in number.
    """
    check_metrics(metrics, bleu_tokenize)
    reference_lists = [[text] if isinstance(text, str) else list(text) for text in references]
    _check_corpus(hypotheses, reference_lists)
    streams = reference_streams(reference_lists)
    scores = Scores(values={}, signatures={})
    for name in metrics:
        if name in SACREBLEU_METRICS:
            metric = SACREBLEU_METRICS[name](bleu_tokenize, lowercase)
            scores.values[name] = metric.corpus_score(list(hypotheses), streams).score
            scores.signatures[name] = str(metric.get_signature())
        elif name == "exact_match":
            wrong, items = _errors("word_error_rate", hypotheses, reference_lists, lowercase)
            scores.values[name] = (items - wrong) / items
        elif name in ERROR_RATES:
            errors, units = _errors(name, hypotheses, reference_lists, lowercase)
            scores.values[name] = errors / max(units, 1)
        else:
            raise NotImplementedError(f"the metric {name} is in METRICS only")
    return scores


def reference_streams(references: Sequence[Sequence[str]]) -> list[list[str]]:
    """Returns the references as sacreBLEU expects them.

    Args:
        references: For each source its references.

    Returns:
        A list for each position of a reference; where a source has fewer, it holds None, which
        sacreBLEU leaves out.
    """
    return [list(stream) for stream in zip_longest(*references)]


def _errors(
    name: str, hypotheses: Sequence[str], references: Sequence[Sequence[str]], lowercase: bool
) -> Errors:
    """Returns the sums of an error rate's errors and units over all items."""

    def canonical(text: str) -> str:
        return text.lower() if lowercase else text

    items = [
        ERROR_RATES[name](canonical(hypothesis), [canonical(text) for text in texts])
        for hypothesis, texts in zip(hypotheses, references, strict=True)
    ]
    return sum(errors for errors, _ in items), sum(units for _, units in items)


def check_metrics(metrics: Sequence[str], bleu_tokenize: str = "13a") -> None:
    """Checks names of metrics and the tokenizer, so that a training can reject them at its start.

    Args:
        metrics: Names from `METRICS`.
        bleu_tokenize: The name of a sacreBLEU tokenizer, which is loaded if BLEU is used.

    Raises:
        UserError: If a metric or tokenizer is unknown, or the tokenizer cannot run here.
    """
    for name in metrics:
        if name not in METRICS:
            raise UserError(f"Unknown text metric {name!r}{_valid_names(name, METRICS)}")
    if "bleu" not in metrics:
        return
    if bleu_tokenize not in BLEU.TOKENIZERS:
        raise UserError(
            f"bleu_tokenize: sacreBLEU has no tokenizer {bleu_tokenize!r}"
            f"{_valid_names(bleu_tokenize, BLEU.TOKENIZERS)}"
        )
    try:
        BLEU(tokenize=bleu_tokenize)
    except (ImportError, RuntimeError, OSError) as error:
        raise UserError(
            f"bleu_tokenize: the tokenizer {bleu_tokenize!r} needs something that is missing "
            f"here: {error}"
        ) from error


def _valid_names(name: str, names: Iterable[str]) -> str:
    valid = sorted(names)
    return f"{nearest(name, valid)}. Valid names: {', '.join(valid)}."


def _check_corpus(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    if len(hypotheses) != len(references):
        raise UserError(
            f"There are {len(hypotheses)} hypotheses but references for {len(references)} sources. "
            "Give one hypothesis and at least one reference for each source."
        )
    if not hypotheses:
        raise UserError("There is nothing to score: no hypothesis was given.")
    for number, texts in enumerate(references, start=1):
        if not texts:
            raise UserError(f"Source {number} has no reference. Give at least one for each.")
