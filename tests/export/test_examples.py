"""The examples that use an exported run: in Python, in a browser, in C++."""

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from seq2seq.export.export import export_run
from seq2seq.inference.predictor import Predictor
from tests.export.conftest import run_of

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "export"
NODE_MODULES = Path(os.environ.get("SEQ2SEQ_NODE_MODULES", "node_modules"))
"""Of `npm install onnxruntime-web @huggingface/tokenizers`."""


@pytest.fixture(scope="module")
def dates(runs, tmp_path_factory):
    """An exported translation, three inputs, and what the run makes of them."""
    run, inputs, predictor = runs("translation")
    folder = tmp_path_factory.mktemp("dates") / "exported"
    export_run(run, folder, "onnx")
    return folder, inputs[:3], [row["prediction"] for row in predictor(inputs[:3])]


def test_the_examples_are_short():
    for path in EXAMPLES.iterdir():
        assert len(path.read_text("utf-8").splitlines()) < 40, path.name


def test_python_translates_with_onnx_runtime_and_tokenizers_alone(dates):
    folder, texts, translations = dates
    program = (
        "import sys, runpy; sys.modules.update(dict.fromkeys(['seq2seq', 'tensorflow', 'keras']));"
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program, EXAMPLES / "translate.py", folder, *texts],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert printed.splitlines() == translations


def test_a_web_page_translates(dates, tmp_path):
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.support.ui import WebDriverWait

    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (browser and driver):
        pytest.skip("there is no Chromium here")
    if not (NODE_MODULES / "onnxruntime-web").is_dir():
        pytest.skip("SEQ2SEQ_NODE_MODULES names no folder with onnxruntime-web")
    folder, texts, translations = dates
    shutil.copy(EXAMPLES / "index.html", tmp_path)
    (tmp_path / "exported").symlink_to(folder)
    (tmp_path / "node_modules").symlink_to(NODE_MODULES.resolve())
    files = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    page = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        page.get(f"http://127.0.0.1:{server.server_port}/index.html")
        output, text = (page.find_element("id", name) for name in ("translation", "text"))
        WebDriverWait(page, 60).until(lambda _: output.text != "loading ...")
        for source, translation in zip(texts, translations, strict=True):
            text.clear()
            text.send_keys(f"{source}\n")
            WebDriverWait(page, 20).until(lambda _: output.text == translation)  # noqa: B023
    finally:
        page.quit()
        server.shutdown()


def test_cpp_forecasts_with_openvino(tmp_path):
    if shutil.which("g++") is None:
        pytest.skip("there is no g++ here")
    run, data = run_of(tmp_path, "forecasting", ["task.calendar=[]"])
    [series] = data.records("test")
    values = series["y"][:100]
    export_run(run, tmp_path / "exported", "openvino")
    import openvino

    package = Path(openvino.__path__[0])
    [library] = package.glob("libs/libopenvino.so.*")
    subprocess.run(
        ["g++", "-std=c++17", EXAMPLES / "forecast.cpp", "-o", tmp_path / "forecast",
         f"-I{package}/include", library, f"-Wl,-rpath,{package}/libs"],
        check=True,
    )  # fmt: skip
    printed = subprocess.run(
        [tmp_path / "forecast", tmp_path / "exported" / "predict.xml"],
        check=True, capture_output=True, text=True, input=" ".join(map(str, values)),
    ).stdout  # fmt: skip
    history = {"unique_id": "co2", "ds": series["ds"][:100], "y": values, "frequency": "MS"}
    [row] = Predictor.load(run).predict([history])
    np.testing.assert_allclose([float(x) for x in printed.split()], row["prediction"], rtol=1e-4)


def test_the_manifest_is_what_the_page_reads(dates):
    manifest = json.loads((dates[0] / "manifest.json").read_text("utf-8"))
    assert manifest["functions"]["predict"]["file"] == "predict.onnx"
    assert set(manifest["tokenizers"]) == {"source", "target"}
