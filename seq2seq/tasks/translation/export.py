"""What leaves of a translation: the whole search, the encoder, and a step of the decoder."""

import tensorflow as tf

from seq2seq.data.tokenizers.tokenizer import TokenizerPair
from seq2seq.decoding.strategy import Strategy
from seq2seq.errors import UserError
from seq2seq.models.translator import Translator
from seq2seq.tasks.exported import (
    ALIGNMENTS,
    ExportedFunction,
    TensorInfo,
    Tensors,
    hypotheses_info,
    lengths_info,
    model_function,
    noise_info,
    search_summary,
    tokens_info,
)
from seq2seq.tasks.graph_tokenizer import GraphTokenizer
from seq2seq.tasks.translation.search import Search

MEANINGS = {
    "source": "source token ids, 0 after the end of a row",
    "source_length": "the number of source tokens of each row",
    "target": "the target token before: at first the start token",
    "logits": "scores of the next target token, before the softmax",
    "alignments": ALIGNMENTS,
}


def exported_functions(
    model: Translator,
    tokenizer: TokenizerPair,
    decoding: Strategy,
    alignments: bool,
    token_scores: bool,
) -> list[ExportedFunction]:
    """Returns the search, of texts too where that is possible, the encoder, and a decoder's step.

    Raises:
        UserError: If the search uses a shortlist, which is made from tables that are not exported.
    """
    if decoding.shortlist:
        raise UserError(
            "decoding.shortlist: the tables of a shortlist are not exported; use --set shortlist=0."
        )
    axes = dict.fromkeys(("source", "alignments"), "source_length") | {"target": "steps"}
    if model.alignment_model is not None:
        memory = model.encoder_model.output["memory"]
        axes |= {f"memory_{name}": "source_length" for name in memory}
    search = _search(model, decoding, alignments, token_scores)
    return [
        search,
        *_text_search(search, tokenizer, decoding),
        model_function(
            "encode", "reads the source, before the first step",
            model.encoder_model, axes, MEANINGS, left_out=("outputs",),
        ),
        model_function(
            "step", "reads one target token, and returns the scores of the next",
            model.decoder_model, axes, MEANINGS,
        ),
    ]  # fmt: skip


def _text_search(
    search: ExportedFunction, tokenizer: TokenizerPair, decoding: Strategy
) -> list[ExportedFunction]:
    """Returns the search for texts; none if a tokenizer needs more than TensorFlow's operations."""
    try:
        source, target = (GraphTokenizer(each) for each in (tokenizer.source, tokenizer.target))
    except ValueError:
        return []
    if decoding.returns_multiple or decoding.needs_keys:
        return []

    def run(tensors: Tensors) -> Tensors:
        ids, lengths = source.encode(tensors["text"])
        result = search.run({"source": ids, "source_length": lengths})
        texts = target.decode(result["tokens"], result["lengths"])
        blank = tf.equal(lengths, 0)
        return {
            "prediction": tf.where(blank, "", texts),
            "score": tf.where(blank, 0.0, result["scores"]),
        }

    rows = ("batch",)
    inputs = {"text": TensorInfo("string", rows, "texts")}
    outputs = {
        "prediction": TensorInfo("string", rows, "their translations"),
        "score": TensorInfo("float32", rows, "their log-probabilities"),
    }
    return [ExportedFunction("predict_text", search.summary, run, inputs, outputs, has_texts=True)]


def _search(
    model: Translator, decoding: Strategy, alignments: bool, token_scores: bool
) -> ExportedFunction:
    search = Search((model,), decoding, alignments, token_scores)
    inputs = {
        "source": tokens_info("source", MEANINGS["source"]),
        "source_length": lengths_info("source tokens"),
    }
    if decoding.needs_keys:
        inputs["noise"] = noise_info(decoding)

    def run(tensors: Tensors) -> Tensors:
        keys = tensors.get("noise", tf.zeros_like(tensors["source_length"]))
        result = search.hypotheses(tensors["source"], tensors["source_length"], keys)
        return {name: part for name in outputs if (part := getattr(result, name)) is not None}

    outputs = hypotheses_info(decoding, alignments, token_scores)
    summary = f"translates: {search_summary(decoding, 'source_length')}"
    return ExportedFunction("predict", summary, run, inputs, outputs)
