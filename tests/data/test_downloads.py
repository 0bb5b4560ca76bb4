"""Data sets are downloaded from a local server that has them as the real address does."""

import dataclasses
import functools
import hashlib
import http.server
import itertools
import threading
from pathlib import Path
from typing import ClassVar

import pytest

from seq2seq.cli import main
from seq2seq.config import composed, recipe_files
from seq2seq.data import downloads
from seq2seq.data.downloads import (
    DataSet,
    RemoteFile,
    data_directory,
    data_sets,
    download,
    download_advice,
)
from seq2seq.data.formats.tfds_downloads import unreachable
from seq2seq.errors import UserError
from seq2seq.overrides import with_registered_recipes

TEST = "LOC:city Where ?\n"
TRAIN = "HUM:ind Who was the father of a sister\u00f0city ?\nNUM:date When ?\n"
PAIRS = "Go.\tVa !\nRun!\tCours\u202f!\nMy who"


class Server(http.server.SimpleHTTPRequestHandler):
    requests: ClassVar[list[str]] = []

    def do_GET(self):
        self.requests.append(self.path)
        if not self.path.endswith("broken.txt"):
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"the connection ends after this")
        return None

    def log_message(self, *arguments):
        pass


@pytest.fixture
def address(tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    unreachable.cache_clear()
    Server.requests = []
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "TREC.train").write_bytes(TRAIN.encode("iso-8859-1"))
    (tmp_path / "web" / "TREC.test").write_text(TEST)
    (tmp_path / "web" / "fra.txt").write_text(PAIRS)
    handler = functools.partial(Server, directory=str(tmp_path / "web"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_address[1]}"
        made.shutdown()


def local_set(name, address, **sums):
    """A data set of the table with the addresses of the local server, and its checksums."""
    data_set = data_sets()[name]
    files = [
        dataclasses.replace(
            file,
            address=f"{address}/{file.address.rpartition('/')[2]}",
            sha256=sums.get(Path(file.path).stem),
        )
        for file in data_set.files
    ]
    return dataclasses.replace(data_set, address=address, files=tuple(files))


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_files_are_renamed_and_converted(address, tmp_path):
    lines = []
    trec = local_set("trec", address, TREC_10=digest(TEST))
    folder = download(trec, tmp_path / "data", lines.append)
    assert folder == tmp_path / "data" / "trec"
    assert (folder / "train_5500.label").read_text(encoding="utf-8") == TRAIN
    assert "not verified" in lines[0]
    assert hashlib.sha256(TRAIN.encode("iso-8859-1")).hexdigest() in lines[0]
    assert "SHA-256 verified" in lines[1]
    sums = f"{digest(TRAIN)}  train_5500.label\n{digest(TEST)}  TREC_10.label\n"
    assert (folder / "SHA256SUMS").read_text() == sums
    assert sorted(path.name for path in folder.iterdir()) == [
        "SHA256SUMS", "TREC_10.label", "train_5500.label",
    ]  # fmt: skip


def test_an_incomplete_last_line_is_dropped(address, tmp_path):
    folder = download(local_set("fra_eng", address), tmp_path)
    assert (folder / "fra.txt").read_text(encoding="utf-8") == PAIRS.removesuffix("My who")


def test_what_is_there_is_not_downloaded_again(address, tmp_path):
    trec = local_set("trec", address, TREC_10=digest(TEST))
    (download(trec, tmp_path) / "train_5500.label").unlink()
    lines = []
    download(trec, tmp_path, lines.append)
    assert lines[1] == "TREC_10.label: is there already"
    assert Server.requests == ["/TREC.train", "/TREC.test", "/TREC.train"]


def test_another_file_of_the_same_name_stays(address, tmp_path):
    (tmp_path / "trec").mkdir()
    (tmp_path / "trec" / "TREC_10.label").write_text("mine")
    with pytest.raises(UserError, match=r"TREC_10\.label: is not the published file"):
        download(local_set("trec", address, TREC_10="0" * 64), tmp_path)
    assert (tmp_path / "trec" / "TREC_10.label").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "checksum", "message"),
    [
        ("fra.txt", "0" * 64, "is not the file that was published"),
        ("broken.txt", None, "cannot be downloaded"),
        ("absent.txt", None, "HTTP code: 404"),
    ],
)
def test_a_failed_download_leaves_nothing(address, tmp_path, name, checksum, message):
    file = RemoteFile("x.txt", f"{address}/{name}", 1000, checksum)
    data_set = DataSet("x", "X", address, "none", (), (file,))
    with pytest.raises(UserError, match=message):
        download(data_set, tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_a_server_that_is_not_there_is_named_at_once(tmp_path, address):
    with pytest.raises(UserError, match=r"127\.0\.0\.1 cannot be reached.*Check the network"):
        download(local_set("sst2", "http://127.0.0.1:9"), tmp_path)


def test_a_folder_that_cannot_be_written_is_named(address, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--directory FOLDER"):
        download(local_set("trec", address), tmp_path / "file")


def test_the_command_lists_and_downloads(address, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("SEQ2SEQ_DATA", str(tmp_path / "data"))
    with pytest.raises(SystemExit, match="0"):
        main(["download"])
    listed = capsys.readouterr().out
    assert all(name in listed for name in data_sets())
    assert all(recipe in listed for data in data_sets().values() for recipe in data.recipes)
    assert max(map(len, listed.splitlines())) <= 80
    monkeypatch.setattr(downloads, "data_sets", lambda: {"trec": local_set("trec", address)})
    with pytest.raises(SystemExit, match="0"):
        main(["download", "classification/trec"])
    assert "  seq2seq train classification/trec\n" in capsys.readouterr().out
    assert (tmp_path / "data" / "trec" / "TREC_10.label").is_file()
    with pytest.raises(SystemExit, match="0"):
        main(["download", "trec", "--directory", str(tmp_path / "other")])
    assert f"  SEQ2SEQ_DATA={tmp_path / 'other'} seq2seq train" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["download", "trek"])
    assert "nearest is 'trec'" in capsys.readouterr().err


def test_a_recipe_without_its_data_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQ2SEQ_DATA", str(tmp_path))
    assert "`seq2seq download multi30k_en_de`" in download_advice(tmp_path / "multi30k_en_de/tok")
    assert "download" not in download_advice(tmp_path / "mine")
    assert "download" not in download_advice(Path("/elsewhere/sst2"))


def test_the_table_has_every_recipe_on_local_files(monkeypatch):
    monkeypatch.delenv("SEQ2SEQ_DATA", raising=False)
    by_recipe = {recipe: data for data in data_sets().values() for recipe in data.recipes}
    seen = set()
    for recipe in recipe_files():
        if recipe.endswith(("own_data", "/cmudict")) or recipe.startswith("forecasting/m3_"):
            # of a package
            continue
        config = composed([with_registered_recipes(f"recipe={recipe}")])
        directory = config.data.get("directory")
        if directory is not None:
            folder = data_directory() / by_recipe[recipe].name
            names = [Path(file.path) for file in by_recipe[recipe].files]
            parts = [
                config.data[key] for key in ("files", "source", "target") if key in config.data
            ]
            by_split = [{"all": part} if isinstance(part, str) else part for part in parts]
            values = [value for part in by_split for value in part.values() if value]
            slices = [[value] if isinstance(value, str) else value for value in values]
            for name in itertools.chain.from_iterable(slices):
                assert (Path(directory) / name).relative_to(folder) in names
            seen.add(recipe)
    assert seen == set(by_recipe)


def test_the_development_data_are_those_of_the_table():
    root = Path(__file__).parents[2] / data_directory()
    if not root.is_dir():
        pytest.skip("needs the data sets of development")
    for data_set in data_sets().values():
        for file in data_set.files:
            content = (root / data_set.name / file.path).read_bytes()
            assert len(content) == file.size
            assert file.sha256 in (None, hashlib.sha256(content).hexdigest())


def test_ctrl_c_leaves_nothing(address, tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    class Interrupted(tfds.download.DownloadManager):
        def download(self, address):
            raise KeyboardInterrupt

    monkeypatch.setattr(tfds.download, "DownloadManager", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        download(local_set("trec", address), tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_a_stopped_download_reads_no_further_block():
    stopped = threading.Event()
    blocks = downloads._until(stopped, iter([b"one", b"two"]))
    assert next(blocks) == b"one"
    stopped.set()
    with pytest.raises(InterruptedError):
        next(blocks)
