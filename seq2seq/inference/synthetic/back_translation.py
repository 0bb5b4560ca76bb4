"""`seq2seq augment`: back-translation of monolingual texts."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from seq2seq.data.formats.text_files import content_hash, read_lines
from seq2seq.data.records import Record
from seq2seq.errors import UserError
from seq2seq.inference.input_files import check_readable
from seq2seq.inference.synthetic.data_folder import SyntheticData, Written
from seq2seq.inference.synthetic.real_data import RealPairs, check_copies, visible
from seq2seq.inference.synthetic.shards import Translated
from seq2seq.inference.synthetic.train_command import train_command
from seq2seq.inference.synthetic.translators import Decoding, load_translators, translation_plan
from seq2seq.progress import step
from seq2seq.trust import Trust


@dataclass(frozen=True)
class Mixture:
    """How synthetic pairs are added to the real ones.

    Attributes:
        ratio: The number of synthetic pairs for each real one in the data, copies counted; None for
            all lines of the monolingual texts.
        real_copies: How often the real training pairs are in the data.
        tag: A token that is put in front of synthetic sources (Caswell et al., 2019,
            https://arxiv.org/abs/1906.06442); empty for none.

    Raises:
        UserError: If a value is impossible.
    """

    ratio: float | None = None
    real_copies: int = 1
    tag: str = ""

    def __post_init__(self) -> None:
        check_copies(self.real_copies)
        if self.ratio is not None and not 0 < self.ratio < float("inf"):
            raise UserError(f"--ratio: must be above 0, got {self.ratio}")
        if self.ratio is not None and not self.real_copies:
            raise UserError("--ratio: is to real pairs, and --real-copies 0 leaves them out")
        if self.tag.split() != [self.tag] * bool(self.tag):
            raise UserError(f"--tag: must be one token without white space, got {self.tag!r}")

    def lines(self, available: int, real: int) -> int:
        """Returns how many monolingual lines are translated.

        Raises:
            UserError: If there are too few for the ratio.
        """
        if self.ratio is None:
            return available
        needed = max(1, round(self.ratio * real * self.real_copies))
        if needed > available:
            raise UserError(
                f"--ratio {self.ratio:g}: needs {needed:,} lines beside {real:,} real pairs "
                f"({self.real_copies}x), but the monolingual texts have {available:,}. Lower "
                "--ratio or --real-copies, or give more texts"
            )
        return needed


def back_translate(
    runs: Sequence[Path],
    texts: Sequence[Path],
    folder: Path,
    decoding: Decoding,
    mixture: Mixture,
    forward: Path | None = None,
    trust: Trust = (),
) -> Written:
    """Writes real pairs, and pairs of monolingual target texts and their translations as sources.

    Sennrich et al., 2016, https://arxiv.org/abs/1511.06709; with sampled sources: Edunov et al.,
    2018, https://arxiv.org/abs/1808.09381.

    Args:
        runs: A run that translates from target to source; with further ones, an ensemble.
        texts: Files of texts in the target language, one a line.
        folder: The folder to write; one that is not complete is continued.
        decoding: How texts are translated.
        mixture: How the synthetic pairs are added to the real ones.
        forward: A run from source to target, whose data are the real pairs; None for those of the
            first run, with source and target exchanged.
        trust: Further modules and classes that the runs' configs may name.

    Raises:
        UserError: If a run, its data, a text or the folder cannot be used.
    """
    for path in texts:
        check_readable(path)
    real = RealPairs(forward or runs[0], exchanged=forward is None, trust=trust)
    predictor = load_translators(runs, "augment", trust)
    with step("reading the data"):
        _refuse_used_tag(mixture.tag, real)
        available = sum(1 for _ in _lines(texts))
        count = mixture.lines(available, sum(1 for _ in real.pairs("train")))
        plan = {
            "method": "back-translation",
            **translation_plan(predictor, runs, decoding),
            "texts": [content_hash(path) for path in texts],
            "lines": count,
            "tag": mixture.tag,
            "real": real.fingerprints(),
            "exchanged": real.exchanged,
            "real_copies": mixture.real_copies,
        }
    data = SyntheticData(
        plan=plan,
        origin=real.origin(runs, texts),
        texts=lambda: spread(_lines(texts), available, count),
        count=count,
        pair=_pair_maker(mixture.tag),
        real=real.pairs,
        real_copies=mixture.real_copies,
        shard_size=decoding.shard_size,
    )
    manifest = data.write(folder, predictor, decoding.request())
    command = train_command(forward or runs[0], folder, real.has_references, trust)
    return Written(manifest, command)


def spread(items: Iterable[str], available: int, count: int) -> Iterator[str]:
    """Yields `count` of the available items, at even distances.

    Example:
        >>> list(spread("abcdef", 6, 3))
        ['b', 'd', 'f']
    """
    for number, item in enumerate(items):
        if (number + 1) * count // available > number * count // available:
            yield item


def _lines(paths: Sequence[Path]) -> Iterator[str]:
    return visible(line for path in paths for line in read_lines(path))


def _pair_maker(tag: str) -> Callable[[Translated], Record]:
    prefix = f"{tag} " if tag else ""

    def pair(translated: Translated) -> Record:
        return {"source": prefix + translated.translation, "target": translated.text}

    return pair


def _refuse_used_tag(tag: str, real: RealPairs) -> None:
    """Raises UserError if a real source has the tag, which would not tell the two kinds apart."""
    if not tag:
        return
    for pair in real.pairs("train"):
        if tag in pair["source"].split():
            raise UserError(
                f"--tag {tag}: is a token of a real source already ({pair['source']!r:.80}). Name "
                "another"
            )
