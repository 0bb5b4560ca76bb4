"""Hosts are asked before TFDS downloads from them."""

import http.server
import threading

import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import downloader

from seq2seq.data.formats import tfds_downloads
from seq2seq.data.formats.tfds import Tfds
from seq2seq.data.formats.tfds_downloads import quick_failure, unreachable
from seq2seq.errors import UserError


@pytest.fixture
def server(tmp_path):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"content")

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made.server_address[1]
        made.shutdown()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    unreachable.cache_clear()


def test_a_host_that_answers_is_downloaded_from(server):
    original = downloader._open_url
    with quick_failure(""):
        address = f"http://127.0.0.1:{server}/x"
        with downloader._open_url(address) as (_, content):
            assert b"".join(content) == b"content"
    assert downloader._open_url is original


def test_a_host_that_does_not_exist_is_named_at_once():
    with quick_failure("DO THIS."), pytest.raises(UserError) as raised:
        downloader._open_url("https://host.invalid/file.zip")
    assert "the host host.invalid cannot be reached" in str(raised.value)
    assert "for https://host.invalid/file.zip. DO THIS." in str(raised.value)


def test_a_name_that_is_never_found_ends_in_time(monkeypatch):
    monkeypatch.setattr(tfds_downloads, "ANSWER_SECONDS", 0.1)
    searching = threading.Event()

    def search(*given):
        searching.wait(60)
        raise OSError

    monkeypatch.setattr(tfds_downloads.socket, "create_connection", search)
    assert unreachable("host.invalid", 80) == "no answer"
    searching.set()


def test_a_dataset_whose_host_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setattr(tfds_downloads, "unreachable", lambda host, port: f"nothing at {port}")
    fields, splits = {"text": "text", "label": "label"}, {"train": "train"}
    data = Tfds("imdb_reviews", fields, splits, str(tmp_path))
    with pytest.raises(UserError) as raised:
        next(data.records("train"))
    message = str(raised.value)
    assert message.startswith("data.name=imdb_reviews: the host ai.stanford.edu cannot be reached")
    assert "tfds build imdb_reviews" in message
    assert str(tmp_path / "imdb_reviews") in message
    assert "\n" not in message
    assert tfds.builder("imdb_reviews", data_dir=tmp_path).info.splits == {}
