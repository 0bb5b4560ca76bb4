"""What leaves of a tagger: the best labels of sentences, and a step of a stream."""

import tensorflow as tf

from seq2seq.models.tagger import Tagger
from seq2seq.tasks.exported import (
    ExportedFunction,
    TensorInfo,
    Tensors,
    lengths_info,
    model_function,
    step_model_of,
)
from seq2seq.tasks.tagging.search import best_labels

MEANINGS = {
    "words": "ids of the words, 0 after the end of a row",
    "length": "the number of words of each row",
    "vectors": "ids of the words that have a pretrained vector",
    "spelling": "of each word, its row in `characters`",
    "characters": "ids of the characters of each different word",
    "character_length": "the number of characters of each different word",
    "logits": "scores of the labels, before the softmax",
}


def exported_functions(model: Tagger, count: int) -> list[ExportedFunction]:
    """Returns the search for the best label sequences, and the step of a stream if there is one.

    Args:
        model: The tagger.
        count: How many label sequences of each sentence.
    """
    functions = [_search(model, count)]
    if (step := step_model_of(model)) is not None:
        axes = dict.fromkeys(("words", "logits"), "steps")
        summary = "reads further words of a stream, and returns the scores of their labels"
        functions.append(model_function("step", summary, step, axes, MEANINGS))
    return functions


def _search(model: Tagger, count: int) -> ExportedFunction:
    inputs = {name: _info(name) for name in model.inputs}

    def run(tensors: Tensors) -> Tensors:
        read = dict(tensors)
        if model.spelling_model is not None:
            spelled = {name: read.pop(name) for name in ("characters", "character_length")}
            read["spelled"] = model.spelling_model(spelled, training=False)
        result = best_labels(model, read, count)
        result["labels"] = tf.where(
            tf.sequence_mask(tensors["length"], tf.shape(tensors["words"])[1])[:, tf.newaxis],
            result["labels"], 0,
        )  # fmt: skip
        return result

    outputs = {
        "labels": TensorInfo("int32", ("batch", count, "words"), "numbers of the labels"),
        "scores": TensorInfo("float32", ("batch", count), "log-probabilities of the sequences"),
        "probabilities": TensorInfo(
            "float32", ("batch", "words"), "the probability of each label of the best sequence"
        ),
    }
    return ExportedFunction("predict", "labels words", run, inputs, outputs)


def _info(name: str) -> TensorInfo:
    if name == "length":
        return lengths_info("words")
    meaning = MEANINGS.get(name, f"ids of the column {name!r}")
    if name == "characters":
        return TensorInfo("int32", ("spellings", "characters"), meaning)
    if name == "character_length":
        return TensorInfo("int32", ("spellings",), meaning)
    return TensorInfo("int32", ("batch", "words"), meaning)
