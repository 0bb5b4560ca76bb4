"""Refuses arguments of a prediction that there are not, and says which is meant."""

import inspect
from collections.abc import Iterable

from seq2seq.errors import UserError
from seq2seq.inference.history_tables import PREFIX
from seq2seq.nearest_name import nearest
from seq2seq.request import PredictionRequest

OF_OTHER_LIBRARIES = {
    "h": "horizon", "n": "horizon", "steps": "horizon", "level": "levels", "coverage": "levels",
}  # fmt: skip
"""What other forecasting libraries call an argument."""
FUTURE_TABLES = ("futr_df", "X_df", "X", "future_covariates", "future_df")
"""What they call a table of covariates that are known in advance."""


def check_settings(settings: Iterable[str], task: str, is_table: bool) -> None:
    """Raises UserError for an argument of a run that does not search.

    Args:
        settings: The names of arguments that are none of `PredictionRequest`.
        task: The name of the task.
        is_table: Whether series are forecast from a table, whose reading may be changed.
    """
    for key in settings:
        if key.startswith(PREFIX) and is_table:
            continue
        if task == "Forecasting" and key in FUTURE_TABLES:
            raise UserError(
                f"{key}: no such argument. Covariates that are known in advance (task.known) stand "
                "in the same table, in rows of the future below the history of each series, with "
                "an empty target: predict(pd.concat([history, future]))."
            )
        meant = OF_OTHER_LIBRARIES.get(key) if task == "Forecasting" else None
        known = [*inspect.signature(PredictionRequest).parameters]
        hint = f"; the nearest is {meant!r}" if meant else nearest(key, known)
        raise UserError(f"{key}: no such argument{hint}; {task} runs do not search.")
