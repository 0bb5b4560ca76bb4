"""Time to quality: BLEU over the minutes of training, ours and plain PyTorch's, on Multi30k."""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.batches import batch_of, save_batches
from benchmarks.environments import torch_python
from benchmarks.files import about_machine, load_before, write
from benchmarks.harness import Program, run_program
from benchmarks.multi30k import (
    FILES,
    SIDES,
    Pieces,
    Texts,
    bleu,
    fitted_tokenizers,
    folder,
    read_texts,
)
from benchmarks.plots import quality_plot
from benchmarks.works import WORKS
from seq2seq.data.batching import Batching

RECIPE = "translation/multi30k_en_de"
TORCH = Program("quality_torch", python=torch_python, tuned=True)
PROGRAMS = ("seq2seq", "torch_tuned")
GOAL = {"bleu": 35.0, "minutes": 6.0}
"""What issue 4 asks for."""

Points = list[dict[str, float]]


def main(arguments: argparse.Namespace) -> None:
    """Trains one after the other; what is known is written after each."""
    load = load_before()
    texts = read_texts()
    found: dict[str, Points] = {}
    about = about_machine(load_before=load, overrides=arguments.overrides)
    for name in arguments.programs:
        if name == "seq2seq":
            found[name] = ours(arguments.overrides)
        else:
            found[name] = plain_torch(texts, arguments.epochs)
        write(arguments.results / "quality", {**about, "curves": found}, quality_plot(found, GOAL))
    print(table(found))


def ours(overrides: Sequence[str]) -> Points:
    """Trains the recipe, with the test set in the place of the validation set.

    Its loss and BLEU are only looked at: the last epoch's weights are the result.
    """
    with tempfile.TemporaryDirectory() as place:
        run = Path(place, "run")
        test = FILES["test"]
        command = [sys.executable, "-c", "from seq2seq.cli import main; main()", "train"]
        settings = [
            f"recipe={RECIPE}",
            f"data.directory={folder()}",
            *(
                f"data.{side}.validation={test}.lc.norm.tok.{name}"
                for side, name in zip(("source", "target"), SIDES, strict=True)
            ),
            "trainer.validation_scores=true",
            "tracking=none",
            f"hydra.run.dir={run}",
            *overrides,
        ]
        if subprocess.run([*command, *settings], check=False, stdout=sys.stderr).returncode:
            raise RuntimeError("our own training failed")
        epochs = [
            json.loads(line)
            for line in (run / "history.jsonl").read_text(encoding="utf-8").splitlines()
        ]
    return [point(epoch["training_seconds"], epoch["val_bleu"]) for epoch in epochs]


def plain_torch(texts: Texts, epochs: int) -> Points:
    """Trains PyTorch's model on our pieces, and scores what it translates."""
    pair = fitted_tokenizers(texts)
    # Sentences of about one length are translated together.
    order = sorted(range(len(texts["test"][0])), key=lambda row: len(texts["test"][0][row]))
    texts = {**texts, "test": tuple([side[row] for row in order] for side in texts["test"])}
    pieces = {
        split: (pair.source.encode(source), pair.target.encode(target))
        for split, (source, target) in texts.items()
    }
    with tempfile.TemporaryDirectory() as place:
        save_all(pieces, epochs, Path(place))
        found = run_program(TORCH, WORKS["A"], Path(place))["points"]
    _, references = texts["test"]
    return [
        point(each["training_seconds"], bleu(pair.target.decode(each["tokens"]), references))
        for each in found
    ]


def save_all(pieces: Mapping[str, Pieces], epochs: int, place: Path) -> None:
    """Writes the batches of every epoch, `epoch_00.npz` and so on, and of the other splits."""
    size = WORKS["A"].batch_size
    lengths = np.array([[len(s), len(t)] for s, t in zip(*pieces["train"], strict=True)])
    rows = np.arange(len(lengths), dtype=np.uint64)
    for epoch in range(epochs):
        chosen = Batching(size).training_batches(lengths, rows, seed=1, epoch=epoch)
        save(pieces["train"], chosen, place / f"epoch_{epoch:02}.npz")
    for split in ("validation", "test"):
        count = len(pieces[split][0])
        save(
            pieces[split],
            np.split(np.arange(count), range(size, count, size)),
            place / f"{split}.npz",
        )


def save(sides: Pieces, batches: Sequence[np.ndarray], path: Path) -> None:
    """Writes the batches that some rows make."""
    made = [
        batch_of(WORKS["A"], *([side[row] for row in rows] for side in sides)) for rows in batches
    ]
    save_batches(made, path)


def point(seconds: float, score: float) -> dict[str, float]:
    """Returns a point of a curve."""
    return {"minutes": seconds / 60, "bleu": score}


def reached(points: Points) -> dict[str, float] | None:
    """Returns the first point that is as good as the goal."""
    return next((each for each in points if each["bleu"] >= GOAL["bleu"]), None)


def table(curves: Mapping[str, Points]) -> str:
    """Returns what was reached, and when, in Markdown."""
    lines = [
        f"| program | {GOAL['bleu']:g} BLEU after | last epoch |",
        "|---|---|---|",
    ]
    for name, points in curves.items():
        first, last = reached(points), points[-1]
        when = f"{first['minutes']:.1f} minutes" if first else "not reached"
        lines.append(
            f"| {name} | {when} | {last['bleu']:.1f} after {last['minutes']:.1f} minutes |"
        )
    return "\n".join(lines)
