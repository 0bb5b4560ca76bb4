"""Steps of several batches, and of shards of batches, against numpy and Keras."""

import functools
from dataclasses import dataclass

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.config import composed
from seq2seq.errors import UserError
from seq2seq.experiment import build_experiment, connected_workers
from seq2seq.experiment import fit as train
from seq2seq.training.batch_order import BatchOrder, Division
from seq2seq.training.divided_step import Sums, with_distinct_rows
from seq2seq.training.losses import ElementLoss
from seq2seq.training.trainer import Trainer
from seq2seq.training.workers import ALONE, Mirrored, MultiWorker, Workers, summed_in_pairs
from tests.training.test_trainer import Regression, regression_model

ROWS, STEPS, TOKENS = 20, 5, 9
GENERATOR = np.random.default_rng(0)
IDS = GENERATOR.integers(0, TOKENS, size=(ROWS, 3)).astype(np.int32)
LABELS = GENERATOR.normal(size=(ROWS, 3, 1)).astype(np.float32)
WEIGHTS = (GENERATOR.random((ROWS, 3)) < 0.6).astype(np.float32)  # padding, and rows of only that


def squared(labels, predictions, weights):
    errors = tf.reduce_sum(tf.square(labels - predictions), axis=-1)
    return ElementLoss(errors, errors)


@dataclass
class Rows:
    """What a task gives to the trainer: a linear model of embeddings."""

    batch_size: int = 4
    loss = staticmethod(squared)
    identity = "rows"
    score_names = ()

    def __post_init__(self):
        rows = np.arange(ROWS)
        splits = range(self.batch_size, ROWS, self.batch_size)
        self.batch_order = BatchOrder(lambda epoch: np.split(rows, splits), tokens=len)

    def training_data(self):
        def generate():
            for part in self.batch_order.parts():
                yield IDS[part.rows], LABELS[part.rows], WEIGHTS[part.rows] * part.is_real

        spec = (
            tf.TensorSpec((None, 3), tf.int32),
            tf.TensorSpec((None, 3, 1)),
            tf.TensorSpec((None, 3)),
        )
        return tf.data.Dataset.from_generator(generate, output_signature=spec)

    def largest_batch(self):
        return IDS, LABELS, WEIGHTS

    def describe_batch(self, inputs, labels):
        return [str(row) for row in inputs]

    def batches(self, split):
        return tf.data.Dataset.from_tensors((IDS, LABELS, WEIGHTS))


def linear_model(*layers):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((3,), dtype="int32")
    outputs = keras.layers.Embedding(TOKENS, 4)(inputs)
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, keras.layers.Dense(1)(outputs))


def fit(folder, model, optimizer, task=None, workers=ALONE, **options):
    trainer = Trainer(epochs=1, **options)
    return trainer.fit(model, task or Rows(), optimizer, folder, dict, lambda *_: None, workers)


def test_the_gradient_is_the_mean_over_all_real_elements(tmp_path):
    model = linear_model()
    table, kernel, bias = (weight.numpy().astype(np.float64) for weight in model.weights)
    fit(tmp_path, model, keras.optimizers.SGD(0.5), workers=MultiWorker(shards=3), accumulate=2)
    for first in range(0, ROWS, 8):  # two batches of 4; the last step has one
        rows = slice(first, first + 8)
        ids, weights = IDS[rows], WEIGHTS[rows][..., None]
        vectors = table[ids]
        errors = 2 * (vectors @ kernel + bias - LABELS[rows]) * weights / weights.sum()
        d_table = np.zeros_like(table)
        np.add.at(d_table, ids, errors @ kernel.T)
        kernel -= 0.5 * np.einsum("rti,rto->io", vectors, errors)
        bias -= 0.5 * errors.sum(axis=(0, 1))
        table -= 0.5 * d_table
    for weight, expected in zip(model.weights, (table, kernel, bias), strict=True):
        np.testing.assert_allclose(weight.numpy(), expected, rtol=0, atol=1e-6)


class Recording(MultiWorker):
    """One worker, which records what several would send."""

    def gather(self, tensors):
        self.gathered = tensors
        return super().gather(tensors)

    def summed(self, tensor):
        self.added = tensor
        return super().summed(tensor)


def test_gradients_travel_in_the_configured_type_and_those_of_tables_as_rows(tmp_path):
    weights = {}
    last = [IDS[16::2], IDS[17::2]]  # the shards of the last batch, each of 2 rows of 3 tokens
    sent = sum(len(np.unique(ids)) for ids in last)
    for dtype in ("float32", "bfloat16"):
        model, workers = linear_model(), Recording(shards=2, gradients=dtype)
        fit(tmp_path / dtype, model, keras.optimizers.SGD(0.5), workers=workers)
        weights[dtype] = np.concatenate([weight.numpy().ravel() for weight in model.weights])
        totals, values, rows = workers.gathered
        assert workers.added.shape == (4 + 1,)  # the kernel and the bias, without the table
        assert (values.shape, rows.shape, totals.shape) == ((sent, 4), (sent,), (1, 3))
        assert set(rows.numpy()) == {*np.unique(last)}
        assert (workers.added.dtype, values.dtype, totals.dtype) == (dtype, dtype, "float32")
    difference = np.abs(weights["bfloat16"] - weights["float32"]).max()
    assert 0 < difference < 0.05 * np.abs(weights["float32"] - initial_weights()).max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_token_of_several_batches_is_sent_once(dtype):
    rows = GENERATOR.integers(0, 50, size=4000).astype(np.int32)
    values = GENERATOR.normal(size=(4000, 33)).astype(dtype)
    expected = np.zeros((50, 33), dtype)
    np.add.at(expected, rows, values)  # one after the other, in their order
    sums = Sums(tf.zeros(0), tf.zeros(3), [tf.constant(values)], [tf.constant(rows)])
    for _ in range(5):
        [sent], [numbers] = with_distinct_rows(sums)[2:]
        assert sorted(numbers.numpy()) == list(range(50))
        assert (sent.numpy() == expected[numbers.numpy()]).all()


def initial_weights():
    return np.concatenate([weight.numpy().ravel() for weight in linear_model().weights])


def train_with_dense_gradients(model, optimizer, batch_size):
    """Keras' optimizers square and clip the slices of a row each by itself."""
    for first in range(0, ROWS, batch_size):
        rows = slice(first, first + batch_size)
        with tf.GradientTape() as tape:
            errors = tf.reduce_sum(tf.square(LABELS[rows] - model(IDS[rows])), axis=-1)
            loss = tf.reduce_sum(errors * WEIGHTS[rows]) / WEIGHTS[rows].sum()
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(list(map(tf.convert_to_tensor, gradients)), model.trainable_variables)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(
    "optimizer",
    [
        functools.partial(keras.optimizers.Adam, 0.1),
        functools.partial(keras.optimizers.Adagrad, 0.1, clipnorm=0.5),
        functools.partial(keras.optimizers.SGD, 0.5, momentum=0.9, global_clipnorm=0.5),
    ],
)
def test_optimizers_of_keras_make_the_steps_of_dense_gradients(tmp_path, optimizer, accumulate):
    model, expected = linear_model(), linear_model()
    progress = fit(tmp_path, model, optimizer(), accumulate=accumulate)
    assert progress.total_steps == (5, 3)[accumulate - 1]
    train_with_dense_gradients(expected, optimizer(), 4 * accumulate)
    for weight, other in zip(model.weights, expected.weights, strict=True):
        np.testing.assert_allclose(weight.numpy(), other.numpy(), rtol=0, atol=1e-5)


def test_a_step_of_another_number_of_batches_is_not_resumed(tmp_path):
    fit(tmp_path, linear_model(), keras.optimizers.SGD(), accumulate=2)
    with pytest.raises(UserError, match=r"trainer\.accumulate"):
        fit(tmp_path, linear_model(), keras.optimizers.SGD(), resume=True)


def test_states_of_the_whole_batch_are_refused(tmp_path):
    model = linear_model(keras.layers.BatchNormalization())
    with pytest.raises(UserError, match="moving_mean is a state"):
        fit(tmp_path, model, keras.optimizers.SGD(), workers=MultiWorker(shards=2))


def test_a_layer_that_needs_whole_batches_is_refused_by_its_key(tmp_path):
    config = composed(
        ["model/scheduled_sampling=linear", "model.encoder.units=4", "model.decoder.units=4",
         "model.embedding_dim=4", "tracking=none", "distribute=multi_worker",
         "distribute.shards=2"]
    )  # fmt: skip
    experiment = build_experiment(config, tmp_path, workers=connected_workers(config))
    message = r"model\.scheduled_sampling: .*shards is 2\. Set model/scheduled_sampling=none; or"
    with pytest.raises(UserError, match=message):
        train(experiment, tmp_path)


def test_each_row_is_in_one_part_and_missing_parts_are_filled():
    order = BatchOrder(lambda epoch: [np.arange(5), np.arange(5, 7), np.arange(7, 8)], len)
    parts = []
    for worker in range(2):
        order.division = Division(batches=2, shards=4, own=range(2 * worker, 2 * worker + 2))
        order.begin(0, 0)
        assert len(order) == 2
        assert (order.step_tokens(0), order.step_tokens(1)) == (7, 1)
        parts += order.parts()
    assert len(parts) == 2 * 2 * 4  # steps, batches, shards
    assert sorted(row for part in parts if part.is_real for row in part.rows) == list(range(8))
    assert parts[0].rows.tolist() == [0, 4]
    assert all(len(part.rows) == 1 for part in parts if not part.is_real)


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
@pytest.mark.parametrize("shards", [1, 2, 4, 8, 16])
def test_sums_in_pairs_do_not_depend_on_the_workers(shards, dtype):
    numbers = GENERATOR.normal(size=shards) * 10.0 ** (np.arange(shards) / 4)
    values = tf.unstack(tf.cast(numbers, dtype))
    expected = summed_in_pairs(values, tf.add)
    assert expected.dtype == dtype
    for workers in (1, 2, 4):
        each = max(1, shards // workers)
        own = [values[first : first + each] for first in range(0, shards, each)]
        sums = [summed_in_pairs(part, tf.add) for part in own]
        assert summed_in_pairs(sums, tf.add) == expected


@pytest.mark.parametrize(("workers", "shards"), [(2, 3), (4, 2), (2, 6), (3, 4)])
def test_shards_that_do_not_fit_are_refused(workers, shards, monkeypatch):
    addresses = ", ".join(f'"host:{number}"' for number in range(workers))
    monkeypatch.setenv("TF_CONFIG", f'{{"cluster": {{"worker": [{addresses}]}}}}')
    with pytest.raises(UserError, match=f"distribute.shards={shards}: {workers} workers"):
        MultiWorker(shards)


@pytest.mark.parametrize(
    ("devices", "shards", "message"),
    [
        (None, None, "distribute.devices: needs two or more .* there is no GPU"),
        (["CPU:0"], 4, "there is CPU:0. .* by distribute=multi_worker"),
        (["CPU:0", "CPU:0"], None, "needs two or more different devices"),
        (["CPU:0", "CPU:7"], None, r"there is no CPU:7 \(there are CPU:0"),
        (["CPU:0", "CPU:1"], 3, "distribute.shards=3: is no multiple of the 2 devices"),
    ],
)
def test_devices_that_do_not_fit_are_refused(devices, shards, message):
    if devices is None and tf.config.list_physical_devices("GPU"):
        pytest.skip("there are GPUs")
    with pytest.raises(UserError, match=message):
        Mirrored(devices, shards).connect()


@pytest.mark.parametrize("workers", [MultiWorker, functools.partial(Mirrored, ["a", "b"])])
@pytest.mark.parametrize("arguments", [{"shards": 0}, {"gradients": "float16"}])
def test_impossible_values_are_refused(workers, arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))}: must be"):
        workers(**arguments)


def test_devices_have_as_many_shards_side_by_side():
    workers = Mirrored(["GPU:0", "GPU:1"], 4)
    assert [workers.device(n) for n in workers.own_shards] == 2 * ["GPU:0"] + 2 * ["GPU:1"]
    assert Mirrored(["GPU:0", "GPU:1", "GPU:2"]).shards == 3


def test_one_worker_gives_back_what_it_has():
    for workers in (Workers(), MultiWorker(4)):
        workers.connect()
        assert workers.from_chief(lambda: {"a": 1.5}) == {"a": 1.5}
        assert workers.highest(7) == 7
        [tensor] = workers.gather([tf.constant([1, 2])])
        assert tensor.numpy().tolist() == workers.summed(tensor).numpy().tolist() == [1, 2]


@pytest.mark.parametrize("settings", [{"on_divergence": "go_back"}, {"minutes": 1.0}])
def test_what_several_workers_cannot_do_is_refused(tmp_path, settings):
    workers = Workers()
    workers.count = 2
    arguments = (regression_model(), Regression(), keras.optimizers.Adam(), tmp_path)
    with pytest.raises(UserError, match=f"trainer.{next(iter(settings))}"):
        Trainer(**settings).fit(*arguments, lambda: {}, lambda *_: None, workers)
