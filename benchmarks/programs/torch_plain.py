"""Plain PyTorch, `nn.LSTM`: `python -m benchmarks.programs.torch_plain JOB`."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks.batches import PAD
from benchmarks.programs.job import Clock, Job, report
from benchmarks.works import Work

Tensors = dict[str, torch.Tensor]


def main(fused_adam: bool = False) -> None:
    """Trains and reports."""
    job = Job.from_arguments()
    torch.manual_seed(1)
    model = MODELS[job.work.task](job.work)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=fused_adam)
    clock = Clock(job)
    for batch in clock.watch(job.load()):
        tensors = {name: torch.from_numpy(array).long() for name, array in batch.items()}
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=job.precision == "bfloat16"):
            logits = model(tensors)
        loss = nn.functional.cross_entropy(
            logits.float().flatten(0, -2), tensors["labels"].flatten(), ignore_index=PAD
        )
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        clock.tick()
    report(versions=versions(), loss=loss.item(), **clock.figures())


def versions() -> dict[str, str]:
    """Returns the library's version, and the instructions that it uses."""
    capability = torch.backends.cpu.get_cpu_capability()
    return {"torch": torch.__version__, "torch's instructions": capability}


class Encoder(nn.Module):
    """Embedding, dropout and LSTM, over a batch; packed where rows differ in length."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.embedding = nn.Embedding(work.vocabulary, work.embedding, padding_idx=PAD)
        self.dropout = nn.Dropout(work.dropout)
        self.lstm = nn.LSTM(
            work.embedding, work.units, batch_first=True, bidirectional=work.bidirectional
        )

    def forward(self, batch: Tensors) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Returns the outputs, and the last `h` and `c` of all directions side by side."""
        embedded = self.dropout(self.embedding(batch["source"]))
        if int(batch["source_length"].min()) < embedded.shape[1]:
            packed = pack_padded_sequence(
                embedded, batch["source_length"], batch_first=True, enforce_sorted=False
            )
            packed, (h, c) = self.lstm(packed)
            outputs, _ = pad_packed_sequence(
                packed, batch_first=True, total_length=embedded.shape[1]
            )
        else:
            outputs, (h, c) = self.lstm(embedded)
        return outputs, torch.cat(tuple(h), 1), torch.cat(tuple(c), 1)


class Translation(nn.Module):
    """Encoder and decoder, with or without attention."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        width = work.encoder_width
        self.encoder = Encoder(work)
        self.embedding = nn.Embedding(work.vocabulary, work.embedding, padding_idx=PAD)
        self.dropout = nn.Dropout(work.dropout)
        self.lstm = nn.LSTM(work.embedding, width, batch_first=True)
        self.projection = nn.Linear(2 * width, width) if work.attention else None
        self.output_layer = nn.Linear(width, work.outputs)

    def forward(self, batch: Tensors) -> torch.Tensor:
        """Returns the logits, `(batch, target_length, outputs)`."""
        memory, h, c = self.encoder(batch)
        embedded = self.dropout(self.embedding(batch["target"]))
        outputs, _ = self.lstm(embedded, (h.unsqueeze(0), c.unsqueeze(0)))
        if self.projection is not None:
            outputs = self.attend(outputs, memory, batch["source"] != PAD)
        return self.output_layer(self.dropout(outputs))

    def attend(
        self, outputs: torch.Tensor, memory: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Returns Luong's attentional states, `(batch, steps, width)`."""
        scores = torch.bmm(outputs, memory.transpose(1, 2))
        weights = scores.masked_fill(~mask.unsqueeze(1), float("-inf")).softmax(2)
        joined = torch.cat([outputs, torch.bmm(weights, memory)], 2)
        return torch.tanh(self.projection(joined))


class Tagging(nn.Module):
    """A label for each token."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.encoder = Encoder(work)
        self.dropout = nn.Dropout(work.dropout)
        self.output_layer = nn.Linear(work.encoder_width, work.outputs)

    def forward(self, batch: Tensors) -> torch.Tensor:
        """Returns the logits, `(batch, source_length, outputs)`."""
        outputs, _, _ = self.encoder(batch)
        return self.output_layer(self.dropout(outputs))


class Classification(Tagging):
    """A label for each sequence."""

    def forward(self, batch: Tensors) -> torch.Tensor:
        """Returns the logits, `(batch, outputs)`."""
        _, h, _ = self.encoder(batch)
        return self.output_layer(self.dropout(h))


class Generation(nn.Module):
    """The next token; the state of each row goes on in the next batch."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.embedding = nn.Embedding(work.vocabulary, work.embedding)
        self.dropout = nn.Dropout(work.dropout)
        self.lstm = nn.LSTM(work.embedding, work.units, batch_first=True)
        self.output_layer = nn.Linear(work.units, work.outputs)
        self.state: tuple[torch.Tensor, torch.Tensor] | None = None

    def forward(self, batch: Tensors) -> torch.Tensor:
        """Returns the logits, `(batch, source_length, outputs)`."""
        embedded = self.dropout(self.embedding(batch["source"]))
        outputs, (h, c) = self.lstm(embedded, self.state)
        self.state = h.detach(), c.detach()
        return self.output_layer(self.dropout(outputs))


MODELS = {
    "translation": Translation,
    "tagging": Tagging,
    "classification": Classification,
    "generation": Generation,
}


if __name__ == "__main__":
    main()
