"""A language model as a function that continues texts."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import tensorflow as tf

from seq2seq.data.tokenizers.tokenizer import END, START
from seq2seq.decoding.strategy import Strategy
from seq2seq.decoding.streaming import Streaming
from seq2seq.errors import UserError
from seq2seq.inference.text_stream import TextStream
from seq2seq.models.language_model import LanguageModel
from seq2seq.tasks.generation import Generation
from seq2seq.tasks.model_folder import load_model_folder
from seq2seq.tasks.padding import padded
from seq2seq.trust import Trust


class Generator:
    r"""Continues texts token by token; load it once, call it often.

    Args:
        task: A task that is ready to predict.
        model: Its model.

    Example:
        >>> generate = Generator.load("outputs/generation/tiny_shakespeare/2026-11-22_09-00-00")
        >>> decoding = Sampling(temperature=0.8, maximum_length_ratio=0.0, maximum_length_extra=200)
        >>> generate(["ROMEO:", "O "], decoding, stop=["\n\n"])
        ['\nWhat is your will?', 'my lord, I know not.']
    """

    def __init__(self, task: Generation, model: LanguageModel) -> None:
        self.task, self.model = task, model
        self._encode_prompts = tf.function(
            model.read,
            input_signature=[
                tf.TensorSpec((None, None), tf.int32),
                tf.TensorSpec((None,), tf.int32),
            ],
            autograph=False,
        )
        self._streaming: Streaming | None = None

    @classmethod
    def load(cls, run_folder: str | Path, trust: Trust = ()) -> "Generator":
        """Loads a run folder, or the `model` folder of one; `trust` as for `Predictor.load`.

        Raises:
            UserError: If there is no model, or one of another task.
        """
        task, model = load_model_folder(Path(run_folder), trust)
        if not isinstance(task, Generation):
            raise UserError(
                f"{run_folder}: was trained for {type(task).__name__.lower()}, not generation; use "
                "`seq2seq predict`"
            )
        return cls(task, cast(LanguageModel, model))

    def __call__(
        self,
        prompts: Sequence[str],
        decoding: Strategy | None = None,
        stop: Sequence[str] = (),
        first_key: int = 0,
    ) -> list[str]:
        """Returns the continuation of each prompt; see `stream`."""
        texts = [""] * len(prompts)
        for pieces in self.stream(prompts, decoding, stop, first_key):
            texts = [text + piece for text, piece in zip(texts, pieces, strict=True)]
        return texts

    def stream(
        self,
        prompts: Sequence[str],
        decoding: Strategy | None = None,
        stop: Sequence[str] = (),
        first_key: int = 0,
    ) -> Iterator[list[str]]:
        """Continues all prompts as one batch, and yields their texts as they are generated.

        Args:
            prompts: Texts of any length, which may be empty.
            decoding: Greedy search or sampling, with its length limits; None for the run's.
            stop: Strings that end a text; they are not part of it.
            first_key: The number of the first prompt. Samples depend on the seed and the number of
                a prompt, not on the rest of the batch.

        Yields:
            The next piece of each text, often an empty string.

        Raises:
            ValueError: If the search has several hypotheses.
        """
        if not prompts:
            return
        ids = [np.append(START, tokens) for tokens in self.task.tokenizer.encode(prompts)]
        tokens, lengths = padded(ids)
        keys = np.arange(first_key, first_key + len(prompts), dtype=np.int32)
        logits, states = self._encode_prompts(tokens, lengths)
        texts = [TextStream(self.task.tokenizer, prompt[-4:].tolist(), stop) for prompt in ids]
        finished = [False] * len(texts)
        for next_tokens in self._search(decoding)(states, logits, tf.constant(lengths), keys):
            pieces = [""] * len(texts)
            for row, token in enumerate(next_tokens.tolist()):
                if finished[row]:
                    continue
                pieces[row] = texts[row].close() if token == END else texts[row].push(token)
                finished[row] = token == END or texts[row].stopped
            yield pieces
            if all(finished):
                return
        yield ["" if done else text.close() for done, text in zip(finished, texts, strict=True)]

    def _search(self, decoding: Strategy | None) -> Streaming:
        """Returns the compiled search: the last one, if the strategy is the same object."""
        decoding = decoding or self.task.decoding
        if self._streaming is None or self._streaming.strategy is not decoding:
            self._streaming = Streaming(decoding, self.model.step, END)
        return self._streaming
