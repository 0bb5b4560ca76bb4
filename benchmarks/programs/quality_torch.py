"""Plain PyTorch that learns to translate: `python -m benchmarks.programs.quality_torch JOB`.

As in `shared/peers/torch_plain.py`: uniform first weights, the attention's keys projected, Adam,
and half of the learning rate after each epoch that does not lower the validation loss. Other than
there, states reach the decoder unprojected. Reading an epoch's batches is timed, too.
"""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from benchmarks.batches import PAD, Batch, load_batches
from benchmarks.programs.decode_torch import Decoding, State
from benchmarks.programs.job import Job, report
from benchmarks.programs.learn import LIMIT, Epochs, Tokens
from benchmarks.programs.torch_plain import versions
from benchmarks.works import Work


def main() -> None:
    """Trains epoch by epoch; after each it translates."""
    job = Job.from_arguments()
    torch.manual_seed(1)
    model = Learner(job.work)
    for weight in model.parameters():
        nn.init.uniform_(weight, -0.08, 0.08)
    optimizer = torch.optim.Adam(model.parameters(), lr=job.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    validation = load_batches(Path(job.batches, "validation.npz"))

    def translate(batch: Batch) -> Tokens:
        model.eval()
        return model.beam(batch)

    epochs = Epochs(job, translate)
    for _ in epochs.paths:
        train(model, optimizer, epochs.next_epoch(), job.label_smoothing)
        schedule.step(mean_loss(model, validation))
    report(versions=versions(), points=epochs.points)


class Learner(Decoding):
    """The translator, with keys of its own, and translations as long as it likes."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.keys = nn.Linear(work.encoder_width, work.encoder_width, bias=False)

    def attend(
        self, outputs: torch.Tensor, memory: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Returns Luong's attentional states, `(batch, steps, width)`."""
        scores = torch.bmm(outputs, self.keys(memory).transpose(1, 2))
        weights = scores.masked_fill(~mask.unsqueeze(1), float("-inf")).softmax(2)
        joined = torch.cat([outputs, torch.bmm(weights, memory)], 2)
        return torch.tanh(self.projection(joined))

    def begin(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, State, torch.Tensor]:
        """Returns memory, mask, states and the most tokens of each translation."""
        memory, mask, state, lengths = super().begin(batch)
        return memory, mask, state, (LIMIT * lengths).long()


def train(
    model: Learner,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Batch],
    label_smoothing: float,
) -> None:
    """Goes through the batches once."""
    model.train()
    for batch in batches:
        optimizer.zero_grad()
        loss_of(model, batch, label_smoothing).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


@torch.no_grad()
def mean_loss(model: Learner, batches: list[Batch]) -> float:
    """Returns the mean over all real tokens."""
    model.eval()
    total, count = 0.0, 0
    for batch in batches:
        real = int((batch["labels"] != PAD).sum())
        total, count = total + real * loss_of(model, batch).item(), count + real
    return total / count


def loss_of(model: Learner, batch: Batch, label_smoothing: float = 0.0) -> torch.Tensor:
    """Returns the mean cross-entropy over the real tokens of a batch."""
    tensors = {name: torch.from_numpy(array).long() for name, array in batch.items()}
    logits = model(tensors)
    return nn.functional.cross_entropy(
        logits.flatten(0, -2),
        tensors["labels"].flatten(),
        ignore_index=PAD,
        label_smoothing=label_smoothing,
    )


if __name__ == "__main__":
    main()
