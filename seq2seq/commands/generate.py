"""`seq2seq generate`: goes on with texts, and shows them as they come."""

import argparse

from seq2seq.commands.models import trust_option
from seq2seq.commands.tensorflow import start_tensorflow


def configure(parser: argparse.ArgumentParser) -> None:
    """Describes the arguments."""
    parser.add_argument("model", metavar="RUN", help="a run folder of the task generation")
    parser.add_argument(
        "--prompt", action="append", metavar="TEXT", help="what to go on with; may be given again"
    )
    parser.add_argument(
        "--prompts", metavar="FILE", help="a file with one prompt a line, or - for stdin"
    )
    parser.add_argument("--count", type=int, default=1, help="texts for each prompt (default 1)")
    parser.add_argument("--length", type=int, default=500, help="most tokens (default 500)")
    parser.add_argument(
        "--temperature", type=float, default=1.0, help="0 takes the likeliest token (default 1)"
    )
    parser.add_argument("--top-k", type=int, default=0, help="of so many tokens (default 0: all)")
    parser.add_argument(
        "--top-p", type=float, default=1.0, help="of the likeliest with this sum (default 1: all)"
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same texts (default 0)")
    parser.add_argument(
        "--stop", action="append", default=[], metavar="TEXT", help="ends a text; may be repeated"
    )
    parser.add_argument(
        "--format",
        choices=("text", "jsonl"),
        default="text",
        help="text: as it comes; jsonl: prompt and text of each, once it is whole",
    )
    parser.add_argument("--batch-size", type=int, default=64, help="texts at once (default 64)")
    trust_option(parser)


def run(options: argparse.Namespace) -> int:
    """Goes on with all prompts."""
    start_tensorflow()
    from seq2seq.inference.writing import Choices, generate

    choices = Choices(
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
        choices,
        options.format,
        options.batch_size,
        tuple(options.trust),
    )
    return 0
