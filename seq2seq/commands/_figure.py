"""The option that names a picture to write."""

from pathlib import Path

from seq2seq.errors import UserError


def check_figure_folder(path: Path) -> None:
    """Raises a `UserError` if the folder of the picture does not exist."""
    if not path.absolute().parent.is_dir():
        raise UserError(f"--figure {path}: there is no such folder")
