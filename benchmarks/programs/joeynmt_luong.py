"""JoeyNMT's recurrent model in its own training: `python -m benchmarks.programs.joeynmt_luong JOB`.

Timed is what `TrainManager.train_and_validate` does with a batch: `_train_step` (forward pass,
loss, accuracy, backward pass), clipping, Adam, statistics, and making the `Batch`. Reading text
and writing checkpoints are not. Its Luong attention projects the keys ("general"), the decoder
starts from the encoder's last `h` alone, and dropout comes before the projection; input feeding is
turned off. The rest is as in the work.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joeynmt.batch import Batch as JoeyBatch
from joeynmt.config import parse_global_args
from joeynmt.model import Model, build_model
from joeynmt.training import TrainManager
from joeynmt.vocabulary import Vocabulary

from benchmarks.batches import Batch
from benchmarks.programs.job import Clock, Job, report
from benchmarks.works import Work

THEIR_PAD, THEIR_END = 1, 3
NEVER = 10**9


def main() -> None:
    """Trains and reports."""
    job = Job.from_arguments()
    torch.manual_seed(1)
    data = Batches(job)
    with tempfile.TemporaryDirectory() as folder:
        options = parse_global_args(configuration(job.work, Path(folder)))
        model = translation(job.work, options)
        train(model, options, data)
    report(versions=versions(), loss=data.loss(model), **data.clock.figures())


def train(model: Model, options: Any, data: "Batches") -> None:
    """Trains a model in JoeyNMT's trainer, without validation.

    Args:
        model: The model.
        options: What JoeyNMT's `parse_global_args` returns.
        data: The batches.
    """
    trainer = TrainManager(
        rank=0,
        model=model,
        model_dir=options.model_dir,
        device=options.device,
        autocast=options.autocast,
        train_args=options.train,
        dev_args=options.test,
    )
    trainer.train_and_validate(train_data=data, valid_data=data)


class Batches:
    """Stands for JoeyNMT's dataset, its iterator and its sampler: the job's batches, in order."""

    def __init__(self, job: Job) -> None:
        self.clock = Clock(job)
        self.seed = 0
        self.batch_sampler = self
        self._batches = job.load()

    def make_iter(self, **_: Any) -> "Batches":
        """Returns the iterator of an epoch."""
        return self

    def __iter__(self) -> Iterator[JoeyBatch]:
        for batch in self.clock.watch(self._batches):
            yield to_batch(batch, with_target=True)
            self.clock.tick()

    def set_seed(self, seed: int) -> None:
        """Is asked for before each epoch."""

    def get_state(self) -> None:
        """Is asked for by the checkpoint."""

    @torch.no_grad()
    def loss(self, model: Model) -> float:
        """Returns the mean loss of a token of the last batch, without dropout."""
        batch = to_batch(self._batches[-1], with_target=True)
        batch.sort_by_src_length()
        total, *_ = model.eval()(return_type="loss", **vars(batch))
        return total.item() / batch.ntokens


def configuration(work: Work, folder: Path, **training: Any) -> dict[str, Any]:
    """Returns what would stand in JoeyNMT's YAML file.

    Args:
        work: The work.
        folder: Of the model.
        training: Options of the training that differ from the work's.

    Raises:
        RuntimeError: If JoeyNMT has no such model.
    """
    if not (work.task == "translation" and work.attention):
        raise RuntimeError("JoeyNMT's recurrent model is for translation with attention")
    recurrent = {
        "type": "recurrent",
        "rnn_type": "lstm",
        "embeddings": {"embedding_dim": work.embedding, "dropout": work.dropout},
    }
    return {
        "name": work.title,
        "model_dir": str(folder),
        "use_cuda": False,
        "data": {},
        "testing": {},
        "training": {
            "optimizer": "adam",
            "learning_rate": 1e-3,
            "scheduling": "exponential",  # it wants one: this stays what it is
            "decrease_factor": 1.0,
            "clip_grad_norm": 1.0,
            "normalization": "tokens",
            "batch_size": work.batch_size,
            "epochs": 1,
            "logging_freq": NEVER,
            "validation_freq": NEVER,
            **training,
        },
        "model": {
            "encoder": {
                **recurrent,
                "hidden_size": work.units,
                "bidirectional": work.bidirectional,
            },
            "decoder": {
                **recurrent,
                "hidden_size": work.encoder_width,
                "hidden_dropout": work.dropout,
                "attention": "luong",
                "input_feeding": False,
                "init_hidden": "last",
            },
        },
    }


def translation(work: Work, options: Any) -> Model:
    """Returns the model of a work.

    Args:
        work: The work.
        options: What JoeyNMT's `parse_global_args` returns.
    """
    tokens = [f"token{i}" for i in range(4, work.outputs)]
    vocabulary = Vocabulary(tokens, options.data["special_symbols"])
    model = build_model(options.model, vocabulary, vocabulary)
    model.loss_function = (options.train.loss, options.train.label_smoothing)
    return model


def to_batch(batch: Batch, *, with_target: bool) -> JoeyBatch:
    """Returns a batch as JoeyNMT's `collate_fn` makes it; a target goes from start to end."""
    target = None
    if with_target:
        target = _ids(np.concatenate([batch["target"][:, :1], batch["labels"]], axis=1))
    return JoeyBatch(
        src=_ids(batch["source"]),
        src_length=torch.from_numpy(batch["source_length"]).long(),
        src_prompt_mask=None,
        trg=target,
        trg_prompt_mask=None,
        indices=torch.arange(len(batch["source"])),
        device=torch.device("cpu"),
        pad_index=THEIR_PAD,
        eos_index=THEIR_END,
    )


def _ids(tokens: np.ndarray) -> torch.Tensor:
    """Exchanges padding and unknown tokens: JoeyNMT wants 1 and 0."""
    return torch.from_numpy(np.where(tokens < 2, 1 - tokens, tokens)).long()


def versions() -> dict[str, str]:
    """Returns the libraries' versions."""
    return {"joeynmt": "2.3.0", "torch": torch.__version__}


if __name__ == "__main__":
    main()
