"""A search leaves ended sources behind: their attention memory must leave with them."""

import keras
import pytest

from seq2seq.config import build, composed
from seq2seq.data.formats.parallel_text import ParallelText
from seq2seq.tasks.model_folder import build_task

SOURCES = ["a b", "b c d e f", "f", "c d a", "a a b b c c", "e d c b"]


@pytest.fixture
def data(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for side in ("source", "target"):
        (tmp_path / side).write_text("".join(f"{line}\n" for line in SOURCES))
    splits = ("train", "validation", "test")
    return ParallelText(
        str(tmp_path), dict.fromkeys(splits, "source"), dict.fromkeys(splits, "target")
    )


@pytest.mark.parametrize("decoding", ["greedy", "beam"])
@pytest.mark.parametrize(
    "overrides",
    [
        ["model/attention=luong"],
        ["model/attention=luong", "model.encoder.cell=min_lstm", "model.decoder.cell=min_gru"],
        ["model/attention=luong", "model.decoder.cell=mogrifier_lstm"],
        ["model/attention=multi_head", "model.decoder.input_feeding=true"],
        ["model/attention=bahdanau", "model.decoder.attention.coverage=true", "model.copy=true"],
    ],
)
def test_alone_and_together_give_the_same(decoding, overrides, data):
    sizes = ["model.encoder.units=8", "model.decoder.units=16", "model.embedding_dim=8"]
    words = ["tokenizer=word", "tokenizer.joint=true", f"decoding={decoding}"]
    config = composed(["tracking=none", *words, *sizes, *overrides])
    task = build_task(config)
    task.prepare(data, seed=1)
    keras.utils.set_random_seed(4)
    model = build(config, "model", **task.model_arguments())
    together = task.predict(model, SOURCES)
    assert len({len(row["prediction"].split()) for row in together}) > 1
    for source, row in zip(SOURCES, together, strict=True):
        [alone] = task.predict(model, [source])
        assert alone["prediction"] == row["prediction"]
        assert alone["score"] == pytest.approx(row["score"], abs=1e-4)
