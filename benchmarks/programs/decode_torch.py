"""Plain PyTorch, a loop in Python: `python -m benchmarks.programs.decode_torch JOB`.

With `bfloat16` all weights and states are bfloat16, but the logits' normalizer is float32; with
`int8` the weights of LSTM and linear layers are quantized by `quantize_dynamic`.
"""

import torch
from torch import nn

from benchmarks.batches import END, PAD, START, Batch
from benchmarks.programs.decode import INT8, NEVER, Decode, measure
from benchmarks.programs.job import Job
from benchmarks.programs.torch_plain import Translation, versions

BEAM, ALPHA = 5, 1.0
State = tuple[torch.Tensor, torch.Tensor]


def main() -> None:
    """Decodes and reports."""
    job = Job.from_arguments()
    torch.manual_seed(1)
    model = Decoding(job.work).eval()
    with torch.no_grad():
        model.output_layer.bias[END] = NEVER
    model = in_precision(model, job.precision)
    measure(job, model.searches(), model.greedy, **versions())


def in_precision(model: "Decoding", precision: str) -> "Decoding":
    """Returns the model with the weights of a precision."""
    if precision == INT8:
        layers = {nn.LSTM, nn.Linear}
        return torch.ao.quantization.quantize_dynamic(model, layers, dtype=torch.qint8)
    return model.bfloat16() if precision == "bfloat16" else model


class Decoding(Translation):
    """The trained model, step by step."""

    def searches(self) -> dict[str, Decode]:
        """Returns the searches that are measured."""
        return {"greedy": self.greedy, "beam_5": self.beam}

    def begin(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, State, torch.Tensor]:
        """Returns memory, mask, states and lengths."""
        source = torch.from_numpy(batch["source"]).long()
        lengths = torch.from_numpy(batch["source_length"]).long()
        memory, h, c = self.encoder({"source": source, "source_length": lengths})
        return memory, source != PAD, (h.unsqueeze(0), c.unsqueeze(0)), lengths

    def step(
        self, tokens: torch.Tensor, state: State, memory: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, State]:
        """Returns the logits of the next token, `(rows, outputs)`, and the states."""
        outputs, state = self.lstm(self.embedding(tokens).unsqueeze(1), state)
        return self.output_layer(self.attend(outputs, memory, mask)).squeeze(1), state

    @torch.no_grad()
    def greedy(self, batch: Batch) -> list[list[int]]:
        """Takes the most probable token."""
        memory, mask, state, lengths = self.begin(batch)
        tokens, found = torch.full((len(memory),), START), []
        done = torch.zeros(len(memory), dtype=torch.bool)
        for time in range(int(lengths.max()) + 1):
            logits, state = self.step(tokens, state, memory, mask)
            tokens = logits.argmax(1).masked_fill(lengths <= time, END).masked_fill(done, PAD)
            found.append(tokens)
            done |= tokens == END
            if done.all():
                break
        return torch.stack(found, 1).tolist()

    @torch.no_grad()
    def beam(self, batch: Batch) -> list[list[int]]:
        """Keeps the best beginnings, ranked with GNMT's length penalty."""
        memory, mask, (h, c), lengths = self.begin(batch)
        rows = len(memory)
        classes = self.output_layer.out_features
        memory, mask = (each.repeat_interleave(BEAM, 0) for each in (memory, mask))
        state = (h.repeat_interleave(BEAM, 1), c.repeat_interleave(BEAM, 1))
        scores = torch.full((rows, BEAM), NEVER)
        scores[:, 0] = 0
        found = torch.full((rows * BEAM, 1), START)
        done, sizes = torch.zeros(rows, BEAM, dtype=torch.bool), torch.zeros(rows, BEAM)
        first = (torch.arange(rows) * BEAM).unsqueeze(1)
        only = {end: torch.full((classes,), NEVER) for end in (PAD, END)}
        for token, row in only.items():
            row[token] = 0
        for time in range(int(lengths.max()) + 1):
            logits, state = self.step(found[:, -1], state, memory, mask)
            gains = nn.functional.log_softmax(logits.float(), 1).view(rows, BEAM, classes)
            gains = torch.where((lengths <= time)[:, None, None], only[END], gains)
            gains = torch.where(done.unsqueeze(2), only[PAD], gains)
            totals = scores.unsqueeze(2) + gains
            longer = sizes + (~done).float()
            ranks = totals / ((5 + longer.unsqueeze(2)) / 6) ** ALPHA
            places = ranks.view(rows, -1).topk(BEAM, 1).indices
            scores = totals.view(rows, -1).gather(1, places)
            parents, tokens = places // classes, places % classes
            flat = (first + parents).view(-1)
            found = torch.cat([found[flat], tokens.view(-1, 1)], 1)
            state = (state[0][:, flat], state[1][:, flat])
            sizes, done = longer.gather(1, parents), done.gather(1, parents) | (tokens == END)
            if done.all():
                break
        best = (scores / ((5 + sizes) / 6) ** ALPHA).argmax(1)
        return found.view(rows, BEAM, -1)[torch.arange(rows), best, 1:].tolist()


if __name__ == "__main__":
    main()
