"""Which candidates get the places of a beam."""

from typing import NamedTuple

import tensorflow as tf

from seq2seq.decoding.constraints import END, Constraints
from seq2seq.decoding.progress import Outlook
from seq2seq.decoding.rules import NEVER
from seq2seq.decoding.view import View

FIRST = float("inf")
"""Orders what has ended before everything that has not."""


class Candidates(NamedTuple):
    """The continuations that places are given to, `(batch, width, count)` each.

    Attributes:
        tokens: int32, the next token.
        gains: float32, its log-probability under the rules; -inf for no candidate.
        order: float32, who comes first: the whole hypothesis's log-probability, `FIRST` for one
            that has ended, -inf for no candidate.
        remaining: int32, tokens that constraints still need after it; None without constraints.
    """

    tokens: tf.Tensor
    gains: tf.Tensor
    order: tf.Tensor
    remaining: tf.Tensor | None = None


class Places(NamedTuple):
    """Who got the places, `(batch, places)` each.

    Attributes:
        indices: int32, place of the candidate among all of its source, row by row.
        tokens: int32, its token; -1 for what had ended and for empty places.
        empty: bool, places that no candidate is left for.
    """

    indices: tf.Tensor
    tokens: tf.Tensor
    empty: tf.Tensor


def with_missing_words(
    view: View, ahead: Outlook, constraints: Constraints, tokens: tf.Tensor, gains: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Adds the tokens that bring missing words closer, however improbable.

    Args:
        view: What the strategy sees.
        ahead: What the constraints say.
        constraints: The constraints.
        tokens: int32 `(batch, width, count)`, the candidates so far.
        gains: float32 `(batch, width, count)`.

    Returns:
        Tokens, gains and remaining distances, `(batch, width, count + classes)`.
    """
    wanted = tf.maximum(constraints.tokens, 0)
    values = tf.gather(view.values, wanted, axis=2, batch_dims=1)
    missing = tf.broadcast_to(wanted[:, tf.newaxis], tf.shape(values))
    known = tf.reduce_any(tf.equal(missing[..., tf.newaxis], tokens[:, :, tf.newaxis]), axis=3)
    usable = ahead.closer & ~known & (view.forced < 0)[..., tf.newaxis]
    usable &= (constraints.tokens >= 0)[:, tf.newaxis]
    missing_gains = tf.where(usable, values - view.normalizer[..., tf.newaxis], NEVER)
    tokens = tf.concat([tokens, missing], axis=2)
    classes = tf.gather(constraints.classes, tokens, batch_dims=1)
    after = tf.gather(ahead.after, classes, batch_dims=2)
    remaining = tf.where(tf.equal(classes, END), ahead.distance[..., tf.newaxis], after)
    return tokens, tf.concat([gains, missing_gains], axis=2), remaining


def give_places(
    candidates: Candidates, count: int, groups: int = 1, strength: float = 0.0
) -> Places:
    """Gives `count` places of each source to its candidates.

    The places and the hypotheses belong to groups that choose one after another (Vijayakumar et
    al., 2016, https://arxiv.org/abs/1610.02424): each prefers tokens that the groups before it have
    not just chosen. At the first step, all groups choose from the only hypothesis there is.

    Args:
        candidates: The candidates.
        count: Places of each source.
        groups: Number of groups; divides `count`.
        strength: What a candidate loses for each earlier group's hypothesis with the same token.
    """
    width, each = candidates.tokens.shape[1:]
    each = tf.shape(candidates.tokens)[2] if each is None else each
    chosen: list[Places] = []
    for group in range(groups):
        first = 0 if width == 1 else group * (width // groups)
        last = first + max(1, width // groups)
        own = Candidates(
            *(
                None
                if part is None
                else tf.reshape(part[:, first:last], [-1, (last - first) * each])
                for part in candidates
            )
        )
        order = own.order
        for earlier in chosen:
            same = tf.equal(own.tokens[..., tf.newaxis], earlier.tokens[:, tf.newaxis])
            order -= strength * tf.reduce_sum(tf.cast(same, tf.float32), axis=2)
        places = _best(own._replace(order=order), count // groups)
        chosen.append(places._replace(indices=places.indices + first * each))
    return Places(*(tf.concat(parts, axis=1) for parts in zip(*chosen, strict=True)))


def _best(candidates: Candidates, count: int) -> Places:
    """Gives one group's places; all is `(batch, candidates)`."""
    order = candidates.order
    if candidates.remaining is not None:
        order = in_turn(order, candidates.remaining)
    may_be_few = order.shape[1] is None or order.shape[1] < count
    size = tf.shape(order)[1]
    if may_be_few:
        order = tf.pad(order, [[0, 0], [0, tf.maximum(0, count - size)]], constant_values=NEVER)
    best, indices = tf.math.top_k(order, count)
    if may_be_few:
        indices = tf.minimum(indices, size - 1)
    tokens = tf.gather(candidates.tokens, indices, batch_dims=1)
    going = tf.logical_and(best > NEVER, best < FIRST)
    return Places(indices, tf.where(going, tokens, -1), tf.equal(best, NEVER))


def in_turn(order: tf.Tensor, remaining: tf.Tensor) -> tf.Tensor:
    """Lets hypotheses at every stage of what must be said have places.

    Those with the same number of tokens still needed make a bank (Post and Vilar, 2018,
    https://arxiv.org/abs/1804.06609). First comes the best of each bank, then the second of each,
    and so on, so that places which one bank cannot fill go to the others.

    Args:
        order: float32 `(batch, candidates)`.
        remaining: int32 `(batch, candidates)`.

    Returns:
        The new order; infinite values stay.
    """
    places = tf.range(tf.shape(order)[1])
    other, own = order[:, tf.newaxis], order[:, :, tf.newaxis]
    tie = tf.logical_and(tf.equal(other, own), places < places[:, tf.newaxis])
    before = tf.logical_or(other > own, tie)
    same = tf.equal(remaining[:, tf.newaxis], remaining[:, :, tf.newaxis])
    rank = tf.reduce_sum(tf.cast(tf.logical_and(before, same), tf.int32), axis=2)
    other, own = rank[:, tf.newaxis], rank[:, :, tf.newaxis]
    earlier = tf.logical_or(other < own, tf.logical_and(tf.equal(other, own), before))
    position = tf.reduce_sum(tf.cast(earlier, tf.float32), axis=2)
    return tf.where(tf.math.is_inf(order), order, -position)
