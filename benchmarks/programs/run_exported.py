"""Runs what `seq2seq export` wrote, as a program without seq2seq does: in the format's runtime."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Regex, Tokenizer, pre_tokenizers

START = 2

Arrays = dict[str, np.ndarray]


def padded(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Returns rows as int32 `(rows, length)`, padded with 0, and their lengths."""
    lengths = np.array([len(row) for row in rows], np.int32)
    array = np.zeros((len(rows), max(1, *lengths)), np.int32)
    for place, row in enumerate(rows):
        array[place, : len(row)] = row
    return array, lengths


class Exported:
    """An exported folder: its manifest, and the arrays for its `predict`.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.manifest = json.loads((self.folder / "manifest.json").read_text("utf-8"))

    def tokenizer(self, name: str) -> Tokenizer:
        """Returns a tokenizer of the folder."""
        return Tokenizer.from_file(str(self.folder / self.manifest["tokenizers"][name]))

    def feeds(self, inputs: Sequence[Any]) -> Arrays:
        """Returns the arrays for inputs."""
        arrays: Arrays = getattr(self, f"_{self.manifest['task']}")(inputs)
        return arrays

    def _translation(self, texts: Sequence[Any]) -> Arrays:
        ids = [encoding.ids for encoding in self.tokenizer("source").encode_batch(texts)]
        source, lengths = padded(ids)
        return {"source": source, "source_length": lengths}

    def _classification(self, texts: Sequence[Any]) -> Arrays:
        text, lengths = padded([each.ids for each in self.tokenizer("text").encode_batch(texts)])
        return {"text": text, "text_length": lengths}

    def _generation(self, texts: Sequence[Any]) -> Arrays:
        ids = [[START, *each.ids] for each in self.tokenizer("text").encode_batch(texts)]
        prompt, lengths = padded(ids)
        return {"prompt": prompt, "prompt_length": lengths}

    def _tagging(self, sentences: Sequence[Any]) -> Arrays:
        known = json.loads((self.folder / self.manifest["vocabularies"]).read_text("utf-8"))
        split = pre_tokenizers.Split(Regex(known["token_pattern"]), "removed", invert=True)
        words, characters = [], [""]
        spelling = []
        for sentence in sentences:
            tokens = sentence
            if isinstance(sentence, str):
                tokens = [token for token, _ in split.pre_tokenize_str(sentence)]
            characters += [token for token in tokens if token not in characters]
            spelling.append([characters.index(token) for token in tokens])
            lower = [token.lower() if known["lowercase"] else token for token in tokens]
            words.append([known["ids"]["words"].get(word, known["unknown"]) for word in lower])
        of_character = known["ids"]["characters"]
        spelled = [[of_character.get(c, known["unknown"]) for c in token] for token in characters]
        arrays = dict(zip(("words", "length"), padded(words), strict=True))
        arrays |= dict(zip(("characters", "character_length"), padded(spelled), strict=True))
        arrays["spelling"] = padded(spelling)[0]
        if known["casings"]:
            rows = [[_casing(token, known["casings"]) for token in s] for s in sentences]
            arrays["casing"] = padded(rows)[0]
        needed = self.manifest["functions"]["predict"]["inputs"]
        return {name: arrays[name] for name in needed}

    def _forecasting(self, series: Sequence[Any]) -> Arrays:
        names = json.loads((self.folder / self.manifest["series"]).read_text("utf-8"))
        target, horizon = names["targets"][0], names["horizon"]
        assert names["known_covariates"] == ["month.sin", "month.cos"]
        lengths = np.array([len(each[target]) for each in series], np.int32)
        history = np.full((len(series), lengths.max(), 1), np.nan, np.float32)
        known = np.zeros((len(series), lengths.max() + horizon, 2), np.float32)
        for row, each in enumerate(series):
            history[row, : lengths[row], 0] = each[target]
            first = int(str(each["ds"][0])[5:7]) - 1
            month = (first + np.arange(lengths[row] + horizon)) % 12
            angle = 2 * np.pi * month / 12
            known[row, : len(angle)] = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
        return {"history": history, "history_length": lengths, "known_covariates": known}


def _casing(token: str, names: list[str]) -> int:
    digits = sum(character.isdigit() for character in token)
    if digits:
        name = "digits" if 2 * digits > len(token) else "with digits"
    elif token.islower():
        name = "lower"
    elif token.isupper() and len(token) > 1:
        name = "upper"
    elif token[:1].isupper() and not any(character.isupper() for character in token[1:]):
        name = "title"
    else:
        name = "mixed" if any(character.isupper() for character in token) else "others"
    return names.index(name) + 1


def runner(folder: Path, name: str = "predict") -> Callable[[Arrays], Arrays]:
    """Returns a function of an exported folder in its runtime, of arrays by name."""
    manifest = json.loads((Path(folder) / "manifest.json").read_text("utf-8"))
    function = manifest["functions"][name]
    path = str(Path(folder) / function["file"])
    match manifest["format"]:
        case "onnx":
            import onnxruntime

            session = onnxruntime.InferenceSession(path)
            names = [output.name for output in session.get_outputs()]
            return lambda feeds: dict(zip(names, session.run(None, feeds), strict=True))
        case "litert":
            from ai_edge_litert.interpreter import Interpreter

            signature = Interpreter(model_path=path).get_signature_runner(function["signature"])
            return lambda feeds: signature(**feeds)
        case "openvino":
            import openvino

            compiled = openvino.Core().compile_model(path, "CPU")
            names = [output.any_name for output in compiled.outputs]

            def run(feeds: Arrays) -> Arrays:
                results = compiled(feeds)
                return {name: results[name] for name in names}

            return run
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    signature = loaded.signatures[function["signature"]]
    return lambda feeds: {
        name: value.numpy()
        for name, value in signature(**{k: tf.constant(v) for k, v in feeds.items()}).items()
    }


if __name__ == "__main__":  # a SavedModel, in a process that has no seq2seq
    import sys

    sys.modules["seq2seq"] = None  # type: ignore[assignment]
    for argument in sys.argv[1:]:
        for name in ("predict", "predict_text"):
            if (path := Path(argument, f"{name}_feeds.npz")).exists():
                results = runner(Path(argument), name)(dict(np.load(path)))
                if (texts := results.get("prediction")) is not None:
                    results["prediction"] = np.array([text.decode() for text in texts])
                np.savez(Path(argument, f"{name}_results.npz"), **results)
