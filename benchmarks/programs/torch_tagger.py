"""A plain PyTorch BiLSTM-CRF labels sentences: `python -m benchmarks.programs.torch_tagger JOB`."""

import json
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

WORDS = 1024
"""How many words are spelled at a time."""


class BiLstmCrf(nn.Module):
    """Words and their characters, an LSTM in both directions, and a CRF."""

    def __init__(self, words: int, characters: int, sizes: dict[str, int]) -> None:
        super().__init__()
        inner, labels = sizes["character_units"], sizes["labels"]
        self.words = nn.Embedding(words, sizes["embedding"], padding_idx=0)
        self.characters = nn.Embedding(characters, sizes["character_embedding"], padding_idx=0)
        self.spelling = nn.LSTM(
            sizes["character_embedding"], inner, batch_first=True, bidirectional=True
        )
        self.lstm = nn.LSTM(
            sizes["embedding"] + 2 * inner, sizes["units"], batch_first=True, bidirectional=True
        )
        self.output = nn.Linear(2 * sizes["units"], labels)
        self.transitions = nn.Parameter(torch.randn(labels, labels))
        self.start, self.end = nn.Parameter(torch.randn(labels)), nn.Parameter(torch.randn(labels))

    def spell(self, characters: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Returns the spelling features of words, `(words, features)`."""
        packed = pack_padded_sequence(
            self.characters(characters), lengths, batch_first=True, enforce_sorted=False
        )
        _, (h, _) = self.spelling(packed)
        return torch.cat(tuple(h), 1)

    def forward(
        self, words: torch.Tensor, lengths: torch.Tensor, spelled: torch.Tensor
    ) -> list[list[int]]:
        """Returns the best labels of each sentence, from its words and their spelling features."""
        features = torch.cat([self.words(words), spelled], 2)
        packed = pack_padded_sequence(features, lengths, batch_first=True, enforce_sorted=False)
        outputs, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return self.viterbi(self.output(outputs), lengths)

    def viterbi(self, logits: torch.Tensor, lengths: torch.Tensor) -> list[list[int]]:
        """Finds the best labels step by step, for all sentences at once."""
        real = torch.arange(logits.shape[1]) < lengths[:, None]
        scores, pointers = self.start + logits[:, 0], []
        for step in range(1, logits.shape[1]):
            best, pointer = (scores[:, :, None] + self.transitions).max(1)
            scores = torch.where(real[:, step, None], best + logits[:, step], scores)
            pointers.append(pointer)
        ends = (scores + self.end).argmax(1).tolist()
        table = torch.stack(pointers).numpy()
        found = []
        for row, length in enumerate(lengths.tolist()):
            labels = [ends[row]]
            for step in range(length - 2, -1, -1):
                labels.append(int(table[step, row, labels[-1]]))
            found.append(labels[::-1])
        return found


def padded(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns rows as one tensor, and their lengths."""
    lengths = [len(row) for row in rows]
    longest = max(lengths)
    return torch.tensor([row + [0] * (longest - len(row)) for row in rows]), torch.tensor(lengths)


@torch.inference_mode()
def label(
    model: BiLstmCrf,
    sentences: list[list[str]],
    words: dict[str, int],
    letters: dict[str, int],
    size: int,
) -> list[list[int]]:
    """Labels sentences, the shortest first; each different word of theirs is spelled once."""
    different = sorted({word for tokens in sentences for word in tokens}, key=len)
    spellings = [[letters.get(letter, 1) for letter in word] for word in different]
    parts = [
        model.spell(*padded(spellings[first : first + WORDS]))
        for first in range(0, len(spellings), WORDS)
    ]
    spelled = torch.cat(parts)
    places = {word: place for place, word in enumerate(different)}
    ordered, labels = sorted(sentences, key=len), []
    for first in range(0, len(ordered), size):
        chosen = ordered[first : first + size]
        ids, lengths = padded([[words.get(word, 1) for word in tokens] for tokens in chosen])
        of_words, _ = padded([[places[word] for word in tokens] for tokens in chosen])
        labels += model(ids, lengths, spelled[of_words])
    return labels


def main() -> None:
    """Labels the sentences of a job, sorted by length, and reports how fast."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sentences = job["sentences"]
    words = {word: n for n, word in enumerate(sorted({w for s in sentences for w in s}), start=2)}
    letters = {letter: n for n, letter in enumerate(sorted({c for w in words for c in w}), start=2)}
    torch.manual_seed(1)
    model = BiLstmCrf(len(words) + 2, len(letters) + 2, job["sizes"]).eval()

    size = job["batch_size"]
    label(model, sentences[:size], words, letters, size)
    start = time.perf_counter()
    label(model, sentences, words, letters, size)
    seconds = time.perf_counter() - start
    print(json.dumps({"sentences_per_second": len(sentences) / seconds}))


if __name__ == "__main__":
    main()
