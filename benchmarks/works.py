"""The works: what model is trained on what batches. All programs read them from here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """One model and its batches.

    Attributes:
        title: What it is, for people.
        task: `translation`, `tagging`, `classification` or `generation`, which carries the state of
            each row from batch to batch.
        units: Units of the encoder, a direction; a decoder has twice as many.
        attention: Whether the decoder attends to the encoder's outputs: Luong's dot product,
            without input feeding, and a tanh projection of output and context.
        bidirectional: Whether the encoder reads in both directions.
        embedding: Width of the embeddings.
        vocabulary: Number of token ids, source and target together.
        outputs: Number of logits of each prediction.
        batch_size: Rows of a batch.
        length: The tokens of every row, source and target; None for Multi30k's lengths.
        dropout: Share dropped of the embeddings, and of what the output layer reads.
    """

    title: str
    task: str = "translation"
    units: int = 256
    attention: bool = False
    bidirectional: bool = True
    embedding: int = 256
    vocabulary: int = 8000
    outputs: int = 8000
    batch_size: int = 64
    length: int | None = None
    dropout: float = 0.3

    @property
    def encoder_width(self) -> int:
        """Width of the encoder's outputs, and of the decoder that starts from its states."""
        return self.units * (2 if self.bidirectional else 1)

    @property
    def is_padded(self) -> bool:
        """Whether rows differ in length."""
        return self.length is None


WORKS = {
    "A": Work("translation with attention", attention=True),
    "B": Work("translation without attention, 20 tokens a row", length=20),
    "C": Work("A with twice the units", attention=True, units=512),
    "D": Work(
        "long sequences, 500 tokens a row",
        task="tagging",
        bidirectional=False,
        vocabulary=100,
        outputs=100,
        batch_size=32,
        length=500,
    ),
    "E": Work("tagging", task="tagging", outputs=30),
    "F": Work("classification", task="classification", outputs=10),
    "G": Work(
        "character language model, state carried, 128 tokens a row",
        task="generation",
        units=512,
        bidirectional=False,
        embedding=128,
        vocabulary=325,
        outputs=325,
        batch_size=32,
        length=128,
    ),
}
