"""`seq2seq export`: writes a run as files for another runtime."""

import argparse
from pathlib import Path

from seq2seq.commands._run_argument import local_run, search_options, trust_option
from seq2seq.commands._start_tensorflow import start_tensorflow
from seq2seq.progress import step

EXAMPLES = """\
  seq2seq export RUN dates_onnx --format onnx
  seq2seq export RUN dates_phone --format litert --precision int8
  seq2seq export RUN dates_beam --format onnx --decoding beam --n-best 3 --alignments

The folder has the functions (`predict`: the whole prediction, with its search; `encode` and `step`,
where a model has them), tokenizers or vocabularies, and manifest.json, which says what to feed.
"""
FORMATS = ("savedmodel", "onnx", "litert", "openvino", "keras")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "model",
        metavar="RUN",
        type=Path,
        help="a run folder, an id of `seq2seq runs`, or models:/NAME@ALIAS",
    )
    parser.add_argument("output", metavar="FOLDER", type=Path, help="the folder to write")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        required=True,
        help="savedmodel: for TensorFlow without this package; onnx: for ONNX Runtime; litert: for "
        "phones and small devices; openvino: for Intel's runtime; keras: the models themselves, "
        "which need this package",
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "float16", "int8"),
        default="float32",
        help="of the weights: float16 halves them, int8 quarters them (default float32)",
    )
    group = parser.add_argument_group("what predict does")
    search_options(group)
    group.add_argument("--token-scores", action="store_true", help="each token's log-probability")
    group.add_argument("--alignments", action="store_true", help="each token's attention weights")
    trust_option(parser)


def run(options: argparse.Namespace) -> int:
    """Exports the run, and prints what was written."""
    start_tensorflow()
    model = local_run(options.model)
    with step("loading the libraries"):
        from seq2seq.export.export import export_run
        from seq2seq.request import PredictionRequest, parse_settings

    request = PredictionRequest(
        decoding=options.decoding,
        settings=parse_settings(options.set),
        n_best=options.n_best,
        alignments=options.alignments,
        token_scores=options.token_scores,
    )
    trust = tuple(options.trust)
    manifest = export_run(model, options.output, options.format, options.precision, request, trust)
    size = sum(path.stat().st_size for path in options.output.rglob("*") if path.is_file())
    print(f"{options.output}: {', '.join(manifest['functions'])}; {size / 2**20:.1f} MiB")
    return 0
