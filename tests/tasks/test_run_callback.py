"""A user's own callback sees the run that it is part of."""

import pytest
from rich.console import Console

from seq2seq.config import composed
from seq2seq.experiment import run
from seq2seq.tasks.run_callback import RunCallback

LINES = ("one\teins", "two\tzwei", "three\tdrei", "four\tvier")


class Diary(RunCallback):
    """Writes what the first validation source is translated to, and keeps a copy of it."""

    def __init__(self, name):
        super().__init__()
        self.name = name

    def watch(self, task, model, data, run_folder, log_folder):
        self.task, self.trained, self.folder = task, model, run_folder / self.name
        self.folder.mkdir()
        self.sources = [record["source"] for record in data.records("validation")]
        self.log_folder = log_folder

    def on_epoch_end(self, epoch, logs=None):
        rows = self.task.predict(self.trained, self.sources)
        (self.folder / f"{epoch}.txt").write_text("\n".join(row["prediction"] for row in rows))
        self.log_folder(self.folder)


def test_a_callback_from_any_module_watches_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "all.tsv").write_text("".join(f"{line}\n" for line in LINES))
    config = composed([
        "data=tsv", f"data.directory={tmp_path}", "tokenizer=word", "tracking=none",
        *(f"data.files.{split}=all.tsv" for split in ("validation", "test")),
        "data.files.train=all.tsv", "data.holdout=null", "task.metrics=[exact_match]",
        "model.encoder.units=4", "model.decoder.units=4", "model.embedding_dim=4",
        "trainer.epochs=2", f"+trainer.callbacks.diary._target_={__name__}.Diary",
        "+trainer.callbacks.diary.name=diary",
    ])  # fmt: skip
    run(config, tmp_path / "run", {}, Console(quiet=True))
    written = sorted(path.name for path in (tmp_path / "run" / "diary").iterdir())
    assert written == ["0.txt", "1.txt"]
    best = (tmp_path / "run" / "predictions" / "validation.jsonl").read_text().splitlines()
    assert len((tmp_path / "run" / "diary" / "1.txt").read_text().split("\n")) == len(best)


def test_a_callback_that_does_not_watch_is_none():
    class Blind(RunCallback):
        """Says nothing of what it does with the run."""

    with pytest.raises(TypeError, match="watch"):
        Blind()
