"""Multi30k as the measurements of quality use it: its texts, their tokens, BLEU."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.batches import data_folder
from benchmarks.works import WORKS
from seq2seq.data.formats.text_files import read_lines
from seq2seq.data.tokenizers.tokenizer import Tokenizer, TokenizerPair
from seq2seq.evaluation.text import score_texts

FILES = {"train": "train", "validation": "val", "test": "test_2016_flickr"}
SIDES = ("en", "de")

Texts = dict[str, tuple[list[str], ...]]
"""By split, the sources and the targets."""
Pieces = tuple[list[np.ndarray], list[np.ndarray]]
"""The token ids of sources and targets."""


def folder() -> Path:
    """Returns where Multi30k lies."""
    return data_folder() / "multi30k_en_de" / "tok"


def read_texts() -> Texts:
    """Returns the sources and targets of each split."""
    return {
        split: tuple(list(read_lines(folder() / f"{stem}.lc.norm.tok.{side}")) for side in SIDES)
        for split, stem in FILES.items()
    }


def fitted_tokenizers(texts: Mapping[str, tuple[list[str], ...]]) -> TokenizerPair:
    """Returns one BPE vocabulary for both sides, fitted on the training set."""
    return _fitted(*(tuple(side) for side in texts["train"]), WORKS["A"].vocabulary)


@functools.lru_cache(1)
def _fitted(
    sources: tuple[str, ...], targets: tuple[str, ...], vocabulary_size: int
) -> TokenizerPair:
    tokenizer = Tokenizer("bpe", vocabulary_size)
    return TokenizerPair(tokenizer, tokenizer, joint=True).fit(list(sources), list(targets))


def to_text(pair: TokenizerPair, rows: Sequence[Sequence[int]]) -> list[str]:
    """Returns translations as text, without ids beyond the vocabulary, which models may know."""
    size = pair.target.size
    return pair.target.decode([[token for token in row if token < size] for row in rows])


def bleu(translations: Sequence[str], references: Sequence[str]) -> float:
    """Returns the BLEU of text that is tokenised already."""
    return score_texts(translations, references, ["bleu"], "none").values["bleu"]
