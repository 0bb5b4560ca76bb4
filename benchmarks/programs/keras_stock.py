"""Stock Keras layers and `fit`: `python -m benchmarks.programs.keras_stock JOB`."""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from benchmarks.batches import Batch
from benchmarks.programs.tensorflow_fit import adam, begin, train
from benchmarks.works import Work


def main() -> None:
    """Trains and reports."""
    job = begin()
    train(job, trained_model(job.work), job.load(), to_example)


def trained_model(work: Work) -> keras.Model:
    """Returns the compiled model of a work."""
    inputs, features = BODIES[work.task](work)
    logits = layers.Dense(work.outputs)(layers.Dropout(work.dropout)(features))
    model = keras.Model(inputs, logits)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=adam(), loss=loss)
    return model


def to_example(batch: Batch) -> tuple[Any, Any]:
    """Turns a batch into inputs and labels; the masks come from the embeddings."""
    inputs = {side: batch[side] for side in ("source", "target") if side in batch}
    return inputs, batch["labels"]


def translation(work: Work) -> tuple[dict[str, Any], Any]:
    """Returns the inputs, and what the output layer reads, `(batch, target_length, width)`."""
    source, target = _input("source"), _input("target")
    encoder = _recurrent(work, return_sequences=True, return_state=True)
    memory, forward_h, forward_c, backward_h, backward_c = encoder(_embedded(work, source))
    start = [
        layers.Concatenate()([forward_h, backward_h]),
        layers.Concatenate()([forward_c, backward_c]),
    ]
    decoder = layers.LSTM(work.encoder_width, return_sequences=True)
    outputs = decoder(_embedded(work, target), initial_state=start)
    if work.attention:
        context = layers.Attention()([outputs, memory])
        joined = layers.Concatenate()([outputs, context])
        outputs = layers.Dense(work.encoder_width, activation="tanh")(joined)
    return {"source": source, "target": target}, outputs


def tagging(work: Work) -> tuple[dict[str, Any], Any]:
    """Returns the inputs, and what the output layer reads, `(batch, source_length, width)`."""
    source = _input("source")
    return {"source": source}, _recurrent(work, return_sequences=True)(_embedded(work, source))


def classification(work: Work) -> tuple[dict[str, Any], Any]:
    """Returns the inputs, and what the output layer reads, `(batch, width)`."""
    source = _input("source")
    return {"source": source}, _recurrent(work)(_embedded(work, source))


def generation(work: Work) -> tuple[dict[str, Any], Any]:
    """Returns the inputs, and what the output layer reads; the state is carried by the layer."""
    source = keras.Input(batch_shape=(work.batch_size, None), dtype="int32", name="source")
    lstm = _recurrent(work, return_sequences=True, stateful=True)
    return {"source": source}, lstm(_embedded(work, source))


BODIES: dict[str, Callable[[Work], tuple[dict[str, Any], Any]]] = {
    "translation": translation,
    "tagging": tagging,
    "classification": classification,
    "generation": generation,
}


def _input(name: str) -> Any:
    return keras.Input((None,), dtype="int32", name=name)


def _embedded(work: Work, tokens: Any) -> Any:
    embedding = layers.Embedding(work.vocabulary, work.embedding, mask_zero=work.is_padded)
    return layers.Dropout(work.dropout)(embedding(tokens))


def _recurrent(work: Work, **kwargs: Any) -> keras.layers.Layer:
    lstm = layers.LSTM(work.units, **kwargs)
    return layers.Bidirectional(lstm) if work.bidirectional else lstm


if __name__ == "__main__":
    main()
