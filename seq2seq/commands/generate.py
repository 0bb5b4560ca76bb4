"""`seq2seq generate`: continues texts with a language model."""

import argparse

from seq2seq.commands._run_argument import local_run, trust_option
from seq2seq.commands._start_tensorflow import start_tensorflow
from seq2seq.progress import step

EXAMPLES = """\
  seq2seq generate RUN --prompt "ROMEO:" --temperature 0.8
  seq2seq generate RUN --prompt "ROMEO:" --count 3 --length 200 --top-p 0.9 --seed 7
  seq2seq generate RUN --prompts prompts.txt --format jsonl --stop "JULIET:"
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("model", metavar="RUN", help="a run folder of the task generation")
    parser.add_argument(
        "--prompt",
        action="append",
        metavar="TEXT",
        help="the text to continue; may be repeated (default: an empty text)",
    )
    parser.add_argument(
        "--prompts", metavar="FILE", help="a file with one prompt a line, or - for stdin"
    )
    parser.add_argument(
        "--count", type=int, metavar="N", default=1, help="texts for each prompt (default 1)"
    )
    parser.add_argument(
        "--length", type=int, metavar="N", default=500, help="maximum tokens (default 500)"
    )
    parser.add_argument(
        "--temperature", type=float, metavar="X", default=1.0, help="0 is greedy search (default 1)"
    )
    parser.add_argument(
        "--top-k",
        type=int,
        metavar="N",
        default=0,
        help="sample from the most probable tokens (default 0: all)",
    )
    parser.add_argument(
        "--top-p",
        type=float,
        metavar="X",
        default=1.0,
        help="nucleus sampling (default 1: all tokens)",
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", default=0, help="the seed of sampling (default 0)"
    )
    parser.add_argument(
        "--stop",
        action="append",
        default=[],
        metavar="TEXT",
        help="a string that ends a text; may be repeated",
    )
    parser.add_argument(
        "--format",
        choices=("text", "jsonl"),
        default="text",
        help="text: printed as it is generated (default); jsonl: prompt and text, when complete",
    )
    parser.add_argument(
        "--batch-size", type=int, metavar="N", default=64, help="texts at once (default 64)"
    )
    trust_option(parser)


def run(options: argparse.Namespace) -> int:
    """Continues all prompts."""
    start_tensorflow()
    options.model = local_run(options.model)
    with step("loading the libraries"):
        from seq2seq.inference.generate import GenerationOptions, generate

    generation_options = GenerationOptions(
        options.length,
        options.temperature,
        options.top_k,
        options.top_p,
        options.seed,
        tuple(options.stop),
    )
    generate(
        options.model,
        options.prompt,
        options.prompts,
        options.count,
        generation_options,
        options.format,
        options.batch_size,
        tuple(options.trust),
    )
    return 0
