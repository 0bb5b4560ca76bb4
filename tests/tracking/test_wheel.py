import subprocess
import sys
import venv
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.utils import parse_wheel_filename

from seq2seq.config import recipe_files
from seq2seq.tracking.wheel import write_wheel
from seq2seq.version import DISTRIBUTION, version


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return write_wheel(tmp_path_factory.mktemp("wheel"))


def test_its_name_and_metadata_are_those_of_this_version(wheel):
    name, number, _, tags = parse_wheel_filename(wheel.name)
    assert (name, str(number), [str(tag) for tag in tags]) == (
        DISTRIBUTION,
        version(),
        ["py3-none-any"],
    )
    with ZipFile(wheel) as archive:
        about = message_from_bytes(archive.read(next(n for n in archive.namelist() if "META" in n)))
    assert (about["Name"], about["Version"]) == (DISTRIBUTION, version())
    assert any(line.startswith("tensorflow") for line in about.get_all("Requires-Dist"))


def test_the_same_code_gives_the_same_bytes(wheel, tmp_path):
    assert write_wheel(tmp_path).read_bytes() == wheel.read_bytes()


def test_pip_installs_it_and_the_copy_has_recipes_kernels_and_writes_itself_again(wheel, tmp_path):
    venv.create(tmp_path / "env", with_pip=False, system_site_packages=False)
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run(
        f"{sys.executable} -m pip --python={python} install --quiet --no-deps --no-index "
        f"--disable-pip-version-check {wheel}".split(),
        check=True,
    )
    here = Path(__file__).parents[2]
    program = (
        "import sys; sys.path += sys.argv[1:]; import seq2seq, pathlib;"
        "from seq2seq.config import recipe_files; from seq2seq.tracking.wheel import write_wheel;"
        "package = pathlib.Path(seq2seq.__file__).parent;"
        "print(package, len(recipe_files()), len(list(package.glob('ops/source/*.cc'))),"
        f" write_wheel(pathlib.Path('again')).read_bytes() == pathlib.Path({str(wheel)!r})"
        ".read_bytes())"
    )
    libraries = [p for p in sys.path if p.endswith("site-packages")]
    done = subprocess.run(
        [python, "-I", "-c", program, *libraries],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    package, recipes, sources, is_same = done.stdout.split()
    assert Path(package).is_relative_to(tmp_path / "env")
    assert int(recipes) == len(recipe_files())
    assert int(sources) == len(list((here / "seq2seq" / "ops" / "source").glob("*.cc")))
    assert is_same == "True"
