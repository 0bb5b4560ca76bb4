"""The frame of every search: one step of the model, the rules, a choice, and on."""

from abc import ABC, abstractmethod
from typing import Any

import tensorflow as tf

from seq2seq.decoding.constraints import Constraints
from seq2seq.decoding.hypotheses import Hypotheses, Step, StepOutput
from seq2seq.decoding.lengths import LengthLimits
from seq2seq.decoding.loop import until_finished
from seq2seq.decoding.partial import Choice, Maybe, Partial, flat, follow, grown, spread
from seq2seq.decoding.progress import moved
from seq2seq.decoding.rules import NEVER, Rules
from seq2seq.decoding.view import Sources, View, view_of


class Strategy(ABC):
    """Base of greedy search, sampling and beam search.

    Args:
        limits: How long hypotheses may and must be.
        rules: What changes the model's logits.

    Attributes:
        first_width: Hypotheses of each source that the first step begins with.
        several: Whether answers have an axis for the hypotheses of one source.
        needs_coverage: Whether the attention of all steps is summed up.
        needs_keys: Whether it draws random numbers.
        spreads: Whether it keeps hypotheses for all stages of what must be said; if not, missing
            words are said where the model would have ended.
    """

    first_width = 1
    several = False
    needs_coverage = False
    needs_keys = False
    spreads = False

    def __init__(self, limits: LengthLimits, rules: Rules) -> None:
        self.limits = limits
        self.rules = rules

    @abstractmethod
    def choose(self, view: View) -> Choice:
        """Chooses the next token of every hypothesis."""

    def settle(self, partial: Partial, sources: Sources) -> Partial:
        """Ends hypotheses that need not go on; none, if not overridden."""
        return partial

    def noise(self, keys: tf.Tensor, steps: tf.Tensor) -> Maybe:
        """Returns random numbers for `Sources.noise`; `()`, if not overridden."""
        return ()

    @abstractmethod
    def ranked(self, partial: Partial, sources: Sources) -> tuple[Partial, tf.Tensor | None]:
        """Puts finished hypotheses in the order in which they are answered.

        Returns:
            The hypotheses `(batch, n, ...)`, and their objectives `(batch, n)` if it has any.
        """

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
            source_lengths: int32 `(batch,)`, for limits and coverage.
            start: Id of the token that the first step reads, or one for each row, int32 `(batch,)`.
            end: Id of the token that ends a row.
            memory: What stays the same for a source, any nest of tensors with `batch` rows; if
                given, the step gets it as its third argument.
            keys: int32 `(batch,)`, numbers that tell sources from one another, such as their places
                in the user's input. Sampling needs them: the same seed and key give the same
                samples in any batch.
            constraints: What the words of each row must obey. A row's longest length grows to what
                its constraints need.
            token_scores: Whether to return each token's log-probability.
            alignments: Whether to return each token's attention.

        Returns:
            The hypotheses.

        Raises:
            ValueError: If attention is needed and the step returns none, or keys are and there are
                none.
        """
        if self.needs_keys and keys is None:
            raise ValueError(f"keys: {type(self).__name__} needs a number for each row")
        longest = self.limits.longest(source_lengths)
        if constraints is not None:
            constraints = Constraints(*map(tf.convert_to_tensor, constraints))
            longest = tf.maximum(longest, constraints.needed)
        steps = tf.reduce_max(longest) + 1
        sources = Sources(
            source_lengths,
            longest,
            self.limits.shortest(source_lengths),
            () if memory is None else (memory,),
            self.noise(keys, steps),
            () if constraints is None else constraints,
        )

        def one_step(partial: Partial, state: Any, memory: tuple[Any, ...]) -> StepOutput:
            tokens = flat(partial.tokens[:, :, -1])
            output = StepOutput(*step(tokens, flat(state), *memory))
            return StepOutput(*spread(tuple(output), partial.tokens.shape[1]))

        def advance(
            time: tf.Tensor, partial: Partial, state: Any, sources: Sources
        ) -> tuple[Partial, Any]:
            output = one_step(partial, state, sources.memory)
            return self._continued(time, partial, output, sources, end)

        partial = self._beginning(
            tf.shape(source_lengths)[0], start, constrained=constraints is not None
        )
        state = tf.nest.map_structure(
            lambda tensor: tf.repeat(tensor[:, tf.newaxis], self.first_width, axis=1), state
        )
        output = one_step(partial, state, sources.memory)
        partial = self._with_records(partial, output.attention, token_scores, alignments)
        partial, state = self._continued(tf.constant(0), partial, output, sources, end)
        partial = until_finished(advance, tf.constant(1), partial, state, sources, steps, end)
        return self._answer(partial, sources, end)

    def _beginning(self, batch: tf.Tensor, start: int | tf.Tensor, constrained: bool) -> Partial:
        places = [batch, self.first_width]
        return Partial(
            tokens=tf.broadcast_to(tf.reshape(start, (-1, 1, 1)), [*places, 1]),
            lengths=tf.zeros(places, tf.int32),
            finished=tf.zeros(places, tf.bool),
            scores=tf.zeros(places),
            ranking=tf.zeros(places) if self.rules.change_probabilities else (),
            progress=tf.zeros([*places, 2], tf.int32) if constrained else (),
        )

    def _with_records(
        self, partial: Partial, attention: tf.Tensor | None, token_scores: bool, alignments: bool
    ) -> Partial:
        """Adds the empty records that somebody needs."""
        if token_scores:
            partial = partial._replace(token_scores=partial.scores[..., tf.newaxis][..., :0])
        wanted = {"alignments": alignments, "coverage_penalty": self.needs_coverage}
        for name, needed in wanted.items():
            if needed and attention is None:
                raise ValueError(f"{name}: needs a step that returns its attention")
        if alignments:
            empty = tf.zeros_like(attention, tf.float32)[:, :, tf.newaxis][:, :, :0]
            partial = partial._replace(alignments=empty)
        if self.needs_coverage:
            partial = partial._replace(coverage=tf.zeros_like(attention, tf.float32))
        return partial

    def _continued(
        self, time: tf.Tensor, partial: Partial, output: StepOutput, sources: Sources, end: int
    ) -> tuple[Partial, Any]:
        choice = self.choose(
            view_of(output.logits, partial, sources, time, end, self.rules, not self.spreads)
        )
        state, attention = output.state, output.attention
        kept = isinstance(partial.alignments, tuple) and isinstance(partial.coverage, tuple)
        attention = None if kept else tf.cast(attention, tf.float32)
        if choice.parents is not None:
            partial, state = follow((partial, state), choice.parents)
            attention = None if attention is None else follow(attention, choice.parents)
        partial = grown(partial, choice, attention, end)
        if isinstance(sources.constraints, Constraints):
            progress = moved(sources.constraints, partial.progress, choice.tokens)
            partial = partial._replace(progress=progress)
        return self.settle(partial, sources), state

    def _answer(self, partial: Partial, sources: Sources, end: int) -> Hypotheses:
        partial, objectives = self.ranked(partial, sources)
        found = partial.scores > NEVER
        lengths = tf.where(found, partial.lengths, 0)
        steps = tf.reduce_max(lengths) + 1

        def shown(record: Maybe, otherwise: int) -> tf.Tensor | None:
            if isinstance(record, tuple):
                return None
            record = record[:, :, :steps]
            axes = [1] * (record.shape.rank - 2)
            there = tf.reshape(found, tf.concat([tf.shape(found), axes], 0))
            return tf.where(there, record, tf.cast(otherwise, record.dtype))

        answer = Hypotheses(
            shown(partial.tokens[:, :, 1:], end),
            lengths,
            partial.scores,
            objectives,
            shown(partial.token_scores, 0),
            shown(partial.alignments, 0),
        )
        if self.several:
            return answer
        return Hypotheses(*(None if part is None else part[:, 0] for part in answer))
