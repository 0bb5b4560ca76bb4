"""Marian learns to translate Multi30k."""

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.environments import marian_python
from benchmarks.marian import (
    MODEL,
    Settings,
    to_lines,
    training_options,
    write_lines,
    write_vocabulary,
)
from benchmarks.works import WORKS
from seq2seq.data.tokenizers.tokenizer import TokenizerPair

METRIC = "perplexity"
BEST = f"{MODEL}.best-{METRIC}.npz"
SMALL = Settings(
    embedding=128,
    units=256,
    decoder_cells=2,
    tied=True,
    batch_size=32,
    learning_rate=2e-3,
    dropout=0.1,
    label_smoothing=0.1,
    averaging=1e-3,
)
"""What learns most in little time."""


def train_for(place: Path, texts: Mapping[str, Any], pair: TokenizerPair, minutes: float) -> None:
    """Trains for some minutes, or until the validation set's perplexity stalls.

    A training goes on where the one before it ended.

    Args:
        place: Folder of the model, the vocabulary and the corpus.
        texts: By split, the sources and the targets.
        pair: The tokenizers.
        minutes: After so many it saves the model and ends.

    Raises:
        RuntimeError: If it fails.
    """
    prepare(place, texts, pair)
    options = [
        *training_options(SMALL, place, WORKS["A"].vocabulary),
        *("--overwrite", "--keep-best", "--early-stopping", "5"),
        *("--valid-sets", str(place / "validation.source"), str(place / "validation.target")),
        *("--valid-metrics", METRIC, "--valid-freq", "500u", "--save-freq", "500u"),
        *("--disp-freq", "100u", "--log", str(place / "train.log"), "--quiet"),
    ]
    command = [str(marian_python()), "-m", "pymarian", "train", *options]
    with subprocess.Popen(command) as process:
        try:
            process.wait(60 * minutes)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)  # Marian saves its model
            process.wait()
    if process.returncode not in (0, 128 + signal.SIGTERM):
        raise RuntimeError(f"Marian's training failed, see {place / 'train.log'}")
    print(f"Marian is in {place}", file=sys.stderr)


def prepare(place: Path, texts: Mapping[str, Any], pair: TokenizerPair) -> None:
    """Writes the vocabulary and the corpora."""
    place.mkdir(parents=True, exist_ok=True)
    write_vocabulary(place, WORKS["A"].vocabulary)
    for split in ("train", "validation"):
        sides = zip(("source", "target"), (pair.source, pair.target), texts[split], strict=True)
        for side, tokenizer, lines in sides:
            write_lines(place / f"{split}.{side}", to_lines(tokenizer.encode(lines)))
