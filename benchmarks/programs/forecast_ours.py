"""Our forecaster, trained as a recipe: `python -m benchmarks.programs.forecast_ours JOB`."""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from seq2seq.commands._start_tensorflow import start_tensorflow

start_tensorflow()  # first, as `seq2seq train` does

import keras

from seq2seq.config import composed
from seq2seq.experiment import build_experiment, seed_everything
from seq2seq.ops.dispatch import disable_inter_op_parallelism


class Clock(keras.callbacks.Callback):
    """Times the steps of a training, and how long they wait for their batches.

    Args:
        warm_up: How many steps are made before.
    """

    def __init__(self, warm_up: int) -> None:
        super().__init__()
        self.warm_up, self.steps = warm_up, 0
        self.start = self.end = (0.0, 0.0, 0.0)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes the time."""
        self.steps += 1
        self.end = time.perf_counter(), time.process_time(), self.model.waiting_seconds
        if self.steps == self.warm_up:
            self.start = self.end


def main() -> None:
    """Trains and reports."""
    job = json.loads(sys.argv[1])
    disable_inter_op_parallelism()
    seed_everything(1)
    clock = Clock(job["warm_up"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        experiment = build_experiment(composed(job["overrides"]), folder)
        experiment.trainer.callbacks = {"clock": clock}
        experiment.trainer.fit(
            experiment.model.loss_model, experiment.task, experiment.optimizer, folder,
            score_validation=dict, log_metrics=lambda *_: None,
        )  # fmt: skip
    seconds, processor, waited = (
        end - start for end, start in zip(clock.end, clock.start, strict=True)
    )
    windows = (clock.steps - clock.warm_up) * job["batch_size"]
    found = {
        "windows_per_second": windows / seconds,
        "windows_per_processor_second": windows / processor,
        "waiting_share": waited / seconds,
        "parameters": experiment.model.training_model.count_params(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
