"""NeuralForecast's LSTM: `python -m benchmarks.programs.forecast_neuralforecast JOB`.

The same series, window length, horizon, units and quantiles; its own loader, scaler and trainer.
"""

import json
import logging
import sys
import time

import numpy as np
import pandas as pd
import pytorch_lightning as lightning
from neuralforecast import NeuralForecast
from neuralforecast.losses.pytorch import MQLoss
from neuralforecast.models import LSTM


class Clock(lightning.Callback):
    """Notes the time after each step, in `times`, as NeuralForecast trains a copy of the model."""

    def on_train_batch_end(self, *_: object) -> None:
        """Notes the time."""
        times.append((time.perf_counter(), time.process_time()))


times: list[tuple[float, float]] = []


def main() -> None:
    """Trains and reports."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    job = json.loads(sys.argv[1])
    with np.load(job["histories"]) as arrays:
        values, offsets = arrays["values"], arrays["offsets"]
    lengths = np.diff(offsets)
    frame = pd.DataFrame(
        {
            "unique_id": np.repeat(np.arange(len(lengths)), lengths),
            "ds": np.concatenate([np.arange(length) for length in lengths]),
            "y": np.log(values),
        }
    )
    model = LSTM(
        h=job["horizon"],
        input_size=job["context"],
        encoder_n_layers=1,
        encoder_hidden_size=job["units"],
        decoder_layers=1,
        decoder_hidden_size=job["units"],
        loss=MQLoss(quantiles=list(job["levels"])),
        scaler_type="standard",
        windows_batch_size=job["batch_size"],
        max_steps=job["warm_up"] + job["steps"],
        accelerator="cpu",
        callbacks=[Clock()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    NeuralForecast(models=[model], freq=1).fit(frame)
    first, last = times[job["warm_up"] - 1], times[-1]
    seconds, processor = (end - start for end, start in zip(last, first, strict=True))
    windows = (len(times) - job["warm_up"]) * job["batch_size"]
    speeds = {
        "windows_per_second": windows / seconds,
        "windows_per_processor_second": windows / processor,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    print(json.dumps(speeds))


if __name__ == "__main__":
    main()
