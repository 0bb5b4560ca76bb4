"""A saved run as a function: texts in, predictions out."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from seq2seq.decoding.strategy import Strategy
from seq2seq.errors import UserError
from seq2seq.inference.decoding_overrides import changed_search
from seq2seq.models.base import SequenceModel
from seq2seq.prediction_rows import Row, ScoredPair
from seq2seq.request import PredictionRequest, check_batch_size
from seq2seq.tasks.base import PredictionOptions, Task
from seq2seq.tasks.model_folder import load_model_folder, saved_search
from seq2seq.trust import Trust

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
        >>> predictor(["<fr> 07/08/2051"])[0]["prediction"]
        '2051-08-07'
        >>> rows = predictor(["<fr> 07/08/2051"], decoding="beam", n_best=5, alignments=True)
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

    def __call__(
        self,
        inputs: Sequence[Any],
        batch_size: int = 64,
        *,
        decoding: str | None = None,
        settings: Mapping[str, Any] | None = None,
        n_best: int | None = None,
        alignments: bool = False,
        token_scores: bool = False,
        replace_unknown: bool | None = None,
        attention: bool = False,
    ) -> list[Row]:
        """Predicts for each input, in order.

        Inputs are texts, or records, such as those of a translation with constraints. For the other
        arguments see `PredictionRequest`.

        Returns:
            One row an input, see `seq2seq.prediction_rows`.

        Raises:
            UserError: If the task or its model cannot do what is requested.
        """
        request = PredictionRequest(
            batch_size, decoding, settings or {}, n_best,
            alignments, token_scores, replace_unknown, attention,
        )  # fmt: skip
        return self.predict(inputs, request)

    def predict(self, inputs: Sequence[Any], request: PredictionRequest | None = None) -> list[Row]:
        """Predicts for each input, in order.

        The first request with a changed search compiles it; later ones reuse it.

        Raises:
            UserError: If the task or its model cannot do what is requested.
        """
        request = request or PredictionRequest()
        strategy, n_best = None, request.n_best
        changes_count = n_best is not None and self.search is not None
        if request.decoding is not None or request.settings or changes_count:
            settings = tuple(sorted(request.settings.items()))
            strategy, n_best = self._strategies(request.decoding, settings, n_best), None
        options = PredictionOptions(
            batch_size=request.batch_size,
            decoding=strategy,
            n_best=n_best,
            alignments=request.alignments,
            token_scores=request.token_scores,
            replace_unknown=request.replace_unknown,
            attention=request.attention,
        )
        return self.task.predict(self.model, _as_list(inputs), options)

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
            raise UserError(
                f"decoding, settings and n_best: {type(self.task).__name__} runs do not search."
            )
        return changed_search(self.search, name, dict(settings), n_best, self.trust)


def _as_list(inputs: Iterable[Any]) -> list[Any]:
    """Returns inputs as a list, and refuses a single text or record."""
    if isinstance(inputs, str | bytes | Mapping) or not isinstance(inputs, Iterable):
        raise UserError(
            f"The inputs must be a list, not {type(inputs).__name__}: write predictor([text])."
        )
    return list(inputs)
