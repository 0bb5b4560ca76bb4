"""The decoding benchmark: its programs decode as long as they should, its figures add up."""

import numpy as np
import pytest

from benchmarks import decoding
from benchmarks.batches import END, make_batches, save_batches
from benchmarks.environments import EOLE, PYMARIAN, TORCH, cache_directory
from benchmarks.harness import run_program
from benchmarks.programs import decode_keras, decode_ours
from benchmarks.programs.decode import joined, one_by_one
from benchmarks.works import Work
from seq2seq.decoding.beam import BeamSearch
from seq2seq.decoding.greedy import Greedy

TINY = Work("tiny", attention=True, units=4, embedding=4, vocabulary=300, outputs=300, batch_size=8)

# Marian's products in 8 bits want sizes that are multiples of 64.
SMALL = Work("small", attention=True, units=32, embedding=64, vocabulary=512, outputs=512)
ENVIRONMENTS = {
    "torch_bf16": f"torch-{TORCH}",
    "torch_int8": f"torch-{TORCH}",
    "eole": f"eole-{EOLE}",
    "marian_int8": f"pymarian-{PYMARIAN}",
}


@pytest.mark.parametrize("strategy", [Greedy, BeamSearch])
def test_ours_is_as_long_as_the_source(strategy):
    [batch] = make_batches(TINY, 1)
    search = strategy(maximum_length_ratio=1.0, maximum_length_extra=0)
    tokens = decode_ours.decoder(decode_ours.translator(TINY), search)(batch)
    for row, length in zip(tokens, batch["source_length"], strict=True):
        assert (row[:length] != END).all()
        assert (row[length:] == END).all()


def test_keras_goes_step_by_step():
    [batch] = make_batches(TINY, 1)
    encoder, decoder = decode_keras.models(TINY)
    memory, h, c = encoder.predict(batch["source"], verbose=0)
    inputs = [batch["target"][:, :1], memory, batch["source"] != 0, h, c]
    logits, *states = decoder.predict(inputs, verbose=0)
    assert logits.shape == (8, 1, 300)
    assert [state.shape for state in states] == [(8, 8)] * 2
    assert (logits.argmax(axis=-1) != END).all()


def test_sentences_alone_have_no_padding():
    batches = make_batches(TINY, 2)
    alone = one_by_one(batches)
    assert len(alone) == 16
    assert all(batch["source"].shape == (1, batch["source_length"][0]) for batch in alone)
    assert all((batch["source"] != 0).all() for batch in alone)


def test_batches_come_shortest_first(monkeypatch):
    monkeypatch.setitem(decoding.WORKS, "A", TINY)
    longest = [batch["source_length"].max() for batch in decoding.sorted_by_length(4)]
    assert longest == sorted(longest)


def test_ratios_are_of_medians():
    results = {
        "seq2seq": [{"greedy": g, "beam_5": 10.0, "milliseconds_alone": 5.0} for g in (9, 30, 20)],
        "keras": [{"greedy": g, "milliseconds_alone": 50.0} for g in (1, 2, 9)],
    }
    found = decoding.summarised(results)
    assert found["ratios"] == {"greedy_over_keras": 10.0, "alone_over_keras": 10.0}
    assert "| keras | 2.0 |  | 50.0 |" in decoding.table(found)
    assert "greedy_over_keras: 10.00 (goal 15)" in decoding.table(found)
    widths = [[bar.get_width() for bar in a.patches] for a in decoding.plot(found["programs"]).axes]
    np.testing.assert_allclose(widths[0], [2, 20])
    np.testing.assert_allclose(widths[1], [10])


@pytest.mark.parametrize(("name", "folder"), ENVIRONMENTS.items())
def test_peers_decode_where_they_are_installed(name, folder, monkeypatch, tmp_path):
    monkeypatch.setenv("SEQ2SEQ_DATA", str(tmp_path))
    if not (cache_directory() / folder / "installed").exists():
        pytest.skip(f"{folder} is not installed")
    save_batches(make_batches(SMALL, 1), tmp_path / "batches.npz")
    found = run_program(decoding.PROGRAMS[name], SMALL, tmp_path / "batches.npz", seconds=0.1)
    assert min(found[figure] for figure in decoding.FIGURES) > 0


def test_all_batches_at_once(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQ2SEQ_DATA", str(tmp_path))
    batches = make_batches(TINY, 2)
    together = joined(batches)
    first, second = (batch["source_length"].tolist() for batch in batches)
    assert together["source_length"].tolist() == [*first, *second]
    assert np.count_nonzero(together["source"], axis=1).tolist() == [*first, *second]
