"""Translates with ONNX Runtime and tokenizers alone: python translate.py FOLDER TEXT ...

FOLDER is what `seq2seq export RUN FOLDER --format onnx` wrote.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


def translate(folder: Path, texts: list[str]) -> list[str]:
    """Returns the translation of each text."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    source, target = (
        Tokenizer.from_file(str(folder / manifest["tokenizers"][side]))
        for side in ("source", "target")
    )
    ids = [encoding.ids for encoding in source.encode_batch(texts)]
    lengths = np.array([len(row) for row in ids], np.int32)
    batch = np.zeros((len(ids), max(1, *lengths)), np.int32)  # 0 is padding
    for row, tokens in enumerate(ids):
        batch[row, : len(tokens)] = tokens
    session = onnxruntime.InferenceSession(folder / manifest["functions"]["predict"]["file"])
    names = ["tokens", "lengths"]
    results = session.run(names, {"source": batch, "source_length": lengths})
    return [target.decode(row[:length].tolist()) for row, length in zip(*results, strict=True)]


if __name__ == "__main__":
    print("\n".join(translate(Path(sys.argv[1]), sys.argv[2:])))
