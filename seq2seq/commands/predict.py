"""`seq2seq predict`: predicts for each input of a file or of stdin."""

import argparse
from pathlib import Path
from typing import Any

from seq2seq.commands._run_argument import (
    ensemble_option,
    local_run,
    search_options,
    trust_option,
)
from seq2seq.commands._start_tensorflow import start_tensorflow
from seq2seq.errors import UserError
from seq2seq.progress import step

EXAMPLES = """\
  seq2seq predict RUN sentences.txt -o translations.txt
  echo "7 May 2031" | seq2seq predict RUN
  seq2seq predict models:/dates@champion corpus.conllu -o tagged.conllu
  seq2seq predict RUN in.txt --features all -o vectors.npz
  seq2seq predict RUN history.csv --horizon 18 --level 80 95 -o forecast.csv

a run uses the search of its config, unless changed:
  seq2seq predict RUN in.txt --decoding beam --n-best 5
  seq2seq predict RUN in.txt --decoding beam --set beam_size=10 length_penalty.alpha=1.0
  seq2seq predict RUN in.txt --decoding sampling --set temperature=0.7 top_p=0.9 seed=3
a run that forecasts reads the table as in training, unless changed:
  seq2seq predict RUN today.csv --set data.sort=true data.missing=linear
`seq2seq train RECIPE decoding=beam --cfg job` shows the settings of a search.

JSONL input may have constraints for each translation; its fields override the options:
  {"source": "a red car", "prefix": "ein", "required": ["auto"], "forbidden": ["wagen"]}
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "model",
        metavar="RUN",
        type=Path,
        help="a run folder, an id of `seq2seq runs`, or models:/NAME@ALIAS",
    )
    parser.add_argument(
        "input",
        nargs="?",
        default="-",
        metavar="INPUT",
        help="text, TSV, CSV, JSONL or CoNLL; for forecasts CSV or Parquet; - for stdin (default)",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", default="-", help="a file, or - for stdout (default -)"
    )
    parser.add_argument(
        "--format",
        choices=("text", "tsv", "jsonl", "conll", "csv"),
        help="text: predictions (the default); tsv: source, prediction, score; jsonl: the same by "
        "name, and all extra outputs; conll (the default for .conll and .conllu): the lines of the "
        "input with predicted labels; csv (the default for forecasts): a row for each step",
    )
    parser.add_argument(
        "--batch-size", type=int, metavar="N", default=64, help="inputs at once (default 64)"
    )
    ensemble_option(parser)
    search_options(parser.add_argument_group("search"))
    _extra_outputs(parser)
    _forecasts(parser)
    _constraints(parser)
    trust_option(parser)


def _extra_outputs(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("extra outputs of translations")
    group.add_argument("--token-scores", action="store_true", help="each token's log-probability")
    group.add_argument("--alignments", action="store_true", help="each token's attention weights")
    group.add_argument(
        "--alignment-pictures", metavar="FOLDER", type=Path, help="the same as heat maps"
    )
    group.add_argument(
        "--replace-unknown",
        action=argparse.BooleanOptionalAction,
        help="whether unknown words are replaced by the source words they attend to",
    )
    group = parser.add_argument_group("extra outputs of classifications")
    group.add_argument("--attention", action="store_true", help="weights of attention pooling")
    group = parser.add_argument_group("vectors instead of predictions")
    group.add_argument(
        "--features",
        metavar="NAMES",
        help="names of the encoder's vectors to write, such as source.layer_0.forward.h, or all; "
        "with -o FILE.npy, .npz or .parquet",
    )


def _forecasts(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("forecasts")
    group.add_argument(
        "--horizon", type=int, metavar="N", help="the steps to forecast (default: as in training)"
    )
    group.add_argument(
        "--level",
        nargs="+",
        type=float,
        default=[],
        metavar="PERCENT",
        help="intervals to write, such as 80 95",
    )


def _constraints(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("constraints on all translations")
    group.add_argument("--prefix", metavar="TEXT", help="the beginning of all translations")
    for name, rule in (("required", "must appear"), ("forbidden", "must not appear")):
        group.add_argument(
            f"--{name}",
            action="append",
            metavar="WORDS",
            help=f"a word or phrase that {rule}; may be repeated",
        )
    group.add_argument(
        "--allowed", metavar="FILE", type=Path, help="the only words allowed, line by line"
    )


def run(options: argparse.Namespace) -> int:
    """Predicts for each input, or writes the encoder's vectors."""
    start_tensorflow()
    options.model = local_run(options.model)
    with step("loading the libraries"):
        from seq2seq.inference.predict import predict_file
        from seq2seq.request import PredictionRequest, parse_settings

    constraints = _constraints_of(options)
    if options.features is not None:
        return _predict_features(options, constraints)
    request = PredictionRequest(
        batch_size=options.batch_size,
        decoding=options.decoding,
        settings=parse_settings(options.set),
        n_best=options.n_best,
        alignments=options.alignments or options.alignment_pictures is not None,
        token_scores=options.token_scores,
        replace_unknown=options.replace_unknown,
        attention=options.attention,
        horizon=options.horizon,
        levels=options.level,
    )
    predict_file(
        [options.model, *options.ensemble],
        options.input,
        options.output,
        request,
        options.format,
        constraints,
        options.alignment_pictures,
        tuple(options.trust),
    )
    return 0


def _constraints_of(options: argparse.Namespace) -> dict[str, Any]:
    from seq2seq.data.formats.text_files import read_lines
    from seq2seq.inference.input_files import check_readable

    names = ("prefix", "required", "forbidden")
    constraints = {name: value for name in names if (value := getattr(options, name))}
    if options.allowed is not None:
        check_readable(options.allowed, "--allowed")
        constraints["allowed"] = list(read_lines(options.allowed))
    return constraints


def _predict_features(options: argparse.Namespace, constraints: dict[str, Any]) -> int:
    from seq2seq.inference.features import predict_features

    names = (
        "decoding", "set", "n_best", "token_scores", "alignments", "replace_unknown", "attention",
        "ensemble", "alignment_pictures", "format",
    )  # fmt: skip
    unused = [name for name in names if getattr(options, name)]
    if unused := [*unused, *constraints]:
        raise UserError(f"--features: {', '.join(unused)} do not apply to features.")
    predict_features(
        options.model,
        options.input,
        options.features,
        options.output,
        options.batch_size,
        tuple(options.trust),
    )
    return 0
