"""`seq2seq generate`: continues prompts, and writes texts as they are generated."""

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
from seq2seq.inference.generator import Generator
from seq2seq.inference.input_files import announce_terminal, input_path, read_inputs
from seq2seq.progress import step
from seq2seq.terminal import standard_output
from seq2seq.trust import Trust


@dataclass(frozen=True)
class GenerationOptions:
    """How texts are continued.

    Attributes:
        length: The maximum number of tokens.
        temperature: The temperature of sampling; 0 is greedy search.
        top_k: Samples from the k most probable tokens; 0 from all.
        top_p: Samples from the most probable tokens with this total probability; 1 from all.
        seed: The seed of sampling.
        stop: Strings that end a text.
    """

    length: int
    temperature: float
    top_k: int
    top_p: float
    seed: int
    stop: tuple[str, ...]

    def decoding(self) -> Strategy:
        """Returns the search strategy, or raises UserError for an invalid value."""
        if self.length < 1:
            raise UserError(f"--length: must be at least 1, got {self.length}")
        if "" in self.stop:
            raise UserError("--stop: an empty string would end every text at once")
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
    options: GenerationOptions,
    output_format: Literal["text", "jsonl"],
    batch_size: int,
    trust: Trust = (),
) -> None:
    """Continues each prompt, and writes to stdout.

    Args:
        run_folder: The run folder.
        prompts: Texts.
        source: A file with further prompts, one a line; `-` is stdin. With neither prompts nor
            file, there is one empty prompt.
        count: The number of texts for each prompt.
        options: How texts are continued.
        output_format: `text` writes each prompt and its continuation, under a heading if there are
            several; `jsonl` writes one object with `prompt` and `text` a line.
        batch_size: How many texts are generated at once.
        trust: Further modules and classes that the run's config may name.

    Raises:
        UserError: If an argument, the prompts or the run cannot be used.
    """
    for name, value in {"count": count, "batch-size": batch_size}.items():
        if value < 1:
            raise UserError(f"--{name}: must be at least 1, got {value}")
    decoding = options.decoding()
    path = input_path(source) if source else None
    prompts = list(prompts or ()) if prompts or source else [""]
    stream = standard_output()
    generator = Generator.load(run_folder, trust)
    if source:
        announce_terminal(source)
    from_file = (item.value for item in read_inputs(path, generator.task)) if path else ()
    repeated = (prompt for prompt in chain(prompts, from_file) for _ in range(count))
    is_single = source is None and len(prompts) * count == 1
    first = 0
    for batch in chunks(repeated, batch_size):
        with step("reading the prompts"):  # the terminal is free before the first piece is written
            stream_of_pieces = generator.stream(batch, decoding, options.stop, first_key=first)
            pieces = chain([next(stream_of_pieces)], stream_of_pieces)
        if output_format == "jsonl":
            _write_lines(batch, pieces, stream)
        else:
            numbers = range(first + 1, first + 1 + len(batch))
            headings = [""] if is_single else [f"==> {number} <==\n" for number in numbers]
            _write_texts(batch, pieces, headings, stream)
        first += len(batch)


def _write_lines(prompts: Sequence[str], pieces: Iterator[list[str]], stream: TextIO) -> None:
    for prompt, text in zip(prompts, map("".join, zip(*pieces, strict=True)), strict=True):
        line = json.dumps({"prompt": prompt, "text": text}, ensure_ascii=False)
        print(line, flush=True, file=stream)


def _write_texts(
    prompts: Sequence[str],
    pieces: Iterator[list[str]],
    headings: Sequence[str],
    stream: TextIO,
) -> None:
    """Writes the first text of a batch as it is generated, and the others when it is complete."""
    print(headings[0] + prompts[0], end="", flush=True, file=stream)
    texts = [""] * len(prompts)
    for batch in pieces:
        print(batch[0], end="", flush=True, file=stream)
        texts = [text + piece for text, piece in zip(texts, batch, strict=True)]
    _end_line(prompts[0] + texts[0], stream)
    for heading, prompt, text in zip(headings[1:], prompts[1:], texts[1:], strict=True):
        print(heading + prompt + text, end="", file=stream)
        _end_line(prompt + text, stream)


def _end_line(text: str, stream: TextIO) -> None:
    if not text.endswith("\n"):
        print(flush=True, file=stream)
