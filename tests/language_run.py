"""A small run of the task generation, for tests of what is done with one."""

import keras

from seq2seq.config import build, composed
from seq2seq.tasks.model_folder import build_task, save_model_folder

TEXT = "To be, or not to be, that is the question.\nThe rest is silence.\n" * 8
OVERRIDES = (
    "task=generation",
    "data=plain_text",
    "data.files.train=text.txt",
    "data.tail.validation=0.2",
    "data.tail.test=0.2",
    "tokenizer=text/character",
    "batching=windows",
    "batching.batch_size=2",
    "batching.length=8",
    "model=language_model",
    "model.embedding_dim=6",
    "model.stack.units=8",
    "decoding=sampling",
    "decoding.maximum_length_ratio=0.0",
    "decoding.maximum_length_extra=12",
    "task.prompt_length=10",
    "tracking=none",
)


def prepared(folder, *overrides):
    """Returns config, task and an untrained model on a text in that folder."""
    (folder / "text.txt").write_text(TEXT)
    config = composed([*OVERRIDES, f"data.directory={folder}", *overrides])
    task = build_task(config)
    task.prepare(build(config, "data"), seed=1)
    keras.utils.set_random_seed(2)
    return config, task, build(config, "model", **task.model_arguments())


def saved_run(folder, *overrides):
    """Returns the folder of a run that has learned nothing, but predicts."""
    config, task, model = prepared(folder, *overrides)
    save_model_folder(folder / "model", task, model, config)
    return folder
