"""Guided alignment: its loss in numpy, its share in a step, and its batches."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.config import build, composed
from seq2seq.data.formats.parallel_text import ParallelText
from seq2seq.errors import UserError
from seq2seq.tasks.model_folder import build_task
from seq2seq.training.guided_alignment import GuidedAlignment
from seq2seq.training.masked_loss_model import compile_model

SOURCES = ["ab cd ef", "cd", "ef ab", "ab ef cd ab"]
TARGETS = [" ".join(reversed(source.split())) for source in SOURCES]
LINES = [
    " ".join(f"{place}-{len(source.split()) - 1 - place}" for place in range(len(source.split())))
    for source in SOURCES
]
GUIDED = ["model/attention=luong", "task.guided_alignment=0.5"]


@pytest.fixture
def make(monkeypatch, tmp_path):
    """Returns a function that makes a task with its data, and a model, from overrides."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, lines in (("source", SOURCES), ("target", TARGETS), ("align", LINES)):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    splits = ("train", "validation", "test")
    sides = [dict.fromkeys(splits, side) for side in ("source", "target")]

    def made(*overrides, alignments="align"):
        sizes = ["model.encoder.units=8", "model.decoder.units=8", "model.embedding_dim=8"]
        config = composed(["tracking=none", "tokenizer=word", *sizes, *overrides])
        task = build_task(config)
        task.prepare(ParallelText(str(tmp_path), *sides, alignments=alignments), seed=1)
        keras.utils.set_random_seed(2)
        model = build(config, "model", **task.model_arguments())
        task.check_model(model)
        return task, model

    return made


def test_the_loss_is_the_papers():
    generator = np.random.default_rng(1)
    attention = generator.dirichlet(np.ones(4), size=(2, 3))
    reference = np.zeros((2, 3, 4))
    reference[0, 0, 1] = reference[1, 1, 3] = 1
    reference[0, 2, [0, 2]] = 0.5
    loss = GuidedAlignment(weight=0.4, decay=0.9)(
        tf.constant(attention, tf.float32), tf.constant(reference, tf.float32), tf.constant(3)
    )
    expected = np.zeros((2, 3))
    expected[0, 0] = -np.log(attention[0, 0, 1])
    expected[0, 2] = -np.log(attention[0, 2, [0, 2]]).mean()
    expected[1, 1] = -np.log(attention[1, 1, 3])
    np.testing.assert_allclose(loss, 0.4 * 0.9**3 * expected, rtol=1e-5)


def expected_shares(task, inputs):
    """The alignments of a batch of words, by the words themselves: each target has its source."""
    sources = [text.split() for text in task.tokenizer.source.decode(inputs["source"])]
    shares = np.zeros((len(sources), inputs["target"].shape[1], inputs["source"].shape[1]))
    for row, words in enumerate(sources):
        for place in range(len(words)):
            shares[row, len(words) - 1 - place, place] = 1
    return shares


def test_batches_have_the_alignments_and_evaluations_none(make):
    task, _ = make(*GUIDED, "batching.batch_size=3")
    for inputs, labels, _ in task.training_data().as_numpy_iterator():
        shares = inputs["reference_alignments"]
        assert shares.shape == (*labels.shape, inputs["source"].shape[1])
        np.testing.assert_array_equal(shares, expected_shares(task, inputs))
    for inputs, _, _ in task.batches("validation").as_numpy_iterator():
        assert inputs["reference_alignments"].size == 0


def test_subwords_that_are_sampled_have_alignments_in_each_epoch(make):
    sampled = [
        f"tokenizer.{side}.{setting}"
        for side in ("source", "target")
        for setting in ("dropout=0.5", "vocabulary_size=290")
    ]
    task, _ = make(*GUIDED, "tokenizer=bpe", *sampled)
    lengths = set()
    for epoch in (0, 1):
        task.batch_order.begin(epoch, first_step=0)
        [(inputs, labels, weights)] = task.training_data().as_numpy_iterator()
        shares = inputs["reference_alignments"]
        real = weights > 0
        is_end = np.pad(real, ((0, 0), (0, 1)))[:, 1:] < real
        np.testing.assert_allclose(shares.sum(-1), real & ~is_end, atol=1e-6)
        pieces = task.tokenizer.source.piece_texts()
        for row, step in np.argwhere(real & ~is_end):
            own = task.tokenizer.target.piece_texts()[labels[row, step]].strip()
            aligned = [pieces[inputs["source"][row, i]] for i in np.flatnonzero(shares[row, step])]
            assert own in b"".join(aligned)
        lengths.add(inputs["source_length"].tobytes())
    assert len(lengths) == 2


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["model.output_dropout=0.3", "task.consistency=2"],
        ["model/attention=bahdanau", "model.decoder.input_feeding=true"],
        ["model.reverse_source=true"],
        ["tokenizer.joint=true", "model.copy=true"],
        ["model/attention=local", "model.decoder.attention.window=2"],
    ],
)
def test_a_step_adds_the_mean_over_tokens(make, overrides):
    task, model = make(*GUIDED, "task.guided_alignment_decay=0.5", *overrides)
    trained = compile_model(model.loss_model, task.loss, keras.optimizers.SGD(0.0))
    [batch] = task.training_data()
    inputs, _, weights = batch
    keras.utils.set_random_seed(3)
    random = [variable.value + 0 for variable in trained.non_trainable_variables]
    guided = float(trained.gradients(batch).objective)
    trained.optimizer.iterations.assign(2)
    for variable, value in zip(trained.non_trainable_variables, random, strict=True):
        variable.assign(value)
    later = float(trained.gradients(batch).objective)
    pairs = {name: inputs[name] for name in ("source", "source_length", "target")}
    attention = model.alignment_model(pairs).numpy()
    shares = expected_shares(task, {name: array.numpy() for name, array in inputs.items()})
    total = -(shares * np.log(attention + 1e-9)).sum() / weights.numpy().sum()
    # The dropout is the same in both, so that only the factors 0.5 and 0.5 * 0.5 ** 2 differ.
    assert guided - later == pytest.approx((0.5 - 0.125) * total, rel=1e-4)


def test_parts_of_a_batch_are_weighed_by_their_tokens(make):
    """The sum over parts, as accumulation and workers make it, is that of the batch."""
    task, model = make(*GUIDED)
    trained = compile_model(model.loss_model, task.loss, keras.optimizers.SGD(0.0))
    store = task.stores["train"]
    rows = np.arange(len(SOURCES))

    def objective(rows):
        batch = tf.nest.map_structure(tf.constant, task.make_batch(store, rows))
        return float(trained.gradients(batch).objective), float(tf.reduce_sum(batch[2]))

    total, tokens = objective(rows)
    parts = [objective(part) for part in (rows[:1], rows[1:])]
    assert total == pytest.approx(sum(loss * count for loss, count in parts) / tokens, rel=1e-5)


def test_the_attention_learns_the_alignments(make):
    task, model = make(*GUIDED, "task.guided_alignment=3")
    trained = compile_model(model.loss_model, task.loss, keras.optimizers.Adam(0.05))
    [batch] = task.training_data()
    validation = task.batches("validation")
    step = tf.function(trained.train_step)
    for _ in range(25):
        step(batch)
    inputs = batch[0]
    pairs = {name: inputs[name] for name in ("source", "source_length", "target")}
    attention = model.alignment_model(pairs).numpy()
    shares = expected_shares(task, {name: array.numpy() for name, array in inputs.items()})
    assert attention[shares > 0].min() > 0.4
    assert trained.evaluate(validation, return_dict=True, verbose=0)["loss"] < 2


@pytest.mark.parametrize(
    ("overrides", "alignments", "message"),
    [
        (GUIDED, None, r"task.guided_alignment: .* data.alignments=train.align"),
        ([], "align", r"data.alignments: are for guided alignment, whose weight is 0"),
        (["task.guided_alignment=1"], "align", r"task.guided_alignment: .* model/attention=luong"),
        (["task.guided_alignment=-1"], "align", "guided_alignment: must be at least 0, got -1"),
        (["task.guided_alignment_decay=2"], "align", "guided_alignment_decay: must be above 0"),
    ],
)
def test_what_cannot_be_is_refused(make, overrides, alignments, message):
    with pytest.raises(UserError, match=message):
        make(*overrides, alignments=alignments)
