"""Hypotheses of a search as rows of plain values."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from seq2seq.data.tokenizers.tokenizer import END, UNKNOWN, Tokenizer
from seq2seq.decoding.hypotheses import Hypotheses
from seq2seq.prediction_rows import Hypothesis, TokenOutputs
from seq2seq.tasks.prediction_options import PredictionOptions

DECIMALS = 6


def extra_outputs(
    options: PredictionOptions,
    ids: np.ndarray,
    sources: Sequence[str],
    tokenizer: Tokenizer,
    token_scores: np.ndarray | None,
    alignments: np.ndarray | None,
) -> TokenOutputs:
    """Returns the requested extra outputs of one target; its end token is the last of its tokens.

    Args:
        options: Which of `token_scores` and `alignments` are requested.
        ids: int32 `(length,)`, without the end token.
        sources: The source's tokens, as texts.
        tokenizer: Of the target.
        token_scores: `(length + 1 or more,)`.
        alignments: `(length + 1 or more, sources or more)`.
    """
    row: TokenOutputs = {}
    if options.alignments or options.token_scores:
        row["target_tokens"] = tokenizer.pieces([*ids.tolist(), END])
    if options.token_scores and token_scores is not None:
        row["token_scores"] = _rounded(token_scores[: len(ids) + 1])
    if options.alignments and alignments is not None:
        row["source_tokens"] = list(sources)
        row["alignments"] = _rounded(alignments[: len(ids) + 1, : len(sources)])
    return row


def hypothesis_rows(
    hypotheses: Hypotheses,
    sources: Sequence[Sequence[str]],
    tokenizer: Tokenizer,
    options: PredictionOptions,
) -> list[list[Hypothesis]]:
    """Returns the hypotheses of each source, best first, without empty slots of the beam.

    Returns:
        For each source, rows with `prediction`, `score`, and the requested extra outputs.
    """
    has_several = hypotheses.scores.shape.rank > 1

    def with_beam_axis(part: Any) -> np.ndarray:
        return part.numpy() if has_several else part.numpy()[:, np.newaxis]

    tokens, lengths, scores = map(with_beam_axis, hypotheses[:3])
    token_scores, alignments = (
        None if part is None else with_beam_axis(part)
        for part in (hypotheses.token_scores, hypotheses.alignments)
    )
    rows: list[list[Hypothesis]] = []
    for number, source in enumerate(sources):
        rows.append([])
        for place in np.flatnonzero(scores[number] > -np.inf):
            at = number, place
            ids = tokens[at][: lengths[at]]
            weights = None if alignments is None else alignments[at]
            text = (
                _with_source_words(ids, source, tokenizer, weights)
                if options.replace_unknown and weights is not None
                else tokenizer.decode([ids.tolist()])[0]
            )
            step_scores = None if token_scores is None else token_scores[at]
            extra = extra_outputs(options, ids, source, tokenizer, step_scores, weights)
            rows[-1].append({"prediction": text, "score": float(scores[at]), **extra})
    return rows


def _with_source_words(
    ids: np.ndarray, source: Sequence[str], tokenizer: Tokenizer, alignments: np.ndarray
) -> str:
    """Returns a target's words, each unknown one replaced by the source's (Luong et al., 2015b).

    See https://arxiv.org/abs/1410.8206.
    """
    attended = alignments[:, : len(source)].argmax(axis=1)
    words = tokenizer.decode([[token] for token in ids.tolist()])
    for place in np.flatnonzero(ids == UNKNOWN):
        words[place] = source[attended[place]]
    return " ".join(filter(None, words))


def _rounded(values: np.ndarray) -> list[Any]:
    return values.astype(float).round(DECIMALS).tolist()
