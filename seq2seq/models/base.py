"""The type of all models: what tasks, training and inference may ask of one."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar, NamedTuple, TypeVar

import keras

from seq2seq.models.embeddings import InputEmbedding


class VocabularyWeight(NamedTuple):
    """A weight that has a row for each token of a vocabulary."""

    vocabulary: str
    """The name of the vocabulary, as in `Task.vocabularies`."""
    variable: keras.Variable
    axis: int = 0
    """The axis of the rows."""


class SequenceModel(ABC):
    """Several Keras models on the same layer objects, so that there is one set of weights.

    Attributes:
        training_model: Inputs of a batch -> predictions; its weights are all of the model's.
        loss_model: Inputs of a batch -> what the task's loss takes; `fit` trains this one.
        feature_model: Inputs -> vectors `(batch, width)` by names such as
            `source.layer_0.forward.h`, the final states of the encoder; `None` if there is none.
        drops: Whether there is any dropout.
        start_tokens: The tokens that a session reads before the first piece of its input.
        has_int8_search: Whether the constructor takes `int8_search`, see `Translator`.
    """

    training_model: keras.Model
    loss_model: keras.Model
    feature_model: keras.Model | None = None
    drops: bool
    start_tokens: ClassVar[tuple[int, ...]] = ()
    has_int8_search: ClassVar[bool] = False

    @abstractmethod
    def recurrent_layers(self) -> dict[str, keras.layers.Layer]:
        """Returns the recurrent layers by names such as `encoder/layer_0/forward`.

        The part of the model that reads the input comes first.
        """

    def input_layers(self) -> dict[str, keras.layers.Layer]:
        """Returns the recurrent layers that read the input, by names such as `layer_0/forward`."""
        layers = self.recurrent_layers()
        first = next(iter(layers), "").partition("/")[0] + "/"
        return {
            name.removeprefix(first): layer
            for name, layer in layers.items()
            if name.startswith(first)
        }

    def input_embedding(self) -> InputEmbedding | None:
        """Returns the embedding of the input tokens; None if the model has none."""
        return None

    def vocabulary_weights(self) -> list[VocabularyWeight]:
        """Returns the weights whose shapes depend on vocabularies; none by default."""
        return []

    @cached_property
    def step_model(self) -> keras.Model:
        """The model as one that continues from given states, for input that arrives in pieces.

        `{..., length, states}` -> `{logits, states}`: inputs are `(batch, steps)`, `length`
        `(batch,)` counts the steps of each row, states begin as zeros, and `logits` are `(batch,
        steps, classes)`, the predictions after each step.

        Raises:
            ValueError: If the model reads its whole input before it predicts.
        """
        raise ValueError(f"a {type(self).__name__} reads its whole input before it predicts")


ModelT = TypeVar("ModelT", bound=SequenceModel)


def output_weights(vocabulary: str, layer: keras.layers.Layer | None) -> list[VocabularyWeight]:
    """Returns the weights of a dense output layer, if there is one: a column for each token."""
    if layer is None:
        return []
    return [
        VocabularyWeight(vocabulary, layer.kernel, axis=1),
        VocabularyWeight(vocabulary, layer.bias),
    ]


def named_layers(
    part: str, forward: list[keras.layers.Layer], backward: list[keras.layers.Layer] | None = None
) -> dict[str, keras.layers.Layer]:
    """Returns the layers of a stack by names such as `encoder/layer_0/forward`."""
    return {
        f"{part}/layer_{number}/{direction}": layer
        for direction, stack in (("forward", forward), ("backward", backward or []))
        for number, layer in enumerate(stack)
    }


def ensemble_of(model: ModelT | Sequence[ModelT]) -> tuple[ModelT, ...]:
    """Returns the models of an ensemble; one model is an ensemble of its own."""
    return (model,) if isinstance(model, SequenceModel) else tuple(model)
