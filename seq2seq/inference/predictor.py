"""A saved run as a function: texts in, predictions out."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from seq2seq.decoding.strategy import Strategy
from seq2seq.errors import UserError
from seq2seq.inference.searches import changed_search
from seq2seq.models.base import SequenceModel
from seq2seq.tasks.base import PredictionOptions, Row, Task
from seq2seq.tasks.model_folder import load_model_folder, saved_search
from seq2seq.trust import Trust

SEARCHES_KEPT = 8


class Predictor:
    """Predicts with a trained model; load it once, call it often.

    Args:
        task: A task that is ready to predict.
        model: Its model; several for an ensemble.
        search: The `decoding` config of the run, if its task searches: what another search starts
            from.
        trust: Modules and classes of one's own that other settings of the search may name.

    Example:
        >>> predictor = Predictor.load("outputs/translation/cldr_dates/2026-11-22_09-00-00")
        >>> predictor(["<fr> 07/08/2051"])[0]["prediction"]
        '2051-08-07'
        >>> rows = predictor(["<fr> 07/08/2051"], decoding="beam", n_best=5, alignments=True)
    """

    def __init__(
        self,
        task: Task[Any],
        model: SequenceModel | Sequence[SequenceModel],
        search: DictConfig | None = None,
        trust: Trust = (),
    ) -> None:
        self.task, self.model, self.search, self.trust = task, model, search, trust
        self._searches = lru_cache(SEARCHES_KEPT)(self._search)

    @classmethod
    def load(cls, run_folder: str | Path, *others: str | Path, trust: Trust = ()) -> "Predictor":
        """Loads a run folder, or the `model` folder of one, wherever it was moved.

        Args:
            run_folder: The run.
            others: Further runs with the same vocabularies: an ensemble, whose predictions come
                from the mean of their distributions.
            trust: Modules and classes of one's own that the runs' configs may name: what comes from
                others must not run code of their choice, so nothing else is made from them.

        Raises:
            UserError: If there is no model, it is damaged or from a newer version, or the runs
                cannot speak as one.
        """
        folders = [Path(folder) for folder in (run_folder, *others)]
        tasks, models = zip(*(load_model_folder(each, trust) for each in folders), strict=True)
        if others:
            tasks[0].check_ensemble(tasks[1:])
        search = saved_search(folders[0], trust)
        return cls(tasks[0], models if others else models[0], search, trust)

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

        A search is compiled at the first call that asks for it, and kept for the next ones.

        Args:
            inputs: What the task reads: texts, or records, which may hold more than a text. Those
                of a translation may constrain it, see `Translation.predict_rows`.
            batch_size: How many are predicted at once.
            decoding: Another search than the run's: a choice of `conf/decoding`, such as `beam`.
            settings: Values of the search that are to be other, by their keys in its config:
                `{"beam_size": 10, "length_penalty.alpha": 1.0}`.
            n_best: How many `hypotheses` each row has.
            alignments: See `PredictionOptions`, as of the following ones; for translations.
            token_scores: For translations.
            replace_unknown: For translations.
            attention: For classifications.

        Returns:
            One row an input: `source`, `prediction`, `score` (the log-probability), and what was
            asked for.

        Raises:
            UserError: If the task or its model cannot do what is asked for.
        """
        strategy = None
        if decoding is not None or settings or (n_best is not None and self.search is not None):
            changes = tuple(sorted((settings or {}).items()))
            strategy, n_best = self._searches(decoding, changes, n_best), None
        options = PredictionOptions(
            batch_size, strategy, n_best, alignments, token_scores, replace_unknown, attention
        )
        return self.task.predict(self.model, _checked(inputs, batch_size), options)

    def score(
        self, pairs: Sequence[Mapping[str, str]], batch_size: int = 64, alignments: bool = False
    ) -> list[Row]:
        """Returns how probable the model finds given targets.

        Args:
            pairs: Records with `source` and `target`.
            batch_size: How many are scored at once.
            alignments: Whether to tell what each token attends to.

        Returns:
            Rows with `source`, `target`, `score` (the log-probability), `target_tokens`,
            `token_scores`, and, where asked for, `source_tokens` and `alignments`.

        Raises:
            UserError: If the task has no such scores, or its model no attention.
        """
        options = PredictionOptions(batch_size, alignments=alignments)
        return self.task.score(self.model, _checked(pairs, batch_size), options)

    def features(self, inputs: Sequence[Any], batch_size: int = 64) -> dict[str, np.ndarray]:
        """Returns the vectors that the encoder makes of inputs, by name.

        Args:
            inputs: As for predictions.
            batch_size: How many are encoded at once.

        Returns:
            Float32 `(inputs, width)` each, such as `source.layer_0.forward.h`.

        Raises:
            UserError: If the task has no encoder.
        """
        return self.task.features(self.model, _checked(inputs, batch_size), batch_size)

    def _search(
        self, name: str | None, settings: tuple[tuple[str, Any], ...], n_best: int | None
    ) -> Strategy:
        if self.search is None:
            raise UserError(
                f"decoding, settings and n_best: {type(self.task).__name__} runs do not search."
            )
        return changed_search(self.search, name, dict(settings), n_best, self.trust)


def _checked(inputs: Iterable[Any], batch_size: int) -> list[Any]:
    """Returns inputs as a list.

    Raises:
        UserError: If the inputs are one text or record instead of a list, or `batch_size` is below
            1.
    """
    if isinstance(inputs, str | bytes | Mapping) or not isinstance(inputs, Iterable):
        raise UserError(
            f"The inputs must be a list, not {type(inputs).__name__}: write predictor([text])."
        )
    if batch_size < 1:
        raise UserError(f"batch_size: must be at least 1, got {batch_size}.")
    return list(inputs)
