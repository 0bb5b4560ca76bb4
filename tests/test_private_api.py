"""Each private name of TensorFlow and Keras is there and means what this package takes it for."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq import private_api
from seq2seq.private_api import (
    has_tangents,
    in_forward_mode,
    in_xla_graph,
    is_exporting,
    may_record,
    single_threaded_executor,
    stop_recording,
    stored_value,
)


def test_stop_recording_hides_operations_from_all_tapes():
    x = tf.constant(3.0)
    with tf.GradientTape() as outer, tf.GradientTape() as inner:
        outer.watch(x)
        inner.watch(x)
        with stop_recording():
            hidden = x * x
        y = x + hidden
    assert outer.gradient(y, x).numpy() == inner.gradient(y, x).numpy() == 1


def test_may_record_is_whether_any_tape_is_open():
    assert not may_record()
    with tf.GradientTape() as tape:
        assert may_record()
        with tape.stop_recording():
            assert not may_record()
    graph = tf.function(lambda: tf.constant(may_record()))
    assert not graph()


def test_tangents_are_those_of_forward_accumulators():
    x, other = tf.constant(3.0), tf.constant(4.0)
    assert not has_tangents((x, other))
    with tf.autodiff.ForwardAccumulator(x, tf.constant(1.0)):
        assert has_tangents((other, x * x))
        assert not has_tangents((other,))
    assert not has_tangents((x, other))


@tf.custom_gradient
def square(x):
    def backward(d):
        modes.append(in_forward_mode())
        return 2 * x * d

    return x * x, backward


modes: list[bool] = []


@pytest.mark.parametrize("outer_graph", [False, True])
def test_forward_mode_of_a_graph_is_seen_where_its_gradient_is_made(outer_graph):
    x, graph = tf.constant(3.0), tf.function(square)

    def forward(x):
        with tf.autodiff.ForwardAccumulator(x, tf.constant(1.0)) as accumulator:
            y = graph(x)
        return accumulator.jvp(y)

    def reverse(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = graph(x)
        return tape.gradient(y, x)

    for differentiate, expected in ((forward, True), (reverse, False)):
        modes.clear()
        function = tf.function(differentiate) if outer_graph else differentiate
        assert function(x).numpy() == 6
        assert any(modes) == expected


class Spy(keras.layers.Layer):
    """Writes down whether it is called for a file."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def build(self, shape):
        self.w = self.add_weight(shape=(), initializer="ones", name="w")

    def call(self, x):
        self.calls.append(is_exporting())
        return x * self.w


def save(model, folder):
    tf.saved_model.save(model, folder)


def export(model, folder):
    model.export(folder, verbose=False)


def convert(model, _):
    tf.lite.TFLiteConverter.from_keras_model(model).convert()


@pytest.mark.parametrize("write", [save, export, convert])
def test_exporting_is_seen_while_a_graph_is_traced_for_a_file(write, tmp_path):
    inputs, spy = keras.Input((3,)), Spy()
    model = keras.Model(inputs, spy(inputs))
    tf.function(model)(tf.ones((2, 3)))
    model.predict(np.ones((2, 3)), verbose=0)
    assert not any(spy.calls)
    write(model, str(tmp_path / "model"))
    assert any(spy.calls)


@pytest.mark.parametrize("module", private_api.EXPORTERS)
def test_each_exporter_is_a_package(module):
    __import__(module.rstrip("."))


def test_shapes_alone_are_asked_for_by_symbolic_calls():
    symbolic_calls = []

    class Spy(keras.layers.Layer):
        def call(self, x):
            symbolic_calls.append(private_api.asks_for_shapes())
            return x

    symbolic = keras.Input((3,))
    model = keras.Model(symbolic, Spy()(symbolic))
    assert set(symbolic_calls) == {True}
    symbolic_calls.clear()
    model(np.ones((2, 3)))
    tf.function(model)(tf.ones((2, 3)))
    model.predict(np.ones((2, 3)), verbose=0)
    assert set(symbolic_calls) == {False}


def test_the_executor_is_single_threaded_within():
    from tensorflow.python.eager import context

    def executor():
        return context.context().function_call_options.executor_type

    before = executor()
    with single_threaded_executor():
        assert executor() == "SINGLE_THREADED_EXECUTOR"
        assert tf.function(lambda: tf.constant(5))().numpy() == 5
    assert executor() == before


def test_xla_is_seen_in_a_graph_and_in_functions_that_it_calls():
    def inside(x):
        found.append(in_xla_graph())
        return x + 1

    found: list[bool] = []
    tf.function(inside)(1.0)
    tf.function(inside, jit_compile=True)(1.0)
    inner = tf.function(inside)
    tf.function(lambda x: 1 * inner(x), jit_compile=True)(1.0)
    assert found == [False, True, True]


def test_functions_are_traced_anew_in_xla():
    private_api.retrace_functions_in_xla()
    traces: list[bool] = []

    @tf.function
    def inner(x):
        traces.append(in_xla_graph())
        return x + 1

    x = tf.constant(1.0)
    inner(x)
    tf.function(lambda x: 1 * inner(x), jit_compile=True)(x)
    inner(x)
    assert traces == [False, True]


def test_a_stored_value_is_not_cast_by_the_policy():
    class Layer(keras.layers.Layer):
        def build(self, shape):
            self.w = self.add_weight(shape=(2,), name="w")

        def call(self, x):
            assert tf.convert_to_tensor(self.w).dtype == tf.bfloat16
            assert stored_value(self.w).dtype == tf.float32
            assert stored_value(x) is x
            return x

    Layer(dtype="mixed_bfloat16")(tf.ones((1, 2)))


def test_keras_clips_and_then_updates_by_the_methods_that_our_adam_overrides():
    calls = []

    class Adam(keras.optimizers.Adam):
        def _clip_gradients(self, grads):
            calls.append("clip")
            return super()._clip_gradients(grads)

        def _backend_update_step(self, grads, trainable_variables, learning_rate):
            calls.append("update")
            index = self._get_variable_index(trainable_variables[0])
            super()._backend_update_step(grads, trainable_variables, learning_rate)
            m, v = self._momentums[index], self._velocities[index]
            np.testing.assert_allclose([m.numpy(), v.numpy()], [0.2, 0.004], rtol=1e-5)
            assert self._trainable_variables == [variable]

    variable = keras.Variable(1.0)
    Adam(beta_1=0.9, beta_2=0.999).apply([tf.constant(2.0)], [variable])
    assert calls == ["clip", "update"]


def test_hydra_callbacks_are_called():
    from omegaconf import OmegaConf

    config = OmegaConf.create({"hydra": {"callbacks": {}}})
    private_api.hydra_callbacks(config).on_multirun_start(config=config)


def test_tfds_opens_urls_by_the_wrapped_function():
    from tensorflow_datasets.core.download import downloader

    def wrap(open_url):
        return lambda url, **options: (open_url, url)

    original = downloader._open_url
    with private_api.tfds_url_opener(wrap):
        assert downloader._open_url("http://host/file") == (original, "http://host/file")
    assert downloader._open_url is original
    assert "_open_url" in downloader._Downloader._sync_download.__code__.co_names


def test_optuna_trials_have_ids_of_the_storage():
    import optuna

    study = optuna.create_study()
    study.enqueue_trial({})
    study.ask()
    [trial] = study.get_trials()
    number = private_api.optuna_trial_id(trial)
    assert study._storage.get_trial(number).number == trial.number == 0


def test_sacrebleu_statistics_sum_to_the_corpus_score():
    from sacrebleu.metrics import BLEU, CHRF, TER

    texts = ["the cat sat on a mat", "a dog ran away from it", "no"]
    streams = [["the cat sat on the mat", "a dog ran far away", "yes"], [None, "a dog", None]]
    for metric in (BLEU(), CHRF(), TER()):
        statistics = private_api.sacrebleu_statistics(metric, texts, streams)
        assert len(statistics) == len(texts)
        score = private_api.sacrebleu_score(metric, np.sum(statistics, axis=0).tolist())
        assert score == metric.corpus_score(texts, streams).score


def test_mlflow_reads_the_attribute_that_skips_type_hints():
    from mlflow.pyfunc import model

    assert 'getattr(cls, "_skip_type_hint_validation"' in inspect.getsource(model)


def test_mlflow_scans_no_packages_within(monkeypatch):
    from mlflow.utils import requirements_utils

    scans = []
    monkeypatch.setattr(requirements_utils, "_MODULES_TO_PACKAGES", None)
    monkeypatch.setattr(
        requirements_utils.importlib_metadata,
        "packages_distributions",
        lambda: scans.append("scan") or {},
    )
    with private_api.mlflow_without_package_scan():
        requirements_utils.warn_dependency_requirement_mismatches(["numpy>=1"])
    assert not scans
    requirements_utils.warn_dependency_requirement_mismatches(["numpy>=1"])
    assert scans
