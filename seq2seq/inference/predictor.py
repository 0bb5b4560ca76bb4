"""A saved run as a function: texts in, predictions out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np
from omegaconf import DictConfig

from seq2seq.decoding.strategy import Strategy
from seq2seq.errors import UserError
from seq2seq.inference.decoding_overrides import changed_search
from seq2seq.inference.forecast import forecast_frame
from seq2seq.inference.unknown_arguments import check_settings
from seq2seq.models.base import SequenceModel
from seq2seq.prediction_rows import Row, ScoredPair
from seq2seq.request import PredictionRequest, check_batch_size
from seq2seq.tasks.base import Task
from seq2seq.tasks.forecasting import Forecasting
from seq2seq.tasks.model_folder import load_model_folder, saved_search
from seq2seq.tasks.prediction_options import PredictionOptions
from seq2seq.trust import Trust

if TYPE_CHECKING:
    import pandas as pd

CACHED_SEARCHES = 8


class Predictor:
    """Predicts with a trained model; load it once, call it often.

    Args:
        task: A task that is ready to predict.
        model: Its model, or the models of an ensemble.
        search: The `decoding` config of the run, if its task searches; requests may change it.
        trust: Further modules and classes that changed settings of the search may name.

    Example:
        >>> predictor = Predictor.load("outputs/translation/cldr_dates/2026-11-22_09-00-00")
        >>> predictor("<fr> 07/08/2051")["prediction"]
        '2051-08-07'
        >>> rows = predictor(["<fr> 07/08/2051"], decoding="beam", beam_size=10, alignments=True)
    """

    def __init__(
        self,
        task: Task[Any, Any],
        model: SequenceModel | tuple[SequenceModel, ...],
        search: DictConfig | None = None,
        trust: Trust = (),
    ) -> None:
        self.task, self.model, self.search, self.trust = task, model, search, trust
        self._strategies = lru_cache(CACHED_SEARCHES)(self._strategy)

    @classmethod
    def load(cls, run_folder: str | Path, *others: str | Path, trust: Trust = ()) -> "Predictor":
        """Loads a run folder, or the `model` folder of one.

        Args:
            run_folder: The run.
            others: Further runs with the same vocabularies: an ensemble, whose predictions come
                from the mean of their distributions.
            trust: Further modules and classes that the runs' configs may name; other code than
                seq2seq's is refused, since a run folder may be hostile.

        Raises:
            UserError: If there is no model, it is damaged or from a newer version, or the runs
                cannot be an ensemble.
        """
        folders = [Path(folder) for folder in (run_folder, *others)]
        (task, *other_tasks), models = zip(
            *(load_model_folder(folder, trust) for folder in folders), strict=True
        )
        if others:
            task.check_ensemble(other_tasks)
        return cls(task, models if others else models[0], saved_search(folders[0], trust), trust)

    @overload
    def __call__(self, inputs: str, batch_size: int = 64, **options: Any) -> Row: ...

    @overload
    def __call__(
        self, inputs: "pd.Series | pd.DataFrame", batch_size: int = 64, **options: Any
    ) -> "pd.DataFrame": ...

    @overload
    def __call__(
        self, inputs: Sequence[Any], batch_size: int = 64, **options: Any
    ) -> list[Row]: ...

    def __call__(
        self,
        inputs: "str | Sequence[Any] | pd.Series | pd.DataFrame",
        batch_size: int = 64,
        *,
        decoding: str | None = None,
        n_best: int | None = None,
        alignments: bool = False,
        token_scores: bool = False,
        replace_unknown: bool | None = None,
        attention: bool = False,
        horizon: int | None = None,
        levels: float | Sequence[float] = (),
        **settings: Any,
    ) -> "Row | list[Row] | pd.DataFrame":
        """Predicts for one text, or for each of several inputs, in order.

        Args:
            inputs: A text; a list of texts, or of records, such as those of a translation with
                constraints; a Series of texts, or a DataFrame whose columns are the fields. For
                forecasts a DataFrame of series, in the columns of the training data.
            batch_size: How many inputs are predicted at once.
            decoding: A choice of `conf/decoding`, such as `beam`; None for the run's search.
            n_best: The number of `hypotheses` of each row.
            alignments: Whether to return each target token's attention weights.
            token_scores: Whether to return each target token's log-probability.
            replace_unknown: Whether unknown words become the source words that they attend to.
            attention: Whether to return a classification's weights of attention pooling.
            horizon: The steps of a forecast; None for as many as in training.
            levels: The intervals of a forecast, in percent.
            **settings: Changed values of the search, such as `beam_size=10`, or
                `**{"length_penalty.alpha": 1.0}`; for forecasts, of how the table is read, such as
                `**{"data.sort": True}`.

        Returns:
            A row, see `seq2seq.prediction_rows`; for a list a list of them; for pandas' classes
            a DataFrame with the index of the inputs; of forecasts, with a row for each series and
            step.

        Raises:
            UserError: If the task or its model cannot do what is requested.
        """
        is_table = self.reads_tables and hasattr(inputs, "iloc")
        if self.search is None:
            check_settings(settings, type(self.task).__name__, is_table)
        levels = (levels,) if isinstance(levels, int | float) else levels
        request = PredictionRequest(
            batch_size, decoding, settings, n_best,
            alignments, token_scores, replace_unknown, attention, horizon, levels,
        )  # fmt: skip
        if isinstance(inputs, str):
            return self.predict([inputs], request)[0]
        if hasattr(inputs, "iloc"):
            return self._predict_frame(cast("pd.DataFrame", inputs), request)
        return self.predict(inputs, request)

    @property
    def reads_tables(self) -> bool:
        """Whether the run forecasts series, and reads and returns tables."""
        return isinstance(self.task, Forecasting)

    def predict_table(self, frame: "pd.DataFrame", request: PredictionRequest) -> "pd.DataFrame":
        """Forecasts the series of a table, in the columns of the training data.

        Returns:
            A row for each series and step, see `forecast_table`.

        Raises:
            UserError: If the table is faulty, or the model cannot do what is requested.
        """
        assert isinstance(self.task, Forecasting)
        if not hasattr(frame, "columns"):
            raise UserError("Forecasts need a DataFrame, with the columns of the training data.")
        return forecast_frame(self, frame, request)

    def _predict_frame(
        self, inputs: "pd.Series | pd.DataFrame", request: PredictionRequest
    ) -> "pd.DataFrame":
        import pandas as pd

        if self.reads_tables:
            return self.predict_table(cast("pd.DataFrame", inputs), request)
        if isinstance(inputs, pd.DataFrame):
            columns = self.task.input_columns.items()
            inputs = inputs.rename(
                columns={c: field for field, c in columns if field not in inputs}
            )
            alone = list(inputs.columns) == ["source"]
            values = inputs["source"].tolist() if alone else inputs.to_dict("records")
        else:
            values = inputs.tolist()
        return pd.DataFrame(self.predict(values, request), index=inputs.index)

    def predict(self, inputs: Sequence[Any], request: PredictionRequest | None = None) -> list[Row]:
        """Predicts for each input, in order.

        The first request with a changed search compiles it; later ones reuse it.

        Raises:
            UserError: If the task or its model cannot do what is requested.
        """
        options = self.options(request or PredictionRequest())
        return self.task.predict(self.model, _as_list(inputs), options)

    def options(self, request: PredictionRequest) -> PredictionOptions:
        """Returns a request with its search, as the task takes it; raises as `predict`."""
        strategy, n_best = None, request.n_best
        changes_count = n_best is not None and self.search is not None
        if request.decoding is not None or request.settings or changes_count:
            settings = tuple(sorted(_flat(request.settings)))
            strategy, n_best = self._strategies(request.decoding, settings, n_best), None
        return PredictionOptions(
            batch_size=request.batch_size,
            decoding=strategy,
            n_best=n_best,
            alignments=request.alignments,
            token_scores=request.token_scores,
            replace_unknown=request.replace_unknown,
            attention=request.attention,
            horizon=request.horizon,
            levels=tuple(request.levels),
            first_number=request.first_number,
        )

    def score(
        self, pairs: Sequence[Mapping[str, str]], batch_size: int = 64, alignments: bool = False
    ) -> list[ScoredPair]:
        """Returns the log-probabilities of given targets.

        Args:
            pairs: Records with `source` and `target`.
            batch_size: How many are scored at once.
            alignments: Whether to return each token's attention weights.

        Returns:
            Rows with `source`, `target`, `score` (the log-probability), `target_tokens`,
            `token_scores`, and with `alignments` also `source_tokens` and `alignments`.

        Raises:
            UserError: If the task has no such scores, or its model no attention.
        """
        check_batch_size(batch_size)
        options = PredictionOptions(batch_size, alignments=alignments)
        return self.task.score(self.model, _as_list(pairs), options)

    def features(self, inputs: Sequence[Any], batch_size: int = 64) -> dict[str, np.ndarray]:
        """Returns the encoder's vectors of inputs by name.

        Returns:
            Float32 `(inputs, width)` each, such as `source.layer_0.forward.h`.

        Raises:
            UserError: If the task has no encoder.
        """
        check_batch_size(batch_size)
        return self.task.features(self.model, _as_list(inputs), batch_size)

    def _strategy(
        self, name: str | None, settings: tuple[tuple[str, Any], ...], n_best: int | None
    ) -> Strategy:
        if self.search is None:
            keys = ", ".join(key for key, _ in settings) or "decoding and n_best"
            raise UserError(f"{keys}: {type(self.task).__name__} runs do not search.")
        return changed_search(self.search, name, dict(settings), n_best, self.trust)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields nested settings by their dotted keys, such as `length_penalty.alpha`."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", tuple(value) if isinstance(value, list) else value


def _as_list(inputs: Iterable[Any]) -> list[Any]:
    """Returns inputs as a list, and refuses a single record."""
    if isinstance(inputs, str | bytes | Mapping) or not isinstance(inputs, Iterable):
        raise UserError(f"The inputs must be a text or a list, not {type(inputs).__name__}")
    return list(inputs)
