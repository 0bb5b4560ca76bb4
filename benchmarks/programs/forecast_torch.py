"""A plain PyTorch LSTM forecaster: `python -m benchmarks.programs.forecast_torch JOB`.

All windows are scaled before and lie in one tensor, from which batches are drawn by index.
"""

import json
import sys
import time

import numpy as np
import torch
from torch import nn


class Forecaster(nn.Module):
    """An LSTM whose last output becomes the quantiles of all steps."""

    def __init__(self, units: int, horizon: int, levels: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, units, batch_first=True)
        self.output = nn.Linear(units, horizon * levels)
        self.horizon, self.levels = horizon, levels

    def forward(self, past: torch.Tensor) -> torch.Tensor:
        """Maps `(batch, steps, 1)` to quantiles `(batch, horizon, levels)`."""
        _, (h, _) = self.lstm(past)
        return self.output(h[-1]).view(-1, self.horizon, self.levels)


def quantile_loss(
    quantiles: torch.Tensor, values: torch.Tensor, levels: torch.Tensor
) -> torch.Tensor:
    """Returns twice the mean pinball loss."""
    errors = values[..., None] - quantiles
    return 2 * torch.maximum(levels * errors, (levels - 1) * errors).mean()


def main() -> None:
    """Trains and reports."""
    job = json.loads(sys.argv[1])
    with np.load(job["windows"]) as arrays:
        past, future = (torch.from_numpy(arrays[name]) for name in ("past", "future"))
    torch.manual_seed(1)
    levels = torch.tensor(job["levels"])
    model = Forecaster(job["units"], future.shape[1], len(levels))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    start, processor_start = 0.0, 0.0
    for step in range(job["warm_up"] + job["steps"]):
        if step == job["warm_up"]:
            start, processor_start = time.perf_counter(), time.process_time()
        rows = torch.randint(len(past), (job["batch_size"],))
        loss = quantile_loss(model(past[rows]), future[rows], levels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    windows = job["steps"] * job["batch_size"]
    found = {
        "windows_per_second": windows / (time.perf_counter() - start),
        "windows_per_processor_second": windows / (time.process_time() - processor_start),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
