"""All registered classes are Keras layers to their users, too: one test for all of them."""

import importlib
import json
import pkgutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import seq2seq
from seq2seq.layers.bridge import Bridge, StateSpec
from seq2seq.models.exportable_model import NestedModel
from seq2seq.training.optimizers import Adam, AdamW
from tests.models.registered_layers import CASES, QUERY, STATES, Case

NOT_LAYERS = {Adam, AdamW, StateSpec, Bridge, NestedModel}  # see test_saved_models

cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def registered() -> set[type]:
    for module in pkgutil.walk_packages(seq2seq.__path__, "seq2seq."):
        if module.name.split(".")[1] in ("layers", "models", "training"):
            importlib.import_module(module.name)
    found = keras.saving.get_custom_objects()
    return {kind for name, kind in found.items() if name.startswith("seq2seq>")}


def symbolic(inputs):
    """Returns Keras inputs for arrays of a batch, of any number of rows and, mostly, steps."""

    def one(array):
        shape = [None if axis == 1 and array.ndim == 3 else n for axis, n in enumerate(array.shape)]
        return keras.Input(shape[1:], dtype=array.dtype.name)

    return keras.tree.map_structure(one, inputs)


def numbers(outputs) -> list[np.ndarray]:
    return [np.asarray(tf.cast(each, tf.float32)) for each in tf.nest.flatten(outputs)]


def assert_same(found, expected, **tolerance):
    found, expected = numbers(found), numbers(expected)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, **{"rtol": 0, "atol": 1e-6, **tolerance})


def functional(case: Case, layer: keras.layers.Layer) -> keras.Model:
    inputs = symbolic(case.inputs)
    return keras.Model(inputs, layer(**inputs, **case.options))


def randomized(layer):
    """Gives weights values, as what starts from zeros could be lost without a difference."""
    generator = np.random.default_rng(7)
    for weight in layer.trainable_weights:
        weight.assign(generator.normal(scale=0.3, size=weight.shape))
    return layer


def test_no_registered_class_is_left_out():
    tested = {type(case.make()) for case in CASES.values()}
    assert tested | NOT_LAYERS == registered()
    assert len(tested) >= 44
    for kind in registered():
        assert keras.saving.get_registered_object(f"seq2seq>{kind.__name__}") is kind


@cases
def test_configuration_makes_the_same_layer(case):
    layer = case.make()
    written = json.dumps(keras.saving.serialize_keras_object(layer))
    clone = keras.saving.deserialize_keras_object(json.loads(written))
    assert type(clone) is type(layer)
    assert json.dumps(keras.saving.serialize_keras_object(clone)) == written
    again = type(layer).from_config(layer.get_config())
    expected = layer(**case.inputs, **case.options)
    for other in (clone, again):
        other(**case.inputs, **case.options)
        other.set_weights(layer.get_weights())
        assert_same(other(**case.inputs, **case.options), expected, atol=1e-6)


@cases
def test_saved_and_loaded_in_a_functional_model(case, tmp_path):
    layer = case.make()
    model = randomized(functional(case, layer))
    expected = model(case.inputs)
    assert_same(layer(**case.inputs, **case.options), expected)
    for number in range(2):  # what was loaded can be saved, too
        path = tmp_path / f"{number}.keras"
        model.save(path)
        model = keras.models.load_model(path)
        assert_same(model(case.inputs), expected)
        assert type(model.get_layer(layer.name)) is type(layer)


@cases
def test_exported(case, tmp_path):
    model = randomized(functional(case, case.make()))
    flat = {f"output_{n}": each for n, each in enumerate(keras.tree.flatten(model.output))}
    model = keras.Model(model.input, flat)
    model.export(tmp_path / "exported", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "exported")
    assert_same(loaded.serve(case.inputs), model(case.inputs))


@cases
@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "mixed_bfloat16"])
def test_other_dtypes(case, dtype):
    exact = case.make()
    expected = randomized(functional(case, exact))(case.inputs)
    layer = case.make(dtype=keras.DTypePolicy(dtype))
    model = functional(case, layer)
    layer.set_weights([weight.numpy() for weight in exact.weights])
    found = model(case.inputs)
    tolerance = {"atol": 1e-5} if dtype == "float64" else {"atol": 0.06, "rtol": 0.06}
    assert_same(found, expected, **tolerance)
    if not case.options.get("reverse"):  # stock Keras announces another type than it gives
        announced = [each.dtype for each in keras.tree.flatten(model.output)]
        assert announced == [each.dtype.name for each in keras.tree.flatten(found)]
    clone = type(layer).from_config(layer.get_config())
    assert clone.dtype_policy == layer.dtype_policy


@pytest.mark.parametrize("name", [name for name in CASES if "lengths" in CASES[name].inputs])
def test_what_is_padding_changes_nothing(name):
    case = CASES[name]
    layer = case.make()
    randomized(functional(case, layer))
    lengths = case.inputs["lengths"]

    def junk(array):
        if array.ndim < 2 or array.shape[0] != len(lengths) or array.shape[1] < max(lengths):
            return array
        real = np.arange(array.shape[1]) < lengths[:, np.newaxis]
        real = real.reshape(real.shape + (1,) * (array.ndim - 2))
        return np.where(real, array, array[::-1, ::-1])

    first = next(iter(case.inputs))
    changed = {**case.inputs, first: junk(case.inputs[first])}
    found, expected = numbers(layer(**changed)), numbers(layer(**case.inputs))
    for one, other in zip(found, expected, strict=True):
        if one.ndim > 1 and one.shape[1] == case.inputs[first].shape[1]:
            real = np.arange(one.shape[1]) < lengths[:, np.newaxis]
            np.testing.assert_allclose(one[real], other[real], atol=1e-6)
        else:
            np.testing.assert_allclose(one, other, atol=1e-6)


WRONG_CALLS = {
    "no memory": ("Decoder, luong", {"memory": None}, "memory: is what the attention reads"),
    "nothing fed": (
        "Decoder, feeding",
        {"states": STATES},
        "states: lack the state of input",
    ),
    "one layer's states": ("Decoder", {"states": STATES[:1]}, r"states: must be of 2 layer\(s\)"),
    "states of a GRU": ("Decoder", {"states": [{"h": QUERY[:, 0]}] * 2}, "states: must be of"),
    "states of other units": (
        "RecurrentStack",
        {"states": [{name: each[:, 1:] for name, each in STATES[0].items()}] * 2},
        "of 4 units",
    ),
}


@pytest.mark.parametrize(("name", "wrong", "words"), WRONG_CALLS.values(), ids=WRONG_CALLS)
@pytest.mark.parametrize("eager", [True, False])
def test_wrong_calls_say_what_is_needed(name, wrong, words, eager):
    case = CASES[name]
    inputs = {**case.inputs, **wrong}
    if not eager:
        inputs = {key: None if value is None else symbolic(value) for key, value in inputs.items()}
    with pytest.raises(ValueError, match=words):
        case.make()(**inputs)
