"""The harness: its batches, its arithmetic, its pictures, and one tiny work from end to end."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__, growth
from benchmarks.batches import (
    END,
    PAD,
    START,
    draw_tokens,
    load_batches,
    make_batches,
    multi30k_lengths,
    padding,
    real_tokens,
    save_batches,
)
from benchmarks.environments import (
    EOLE,
    JOEYNMT,
    OPENNMT_TF,
    PYMARIAN,
    TORCH,
    cache_directory,
    eole_python,
    joeynmt_python,
    marian_python,
    opennmt_tf_python,
)
from benchmarks.files import processor_flags, write
from benchmarks.harness import PROGRAMS, ROOT, Program, default_programs, left_out, run_program
from benchmarks.plots import growth_plot, training_plot
from benchmarks.products import Product, Shape, Sizes, mean_sizes, products
from benchmarks.programs.limit import stored_sizes
from benchmarks.summary import limit, medians, ratios, verdict
from benchmarks.training import summarised, table
from benchmarks.works import WORKS, Work

TINY = Work("tiny", units=4, attention=True, embedding=8, vocabulary=300, outputs=300, batch_size=8)

ENVIRONMENTS = {
    "joeynmt": f"joeynmt-{JOEYNMT}-torch-{TORCH}",
    "opennmt_tf": f"opennmt-tf-{OPENNMT_TF}",
    "eole": f"eole-{EOLE}",
    "marian": f"pymarian-{PYMARIAN}",
}


@pytest.fixture
def no_shared_data(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQ2SEQ_DATA", str(tmp_path))


@pytest.mark.usefixtures("no_shared_data")
@pytest.mark.parametrize("key", WORKS)
def test_batches_are_what_the_work_says(key):
    work = WORKS[key]
    for batch in make_batches(work, 3):
        source, labels = batch["source"], batch["labels"]
        assert source.shape == (work.batch_size, batch["source_length"].max())
        np.testing.assert_array_equal(np.count_nonzero(source, axis=1), batch["source_length"])
        assert source.max() < work.vocabulary
        assert 0 < labels.max() < work.outputs
        if work.length:
            assert set(batch["source_length"]) == {work.length}
        if work.task == "translation":
            target = batch["target"]
            assert set(target[:, 0]) == {START}
            np.testing.assert_array_equal(target == PAD, labels == PAD)
            np.testing.assert_array_equal(np.count_nonzero(labels == END, axis=1), 1)
            # One step later, until the end.
            inner = (labels != PAD) & (labels != END)
            np.testing.assert_array_equal(labels[inner], target[:, 1:][inner[:, :-1]])
        elif work.task == "generation":
            np.testing.assert_array_equal(labels[:, :-1], source[:, 1:])
        elif work.task == "tagging":
            np.testing.assert_array_equal(labels == PAD, source == PAD)
        else:
            assert labels.shape == (work.batch_size,)
            assert labels.min() > PAD


@pytest.mark.usefixtures("no_shared_data")
def test_work_b_has_twenty_tokens_on_both_sides_and_no_padding():
    batches = make_batches(WORKS["B"], 2)
    assert [batch["target"].shape for batch in batches] == [(64, 20)] * 2
    assert padding(batches) == 0
    assert real_tokens(WORKS["B"], batches[0]) == 64 * 20


@pytest.mark.usefixtures("no_shared_data")
def test_batches_survive_the_file_and_are_the_same_each_time(tmp_path):
    batches = make_batches(TINY, 12)
    save_batches(batches, tmp_path / "batches.npz")
    for read in (load_batches(tmp_path / "batches.npz"), make_batches(TINY, 12)):
        assert len(read) == 12
        for one, other in zip(batches, read, strict=True):
            assert one.keys() == other.keys()
            for name in one:
                np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.usefixtures("no_shared_data")
def test_generated_rows_have_multi30ks_lengths_and_little_padding():
    assert multi30k_lengths().shape == (29_000, 2)
    batches = make_batches(WORKS["A"], 400)
    lengths = np.concatenate([batch["source_length"] for batch in batches])
    assert lengths.mean() == pytest.approx(multi30k_lengths()[:, 0].mean(), rel=0.05)
    assert padding(batches) < 0.05


def test_tokens_follow_zipfs_law():
    tokens = draw_tokens(np.random.default_rng(0), 100_000, 8000) - START - 1
    counts = np.bincount(tokens)
    assert tokens.min() == 1
    assert counts[1] / counts[10] == pytest.approx(
        np.log(2 / 1) / np.log(11 / 10),
        rel=0.1,  # the share of log-uniform numbers in [n, n + 1)
    )


@pytest.mark.usefixtures("no_shared_data")
@pytest.mark.parametrize("key", ["A", "B", "D", "E", "F", "G"])
def test_products_are_three_for_each_token_and_weight(key):
    import keras

    from benchmarks.programs import keras_stock

    small = {"units": 8, "embedding": 8, "vocabulary": 50, "outputs": 10, "batch_size": 4}
    work = replace(WORKS[key], **small)
    sizes = mean_sizes(make_batches(work, 2))
    last = {"translation": sizes.target, "classification": sizes.rows}
    read = {"Bidirectional": sizes.source, "LSTM": sizes.target or sizes.source}
    expected = 0.0
    for layer in keras_stock.trained_model(work).layers:
        for weight in layer.trainable_weights:
            if len(weight.shape) == 2 and not isinstance(layer, keras.layers.Embedding):
                tokens = read.get(type(layer).__name__, last.get(work.task, sizes.source))
                expected += 6 * tokens * np.prod(weight.shape)
    if work.attention:
        expected += 6 * 2 * sizes.pairs * work.encoder_width
    found = sum(each.times * each.shape.operations for each in products(work, sizes))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("key", WORKS)
def test_our_program_and_stock_keras_train_the_same_weights(key):
    from benchmarks.programs import keras_stock, ours

    outputs = 50 if WORKS[key].task == "generation" else 10
    work = replace(WORKS[key], units=8, embedding=8, vocabulary=50, outputs=outputs)
    shapes = [
        sorted(tuple(weight.shape) for weight in program.trained_model(work).trainable_weights)
        for program in (ours, keras_stock)
    ]
    assert shapes[0] == shapes[1]


def test_stored_sizes_multiply_to_the_shape_asked_for():
    for transpose_a in (False, True):
        for transpose_b in (False, True):
            shape = Shape(2, 3, 4, 5, transpose_a, transpose_b)
            a, b = map(np.ones, stored_sizes(shape))
            a = a.swapaxes(1, 2) if transpose_a else a
            b = b.swapaxes(1, 2) if transpose_b else b
            assert (a @ b).shape == (2, 3, 5)


def figures(speed, step=100.0, memory=1000.0, first=10.0):
    return {
        "tokens_per_second": speed,
        "milliseconds_per_step": step,
        "peak_memory_mib": memory,
        "seconds_to_first_step": first,
    }


def test_medians_and_spread():
    found = medians([figures(3.0, first=1.0), figures(1.0, first=5.0), figures(2.0, first=9.0)])
    assert (found["lowest"], found["tokens_per_second"], found["highest"]) == (1.0, 2.0, 3.0)
    assert found["seconds_to_first_step"] == 5.0


def test_limit_takes_the_faster_engine_shape_by_shape():
    one, two = Shape(1, 10, 10, 10), Shape(1, 20, 20, 20, True)
    found = limit(
        [Product("a", one, 3.0), Product("b", two, 0.5)],
        {
            "slow": [{"shapes": [[*one, 4e-6], [*two, 1e-6]]}],
            # The median of the rounds counts.
            "fast": [{"shapes": [[*one, s], [*two, 9e-6]]} for s in (1e-6, 2e-6, 9e-6)],
        },
    )
    assert found["milliseconds_per_step"] == pytest.approx(1e3 * (3 * 2e-6 + 0.5 * 1e-6))
    assert [each["engine"] for each in found["products"]] == ["fast", "slow"]
    assert found["gflop_per_step"] == pytest.approx((3 * 2000 + 0.5 * 16_000) / 1e9)


def test_ratios_compare_with_the_best_peer():
    programs = {
        "seq2seq": figures(300.0, step=50.0, memory=500.0, first=4.0),
        "seq2seq_bf16": figures(600.0, step=25.0),
        "keras": figures(100.0),
        "torch": figures(150.0),
        "torch_tuned": figures(200.0),
        "torch_bf16": figures(400.0),
        "torch_fused": figures(240.0),
        "torch_fused_bf16": figures(500.0),
        "joeynmt": figures(20.0),
        "joeynmt_tuned": figures(50.0),
    }
    limits = {"float32": {"milliseconds_per_step": 40.0}}
    assert ratios(programs, limits) == pytest.approx(
        {
            "over_torch": 1.5,
            "over_keras": 3.0,
            "bf16_over_float32": 2.5,
            "bf16_over_bf16": 1.5,
            "over_fused_torch": 1.25,
            "bf16_over_fused_bf16": 1.2,
            "over_joeynmt": 6.0,
            "bf16_over_joeynmt": 12.0,
            "share_of_limit": 0.8,
            "memory_to_keras": 0.5,
            "first_step_to_keras": 0.4,
        }
    )
    assert ratios({"seq2seq": figures(1.0)}, {}) == {}


@pytest.mark.parametrize(
    ("ratio", "value", "words"),
    [
        ("over_torch", 1.3, "reached: at least 1.3"),
        ("over_torch", 1.29, "missed: at least 1.3"),
        ("first_step_to_keras", 0.61, "missed: at most 0.6"),
        ("share_of_limit", 0.1, ""),
    ],
)
def test_verdict(ratio, value, words):
    assert verdict("A", ratio, value) == words


def test_table_json_and_plots_of_what_was_measured(tmp_path):
    sizes = Sizes(8, 80.0, 90.0, 900.0, 0.02)
    shapes = {product.shape for product in products(TINY, sizes)}
    results = {
        "seq2seq": [figures(200.0), figures(300.0)],
        "keras": [figures(100.0), figures(100.0)],
        "limit": [{"shapes": [[*shape, 1e-6] for shape in shapes]}],
    }
    found = summarised(TINY, sizes, results)
    assert "| seq2seq | 250 (200 to 300) |" in table("A", found)
    assert "| over_keras | 2.50 | reached: at least 2 |" in table("A", found)
    write(tmp_path / "training", {"works": {"A": found}}, training_plot({"A": found}))
    written = json.loads((tmp_path / "training.json").read_text())
    assert written["works"]["A"]["programs"]["keras"]["tokens_per_second"] == 100
    series = {"seq2seq": [{"units": value, **figures(1000.0 / value)} for value in (1, 10)]}
    write(tmp_path / "growth", {}, growth_plot({"units": series}))
    for name in ("training.png", "growth.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert growth.table("units", series).splitlines()[-1] == "| 10 | 100 | 1,000 |"


def test_growth_varies_one_size_alone():
    assert growth.varied("units", 64) == replace(growth.BASE, units=64)
    assert growth.varied("vocabulary", 99).outputs == 99


def test_processor_flags_that_matter(tmp_path):
    (tmp_path / "cpuinfo").write_text("flags : fpu avx512f sse2 amx_bf16\nflags : avx512f\n")
    assert processor_flags(tmp_path / "cpuinfo") == ["avx512f", "amx_bf16"]
    assert processor_flags(tmp_path / "none") == []


@pytest.mark.usefixtures("no_shared_data")
@pytest.mark.parametrize("name", ["seq2seq", "keras"])
def test_programs_train_a_tiny_work(name, tmp_path):
    save_batches(make_batches(TINY, 3), tmp_path / "batches.npz")
    found = run_program(PROGRAMS[name], TINY, tmp_path / "batches.npz", warm_up=1)
    assert found["loss"] == pytest.approx(np.log(TINY.outputs), rel=0.1)  # knows nothing yet
    assert found["tokens_per_second"] > 0
    assert found["peak_memory_mib"] > 100
    assert found["versions"]["keras"].startswith("3.")


def test_a_program_that_fails_is_not_left_out(tmp_path):
    with pytest.raises(RuntimeError, match="No module named"):
        run_program(Program("absent"), TINY, tmp_path / "batches.npz")


def test_optional_peers_run_when_asked_for_and_are_named_when_not():
    default = default_programs(PROGRAMS)
    assert {"seq2seq", "keras", "torch"} < set(default)
    names = "joeynmt, joeynmt_tuned, opennmt_tf, eole, eole_tuned, marian"
    assert left_out(PROGRAMS, default) == f"Not measured: {names} (--programs chooses)."
    assert left_out(PROGRAMS, list(PROGRAMS)) == ""


@pytest.mark.parametrize("python", [joeynmt_python, opennmt_tf_python, eole_python, marian_python])
def test_an_environment_that_cannot_be_built_is_an_error(python, monkeypatch, tmp_path):
    monkeypatch.setenv("SEQ2SEQ_BENCHMARKS", str(tmp_path / "bench"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "absent"))
    with pytest.raises(RuntimeError, match=r"absent cannot be run|3\.1[01] is neither on the path"):
        python()


@pytest.mark.usefixtures("no_shared_data")
@pytest.mark.parametrize(("name", "folder"), ENVIRONMENTS.items())
def test_optional_peers_train_a_tiny_work_where_they_are_installed(name, folder, tmp_path):
    if not (cache_directory() / folder / "installed").exists():
        pytest.skip(f"{folder} is not installed")
    save_batches(make_batches(TINY, 3), tmp_path / "batches.npz")
    found = run_program(PROGRAMS[name], TINY, tmp_path / "batches.npz", warm_up=1)
    assert found["loss"] == pytest.approx(np.log(TINY.outputs), rel=0.1)
    with pytest.raises(RuntimeError, match="is for translation with attention"):
        run_program(PROGRAMS[name], replace(TINY, attention=False), tmp_path / "batches.npz")


def test_unknown_names_are_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "training", "--works", "A,Z"])
    with pytest.raises(SystemExit) as stopped:
        __main__.main()
    assert stopped.value.code == 2
    assert "unknown: Z (known: A, B, C, D, E, F, G)" in capsys.readouterr().err


def test_the_peers_failure_ends_the_command(monkeypatch, tmp_path):
    def broken(*_, **__):
        raise RuntimeError("torch failed: its words")

    monkeypatch.setattr("benchmarks.harness.run_program", broken)
    arguments = ["training", "--works", "B", "--steps", "1", "--results", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    with pytest.raises(SystemExit, match="its words"):
        __main__.main()
    assert not list(Path(tmp_path).iterdir())


def test_a_program_does_not_count_the_memory_of_the_process_that_starts_it():
    held = bytearray(300 << 20)
    held[:: 1 << 12] = bytes([1]) * len(held[:: 1 << 12])
    code = "from benchmarks.programs.job import peak_memory; print(peak_memory())"
    # A function to call before the program starts makes Python fork, rather than vfork.
    told = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, check=True, capture_output=True, text=True, preexec_fn=lambda: None,
    )  # fmt: skip
    assert 5 < float(told.stdout) < 290
