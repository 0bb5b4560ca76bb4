"""EOLE's recurrent model in its own trainer: `python -m benchmarks.programs.eole_luong JOB`.

Timed is what `Trainer.train` does with a batch: forward pass, loss, statistics, backward pass,
clipping, Adam; and making the batch of tensors. Reading text and writing checkpoints are not. The
model is that of the work, but its encoder knows no lengths: it goes on over the padding, and the
decoder starts from there.
"""

import importlib.metadata
import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from eole.config.run import TrainConfig
from eole.inputters.inputter import build_vocab
from eole.models.model import BaseModel, get_model_class
from eole.trainer import Trainer, build_trainer
from eole.utils.optimizers import Optimizer

from benchmarks.batches import Batch
from benchmarks.programs.job import Clock, Job, report
from benchmarks.works import Work


def main() -> None:
    """Trains and reports."""
    job = Job.from_arguments()
    clock, batches = Clock(job), job.load()
    model, vocabularies, config = translation(job.work)
    trainer = trainer_of(model, vocabularies, config)

    def watched() -> Iterator[tuple[dict[str, Any], int]]:
        for batch in clock.watch(batches):
            yield to_batch(batch), 0
            clock.tick()

    train(trainer, watched())
    report(versions=versions(), loss=loss(trainer, batches[-1]), **clock.figures())


def translation(work: Work, **training: Any) -> tuple[BaseModel, dict[str, Any], TrainConfig]:
    """Returns the model of a work, its vocabularies and its config.

    Args:
        work: The work.
        training: Options of the training that differ from the work's.

    Raises:
        RuntimeError: If EOLE has no such model.
    """
    if not (work.task == "translation" and work.attention):
        raise RuntimeError("EOLE's recurrent model is for translation with attention")
    logging.getLogger().setLevel(logging.WARNING)
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as place:
        tokens = Path(place, "tokens.txt")
        # After four special tokens, which EOLE puts before them.
        tokens.write_text("".join(f"t{n}\t1\n" for n in range(4, work.outputs)), encoding="utf-8")
        config = TrainConfig(**configuration(work, tokens, training))
        vocabularies = build_vocab(config, {"src": [], "tgt": []})
    model = get_model_class(config.model).for_training(
        config.model, vocabularies, config.training, metadata=None, device_id=-1
    )
    return model, vocabularies, config


def configuration(work: Work, tokens: Path, training: dict[str, Any]) -> dict[str, Any]:
    """Returns what would stand in EOLE's YAML file."""
    recurrent = {"layers": 1, "hidden_size": work.encoder_width, "rnn_type": "LSTM"}
    embeddings = {
        "src_word_vec_size": work.embedding,
        "tgt_word_vec_size": work.embedding,
        "position_encoding_type": None,
    }
    decoder = {"decoder_type": "rnn", "bidirectional_encoder": True, "global_attention": "dot"}
    return {
        "src_vocab": str(tokens),
        "tgt_vocab": str(tokens),
        "share_vocab": True,
        "data": {},
        "model": {
            "architecture": "custom",
            "input_feed": False,
            "embeddings": embeddings,
            "encoder": {**recurrent, "encoder_type": "brnn"},
            "decoder": {**recurrent, **decoder},
        },
        "training": {
            "model_path": str(tokens.parent),
            "optim": "adam",
            "adam_beta2": 0.999,
            "learning_rate": 1e-3,
            "max_grad_norm": 1.0,
            "normalization": "tokens",
            "batch_size": work.batch_size,
            "dropout": [work.dropout],
            "attention_dropout": [0.0],
            "dropout_steps": [0],
            **training,
        },
    }


def trainer_of(model: BaseModel, vocabularies: dict[str, Any], config: TrainConfig) -> Trainer:
    """Returns EOLE's trainer of a model, which saves nothing."""
    optimizer = Optimizer.from_config(model, config)
    return build_trainer(config, -1, model, vocabularies, optimizer, model_saver=None)


def train(trainer: Trainer, batches: Iterable[tuple[dict[str, Any], int]]) -> None:
    """Trains on all batches, without validation and checkpoints."""
    trainer.train(batches, train_steps=0, save_checkpoint_steps=0)


def to_batch(batch: Batch) -> dict[str, Any]:
    """Returns a batch as EOLE's `tensorify` makes it; a target goes from start to end."""
    rows = len(batch["source"])
    made: dict[str, Any] = {
        "src": _ids(batch["source"]),
        "srclen": torch.from_numpy(batch["source_length"]).long(),
        "ind_in_bucket": list(range(rows)),
        "cid": ["train"] * rows,
        "cid_line_number": [0] * rows,
        "images": None,
        "prefix_len": None,
    }
    if "labels" in batch:
        target = np.concatenate([batch["target"][:, :1], batch["labels"]], axis=1)
        made["tgt"] = _ids(target)
        made["tgtlen"] = torch.from_numpy(np.count_nonzero(target, axis=1))
    return made


@torch.no_grad()
def loss(trainer: Trainer, batch: Batch) -> float:
    """Returns the mean loss of a token of a batch, without dropout."""
    theirs = to_batch(batch)
    output = trainer.model.eval()(theirs["src"], theirs["tgt"], theirs["srclen"])
    total, *_ = trainer.train_loss(theirs, output.dec_out, output.attns)
    return float(total) / int(np.count_nonzero(batch["labels"]))


def _ids(tokens: np.ndarray) -> torch.Tensor:
    """Exchanges padding and unknown tokens: EOLE wants 1 and 0."""
    return torch.from_numpy(np.where(tokens < 2, 1 - tokens, tokens)).long()


def versions() -> dict[str, str]:
    """Returns the libraries' versions."""
    return {"eole": importlib.metadata.version("eole"), "eole's torch": torch.__version__}


if __name__ == "__main__":
    main()
