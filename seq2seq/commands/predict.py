"""`seq2seq predict`: a file or stdin in and out."""

import argparse
from pathlib import Path
from typing import Any

from seq2seq.commands.models import local_run, trust_option
from seq2seq.commands.tensorflow import start_tensorflow
from seq2seq.errors import UserError

SEARCH = """\
A run decodes as it was trained to, unless told otherwise:
  seq2seq predict RUN in.txt --decoding beam --n-best 5
  seq2seq predict RUN in.txt --decoding beam --set beam_size=10 length_penalty.alpha=1.0
  seq2seq predict RUN in.txt --decoding sampling --set temperature=0.7 top_p=0.9 seed=3
`seq2seq train --cfg job recipe=NAME decoding=beam` shows the settings that a search has.

JSONL input may constrain each translation by itself; its fields go before the options:
  {"source": "a red car", "prefix": "ein", "required": ["auto"], "forbidden": ["wagen"]}
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Describes the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = SEARCH
    parser.add_argument(
        "model", metavar="RUN", type=Path, help="a run folder, or models:/NAME@ALIAS"
    )
    parser.add_argument("input", nargs="?", default="-", help="a text file, or - for stdin")
    parser.add_argument("-o", "--output", default="-", help="a file, or - for stdout")
    parser.add_argument(
        "--format",
        choices=("text", "tsv", "jsonl", "conll"),
        help="text: predictions (the default); tsv: source, prediction, score; jsonl: the same by "
        "name, and all else that was asked for; conll (the default for .conll and .conllu): the "
        "same lines with the labels filled in",
    )
    parser.add_argument("--batch-size", type=int, default=64, help="sentences at once")
    several_models(parser)
    search = parser.add_argument_group("search")
    search.add_argument("--decoding", metavar="NAME", help="greedy, beam or sampling")
    search.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="settings of the search that are to be other",
    )
    search.add_argument("--n-best", type=int, metavar="N", help="hypotheses of each source")
    told = parser.add_argument_group("what is told of translations")
    told.add_argument("--token-scores", action="store_true", help="each token's log-probability")
    told.add_argument("--alignments", action="store_true", help="what each token attends to")
    told.add_argument(
        "--alignment-pictures", metavar="FOLDER", type=Path, help="the same, a heat map for each"
    )
    told.add_argument(
        "--replace-unknown",
        action=argparse.BooleanOptionalAction,
        help="whether unknown words become the source words they attend to",
    )
    classes = parser.add_argument_group("what is told of classified texts")
    classes.add_argument(
        "--attention", action="store_true", help="which tokens attention pooling looked at"
    )
    vectors = parser.add_argument_group("vectors instead of predictions")
    vectors.add_argument(
        "--features",
        metavar="NAMES",
        help="what the encoder makes of each text, such as source.layer_0.forward.h, or all: "
        "written to -o FILE.npy, .npz or .parquet",
    )
    words = parser.add_argument_group("constraints on all translations")
    words.add_argument("--prefix", metavar="TEXT", help="what they begin with")
    for name, what in (("required", "must appear"), ("forbidden", "must not appear")):
        words.add_argument(
            f"--{name}",
            action="append",
            metavar="WORDS",
            help=f"a word or phrase that {what}; may be given again",
        )
    words.add_argument(
        "--allowed", metavar="FILE", type=Path, help="the only words allowed, line by line"
    )
    trust_option(parser)


def several_models(parser: argparse.ArgumentParser) -> None:
    """Describes how further runs are named."""
    parser.add_argument(
        "--ensemble",
        nargs="+",
        action="extend",
        default=[],
        type=Path,
        metavar="RUN",
        help="further runs with the same vocabularies, whose distributions are averaged",
    )


def run(options: argparse.Namespace) -> int:
    """Predicts line by line."""
    start_tensorflow()
    options.model = local_run(options.model)
    from seq2seq.data.formats.conll import in_columns
    from seq2seq.data.formats.text_files import read_lines
    from seq2seq.inference.columns import predict_columns
    from seq2seq.inference.files import check_readable, predict_file
    from seq2seq.inference.searches import settings_of

    common: dict[str, Any] = {
        "prefix": options.prefix,
        "required": options.required,
        "forbidden": options.forbidden,
    }
    if options.allowed is not None:
        check_readable(options.allowed, "--allowed")
        common["allowed"] = list(read_lines(options.allowed))
    asked = {
        "decoding": options.decoding,
        "settings": settings_of(options.set),
        "n_best": options.n_best,
        "token_scores": options.token_scores,
        "alignments": options.alignments,
        "replace_unknown": options.replace_unknown,
        "attention": options.attention,
    }
    told = {name: value for name, value in asked.items() if value not in (None, False, {})}
    whole = {"ensemble": options.ensemble, "alignment_pictures": options.alignment_pictures}
    if options.features is not None:
        others = {**told, **common, **whole, "format": options.format}
        if unused := [name for name, value in others.items() if value]:
            raise UserError(f"--features: has no use for {', '.join(unused)}.")
        from seq2seq.inference.features import predict_features

        predict_features(
            options.model,
            options.input,
            options.features,
            options.output,
            options.batch_size,
            tuple(options.trust),
        )
        return 0
    if options.format == "conll" or in_columns(options.input):
        told |= {name: value for name, value in {**common, **whole}.items() if value}
        predict_columns(
            options.model,
            options.input,
            options.output,
            options.format,
            options.batch_size,
            tuple(options.trust),
            **told,
        )
        return 0
    predict_file(
        options.model,
        options.input,
        options.output,
        options.format,
        options.batch_size,
        options.ensemble,
        {name: value for name, value in common.items() if value},
        options.alignment_pictures,
        tuple(options.trust),
        **told,
    )
    return 0
