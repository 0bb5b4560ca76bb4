"""OpenNMT-tf's recurrent model and train step: `python -m benchmarks.programs.opennmt_luong JOB`.

Timed is `opennmt.models.Model.train` inside one `tf.function`: forward and backward pass, clipping,
Adam. No `tf.data` is involved. The decoder feeds its attention back into its inputs, which
OpenNMT-tf's `AttentionalRNNDecoder` always does; otherwise the model is that of the work.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import opennmt
import tensorflow as tf

from benchmarks.batches import END, START, Batch
from benchmarks.programs.job import Clock, Job, report
from benchmarks.works import Work

THEIR_START, THEIR_END = opennmt.START_OF_SENTENCE_ID, opennmt.END_OF_SENTENCE_ID


def main() -> None:
    """Trains and reports."""
    job = Job.from_arguments()
    tf.random.set_seed(1)
    model = translation(
        job.work,
        {
            "optimizer": "Adam",
            "optimizer_params": {"global_clipnorm": 1.0},
            "learning_rate": 1e-3,
            "average_loss_in_time": True,
        },
    )
    optimizer = model.get_optimizer()

    @tf.function(reduce_retracing=True)
    def step(features: dict[str, tf.Tensor], labels: dict[str, tf.Tensor]) -> tf.Tensor:
        return model.train(features, labels, optimizer)

    clock = Clock(job)
    for batch in clock.watch(job.load()):
        loss = step(to_features(batch), to_labels(batch)).numpy()
        clock.tick()
    report(versions=versions(), loss=float(loss), **clock.figures())


def translation(work: Work, parameters: dict[str, Any]) -> opennmt.models.SequenceToSequence:
    """Returns the model of a work, with its variables.

    Raises:
        RuntimeError: If OpenNMT-tf has no such model.
    """
    if not (work.task == "translation" and work.attention):
        raise RuntimeError("OpenNMT-tf's model is for translation with attention")
    model = opennmt.models.SequenceToSequence(
        opennmt.inputters.WordEmbedder(work.embedding, dropout=work.dropout),
        opennmt.inputters.WordEmbedder(work.embedding, dropout=work.dropout),
        opennmt.encoders.LSTMEncoder(1, work.units, work.bidirectional, dropout=0.0),
        opennmt.decoders.AttentionalRNNDecoder(
            1, work.encoder_width, opennmt.layers.DenseBridge, dropout=work.dropout
        ),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "vocabulary.txt")
        tokens = ["<blank>", "<s>", "</s>", *(f"token{i}" for i in range(3, work.outputs - 1))]
        path.write_text(
            "\n".join(tokens) + "\n", encoding="utf-8"
        )  # and one more for what is unknown
        files = {"source_vocabulary": str(path), "target_vocabulary": str(path)}
        model.initialize(files, parameters)
        model.create_variables()
    return model


def to_features(batch: Batch) -> dict[str, tf.Tensor]:
    """Returns the inputs of OpenNMT-tf's encoder."""
    length = batch["source_length"]
    return {"ids": tf.constant(batch["source"]), "length": tf.constant(length)}


def to_labels(batch: Batch) -> dict[str, tf.Tensor]:
    """Returns the inputs and the labels of OpenNMT-tf's decoder, with its own start and end."""
    labels = batch["labels"]
    return {
        "ids": tf.constant(np.where(batch["target"] == START, THEIR_START, batch["target"])),
        "ids_out": tf.constant(np.where(labels == END, THEIR_END, labels)),
        "length": tf.constant(np.count_nonzero(labels, axis=1).astype(np.int32)),
    }


def versions() -> dict[str, str]:
    """Returns the libraries' versions, named apart from those of our own environment."""
    return {"opennmt_tf": opennmt.__version__, "opennmt_tf's tensorflow": tf.__version__}


if __name__ == "__main__":
    main()
