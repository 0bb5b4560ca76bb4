"""What leaves of a classifier: the probabilities of texts, and a step of a stream."""

from collections.abc import Sequence

import tensorflow as tf

from seq2seq.data.number_columns import MAXIMUM_DEVIATIONS, NumberColumn
from seq2seq.models.classifier import Classifier
from seq2seq.tasks.exported import (
    ExportedFunction,
    TensorInfo,
    Tensors,
    lengths_info,
    model_function,
    step_model_of,
    tokens_info,
)

MEANINGS = {
    "text": "further token ids of the text",
    "length": "the number of tokens of each row",
    "logits": "scores of the classes, before the softmax",
}


def exported_functions(
    model: Classifier,
    texts: Sequence[str],
    numbers: Sequence[NumberColumn],
    temperature: float,
    several: bool,
) -> list[ExportedFunction]:
    """Returns the probabilities of texts, and the step of a stream if there is one.

    Args:
        model: The classifier.
        texts: The names of the texts.
        numbers: The numbers beside them.
        temperature: What logits are divided by.
        several: Whether a text may have any number of classes.
    """
    functions = [_probabilities(model, texts, numbers, temperature, several)]
    if (step := step_model_of(model)) is not None:
        summary = "reads further tokens of a text, and returns the scores of its classes so far"
        functions.append(model_function("step", summary, step, {"text": "steps"}, MEANINGS))
    return functions


def _probabilities(
    model: Classifier,
    texts: Sequence[str],
    numbers: Sequence[NumberColumn],
    temperature: float,
    several: bool,
) -> ExportedFunction:
    inputs = {}
    for text in texts:
        inputs[text] = tokens_info(text)
        inputs[f"{text}_length"] = lengths_info(f"tokens of {text}")
    if numbers:
        names = ", ".join(column.field for column in numbers)
        inputs["numbers"] = TensorInfo("float32", ("batch", len(numbers)), f"the fields {names}")
    outputs = model.prediction_model.output
    infos = {
        "probabilities": TensorInfo(
            "float32", ("batch", outputs["logits"].shape[-1]), "the probability of each class"
        )
    }
    for text in texts:
        if f"{text}_weights" in outputs:
            infos[f"{text}_weights"] = TensorInfo(
                "float32", ("batch", f"{text}_length"), "attention weights of the tokens"
            )

    def run(tensors: Tensors) -> Tensors:
        read = dict(tensors)
        if numbers:
            read["numbers"] = _standardised(read["numbers"], numbers)
        result = dict(model.prediction_model(read, training=False))
        logits = tf.cast(result.pop("logits"), tf.float32) / temperature
        probabilities = tf.sigmoid(logits) if several else tf.nn.softmax(logits)
        return {"probabilities": probabilities, **result}

    return ExportedFunction("predict", "classifies texts", run, inputs, infos)


def _standardised(numbers: tf.Tensor, columns: Sequence[NumberColumn]) -> tf.Tensor:
    mean = tf.constant([column.mean for column in columns], tf.float32)
    deviation = tf.constant([column.deviation for column in columns], tf.float32)
    values = (numbers - mean) / deviation
    return tf.clip_by_value(values, -MAXIMUM_DEVIATIONS, MAXIMUM_DEVIATIONS)
