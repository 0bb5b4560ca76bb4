"""What `import seq2seq` offers beside classes: train, load and compare runs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq.cluster import cluster
from seq2seq.commands._run_argument import local_run
from seq2seq.commands._start_tensorflow import start_tensorflow
from seq2seq.errors import UserError
from seq2seq.trust import Trust

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from seq2seq.comparison.compare import Comparison
    from seq2seq.inference.predictor import Predictor

_HYDRA_VALUES = ("null", "true", "false", "nan", "inf")
"""Words that Hydra reads as values other than strings."""

Overrides = Mapping[str, Any] | Sequence[str]


class Run:
    """A finished run.

    Args:
        folder: The run folder.

    Raises:
        UserError: If it is not the folder of a finished run.
    """

    def __init__(self, folder: str | Path) -> None:
        from seq2seq.comparison.finished_run import read_run

        self.folder = Path(folder)
        self._run = read_run(self.folder)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    def __fspath__(self) -> str:
        """Returns the run folder, so that a run can stand wherever a path can."""
        return str(self.folder)

    @property
    def metrics(self) -> "pd.DataFrame":
        """The scores: a row for each, and the columns `validation` and `test`."""
        import pandas as pd

        return pd.DataFrame({split: self._run.metrics[split] for split in ("validation", "test")})

    @property
    def history(self) -> "pd.DataFrame":
        """The losses and scores of each epoch, a row each."""
        import pandas as pd

        epochs = pd.DataFrame(self._run.history)
        return epochs.set_index(pd.RangeIndex(1, len(epochs) + 1, name="epoch"))

    @property
    def config(self) -> dict[str, str]:
        """The config: dotted key to value."""
        return self._run.config

    def predictions(self, split: str = "test") -> "pd.DataFrame":
        """Returns the predictions for `validation` or `test`, beside sources and references.

        Forecasts have a row for each series, origin and step: `unique_id`, `ds`, `cutoff` (the last
        date of the history), `target`, `y` (the true value), `forecast`, and the ends of intervals,
        such as `forecast-lo-80` and `forecast-hi-80`.
        """
        import pandas as pd

        from seq2seq.prediction_rows import kind_of, steps_of

        path = self.folder / "predictions" / f"{split}.jsonl"
        if not path.is_file():
            raise UserError(f"{path}: there is no such file; split is validation or test")
        with path.open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        if rows and kind_of(rows[0]) == "forecast":
            return steps_of(rows)
        return pd.DataFrame(rows)

    def predictor(self, trust: Trust = ()) -> "Predictor":
        """Returns the trained model as a function, see `load`."""
        return load(self, trust=trust)


def train(recipe: str | None = None, overrides: Overrides = (), *, trust: Trust = ()) -> Run:
    """Trains, evaluates and tracks one run, like `seq2seq train`.

    Args:
        recipe: A recipe of the package, such as `translation/cldr_dates`, or a YAML file. None if
            the overrides have `resume` or `init_from`.
        overrides: What differs from the recipe: `{"trainer.epochs": 1}`, or as on the command line
            `["trainer.epochs=1"]`.
        trust: Modules and classes of one's own that another run's config may name.

    Returns:
        The finished run.

    Raises:
        UserError: If an override, the data or the machine cannot be used.
        TrainingInterrupted: After Ctrl-C; the last checkpoint and the model are saved.

    Example:
        >>> run = seq2seq.train("translation/cldr_dates", {"trainer.epochs": 1, "seed": 2})
        >>> run = seq2seq.train(overrides={"init_from": run, "optimizer.learning_rate": 1e-4})
    """
    start_tensorflow()
    from seq2seq.launch import train_run

    items = [f"recipe={recipe}"] if recipe is not None else []
    if isinstance(overrides, Mapping):
        items += [_override(key, value) for key, value in overrides.items()]
    else:
        items += list(overrides)
    if flags := [item for item in items if item.startswith("-")]:
        raise UserError(f"{flags[0]}: train takes overrides key=value; sweeps are for the terminal")
    if cluster().index:
        raise UserError("train: the run is the chief's; start the other workers in the terminal")
    folder = train_run(items, trust=trust)
    assert folder is not None
    return Run(folder)


def load(*runs: str | Path | Run, trust: Trust = ()) -> "Predictor":
    """Loads a run as a function from texts to predictions; several are an ensemble.

    Args:
        *runs: Run folders, or registered models such as `models:/dates@champion`.
        trust: Modules and classes of one's own that the runs' configs may name.

    Raises:
        UserError: If there is no model, it is damaged or from a newer version, or the runs cannot
            be an ensemble.

    Example:
        >>> translate = seq2seq.load("outputs/translation/cldr_dates/2026-11-22_09-00-00")
        >>> translate("<fr> 07/08/2051", beam_size=10)["prediction"]
        '2051-08-07'
    """
    start_tensorflow()
    from seq2seq.inference.predictor import Predictor

    first, *others = (local_run(_folder(run)) for run in runs)
    return Predictor.load(first, *others, trust=trust)


def compare(
    *runs: str | Path | Run, ignore: Sequence[str] = (), tracking_uri: str | None = None
) -> "Comparison":
    """Compares finished runs: config, scores, tests of significance; the first is the baseline.

    Args:
        *runs: Runs, or what `seq2seq compare` takes: folders of runs, MLflow run ids, ...
        ignore: Config keys in which runs of one variant may differ, as they may in `seed`.
        tracking_uri: The MLflow store; None for the default one.

    Returns:
        The comparison; a notebook shows its tables, and `print` writes them as Markdown.

    Raises:
        UserError: If there are fewer than two finished runs, or they have no score in common.
    """
    start_tensorflow()
    from seq2seq.comparison.compare import compare as compare_runs
    from seq2seq.comparison.selection import select_runs

    selected = select_runs([str(_folder(run)) for run in runs], tracking_uri)
    return compare_runs([run.without(ignore) for run in selected])


def plot_alignment(row: Mapping[str, Any]) -> "Figure":
    """Draws which source tokens each target token of a translation attends to.

    Args:
        row: A prediction made with `alignments=True`.

    Raises:
        UserError: If the row has no alignments.
    """
    from seq2seq.plots.alignments import alignment_heatmap

    if "alignments" not in row:
        raise UserError("plot_alignment: predict with alignments=True, by a model with attention")
    return alignment_heatmap(row["alignments"], row["source_tokens"], row["target_tokens"])


def _folder(run: "str | Path | Run") -> str | Path:
    return run.folder if isinstance(run, Run) else run


def _override(key: str, value: Any) -> str:
    if hasattr(value, "to_csv"):
        raise UserError(
            f"{key}: must be a value of the config, not a {type(value).__name__}; training reads "
            f"files: write it, value.to_csv('series.csv', index=False), and give their names."
        )
    return f"{key}={_folder(value) if key == 'resume' else _value(value)}"


def _value(value: Any) -> str:
    """Returns a value as Hydra's overrides spell it."""
    from hydra.core.override_parser.types import Quote, QuotedString

    if isinstance(value, Mapping):
        items = ",".join(f"{key}:{_value(item)}" for key, item in value.items())
        return f"{{{items}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_value, value))}]"
    if isinstance(value, bool | int | float) or value is None:
        return json.dumps(value)
    text = str(_folder(value))
    is_plain = text.isascii() and text.replace("/", "").isidentifier()
    is_plain = is_plain and text.lower() not in _HYDRA_VALUES
    return text if is_plain else QuotedString(text, Quote.single).with_quotes()
