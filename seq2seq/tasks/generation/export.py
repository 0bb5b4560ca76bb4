"""What leaves of a language model: continuations of prompts, and a step of a stream."""

import tensorflow as tf

from seq2seq.data.tokenizers.tokenizer import END
from seq2seq.decoding.strategy import Strategy
from seq2seq.models.language_model import LanguageModel
from seq2seq.tasks.exported import (
    ExportedFunction,
    TensorInfo,
    Tensors,
    hypotheses_info,
    lengths_info,
    model_function,
    noise_info,
    search_summary,
)

MEANINGS = {
    "tokens": "further token ids of a text; at its beginning the start token",
    "length": "the number of tokens of each row",
    "logits": "scores of the token after each, before the softmax",
}


def exported_functions(model: LanguageModel, decoding: Strategy) -> list[ExportedFunction]:
    """Returns the search for continuations, and the step of a stream."""
    axes = dict.fromkeys(("tokens", "logits"), "steps")
    summary = "reads further tokens of a text, and returns the scores of the next"
    return [
        _search(model, decoding),
        model_function("step", summary, model.step_model, axes, MEANINGS),
    ]


def _search(model: LanguageModel, decoding: Strategy) -> ExportedFunction:
    inputs = {
        "prompt": TensorInfo(
            "int32", ("batch", "prompt_length"), "token ids after the start token"
        ),
        "prompt_length": lengths_info("tokens, with the start token,"),
    }
    if decoding.needs_keys:
        inputs["noise"] = noise_info(decoding)

    def run(tensors: Tensors) -> Tensors:
        lengths = tensors["prompt_length"]
        last, states = model.read(tensors["prompt"], lengths)
        keys = tensors.get("noise", tf.zeros_like(lengths))
        result = decoding(model.step, states, lengths, last, END, keys=keys)
        return {name: getattr(result, name) for name in outputs}

    outputs = hypotheses_info(decoding)
    summary = f"continues prompts: {search_summary(decoding, 'prompt_length')}"
    return ExportedFunction("predict", summary, run, inputs, outputs)
