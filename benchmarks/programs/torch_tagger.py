"""A plain PyTorch BiLSTM-CRF labels sentences: `python -m benchmarks.programs.torch_tagger JOB`."""

import json
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence


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

    def forward(
        self,
        words: torch.Tensor,
        lengths: torch.Tensor,
        characters: torch.Tensor,
        character_lengths: torch.Tensor,
    ) -> list[list[int]]:
        """Returns the best labels of each sentence, whose words are spelled one after the other."""
        embedded = self.characters(characters)
        packed = pack_padded_sequence(
            embedded, character_lengths, batch_first=True, enforce_sorted=False
        )
        _, (h, _) = self.spelling(packed)
        by_sentence = torch.cat(tuple(h), 1).split(lengths.tolist())
        features = torch.cat([self.words(words), pad_sequence(by_sentence, batch_first=True)], 2)
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


def main() -> None:
    """Labels the sentences of a job, sorted by length, and reports how fast."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sentences = job["sentences"]
    words = {word: n for n, word in enumerate(sorted({w for s in sentences for w in s}), start=2)}
    letters = {letter: n for n, letter in enumerate(sorted({c for w in words for c in w}), start=2)}
    torch.manual_seed(1)
    model = BiLstmCrf(len(words) + 2, len(letters) + 2, job["sizes"]).eval()

    @torch.inference_mode()
    def label(chosen: list[list[str]]) -> list[list[int]]:
        ids = padded([[words.get(word, 1) for word in tokens] for tokens in chosen])
        flat = [word for tokens in chosen for word in tokens]
        spelled = padded([[letters.get(letter, 1) for letter in word] for word in flat])
        return model(*ids, *spelled)

    size = job["batch_size"]
    label(sentences[:size])
    start = time.perf_counter()
    ordered = sorted(sentences, key=len)
    for first in range(0, len(ordered), size):
        label(ordered[first : first + size])
    seconds = time.perf_counter() - start
    print(json.dumps({"sentences_per_second": len(sentences) / seconds}))


if __name__ == "__main__":
    main()
