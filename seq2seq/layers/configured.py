"""Layers whose configuration is the arguments of their constructor."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Any, Self

import keras


class ConfiguredLayer(keras.layers.Layer):
    """A layer that can be made again from the arguments of its constructor, layers among them.

    Keras does so by itself only where all arguments are plain numbers and strings.
    """

    _arguments: Mapping[str, Any] = MappingProxyType({})

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Stores the arguments where Keras does not track the layers among them."""
        layer = super().__new__(cls, *args, **kwargs)
        signature = inspect.signature(cls.__init__)
        with suppress(TypeError):  # the constructor's own message is better
            bound = signature.bind(layer, *args, **kwargs)
            bound.apply_defaults()
            arguments = {name: bound.arguments[name] for name in _own_arguments(cls.__init__)}
            object.__setattr__(layer, "_arguments", MappingProxyType(arguments))
        return layer

    def arguments(self) -> dict[str, Any]:
        """Returns the arguments that make this layer again."""
        return dict(self._arguments)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, layers as their configurations."""
        own = {
            name: keras.saving.serialize_keras_object(value)
            for name, value in self.arguments().items()
        }
        return {**super().get_config(), **own}

    def get_build_config(self) -> dict[str, Any] | None:
        """Returns the shapes to build from; none where the first call builds, which needs more."""
        built_by_call = type(self).build is keras.layers.Layer.build
        return None if built_by_call else super().get_build_config()

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Makes the layer from its configuration."""
        own = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in _own_arguments(cls.__init__)
            if name in config
        }
        return super().from_config({**config, **own})


def _own_arguments(constructor: Callable[..., None]) -> list[str]:
    """Returns the names of a constructor's arguments, without those of every Keras layer."""
    of_every_layer = inspect.signature(keras.layers.Layer.__init__).parameters
    return [
        name for name in inspect.signature(constructor).parameters if name not in of_every_layer
    ]


@contextmanager
def default_policy(policy: keras.DTypePolicy | str | None) -> Iterator[None]:
    """Sets the dtype policy of layers made within that are given none."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(keras.dtype_policies.get(policy))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
