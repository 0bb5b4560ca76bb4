"""What a search found, as plain rows for people and files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seq2seq.data.tokenizers.tokenizer import END, UNKNOWN, Tokenizer
from seq2seq.decoding.hypotheses import Hypotheses
from seq2seq.tasks.base import Row

DECIMALS = 6


@dataclass(frozen=True)
class Details:
    """What rows tell beside a text and its score.

    Attributes:
        alignments: `source_tokens`, and `alignments`, which has their weights for each target
            token.
        token_scores: `token_scores`, the log-probability of each target token.
        replace_unknown: Whether an unknown word becomes the source word it is aligned to.
    """

    alignments: bool = False
    token_scores: bool = False
    replace_unknown: bool = False

    def of(
        self,
        ids: np.ndarray,
        source_tokens: Sequence[str],
        tokenizer: Tokenizer,
        token_scores: np.ndarray | None,
        alignments: np.ndarray | None,
    ) -> Row:
        """Returns the details of one target; its end token is the last of its tokens.

        Args:
            ids: int32 `(length,)`, without the end token.
            source_tokens: The source's tokens, as texts.
            tokenizer: Of the target.
            token_scores: `(at least length + 1,)`.
            alignments: `(at least length + 1, at least len(source_tokens))`.
        """
        row: Row = {}
        if self.alignments or self.token_scores:
            row["target_tokens"] = tokenizer.pieces([*ids.tolist(), END])
        if self.token_scores and token_scores is not None:
            row["token_scores"] = _rounded(token_scores[: len(ids) + 1])
        if self.alignments and alignments is not None:
            row["source_tokens"] = list(source_tokens)
            row["alignments"] = _rounded(alignments[: len(ids) + 1, : len(source_tokens)])
        return row


def source_tokens(text: str, ids: np.ndarray, tokenizer: Tokenizer) -> list[str]:
    """Returns a source's tokens as texts; words that are unknown stand as they were written."""
    words = tokenizer.normalize(text).split()
    if tokenizer.settings["kind"] == "word" and len(words) == len(ids):
        return words
    return tokenizer.pieces(ids.tolist())


def attended(
    tokenizer: Tokenizer, ids: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray]
) -> dict[str, list[tuple[str, float]]]:
    """Returns the tokens of each text with their weights.

    Args:
        tokenizer: Of the texts.
        ids: The token ids of each text, `(length,)`.
        weights: What each token weighs, `(at least length,)`.
    """
    pieces = {text: tokenizer.pieces(ids[text]) for text in ids}
    return {
        text: list(zip(each, weights[text][: len(each)].tolist(), strict=True))
        for text, each in pieces.items()
    }


def hypotheses(
    found: Hypotheses, sources: Sequence[Sequence[str]], tokenizer: Tokenizer, details: Details
) -> list[list[Row]]:
    """Returns the hypotheses of each source as rows, best first, without those that do not exist.

    Args:
        found: What was found.
        sources: The tokens of each source.
        tokenizer: Of the target.
        details: What the rows tell.

    Returns:
        For each source, rows with `prediction`, `score`, and details.
    """
    several = found.scores.shape.rank > 1

    def read(part: Any) -> np.ndarray:
        return part.numpy() if several else part.numpy()[:, np.newaxis]

    tokens, lengths, scores = read(found.tokens), read(found.lengths), read(found.scores)
    token_scores = None if found.token_scores is None else read(found.token_scores)
    alignments = None if found.alignments is None else read(found.alignments)
    rows: list[list[Row]] = []
    for number, source in enumerate(sources):
        rows.append([])
        for place in np.flatnonzero(scores[number] > -np.inf):
            at = number, place
            ids = tokens[at][: lengths[at]]
            weights = None if alignments is None else alignments[at]
            text = (
                _with_source_words(ids, source, tokenizer, weights)
                if details.replace_unknown and weights is not None
                else tokenizer.decode([ids.tolist()])[0]
            )
            each = None if token_scores is None else token_scores[at]
            told = details.of(ids, source, tokenizer, each, weights)
            rows[-1].append({"prediction": text, "score": float(scores[at]), **told})
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
