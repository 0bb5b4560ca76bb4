"""A saved run as a function: texts in, predictions out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seq2seq.tasks.base import Row, Task
from seq2seq.tasks.model_folder import load_model_folder


class Predictor:
    """Predicts with a trained model; load it once, call it often.

    Args:
        task: A task that is ready to predict.
        model: Its model.

    Example:
        >>> predictor = Predictor.load("outputs/translation/cldr_dates/2026-11-22_09-00-00")
        >>> predictor(["<fr> 07/08/2051"])[0]["prediction"]
        '2051-08-07'
    """

    def __init__(self, task: Task, model: Any) -> None:
        self.task, self.model = task, model

    @classmethod
    def load(cls, run_folder: str | Path) -> "Predictor":
        """Loads a run folder, or the `model` folder of one, wherever it was moved.

        Raises:
            UserError: If there is no model, or it is damaged or from a newer version.
        """
        return cls(*load_model_folder(Path(run_folder)))

    def __call__(self, texts: Sequence[str], batch_size: int = 64) -> list[Row]:
        """Predicts for each text, in order.

        Args:
            texts: The inputs.
            batch_size: How many are predicted at once.

        Returns:
            One row a text: `source`, `prediction`, `score` (the log-probability).
        """
        return self.task.predict(self.model, texts, batch_size)
