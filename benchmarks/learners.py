"""What learns to translate Multi30k: by program, a function that returns BLEU over time."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import marian
from benchmarks.batches import batch_of, save_batches
from benchmarks.environments import eole_python, joeynmt_python, marian_python, torch_python
from benchmarks.harness import Program, run_program
from benchmarks.marian_training import prepare
from benchmarks.multi30k import (
    FILES,
    SIDES,
    Pieces,
    Texts,
    bleu,
    fitted_tokenizers,
    folder,
    to_text,
)
from benchmarks.programs.learn import LIMIT
from benchmarks.trials import Trial
from benchmarks.works import WORKS, Work
from seq2seq.data.batching import Batching

RECIPE = "translation/multi30k_en_de"
Points = list[dict[str, float]]


@dataclass(frozen=True)
class Task:
    """One training.

    Attributes:
        texts: By split, the sources and the targets.
        split: What is translated after each epoch.
        epochs: How many, of all programs but ours.
        trial: The settings; None for the recipe as it is, of ours.
        overrides: Further overrides of our recipe.
    """

    texts: Texts
    split: str
    epochs: int
    trial: Trial | None
    overrides: Sequence[str] = ()


def ours(task: Task) -> Points:
    """Trains the recipe, with what is translated in the place of the validation set.

    Its loss and BLEU are only looked at: the last epoch's weights are the result.
    """
    with tempfile.TemporaryDirectory() as place:
        run = Path(place, "run")
        command = [sys.executable, "-c", "from seq2seq.cli import main; main()", "train"]
        settings = [
            f"recipe={RECIPE}",
            f"data.directory={folder()}",
            *(
                f"data.{side}.validation={FILES[task.split]}.lc.norm.tok.{name}"
                for side, name in zip(("source", "target"), SIDES, strict=True)
            ),
            "trainer.validation_scores=true",
            "tracking=none",
            f"hydra.run.dir={run}",
            *(task.trial.overrides() if task.trial else ()),
            *task.overrides,
        ]
        if subprocess.run([*command, *settings], check=False, stdout=sys.stderr).returncode:
            raise RuntimeError("our own training failed")
        epochs = [
            json.loads(line)
            for line in (run / "history.jsonl").read_text(encoding="utf-8").splitlines()
        ]
    return [point(epoch["training_seconds"], epoch["val_bleu"]) for epoch in epochs]


def by_program(program: Program) -> Callable[[Task], Points]:
    """Returns what trains a program on our token ids, and scores what it translates."""

    def learn(task: Task) -> Points:
        trial, pair = task.trial or Trial(), fitted_tokenizers(task.texts)
        # Sentences of about one length are translated together.
        sources, references = task.texts[task.split]
        order = sorted(range(len(sources)), key=lambda row: len(sources[row]))
        pieces = {
            split: (pair.source.encode(source), pair.target.encode(target))
            for split, (source, target) in task.texts.items()
        }
        pieces["translated"] = ([pieces[task.split][0][row] for row in order],) * 2
        settings = {
            name: getattr(trial, name) for name in ("learning_rate", "decay", "label_smoothing")
        }
        with tempfile.TemporaryDirectory() as place:
            save_all(pieces, task.epochs, Path(place), trial.work())
            points = run_program(program, trial.work(), Path(place), **settings)["points"]
        ordered = [references[row] for row in order]
        return [
            point(each["training_seconds"], bleu(to_text(pair, each["tokens"]), ordered))
            for each in points
        ]

    return learn


def by_marian(task: Task) -> Points:
    """Trains Marian, which saves a model after each epoch; all are translated with afterwards."""
    trial, python = task.trial or Trial(), str(marian_python())
    pair, work = fitted_tokenizers(task.texts), trial.work()
    settings = marian.Settings(
        embedding=trial.embedding,
        units=work.encoder_width,
        decoder_cells=2,
        batch_size=work.batch_size,
        learning_rate=trial.learning_rate,
        dropout=trial.dropout,
        label_smoothing=trial.label_smoothing,
        averaging=1e-3,
    )
    steps = -(-len(task.texts["train"][0]) // work.batch_size)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        prepare(place, task.texts, pair)
        options = [
            *marian.training_options(settings, place, work.vocabulary),
            *("--lr-decay", str(trial.decay)),
            *("--lr-decay-strategy", "epoch", "--lr-decay-start", "1"),
            *("--save-freq", f"{steps}u", "--disp-freq", "100u", "--after", f"{task.epochs}e"),
        ]
        saved: dict[int, float] = {}
        start = time.perf_counter()
        for line in marian.lines_of(["train", *options], python):
            if marian.TRAINING_STARTED in line:
                start = time.perf_counter()
            for path in place.glob("model.iter*.npz"):
                saved.setdefault(int(path.stem.removeprefix("model.iter")), time.perf_counter())
        return [
            point(moment - start, marian_bleu(task, place, f"model.iter{step}.npz", python))
            for step, moment in sorted(saved.items())
        ]


def marian_bleu(task: Task, place: Path, model: str, python: str) -> float:
    """Returns the BLEU of what a model of Marian translates with a beam of 5."""
    sources, references = task.texts[task.split]
    pair = fitted_tokenizers(task.texts)
    source, output = place / "source", place / "output"
    marian.write_lines(source, marian.to_lines(pair.source.encode(sources)))
    search = marian.search_options(place, model, beam=5, length_factor=LIMIT)
    marian.run(["decode", *search, "--input", str(source), "--output", str(output)], python)
    lines = output.read_text(encoding="utf-8").splitlines()
    return bleu(to_text(pair, [marian.to_ids(line) for line in lines]), references)


LEARNERS: dict[str, Callable[[Task], Points]] = {
    "seq2seq": ours,
    "torch_tuned": by_program(Program("quality_torch", python=torch_python, tuned=True)),
    "joeynmt_tuned": by_program(Program("quality_joeynmt", python=joeynmt_python, tuned=True)),
    "eole_tuned": by_program(Program("quality_eole", python=eole_python, tuned=True)),
    "marian": by_marian,
}


def save_all(pieces: Mapping[str, Pieces], epochs: int, place: Path, work: Work) -> None:
    """Writes the batches of every epoch, `epoch_00.npz` and so on, and of the other splits."""
    size = work.batch_size
    lengths = np.array([[len(s), len(t)] for s, t in zip(*pieces["train"], strict=True)])
    rows = np.arange(len(lengths), dtype=np.uint64)
    for epoch in range(epochs):
        chosen = Batching(size).training_batches(lengths, rows, seed=1, epoch=epoch)
        save(pieces["train"], chosen, place / f"epoch_{epoch:02}.npz")
    for split in ("validation", "translated"):
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
