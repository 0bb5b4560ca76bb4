"""What each task says of a batch: the texts, labels and numbers that its data hold."""

import numpy as np
import pytest

from benchmarks.faults.trainings import TASKS, write_data
from seq2seq.config import build, composed
from seq2seq.overrides import with_registered_recipes
from seq2seq.tasks.model_folder import build_task


@pytest.mark.parametrize("name", TASKS)
def test_rows_are_described_and_the_largest_batch_is_found(name, tmp_path):
    config = composed(list(map(with_registered_recipes, write_data(name, tmp_path))))
    task = build_task(config)
    task.prepare(build(config, "data"), seed=1)
    sizes = []
    for inputs, labels, weights in task.training_data():
        rows = task.describe_batch(
            {key: value.numpy() for key, value in inputs.items()}, labels.numpy()
        )
        assert len(rows) == len(labels)
        assert all(" -> " in row for row in rows)
        check(name, rows, tmp_path, weights.numpy())
        sizes.append(sum(int(tensor.shape[0] * tensor.shape[1]) for tensor in inputs.values()
                         if len(tensor.shape) == 2))  # fmt: skip
    largest, labels, _ = task.largest_batch()
    size = sum(array.shape[0] * array.shape[1] for array in largest.values() if array.ndim == 2)
    assert size >= max(sizes) if name != "tagging" else len(labels) == 16


def check(name, rows, folder, weights):
    if name == "translation":
        sources = (folder / "train.source").read_text(encoding="utf-8").splitlines()
        targets = (folder / "train.target").read_text(encoding="utf-8").splitlines()
        pairs = {" -> ".join(pair) for pair in zip(sources, targets, strict=True)}
        assert set(rows) <= pairs
    elif name == "classification":
        lines = (folder / "train.txt").read_text(encoding="utf-8").splitlines()
        assert set(rows) <= {line.replace("\t", " -> ") for line in lines}
    elif name == "generation":
        text = (folder / "train.txt").read_text(encoding="utf-8")
        assert all(row.partition(" -> ")[2] in text for row in rows)
    elif name == "tagging":
        text = (folder / "train.txt").read_text(encoding="utf-8")
        sentences = [
            [line.split(" ") for line in s.split("\n")] for s in text.strip().split("\n\n")
        ]
        known = {
            f"{' '.join(word for word, _ in s)} -> {' '.join(label for _, label in s)}"
            for s in sentences
        }
        assert {row.lower() for row in rows} <= {each.lower() for each in known}
    else:
        numbers = [row.partition(" -> ")[2].split(", ") for row in rows]
        assert np.array(numbers, float).shape == weights.shape[:2]
