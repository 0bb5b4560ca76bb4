"""Functions of a task that leave as files for other runtimes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from seq2seq.decoding.strategy import Strategy
from seq2seq.models.exportable_model import flat_name, named_tensors

Tensors = dict[str, tf.Tensor]
ALIGNMENTS = "attention weights of the source tokens"


class TensorInfo(NamedTuple):
    """What an input or an output of an exported function is.

    Attributes:
        dtype: `int32`, `float32` or `string`.
        shape: Names of axes that vary, and sizes of others.
        meaning: One line for the manifest.
    """

    dtype: str
    shape: tuple[str | int, ...]
    meaning: str

    @property
    def spec(self) -> tf.TensorSpec:
        """The tensor as TensorFlow describes it."""
        sizes = [None if isinstance(size, str) else size for size in self.shape]
        return tf.TensorSpec(sizes, self.dtype)


@dataclass(frozen=True)
class ExportedFunction:
    """A function of named tensors.

    Attributes:
        name: `predict`, `predict_text`, `encode` or `step`.
        summary: What it does, in one line.
        run: The function.
        inputs: Its inputs, by name.
        outputs: Its outputs, by name.
        has_texts: Whether it takes or returns texts, which TensorFlow alone has.
    """

    name: str
    summary: str
    run: Callable[[Tensors], Tensors]
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    has_texts: bool = False


def tokens_info(side: str, meaning: str = "token ids, 0 after the end of a row") -> TensorInfo:
    """Returns the description of token ids, int32 `(batch, SIDE_length)`."""
    return TensorInfo("int32", ("batch", f"{side}_length"), meaning)


def lengths_info(of: str) -> TensorInfo:
    """Returns the description of the lengths of rows, int32 `(batch,)`."""
    return TensorInfo("int32", ("batch",), f"the number of {of} of each row")


def noise_info(decoding: Strategy) -> TensorInfo:
    """Returns the description of the random numbers of a search that samples."""
    shape = ("batch", decoding.initial_width, "random_numbers")
    return TensorInfo(
        "float32", shape, "random numbers in [0, 1), one for each token: the maximum length and 1"
    )


def search_summary(decoding: Strategy, source: str) -> str:
    """Returns the name of a search and how many tokens it makes at most."""
    ratio, extra = decoding.maximum_length_ratio, decoding.maximum_length_extra
    limit = f"{ratio:g} * {source} + {extra}" if ratio else str(extra)
    return f"{type(decoding).__name__}, at most {limit} tokens"


def hypotheses_info(
    decoding: Strategy, alignments: bool = False, token_scores: bool = False
) -> dict[str, TensorInfo]:
    """Returns what the results of a search are, see `Hypotheses`."""
    rows: tuple[str | int, ...] = ("batch",)
    if decoding.returns_multiple:
        rows = ("batch", "hypotheses")
    tokens = (*rows, "target_length")
    infos = {
        "tokens": TensorInfo("int32", tokens, "target token ids, without start and end"),
        "lengths": TensorInfo("int32", rows, "the number of target tokens"),
        "scores": TensorInfo("float32", rows, "the log-probability of all tokens and the end"),
    }
    if token_scores:
        infos["token_scores"] = TensorInfo("float32", tokens, "log-probabilities of the tokens")
    if alignments:
        infos["alignments"] = TensorInfo("float32", (*tokens, "source_length"), ALIGNMENTS)
    return infos


def step_model_of(model: Any) -> keras.Model | None:
    """Returns the model of a step of a stream; None if the model reads whole inputs only."""
    try:
        step: keras.Model = model.step_model
    except ValueError:
        return None
    return step


def model_function(
    name: str,
    summary: str,
    model: keras.Model,
    axes: Mapping[str, str],
    meanings: Mapping[str, str],
    left_out: tuple[str, ...] = (),
) -> ExportedFunction:
    """Returns a Keras model with nested inputs and outputs as a function of flat tensors.

    An output `next_NAME` is the input `NAME` of the next step: formats identify tensors by name.

    Args:
        name: The name of the function.
        summary: Its summary.
        model: The model.
        axes: The name of the second axis, where it varies, by the name of the input or output.
        meanings: What inputs and outputs are, by name; states and memory are known.
        left_out: Outputs that are not exported.
    """

    def run(tensors: Tensors) -> Tensors:
        flat = [tensors[flat_name(path)] for path, _ in keras.tree.flatten_with_path(model.input)]
        nested = keras.tree.pack_sequence_as(model.input, flat)
        return selected(model(nested, training=False))

    def selected(outputs: Mapping[str, Any]) -> Tensors:
        flat = named_tensors({k: part for k, part in outputs.items() if k not in left_out})
        return {f"next_{k}" if k in inputs else k: part for k, part in flat.items()}

    def infos(tensors: Mapping[str, Any]) -> dict[str, TensorInfo]:
        return {
            key: TensorInfo(tensor.dtype, _shape(key, tensor, axes), _meaning(key, meanings))
            for key, tensor in tensors.items()
        }

    inputs = named_tensors(model.input)
    return ExportedFunction(name, summary, run, infos(inputs), infos(selected(model.output)))


def _shape(name: str, tensor: Any, axes: Mapping[str, str]) -> tuple[str | int, ...]:
    rest = [axes.get(name, "steps") if size is None else size for size in tensor.shape[1:]]
    return ("batch", *rest)


def _meaning(name: str, meanings: Mapping[str, str]) -> str:
    if name.startswith(("state_", "next_state_")):
        return "a state; the output is the input of the next step"
    if name.startswith("memory_"):
        return "what the attention reads, the same at every step"
    return meanings[name]
