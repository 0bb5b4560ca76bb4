"""What `seq2seq doctor` finds on machines that lack something."""

import json

import pytest
from packaging.requirements import Requirement

from seq2seq import doctor, speed_check
from seq2seq.cli import main
from seq2seq.ops import compile

REPORT = {"tensorflow": "2.21.0", "instructions": "AVX2", "seq2seq": 10.0, "keras": 25.0}


def installed(monkeypatch, **versions):
    monkeypatch.setattr(doctor, "_installed", versions.get)


def fake_tensorflow(monkeypatch, tmp_path, content):
    """Makes a module `tensorflow` with this content the one that another process imports."""
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "tensorflow.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path / "fake")


def test_packages_that_are_missing_or_too_old(monkeypatch):
    installed(monkeypatch, numpy="1.26.4", keras="3.15.1")
    required = ["numpy>=2,<3", "keras>=3.15,<3.17", "rich>=14", 'pyspark>=4; extra == "spark"']
    assert list(doctor.unmet(map(Requirement, required))) == [
        "numpy is 1.26.4, needs <3,>=2",
        "rich is missing",
    ]


def test_versions_other_than_the_tested_ones(monkeypatch):
    installed(monkeypatch, numpy="2.4.6", keras="3.16.0")
    assert list(doctor.differing("# a comment\nnumpy==2.4.6\nkeras==3.15.1\nrich==14.0\n")) == [
        "keras 3.16.0 (tested: 3.15.1)"
    ]


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(doctor, "DISTRIBUTION", "no-such-distribution")
    [finding] = doctor.packages()
    assert "pip install -e ." in finding.advice


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    finding = doctor.disk("disk, cache", tmp_path / "file" / "cache", "set XDG_CACHE_HOME")
    assert "cannot be written" in finding.state
    assert finding.advice == "give access, or set XDG_CACHE_HOME"
    assert not doctor.disk("disk, cache", tmp_path / "new" / "cache", "").advice
    assert not (tmp_path / "new").exists()


def test_data_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQ2SEQ_DATA", str(tmp_path))
    (tmp_path / "sst2").mkdir()
    assert f"SEQ2SEQ_DATA is {tmp_path}: 1 of " in doctor.data().state
    monkeypatch.setenv("SEQ2SEQ_DATA", str(tmp_path / "nowhere"))
    assert "seq2seq download NAME" in doctor.data().advice


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("raise ImportError('libcudart is not there')", "ImportError: libcudart is not there"),
        ("import os; os.abort()", "it crashes (signal 6)"),
    ],
)
def test_a_tensorflow_that_cannot_be_imported(monkeypatch, tmp_path, content, message):
    fake_tensorflow(monkeypatch, tmp_path, content)
    finding, _ = doctor.tensorflow([])
    assert finding.subject == "TensorFlow"
    assert message in finding.state
    assert "pip install" in finding.advice


@pytest.mark.parametrize(
    ("gpus", "report", "expected"),
    [
        ([], {"gpus": [], "kernels": "compiled"}, ["none", "kernels for AVX2", "2.5 times"]),
        ([], {"gpus": [], "kernels": "no compiler"}, ["none", "apt install g++"]),
        ([], {"gpus": [], "kernels": "off"}, ["none", "unset the variable SEQ2SEQ_KERNELS"]),
        (["H200"], {"gpus": [], "kernels": "compiled"}, ["[gpu]'", "kernels for AVX2", "10.0 ms"]),
        (["H200"], {"gpus": ["GPU:0"], "kernels": "compiled"}, ["H200", "cuDNN on the GPU"]),
    ],
)
def test_gpus_and_kernels(monkeypatch, gpus, report, expected):
    monkeypatch.setattr(doctor, "run_module", lambda module: ({**REPORT, **report}, ""))
    _, *findings = doctor.tensorflow(gpus)
    for finding, text in zip(findings, expected, strict=True):
        assert text in f"{finding.state} {finding.advice}"


@pytest.mark.compiled
def test_the_speed_is_measured(monkeypatch, capsys):
    monkeypatch.setattr(speed_check, "SECONDS_A_ROUND", 0.01)
    speed_check.main()
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(report) == {"seq2seq", "keras"}
    assert all(0 < milliseconds < 10_000 for milliseconds in report.values())


def test_every_state_of_the_kernels_is_explained(monkeypatch, tmp_path):
    states = []
    for variables in ({"SEQ2SEQ_KERNELS": "0"}, {"CXX": "none"}, {"CXX": "false"}, {}):
        with monkeypatch.context() as patch:
            patch.setenv("SEQ2SEQ_KERNELS", str(tmp_path / "kernels"))
            for name, value in variables.items():
                patch.setenv(name, value)
            states.append(compile.state())
    assert states[:3] == ["off", "no compiler", "failed"]
    assert states[3] in ("not compiled", "no compiler")
    assert set(states) <= set(doctor.KERNEL_STATES)
    assert not (tmp_path / "kernels").exists()


def test_a_store_that_does_not_answer(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert "which the first run creates" in doctor.mlflow_store().state
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert "tracking=none" in doctor.mlflow_store().advice


def test_the_report_comes_without_tensorflow_cache_and_data(monkeypatch, tmp_path, capsys):
    fake_tensorflow(monkeypatch, tmp_path, "raise ImportError('none')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "fake" / "tensorflow.py"))
    monkeypatch.setenv("SEQ2SEQ_DATA", "nowhere")
    with pytest.raises(SystemExit, match="0"):
        main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    marked = [line.split()[1].strip(",") for line in lines if line.startswith("warn")]
    assert {"disk", "data", "TensorFlow"} <= set(marked)
    assert lines[-1] == f"{len(marked)} warning(s)"
