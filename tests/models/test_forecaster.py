"""Forecasters: shapes, masks, and the compiled loop against one by hand on stock Keras layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.layers.attention import LuongAttention
from seq2seq.layers.bridge import CopyBridge, DenseBridge
from seq2seq.models.autoregressive_forecaster import AutoregressiveForecaster
from seq2seq.models.decoder import Decoder
from seq2seq.models.encoder import Encoder
from seq2seq.models.forecaster import DirectForecaster, RepeatForecaster, SeriesFeatures
from seq2seq.models.stack import RecurrentStack

FULL = SeriesFeatures(
    horizon=4, targets=2, outputs=3, past=5, future=1, static=2, series=7, factor=True
)


def direct(features, **options):
    return DirectForecaster(features, Encoder(units=8, bidirectional=False), **options)


def repeat(features):
    encoder, decoder = Encoder(units=8, bidirectional=True), RecurrentStack(units=6)
    return RepeatForecaster(features, encoder, decoder)


def autoregressive(features, cell="lstm", attention=None):
    encoder = Encoder(cell=cell, units=8, bidirectional=False)
    decoder = Decoder(cell=cell, units=8, attention=attention)
    return AutoregressiveForecaster(features, encoder, decoder, CopyBridge)


def attentive(features):
    return autoregressive(features, attention=LuongAttention)


def inputs_of(features, batch=3, steps=6, seed=0):
    generator = np.random.default_rng(seed)

    def normal(*shape):
        return generator.normal(size=shape).astype(np.float32)

    inputs = {
        "past": normal(batch, steps, features.past),
        "past_length": np.array([steps, 2, 4][:batch], np.int32),
        "target": normal(batch, features.horizon, features.targets),
    }
    if features.future:
        inputs["future"] = normal(batch, features.horizon, features.future)
    if features.static:
        inputs["static"] = normal(batch, features.static)
    if features.series:
        inputs["series"] = np.array([6, 0, 3][:batch], np.int32)
    if features.factor:
        inputs["factor"] = np.abs(normal(batch, features.targets))
    return inputs


def without_target(inputs):
    return {name: tf.constant(part) for name, part in inputs.items() if name != "target"}


def first_number(raw, _):
    return raw[..., 0]


@pytest.mark.parametrize("make", [direct, repeat, autoregressive, attentive])
@pytest.mark.parametrize("features", [SeriesFeatures(4), FULL])
def test_outputs_have_the_shape_and_end_with_the_factor(make, features):
    inputs = inputs_of(features)
    model = make(features)
    raw = model.training_model(inputs).numpy()
    assert raw.shape == (3, features.horizon, features.targets, features.outputs)
    if features.factor:
        np.testing.assert_array_equal(raw[..., -1], np.repeat(inputs["factor"][:, None], 4, axis=1))
    forecast = model.forecast(without_target(inputs), features.horizon, first_number)
    assert forecast.raw.shape == raw.shape
    np.testing.assert_array_equal(forecast.values, forecast.raw[..., 0])


@pytest.mark.parametrize("make", [direct, repeat, autoregressive, attentive])
def test_padding_and_the_other_rows_do_not_change_a_forecast(make):
    inputs = inputs_of(FULL)
    model = make(FULL)
    together = model.forecast(without_target(inputs), 4, first_number).raw.numpy()
    alone = {name: part[1:2] for name, part in without_target(inputs).items()}
    alone["past"] = alone["past"][:, : alone["past_length"][0]]
    np.testing.assert_allclose(
        model.forecast(alone, 4, first_number).raw.numpy()[0], together[1], atol=1e-5
    )
    inputs["past"][1, 2:] = 1e3  # padding
    again = model.forecast(without_target(inputs), 4, first_number).raw.numpy()
    np.testing.assert_allclose(again, together, atol=1e-5)


@pytest.mark.parametrize("make", [autoregressive, attentive])
def test_teacher_forcing_with_the_own_forecasts_gives_the_own_forecasts(make):
    inputs = inputs_of(FULL)
    model = make(FULL)
    free = model.forecast(without_target(inputs), 4, first_number)
    last = inputs["past"][np.arange(3), inputs["past_length"] - 1, :2]
    before = np.concatenate([last[:, None], free.values.numpy()[:, :-1]], axis=1)
    forced = model.training_model({**inputs, "target": before})
    np.testing.assert_allclose(forced.numpy(), free.raw.numpy(), atol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_loop_is_that_of_stock_keras_layers(cell):
    """Encoder with `return_state`, its states as `initial_state`, one step at a time."""
    features = SeriesFeatures(horizon=5)
    model = autoregressive(features, cell)
    inputs = inputs_of(features, batch=1)
    stock = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[cell]
    encoder, decoder = (stock(8, return_state=True) for _ in range(2))
    for layer, ours in (
        (encoder, model.encoder.forward_stack[0]),
        (decoder, model.decoder.stack[0]),
    ):
        layer.build((1, None, 1))
        layer.set_weights(ours.get_weights())
    _, *states = encoder(inputs["past"])
    value, expected = inputs["past"][:, -1:], []
    for _ in range(5):
        output, *states = decoder(value, initial_state=states)
        value = model.output_layer.dense(output)[:, None]
        expected.append(float(value[0, 0, 0]))
    forecast = model.forecast(without_target(inputs), 5, first_number)
    np.testing.assert_allclose(np.ravel(forecast.values), expected, atol=1e-5)


def test_a_model_that_feeds_back_forecasts_further_than_it_was_trained():
    features = SeriesFeatures(horizon=2)
    model = autoregressive(features)
    inputs = without_target(inputs_of(features))
    long = model.forecast(inputs, 9, first_number).values.numpy()
    assert long.shape == (3, 9, 1)
    np.testing.assert_allclose(
        long[:, :2], model.forecast(inputs, 2, first_number).values, atol=1e-6
    )


def test_poolings_are_concatenated_and_unknown_ones_refused():
    model = direct(SeriesFeatures(4), pooling=["last", "mean", "attention"])
    assert model.output_layer.dense.kernel.shape == (24, 4)
    with pytest.raises(ValueError, match="pooling: must be a list of some of last, mean"):
        direct(SeriesFeatures(4), pooling=["first"])


def test_states_of_different_sizes_need_a_dense_bridge():
    encoder, decoder = Encoder(units=8, bidirectional=True), Decoder(units=5, layers=2)
    with pytest.raises(ValueError, match="CopyBridge needs one direction"):
        AutoregressiveForecaster(SeriesFeatures(3), encoder, decoder, CopyBridge)
    model = AutoregressiveForecaster(SeriesFeatures(3), encoder, decoder, DenseBridge)
    assert set(model.recurrent_layers()) >= {"encoder/layer_0/backward", "decoder/layer_1/forward"}
