"""The base of all decoding strategies: model step, logits processors, selection, update."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from seq2seq.decoding.beam_state import (
    BeamState,
    Continuations,
    OptionalTensor,
    append_tokens,
    gather_beams,
    merge_beams,
    split_beams,
)
from seq2seq.decoding.constraint_state import advance_constraints
from seq2seq.decoding.constraints import Constraints
from seq2seq.decoding.hypotheses import Hypotheses, Step, StepOutput
from seq2seq.decoding.length_limits import LengthLimits
from seq2seq.decoding.logits_processors import NEG_INF, LogitsProcessor
from seq2seq.decoding.loop import decode_until_finished
from seq2seq.decoding.next_token_logits import NextTokenLogits, Sources, process_logits


@dataclass(kw_only=True, eq=False)
class Strategy(ABC):
    """Base of greedy search, sampling and beam search.

    Args:
        maximum_length_ratio: Maximum length, in tokens for each source token.
        maximum_length_extra: Tokens added to the maximum length.
        minimum_length_ratio: Minimum length, in tokens for each source token.
        minimum_length_extra: Tokens added to the minimum length.
        repetition_penalty: Factor on the log-probability of tokens that a hypothesis has already; 1
            for none.
        no_repeat_ngram_size: n-grams of this size must not occur twice in a hypothesis; 0 for no
            block.
        shortlist: Of the target vocabulary, a translation's search uses this many tokens, the most
            frequent in training, and the likely translations of the source tokens in the batch; 0
            for all. Probabilities are then over these tokens.

    Attributes:
        initial_width: Hypotheses of each source at the first step.
        returns_multiple: Whether results have an axis for the hypotheses of one source.
        needs_coverage: Whether the attention of all steps is summed.
        needs_keys: Whether it draws random numbers.
        uses_banks: Whether the beam has slots for all stages of the required phrases; if not, they
            take the probability of the end token.

    Raises:
        ValueError: If an argument has an impossible value, or two of them contradict each other.
    """

    maximum_length_ratio: float = 2.0
    maximum_length_extra: int = 10
    minimum_length_ratio: float = 0.0
    minimum_length_extra: int = 0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    shortlist: int = 0

    initial_width = 1
    returns_multiple = False
    needs_coverage = False
    needs_keys = False
    uses_banks = False

    def __post_init__(self) -> None:
        self.limits = LengthLimits(
            self.maximum_length_ratio,
            self.maximum_length_extra,
            self.minimum_length_ratio,
            self.minimum_length_extra,
        )
        if self.shortlist < 0:
            raise ValueError(f"shortlist: must not be negative, got {self.shortlist}")
        self.processor = LogitsProcessor(self.repetition_penalty, self.no_repeat_ngram_size)

    @abstractmethod
    def select(self, next_token: NextTokenLogits) -> Continuations:
        """Selects the next token of every hypothesis."""

    def prune(self, beam: BeamState, sources: Sources) -> BeamState:
        """Finishes hypotheses that cannot become results; none, if not overridden."""
        return beam

    def noise(self, keys: tf.Tensor, steps: tf.Tensor) -> OptionalTensor:
        """Returns random numbers for `Sources.noise`; `()`, if not overridden."""
        return ()

    def rank(self, beam: BeamState, sources: Sources) -> tuple[BeamState, tf.Tensor | None]:
        """Sorts finished hypotheses; leaves them as they are, if not overridden.

        Returns:
            The hypotheses `(batch, n, ...)`, and their objectives `(batch, n)` if there are any.
        """
        return beam, None

    def __call__(
        self,
        step: Step,
        state: Any,
        source_lengths: tf.Tensor,
        start: int | tf.Tensor,
        end: int,
        memory: Any = None,
        keys: tf.Tensor | None = None,
        constraints: Constraints | None = None,
        token_scores: bool = False,
        alignments: bool = False,
    ) -> Hypotheses:
        """Searches for a whole batch; meant to be called inside a `tf.function`.

        Args:
            step: The model's step.
            state: The state before the first step, any nest of tensors with `batch` rows.
            source_lengths: int32 `(batch,)`.
            start: Id of the first token, or one for each row, int32 `(batch,)`.
            end: Id of the end token.
            memory: Third argument of the step, constant for each source: any nest of tensors with
                `batch` rows.
            keys: int32 `(batch,)`, random keys of the sources, such as their line numbers. The same
                seed and key give the same samples in any batch. Or see `Sampling.noise`.
            constraints: Constraints on each row; its maximum length grows to what they need.
            token_scores: Whether to return each token's log-probability.
            alignments: Whether to return each token's attention.

        Raises:
            ValueError: If attention or keys are needed and there are none.
        """
        sources = self.sources(source_lengths, keys, memory, constraints)
        beam = self.initial_beam(source_lengths, start, constrained=constraints is not None)
        state = tf.nest.map_structure(  # (batch, ...) -> (batch, width, ...)
            lambda tensor: tf.repeat(tensor[:, tf.newaxis], self.initial_width, axis=1), state
        )

        def advance(time: tf.Tensor, beam: BeamState, state: Any, sources: Sources) -> Any:
            output = _run_step(step, beam, state, sources)
            return self.extend(time, beam, output, sources, end)

        output = _run_step(step, beam, state, sources)
        beam = self._with_records(beam, output.attention, token_scores, alignments)
        beam, state = self.extend(tf.constant(0), beam, output, sources, end)
        max_steps = tf.reduce_max(sources.max_lengths) + 1
        beam = decode_until_finished(advance, tf.constant(1), beam, state, sources, max_steps, end)
        return self._results(beam, sources, end)

    def sources(
        self,
        lengths: tf.Tensor,
        keys: tf.Tensor | None,
        memory: Any = None,
        constraints: Constraints | None = None,
    ) -> Sources:
        """Returns what is constant during a search; arguments as in `__call__`."""
        if self.needs_keys and keys is None:
            raise ValueError(f"keys: {type(self).__name__} needs a number for each row")
        max_lengths = self.limits.max_lengths(lengths)
        if constraints is not None:
            constraints = Constraints(*map(tf.convert_to_tensor, constraints))
            max_lengths = tf.maximum(max_lengths, constraints.needed)
        return Sources(
            lengths,
            max_lengths,
            self.limits.min_lengths(lengths),
            () if memory is None else (memory,),
            self.noise(keys, tf.reduce_max(max_lengths) + 1),
            () if constraints is None else constraints,
        )

    def initial_beam(
        self, source_lengths: tf.Tensor, start: int | tf.Tensor, constrained: bool = False
    ) -> BeamState:
        """Returns the hypotheses before the first step, which have only the start token."""
        shape = [tf.shape(source_lengths)[0], self.initial_width]
        return BeamState(
            tokens=tf.broadcast_to(tf.reshape(start, (-1, 1, 1)), [*shape, 1]),
            lengths=tf.zeros(shape, tf.int32),
            finished=tf.zeros(shape, tf.bool),
            scores=tf.zeros(shape),
            penalized_scores=tf.zeros(shape) if self.processor.changes_probabilities else (),
            constraint_state=tf.zeros([*shape, 2], tf.int32) if constrained else (),
        )

    def _with_records(
        self, beam: BeamState, attention: tf.Tensor | None, token_scores: bool, alignments: bool
    ) -> BeamState:
        """Adds the optional fields of the beam that this search records.

        Like the tokens, they begin with the start token, whose values are zeros.
        """
        if token_scores:
            beam = beam._replace(token_scores=beam.scores[..., tf.newaxis])
        requested = {"alignments": alignments, "coverage_penalty": self.needs_coverage}
        for name, needed in requested.items():
            if needed and attention is None:
                raise ValueError(f"{name}: needs a step that returns its attention")
        if alignments:  # (batch, width, 1, source_length)
            none = tf.zeros_like(attention, tf.float32)[:, :, tf.newaxis]
            beam = beam._replace(alignments=none)
        if self.needs_coverage:
            beam = beam._replace(coverage=tf.zeros_like(attention, tf.float32))
        return beam

    def extend(
        self, time: tf.Tensor, beam: BeamState, output: StepOutput, sources: Sources, end: int
    ) -> tuple[BeamState, Any]:
        """Extends every hypothesis by one token.

        Takes the number of tokens that they have (int32 scalar), and the output of the model's
        step, `(batch, width, ...)`. Returns also the model's states, in the hypotheses' new order.
        """
        next_token = process_logits(
            output.logits, beam, sources, time, end, self.processor, not self.uses_banks
        )
        continuations = self.select(next_token)
        state, attention = output.state, output.attention
        unused = isinstance(beam.alignments, tuple) and isinstance(beam.coverage, tuple)
        attention = None if unused else tf.cast(attention, tf.float32)
        if continuations.parents is not None:
            beam, state = gather_beams((beam, state), continuations.parents)
            if attention is not None:
                attention = gather_beams(attention, continuations.parents)
        beam = append_tokens(beam, continuations, attention, end)
        if isinstance(sources.constraints, Constraints):
            advanced = advance_constraints(
                sources.constraints, beam.constraint_state, continuations.tokens
            )
            beam = beam._replace(constraint_state=advanced)
        return self.prune(beam, sources), state

    def _results(self, beam: BeamState, sources: Sources, end: int) -> Hypotheses:
        """Returns the ranked hypotheses, cut to the longest one."""
        beam, objectives = self.rank(beam, sources)
        exists = beam.scores > NEG_INF  # (batch, n)
        lengths = tf.where(exists, beam.lengths, 0)
        steps = tf.reduce_max(lengths) + 1

        def cut(record: OptionalTensor, padding: int) -> tf.Tensor | None:
            if isinstance(record, tuple):
                return None
            record = record[:, :, 1 : steps + 1]
            axes = [1] * (record.shape.rank - 2)
            mask = tf.reshape(exists, tf.concat([tf.shape(exists), axes], 0))
            return tf.where(mask, record, tf.cast(padding, record.dtype))

        results = Hypotheses(
            cut(beam.tokens, end),
            lengths,
            beam.scores,
            objectives,
            cut(beam.token_scores, 0),
            cut(beam.alignments, 0),
        )
        if self.returns_multiple:
            return results
        return Hypotheses(*(None if field is None else field[:, 0] for field in results))


def _run_step(step: Step, beam: BeamState, state: Any, sources: Sources) -> StepOutput:
    """Runs the model's step on the last token of every hypothesis, `(batch, width, ...)`."""
    tokens = merge_beams(beam.tokens[:, :, -1])  # (batch * width,)
    output = StepOutput(*step(tokens, merge_beams(state), *sources.memory))
    return StepOutput(*split_beams(tuple(output), beam.tokens.shape[1]))
