"""`seq2seq distill`: sequence-level knowledge distillation."""

from collections.abc import Sequence
from pathlib import Path

from seq2seq.data.records import Record
from seq2seq.inference.synthetic.data_folder import SyntheticData, Written
from seq2seq.inference.synthetic.real_data import RealPairs, check_copies
from seq2seq.inference.synthetic.shards import Translated
from seq2seq.inference.synthetic.train_command import train_command
from seq2seq.inference.synthetic.translators import Decoding, load_translators, translation_plan
from seq2seq.progress import step
from seq2seq.trust import Trust


def distill(
    runs: Sequence[Path],
    folder: Path,
    decoding: Decoding,
    real_copies: int = 0,
    trust: Trust = (),
) -> Written:
    """Writes training data whose targets are a teacher's translations of its training sources.

    Kim & Rush, 2016, https://arxiv.org/abs/1606.07947. With an ensemble as the teacher, or with the
    real pairs beside the synthetic ones: Freitag et al., 2017, https://arxiv.org/abs/1702.01802.

    Args:
        runs: The teacher; with further runs, an ensemble.
        folder: The folder to write; one that is not complete is continued.
        decoding: How the teacher translates.
        real_copies: How often the teacher's own training pairs are in the data, too.
        trust: Further modules and classes that the runs' configs may name.

    Raises:
        UserError: If a run, its data or the folder cannot be used.
    """
    check_copies(real_copies)
    real = RealPairs(runs[0], trust=trust)
    predictor = load_translators(runs, "distill", trust)
    with step("reading the data"):
        count = sum(1 for _ in real.sources())
        plan = {
            "method": "distillation",
            **translation_plan(predictor, runs, decoding),
            "real": real.fingerprints(),
            "real_copies": real_copies,
        }
    data = SyntheticData(
        plan=plan,
        origin=real.origin(runs),
        texts=real.sources,
        count=count,
        pair=_pair,
        real=real.pairs,
        real_copies=real_copies,
        shard_size=decoding.shard_size,
    )
    manifest = data.write(folder, predictor, decoding.request())
    return Written(manifest, train_command(runs[0], folder, real.has_references, trust))


def _pair(translated: Translated) -> Record:
    return {"source": translated.text, "target": translated.translation}
