import os
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def real_data():
    """The folder of the shared real data."""
    directory = Path(os.environ.get("SEQ2SEQ_DATA", _REPOSITORY.parent / "shared" / "data"))
    if not directory.is_dir():
        pytest.skip(f"no real data in {directory}: set SEQ2SEQ_DATA")
    return directory


@pytest.fixture
def files(tmp_path):
    """Writes files given by name into a folder, and returns it."""

    def write(**contents):
        for name, content in contents.items():
            path = tmp_path / name.replace("__", ".")
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path

    return write
