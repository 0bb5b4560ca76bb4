"""What `seq2seq generate` does: prompts in, texts on the terminal as they come."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, TextIO

from seq2seq.data.records import chunks
from seq2seq.decoding.greedy import Greedy
from seq2seq.decoding.sampling import Sampling
from seq2seq.decoding.strategy import Strategy
from seq2seq.errors import UserError
from seq2seq.inference.files import input_texts
from seq2seq.inference.generation import Generator
from seq2seq.terminal import standard_output
from seq2seq.trust import Trust


@dataclass(frozen=True)
class Choices:
    """How texts are gone on with.

    Attributes:
        length: The most tokens.
        temperature: As `Sampling` takes it; 0 for greedy search.
        top_k: As `Sampling` takes it.
        top_p: As `Sampling` takes it.
        seed: As `Sampling` takes it.
        stop: Strings that end a text.
    """

    length: int
    temperature: float
    top_k: int
    top_p: float
    seed: int
    stop: tuple[str, ...]

    def decoding(self) -> Strategy:
        """Returns the search.

        Raises:
            UserError: If a value is impossible.
        """
        if self.length < 1:
            raise UserError(f"--length: must be at least 1, got {self.length}")
        if "" in self.stop:
            raise UserError("--stop: an empty text would end every text at once")
        if self.temperature == 0:
            return Greedy(maximum_length_ratio=0.0, maximum_length_extra=self.length)
        try:
            return Sampling(
                self.temperature,
                self.top_k,
                self.top_p,
                seed=self.seed,
                maximum_length_ratio=0.0,
                maximum_length_extra=self.length,
            )
        except ValueError as error:
            raise UserError(f"--{str(error).replace('_', '-', 1)}") from error


def generate(
    run_folder: str,
    prompts: Sequence[str] | None,
    source: str | None,
    count: int,
    choices: Choices,
    output_format: Literal["text", "jsonl"],
    batch_size: int,
    trust: Trust = (),
) -> None:
    """Goes on with each prompt, and writes to stdout.

    Args:
        run_folder: A run folder.
        prompts: Texts.
        source: A file with one text a line, or `-`; after the prompts. With neither, there is one
            empty prompt.
        count: Texts for each prompt.
        choices: How they are gone on with.
        output_format: `text` shows prompt and text as it comes, one text after the other, each
            under a heading if there are several; `jsonl` writes `prompt` and `text` of each.
        batch_size: Texts at once.
        trust: Modules and classes of one's own that the run's config may name.

    Raises:
        UserError: If an argument, the prompts or the run cannot be used.
    """
    for name, value in {"count": count, "batch-size": batch_size}.items():
        if value < 1:
            raise UserError(f"--{name}: must be at least 1, got {value}")
    decoding = choices.decoding()
    given = list(prompts or ()) if prompts or source else [""]
    texts = chain(given, input_texts(source) if source else ())
    repeated = (text for text in texts for _ in range(count))
    stream = standard_output()
    generator = Generator.load(run_folder, trust)
    alone = source is None and len(given) * count == 1
    done = 0
    for batch in chunks(repeated, batch_size):
        pieces = generator.stream(batch, decoding, choices.stop, first_key=done)
        if output_format == "jsonl":
            _write_lines(batch, pieces, stream)
        else:
            headings = [""] if alone else [f"==> {done + n + 1} <==\n" for n in range(len(batch))]
            _show(batch, pieces, headings, stream)
        done += len(batch)


def _write_lines(prompts: Sequence[str], pieces: Iterator[list[str]], stream: TextIO) -> None:
    for prompt, text in zip(prompts, map("".join, zip(*pieces, strict=True)), strict=True):
        line = json.dumps({"prompt": prompt, "text": text}, ensure_ascii=False)
        print(line, flush=True, file=stream)


def _show(
    prompts: Sequence[str],
    pieces: Iterator[list[str]],
    headings: Sequence[str],
    stream: TextIO,
) -> None:
    """Shows the first text as it comes, then each of the others, which have come beside it."""
    print(headings[0] + prompts[0], end="", flush=True, file=stream)
    texts = [""] * len(prompts)
    for new in pieces:
        print(new[0], end="", flush=True, file=stream)
        texts = [text + piece for text, piece in zip(texts, new, strict=True)]
    _end_line(prompts[0] + texts[0], stream)
    for heading, prompt, text in zip(headings[1:], prompts[1:], texts[1:], strict=True):
        print(heading + prompt + text, end="", file=stream)
        _end_line(prompt + text, stream)


def _end_line(text: str, stream: TextIO) -> None:
    if not text.endswith("\n"):
        print(flush=True, file=stream)
