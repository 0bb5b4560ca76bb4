"""Compiled graphs of translators: one searches, the other scores given targets."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from seq2seq.data.tokenizers.tokenizer import END, START
from seq2seq.decoding.constraints import Constraints, on_shortlist
from seq2seq.decoding.ensemble import Ensemble, average_logits
from seq2seq.decoding.hypotheses import Hypotheses
from seq2seq.decoding.log_probabilities import token_log_probabilities
from seq2seq.decoding.strategy import Strategy
from seq2seq.models.translator import Translator
from seq2seq.ops.dispatch import PackedWeights, inference_kernels, single_threaded_executor

SOURCES = (
    tf.TensorSpec((None, None), tf.int32, name="source"),
    tf.TensorSpec((None,), tf.int32, name="source_length"),
    tf.TensorSpec((None,), tf.int32, name="keys"),
)
SHORTLIST = tf.TensorSpec((None,), tf.int32, name="shortlist")
CONSTRAINTS = Constraints(
    prefixes=tf.TensorSpec((None, None), tf.int32),
    classes=tf.TensorSpec((None, None), tf.int32),
    transitions=tf.TensorSpec((None, None, None), tf.int32),
    completes=tf.TensorSpec((None, None), tf.int32),
    distances=tf.TensorSpec((None, None, None), tf.int32),
    tokens=tf.TensorSpec((None, None), tf.int32),
    needed=tf.TensorSpec((None,), tf.int32),
)


def attends(models: Sequence[Translator]) -> bool:
    """Returns whether any of the models has an attention."""
    return any(model.alignment_model is not None for model in models)


class Search:
    """Encoder, decoder and search as one graph, traced once for any batch size and length.

    Searches with a shortlist, with constraints, and with both have graphs of their own, which are
    traced when they are first needed.

    With a shortlist, token ids are places in it from the first step to the last: products of the
    output layer, normalizer and selection know these tokens alone. Only the embedding looks up
    their ids in the vocabulary, and so do the results.

    Args:
        models: One translator, or an ensemble of several with the same vocabularies.
        decoding: The search.
        alignments: Whether to return each token's attention.
        token_scores: Whether to return each token's log-probability.
    """

    def __init__(
        self,
        models: tuple[Translator, ...],
        decoding: Strategy,
        alignments: bool = False,
        token_scores: bool = False,
    ) -> None:
        self.models, self.decoding = models, decoding
        self.extra_outputs = {"alignments": alignments, "token_scores": token_scores}
        self._graphs: dict[tuple[bool, bool], Any] = {}

    def __call__(
        self,
        source: Any,
        source_length: Any,
        keys: Any,
        constraints: Constraints | None = None,
        shortlist: Any | None = None,
    ) -> Hypotheses:
        """Searches for a batch.

        Args:
            source: int32 `(batch, source_length)`.
            source_length: int32 `(batch,)`.
            keys: int32 `(batch,)`, the random keys of the rows, for sampling.
            constraints: Constraints on each row.
            shortlist: The only target tokens that are possible, int32 `(tokens,)`, in ascending
                order: the special ones, all that constraints name and, for a model that copies, all
                of the source.
        """
        kind = shortlist is not None, constraints is not None
        if shortlist is not None and constraints is not None:
            constraints = on_shortlist(constraints, shortlist)
        if kind not in self._graphs:
            signature = (*SOURCES, SHORTLIST if kind[0] else (), CONSTRAINTS if kind[1] else ())
            self._graphs[kind] = tf.function(
                self.hypotheses, input_signature=signature, autograph=False
            )
        further = (() if each is None else each for each in (shortlist, constraints))
        with single_threaded_executor():
            return self._graphs[kind](source, source_length, keys, *further)

    @property
    def tracing_count(self) -> int:
        """The number of traced graphs: at most one, with and without shortlist and constraints."""
        graphs = self._graphs.values()
        return sum(graph.experimental_get_tracing_count() for graph in graphs)

    def hypotheses(
        self,
        source: tf.Tensor,
        source_length: tf.Tensor,
        keys: tf.Tensor,
        shortlist: tf.Tensor | tuple[()] = (),
        constraints: Constraints | tuple[()] = (),
    ) -> Hypotheses:
        """Searches within the graph that is being traced; arguments as in a call."""
        listed = None if isinstance(shortlist, tuple) else shortlist
        with inference_kernels():
            inputs = {"source": source, "source_length": source_length}
            starts = [_encoded(model, inputs, listed) for model in self.models]
            steps = [_Step(model, listed) for model in self.models]
            state, memory = starts[0]["states"], starts[0].get("memory")
            if len(self.models) > 1:
                state = tuple(start["states"] for start in starts)
                memory = tuple(start.get("memory", ()) for start in starts)
            hypotheses = self.decoding(
                Ensemble(steps) if len(steps) > 1 else steps[0],
                state,
                source_length,
                START,
                END,
                memory=memory,
                keys=keys,
                constraints=constraints or None,
                **self.extra_outputs,
            )
        if listed is None:
            return hypotheses
        return hypotheses._replace(tokens=tf.gather(listed, hypotheses.tokens))


def _encoded(
    model: Translator, inputs: dict[str, tf.Tensor], shortlist: tf.Tensor | None
) -> dict[str, Any]:
    """Returns the outputs of the encoder; source tokens that may be copied as places in a list."""
    start = model.encoder_model(inputs)
    if shortlist is not None and model.copy_gate is not None:
        tokens = tf.searchsorted(shortlist, tf.reshape(inputs["source"], [-1]))
        start["memory"]["tokens"] = tf.reshape(tokens, tf.shape(inputs["source"]))
    return start


class _Step:
    """A translator's decoder as the step function of a search, over a shortlist if there is one."""

    def __init__(self, model: Translator, shortlist: tf.Tensor | None) -> None:
        self.model, self.shortlist = model.decoder_model, shortlist
        self.weights = PackedWeights(eight_bits=model.int8_search)
        if shortlist is not None:
            model.select_outputs(self.weights, shortlist)

    def __call__(self, tokens: tf.Tensor, states: Any, *memory: Any) -> tuple[tf.Tensor, ...]:
        if self.shortlist is not None:
            tokens = tf.gather(self.shortlist, tokens)
        inputs = {"target": tokens[:, tf.newaxis], "states": states}
        if memory:
            inputs["memory"] = memory[0]
        # Kernels of whole sequences would pack their weights at every step.
        with inference_kernels(False), self.weights.in_use():
            outputs = self.model(inputs)
        if not memory:
            return outputs["logits"][:, 0], outputs["states"]
        return outputs["logits"][:, 0], outputs["states"], outputs["alignments"][:, 0]


class Scored(NamedTuple):
    """The scores of given targets."""

    token_scores: tf.Tensor
    """float32 `(batch, target_length)`, the log-probability of each label."""
    alignments: tf.Tensor | None
    """float32 `(batch, target_length, source_length)`."""


class Scorer:
    """Log-probabilities of given targets as one graph, traced once; arguments as of `Search`."""

    def __init__(self, models: tuple[Translator, ...], alignments: bool = False) -> None:
        self.models, self.alignments = models, alignments
        self.graph = tf.function(
            self._score,
            input_signature=(
                *SOURCES[:2],
                tf.TensorSpec((None, None), tf.int32, name="target"),
                tf.TensorSpec((None, None), tf.int32, name="labels"),
            ),
            autograph=False,
        )

    def __call__(self, source: Any, source_length: Any, target: Any, labels: Any) -> Scored:
        """Scores a batch; target and labels are as of `teacher_forced`."""
        return self.graph(source, source_length, target, labels)

    def _score(
        self, source: tf.Tensor, source_length: tf.Tensor, target: tf.Tensor, labels: tf.Tensor
    ) -> Scored:
        outputs = []
        with inference_kernels():
            for model in self.models:
                start = model.encoder_model({"source": source, "source_length": source_length})
                del start["outputs"]
                outputs.append(model.decoder_model({"target": target, **start}))
        logits = [output["logits"] for output in outputs]
        attention = [output["alignments"] for output in outputs if "alignments" in output]
        return Scored(
            token_log_probabilities(
                logits[0] if len(logits) == 1 else average_logits(logits), labels
            ),
            tf.add_n(attention) / len(attention) if self.alignments else None,
        )
