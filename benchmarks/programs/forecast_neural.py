"""NeuralForecast's LSTM on the same series: `python -m benchmarks.programs.forecast_neural JOB`.

The series are logarithms already; it scales windows by mean and standard deviation itself.
"""

import json
import logging
import sys
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as lightning
from neuralforecast import NeuralForecast
from neuralforecast.losses.pytorch import MQLoss
from neuralforecast.models import LSTM


class Clock(lightning.Callback):
    """Times the steps of a training.

    Args:
        warm_up: How many steps are made before.
    """

    def __init__(self, warm_up: int) -> None:
        self.warm_up, self.steps = warm_up, 0
        self.start = self.end = 0.0

    def on_train_batch_end(self, *_: Any) -> None:
        """Notes the time."""
        self.steps += 1
        self.end = time.perf_counter()
        if self.steps == self.warm_up:
            self.start = self.end


def main() -> None:
    """Trains and reports."""
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    job = json.loads(sys.argv[1])
    with np.load(job["series"]) as arrays:
        values, offsets = arrays["values"], arrays["offsets"]
    lengths = np.diff(offsets)
    frame = pd.DataFrame(
        {
            "unique_id": np.repeat(np.arange(len(lengths)), lengths),
            "ds": np.concatenate([np.arange(1, length + 1) for length in lengths]),
            "y": values,
        }
    )
    # Only series with a full window: others would be padded.
    frame = frame[np.repeat(lengths >= job["context"] + job["horizon"], lengths)]
    clock = Clock(job["warm_up"])
    model = LSTM(
        h=job["horizon"],
        input_size=job["context"],
        encoder_n_layers=1,
        encoder_hidden_size=job["units"],
        decoder_layers=1,
        loss=MQLoss(quantiles=list(job["levels"])),
        scaler_type="standard",
        windows_batch_size=job["batch_size"],
        max_steps=job["warm_up"] + job["steps"],
        val_check_steps=10**6,
        start_padding_enabled=False,
        random_seed=1,
        callbacks=[clock],
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    NeuralForecast([model], freq=1).fit(frame)
    windows = (clock.steps - clock.warm_up) * job["batch_size"]
    found = {"windows_per_second": windows / (clock.end - clock.start)}
    found["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
