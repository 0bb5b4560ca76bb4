"""Models on the command line: run folders, and `models:/NAME@ALIAS` of MLflow's registry."""

from pathlib import Path


def local_run(model: str | Path) -> Path:
    """A run folder as it is, a registered model as a local copy of its run folder.

    MLflow is imported only where it is needed: that takes seconds.

    Raises:
        UserError: If there is no such registered model.
    """
    if not str(model).startswith("models:"):
        return Path(model)
    from seq2seq.tracking.logged_models import Registry

    return Registry().download(str(model))
