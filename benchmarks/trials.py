"""The settings that a training's trials draw from: the same for all programs."""

import random
from dataclasses import asdict, dataclass, replace

from benchmarks.works import WORKS, Work

SPACE = {
    "learning_rate": (5e-4, 1e-3, 2e-3, 4e-3),
    "decay": (0.6, 0.8, 1.0),
    "dropout": (0.0, 0.2, 0.3, 0.4),
    "label_smoothing": (0.0, 0.1),
    "embedding": (128, 256),
    "units": (128, 256),
}


@dataclass(frozen=True)
class Trial:
    """The settings of a training; without arguments those of work A.

    Attributes:
        learning_rate: The first one.
        decay: What the learning rate is multiplied with after each epoch, by programs without a
            schedule of their own (ours, PyTorch's).
        dropout: Of embeddings and of what the output layer reads.
        label_smoothing: Of the cross-entropy.
        embedding: Width of the embeddings.
        units: Units of the encoder, a direction.
    """

    learning_rate: float = 1e-3
    decay: float = 0.8
    dropout: float = 0.3
    label_smoothing: float = 0.0
    embedding: int = 256
    units: int = 256

    def work(self) -> Work:
        """Returns the work with the model of this trial."""
        return replace(WORKS["A"], dropout=self.dropout, embedding=self.embedding, units=self.units)

    def overrides(self) -> list[str]:
        """Returns the same as overrides of our recipe."""
        return [
            f"optimizer.learning_rate={self.learning_rate}",
            *(
                f"model.{part}dropout={self.dropout}"
                for part in ("encoder.", "decoder.", "output_")
            ),
            f"task.label_smoothing={self.label_smoothing}",
            f"model.embedding_dim={self.embedding}",
            f"model.encoder.units={self.units}",
            f"model.decoder.units={2 * self.units}",
        ]


def drawn(count: int) -> list[Trial]:
    """Returns different trials, the same for every call; the first is that of work A."""
    generator, trials = random.Random(1), [Trial()]
    while len(trials) < count:
        chosen = {name: generator.choice(values) for name, values in SPACE.items()}
        trial = Trial(**{**asdict(Trial()), **chosen})
        if trial not in trials:
            trials.append(trial)
    return trials
