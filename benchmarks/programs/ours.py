"""Our layers, trained as a recipe trains them: `python -m benchmarks.programs.ours JOB`."""

from collections.abc import Callable
from typing import Any

from seq2seq.commands._start_tensorflow import start_tensorflow

start_tensorflow()  # first, as `seq2seq train` does

import keras
import numpy as np
import tensorflow as tf

from benchmarks.batches import PAD, Batch
from benchmarks.programs.tensorflow_fit import begin, train
from benchmarks.works import Work
from seq2seq.layers.attention import LuongAttention
from seq2seq.layers.bridge import ConcatenateBridge, StateSpec
from seq2seq.layers.dense import Dense, LogitFactors
from seq2seq.layers.dropout import Dropout
from seq2seq.layers.embedding import Embedding
from seq2seq.layers.recurrent import LSTM
from seq2seq.models.encoder import Encoder
from seq2seq.models.language_model import LanguageModel
from seq2seq.models.stack import RecurrentStack
from seq2seq.ops.dispatch import disable_inter_op_parallelism
from seq2seq.training.garbage_collection import existing_objects_frozen
from seq2seq.training.losses import TokenCrossEntropy
from seq2seq.training.masked_loss_model import compile_model
from seq2seq.training.optimizers import Adam


def main() -> None:
    """Trains and reports."""
    disable_inter_op_parallelism()
    job = begin()
    tf.config.experimental.enable_op_determinism()
    example = to_stream_example if job.work.task == "generation" else to_example
    model = trained_model(job.work)
    with existing_objects_frozen():
        train(job, model, job.load(), example)


def trained_model(work: Work) -> keras.Model:
    """Returns the compiled model of a work.

    The one place where the output layer and the loss are chosen.
    """
    if work.task == "generation":
        model = language_model(work).loss_model
    else:
        inputs, features = BODIES[work.task](work)
        features = Dropout(work.dropout)(features)
        factors = LogitFactors(keras.layers.Dense(work.outputs, name="logits"))(features)
        model = keras.Model(inputs, factors)
    return compile_model(model, TokenCrossEntropy(), Adam(1e-3, global_clipnorm=1.0))


def to_example(batch: Batch) -> tuple[Batch, np.ndarray, np.ndarray]:
    """Turns a batch into inputs, labels and weights."""
    inputs = {name: array for name, array in batch.items() if name != "labels"}
    return inputs, batch["labels"], (batch["labels"] != PAD).astype(np.float32)


def to_stream_example(batch: Batch) -> tuple[Batch, np.ndarray, np.ndarray]:
    """Turns a batch into inputs, labels and weights; all rows go on from the batch before."""
    _, labels, weights = to_example(batch)
    reset = np.zeros(len(labels), bool)
    return {"tokens": batch["source"], "reset": reset}, labels, weights


def language_model(work: Work) -> LanguageModel:
    """Returns the model of a work of the task generation."""
    return LanguageModel(
        work.vocabulary,
        work.batch_size,
        RecurrentStack(units=work.units, dropout=work.dropout),
        work.embedding,
        output_dropout=work.dropout,
    )


def translation(work: Work) -> tuple[dict[str, Any], Any]:
    """Returns the inputs, and what the output layer reads, `(batch, target_length, width)`."""
    inputs, memory, states = _encoded(work)
    inputs["target"] = keras.Input((None,), dtype="int32", name="target")
    vectors = Dropout(work.dropout)(_embedding(work)(inputs["target"]))
    spec = StateSpec(layers=1, fields=("h", "c"), units=work.encoder_width)
    [start] = ConcatenateBridge(spec)(states)
    decoder = LSTM(work.encoder_width, return_sequences=True)
    outputs = decoder(vectors, initial_state=[start["h"], start["c"]])
    if not work.attention:
        return inputs, outputs
    attention = LuongAttention(work.encoder_width, score="dot")
    context, _, _ = attention(outputs, attention.prepare(memory, inputs["source_length"]), {})
    joined = keras.layers.Concatenate()([outputs, context])
    return inputs, Dense(work.encoder_width, activation="tanh")(joined)


def tagging(work: Work) -> tuple[dict[str, Any], Any]:
    """Returns the inputs, and what the output layer reads, `(batch, source_length, width)`."""
    inputs, outputs, _ = _encoded(work)
    return inputs, outputs


def classification(work: Work) -> tuple[dict[str, Any], Any]:
    """Returns the inputs, and what the output layer reads, `(batch, width)`."""
    inputs, _, states = _encoded(work)
    return inputs, keras.layers.Concatenate()([fields["h"] for fields in states[0].values()])


BODIES: dict[str, Callable[[Work], tuple[dict[str, Any], Any]]] = {
    "translation": translation,
    "tagging": tagging,
    "classification": classification,
}


def _encoded(work: Work) -> tuple[dict[str, Any], Any, Any]:
    """Returns the inputs, the encoder's outputs and its final states."""
    inputs = {
        "source": keras.Input((None,), dtype="int32", name="source"),
        "source_length": keras.Input((), dtype="int32", name="source_length"),
    }
    encoder = Encoder(units=work.units, bidirectional=work.bidirectional, dropout=work.dropout)
    outputs, states = encoder(_embedding(work)(inputs["source"]), inputs["source_length"])
    return inputs, outputs, states


def _embedding(work: Work) -> keras.layers.Layer:
    return Embedding(work.vocabulary, work.embedding)


if __name__ == "__main__":
    main()
