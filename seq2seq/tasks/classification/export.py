"""What leaves of a classifier: the probabilities of texts, and a step of a stream."""

from collections.abc import Sequence

import tensorflow as tf

from seq2seq.data.number_columns import MAXIMUM_DEVIATIONS, NumberColumn
from seq2seq.data.tokenizers.tokenizer import Tokenizer
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
from seq2seq.tasks.graph_tokenizer import GraphTokenizer

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
    tokenizer: Tokenizer,
    maximum_length: int | None,
) -> list[ExportedFunction]:
    """Returns the probabilities, by token ids and by texts, and the step of a stream.

    There is no function of texts or of a stream where that is not possible.

    Args:
        model: The classifier.
        texts: The names of the texts.
        numbers: The numbers beside them.
        temperature: What logits are divided by.
        several: Whether a text may have any number of classes.
        tokenizer: The tokenizer of the texts.
        maximum_length: How many tokens of a text are read; None for all.
    """
    probabilities = _probabilities(model, texts, numbers, temperature, several)
    functions = [probabilities, *_of_texts(probabilities, texts, tokenizer, maximum_length)]
    if (step := step_model_of(model)) is not None:
        summary = "reads further tokens of a text, and returns the scores of its classes so far"
        functions.append(model_function("step", summary, step, {"text": "steps"}, MEANINGS))
    return functions


def _of_texts(
    function: ExportedFunction,
    texts: Sequence[str],
    tokenizer: Tokenizer,
    maximum_length: int | None,
) -> list[ExportedFunction]:
    """Returns a function of texts; none if TensorFlow has no operations for the tokenizer."""
    try:
        encode = GraphTokenizer(tokenizer).encode
    except ValueError:
        return []

    def run(tensors: Tensors) -> Tensors:
        read = {name: part for name, part in tensors.items() if name not in texts}
        for text in texts:
            ids, lengths = encode(tensors[text])
            if maximum_length is not None:
                ids, lengths = ids[:, :maximum_length], tf.minimum(lengths, maximum_length)
            read[text], read[f"{text}_length"] = ids, lengths
        return {"probabilities": function.run(read)["probabilities"]}

    inputs = {text: TensorInfo("string", ("batch",), "texts") for text in texts}
    if "numbers" in function.inputs:
        inputs["numbers"] = function.inputs["numbers"]
    outputs = {"probabilities": function.outputs["probabilities"]}
    summary = function.summary
    return [ExportedFunction("predict_text", summary, run, inputs, outputs, has_texts=True)]


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
