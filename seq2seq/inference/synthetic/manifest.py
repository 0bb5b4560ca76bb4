"""The manifest of a folder of synthetic data: what the data were made of, and by what."""

import json
from collections.abc import Mapping
from pathlib import Path

from seq2seq.data.formats.json_lines import open_model_file
from seq2seq.data.formats.text_files import content_hash
from seq2seq.errors import UserError
from seq2seq.files import CHECKSUMS, UNFINISHED, write_text
from seq2seq.run_folder import LOCK
from seq2seq.tasks.model_folder import WEIGHTS, model_folder
from seq2seq.version import version

MANIFEST = "manifest.json"
FORMAT_VERSION = 1

Values = Mapping[str, object]
"""Values that JSON can hold."""


def begin_manifest(folder: Path, plan: Values, origin: Values) -> Values | None:
    """Writes the manifest of data that are begun; if there is one, checks that it is of the same.

    Args:
        folder: The folder of the data.
        plan: All that the data depend on.
        origin: Where the models and texts are, which may change.

    Returns:
        The manifest if the data are complete.

    Raises:
        UserError: If the folder holds other data, or complete ones that were changed.
        OSError: If the folder cannot be written.
    """
    path = folder / MANIFEST
    if not path.exists():
        _write(folder, plan, origin, {"complete": False})
        return None
    with open_model_file(path, "manifest", FORMAT_VERSION) as content:
        before, is_complete, files = content["plan"], content["complete"], content.get("files", {})
        digests = {str(name): str(file["sha256"]) for name, file in files.items()}
    _refuse_other_plan(folder, before, json.loads(json.dumps(plan)))
    if not is_complete:
        return None
    for name, digest in digests.items():
        if not (folder / name).is_file() or content_hash(folder / name) != digest:
            raise UserError(
                f"{folder / name}: is not as it was written. Remove {folder}, and start again"
            )
    manifest: Values = content
    return manifest


def refuse_other_files(folder: Path) -> None:
    """Raises UserError if a folder holds files that are not of synthetic data."""
    if (folder / MANIFEST).exists() or not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"--output {folder}: is a file. Name a new folder")
    names = sorted(path.name for path in folder.iterdir())
    if others := [name for name in names if name != LOCK and not name.startswith(UNFINISHED)]:
        raise UserError(
            f"--output {folder}: holds other files, such as {others[0]}. Name a new folder"
        )


def end_manifest(
    folder: Path, plan: Values, origin: Values, counts: Mapping[str, int], lines: Mapping[str, int]
) -> Values:
    """Writes the manifest of complete data, and returns it.

    Args:
        folder: The folder of the data.
        plan: As of `begin_manifest`.
        origin: As of `begin_manifest`.
        counts: The numbers of pairs by their kind.
        lines: The number of lines of each file.

    Raises:
        OSError: If the folder cannot be written.
    """
    files = {
        name: {"records": count, "sha256": content_hash(folder / name)}
        for name, count in lines.items()
    }
    return _write(folder, plan, origin, {"complete": True, "counts": counts, "files": files})


def model_digest(run_folder: Path) -> str:
    """Returns a SHA-256 that determines a run's model; raises UserError if there is none."""
    folder = model_folder(run_folder)
    has_checksums = (folder / CHECKSUMS).is_file()  # runs of the first versions have none
    return content_hash(folder / (CHECKSUMS if has_checksums else WEIGHTS))


def _write(folder: Path, plan: Values, origin: Values, state: Values) -> Values:
    content = {
        "format_version": FORMAT_VERSION,
        "seq2seq": version(),
        "origin": origin,
        "plan": plan,
        **state,
    }
    write_text(folder / MANIFEST, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return content


def _refuse_other_plan(folder: Path, before: Values, plan: Values) -> None:
    """Raises UserError if a folder was begun with another plan."""
    different = [key for key in {**before, **plan} if before.get(key) != plan.get(key)]
    if different:
        lines = [
            f"  {key}: {_shown(before.get(key))} there, {_shown(plan.get(key))} now"
            for key in different
        ]
        raise UserError(
            f"--output {folder}: holds data of another command:\n"
            + "\n".join(lines)
            + "\nName a new folder, or give the same settings to go on"
        )


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}..."
