"""Comparing run folders: what is grouped, tested, left out, and written."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from omegaconf import OmegaConf
from scipy.stats import ttest_ind

from seq2seq.comparison.compare import compare
from seq2seq.comparison.finished_run import read_run, run_folders
from seq2seq.comparison.page import page, write_comparison
from seq2seq.comparison.report import as_json, markdown, tables
from seq2seq.errors import UserError
from tests.comparison.made_up_runs import label_run, text_run

# A browser shows the place of a picture that it cannot read, too: only what has a size is one.
COUNT_PICTURES = b"""<script>
onload = () => {
  const shown = [...document.images].filter(image => image.naturalWidth > 100)
  document.title = `${shown.length} pictures`
}
</script>"""


@pytest.fixture(scope="module")
def six_runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("six")
    for cell, noise in (("lstm", 0.3), ("gru", 0.6)):
        for seed in (1, 2, 3):
            text_run(folder / f"{cell}_{seed}", cell, seed, noise + seed / 100)
    return folder


@pytest.fixture(scope="module")
def compared(six_runs):
    wanted = [f"{cell}_{seed}" for cell in ("lstm", "gru") for seed in (1, 2, 3)]
    return compare([read_run(six_runs / name) for name in wanted])


def test_runs_that_differ_by_the_seed_are_one_variant(compared):
    assert [v.label for v in compared.variants] == ["encoder.cell=lstm", "encoder.cell=gru"]
    assert [[run.seed for run in v.runs] for v in compared.variants] == [["1", "2", "3"]] * 2
    assert compared.differences == {"model.encoder.cell": ["lstm", "gru"]}
    values = compared.variants[0].values("bleu")
    mean, deviation = compared.variants[0].summary("bleu")
    assert (mean, deviation) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    # By validation the second of three is the median.
    assert [v.representative.seed for v in compared.variants] == ["2", "2"]


def test_a_clear_difference_is_found_in_sentences_and_over_seeds(compared):
    assert [test.result.metric for test in compared.tests] == ["bleu", "chrf", "exact_match"]
    bleu = compared.tests[0]
    assert bleu.result.baseline == pytest.approx(
        compared.variants[0].representative.metrics["test"]["bleu"]
    )
    assert bleu.result.high < 0
    assert max(bleu.result.p_values.values()) < 0.01
    one, other = (v.values("bleu") for v in compared.variants)
    assert bleu.seeds == pytest.approx(ttest_ind(other, one, equal_var=False).pvalue)


@pytest.mark.parametrize(("kind", "flag"), [("bootstrap", "bs"), ("randomisation", "ar")])
def test_p_values_are_what_sacrebleus_command_prints_for_the_same_files(tmp_path, kind, flag):
    runs = [
        read_run(text_run(tmp_path / cell, cell, noise=noise))
        for cell, noise in (("lstm", 0.3), ("gru", 0.33))
    ]
    texts = {
        "ref": [row["reference"] for row in runs[0].rows],
        **{name: [r["prediction"] for r in run.rows] for name, run in zip("ab", runs, strict=True)},
    }
    for name, lines in texts.items():
        (tmp_path / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    command = [sys.executable, "-m", "sacrebleu", "ref.txt", "-i", "a.txt", "b.txt", "-f", "text"]
    options = ["-m", "bleu", "chrf", "--tokenize", "none", "--force", f"--paired-{flag}"]
    printed = subprocess.run(
        [*command, *options], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    theirs = re.findall(r"p = (\d\.\d{4})", printed)
    [table] = [table for table in tables(compare(runs)) if table.title == "Significance"]
    rows = {row[0]: dict(zip(table.head, row, strict=True)) for row in table.rows}
    assert [rows[metric][f"p {kind}"] for metric in ("bleu", "chrf")] == theirs
    assert all(0.01 < float(p) < 0.99 for p in theirs)  # what is clear would agree by itself
    for metric in ("bleu", "chrf"):
        for score in ("A", "variant"):
            assert f"{float(rows[metric][score]):.1f}" in printed


def test_parts_cover_the_test_set(compared):
    length, frequency = compared.breakdowns
    assert sum(length.sizes) == 60
    words = [w for row in compared.baseline.representative.rows for w in row["reference"].split()]
    assert sum(frequency.sizes) == len(words)
    assert "cannot be read" in frequency.note
    for breakdown in compared.breakdowns:
        assert list(breakdown.scores) == [v.label for v in compared.variants]
    better, worse = compared.examples["encoder.cell=gru"]
    gains = [d.scores[1] - d.scores[0] for d in better]
    assert all(gain > 0 for gain in gains)
    assert gains == sorted(gains, reverse=True)
    assert all(d.scores[1] < d.scores[0] for d in worse)


def test_holm_corrects_for_the_variants(tmp_path):
    runs = [
        read_run(text_run(tmp_path / cell, cell, noise=noise))
        for cell, noise in (("a", 0.3), ("b", 0.33), ("c", 0.7))
    ]
    tests = [t for t in compare(runs).tests if t.result.metric == "bleu"]
    raw = [t.result.p_values["randomisation"] for t in tests]
    corrected = [t.corrected["randomisation"] for t in tests]
    assert corrected == pytest.approx([max(raw[0], 2 * raw[1]), 2 * raw[1]])


def test_runs_on_other_test_data_are_not_paired(tmp_path):
    runs = [text_run(tmp_path / "a"), text_run(tmp_path / "b", "gru", size=50)]
    found = compare([read_run(run) for run in runs])
    assert found.tests == found.breakdowns == []
    assert "other data than" in found.notes[0]


def test_scores_computed_in_two_ways_are_not_tested(tmp_path):
    runs = [text_run(tmp_path / "a"), text_run(tmp_path / "b", "gru")]
    metrics = json.loads((runs[1] / "metrics.json").read_text())
    metrics["signatures"]["bleu"] = "tok:13a"
    metrics["test"]["chrf"] += 1
    (runs[1] / "metrics.json").write_text(json.dumps(metrics))
    found = compare([read_run(run) for run in runs])
    assert [test.result.metric for test in found.tests] == ["exact_match"]
    assert "computed in different ways" in found.notes[0]
    assert "by its predictions" in found.notes[1]


def test_runs_with_several_references(tmp_path):
    runs = [
        text_run(tmp_path / cell, cell, noise=noise, several=True)
        for cell, noise in (("lstm", 0.2), ("gru", 0.6))
    ]
    result = compare([read_run(run) for run in runs])
    assert [test.result.metric for test in result.tests] == ["bleu", "chrf", "exact_match"]
    assert not [note for note in result.notes if "No test" in note]
    signature = json.loads((runs[0] / "metrics.json").read_text())["signatures"]["bleu"]
    assert "nrefs:var" in signature
    length, frequency = result.breakdowns
    assert sum(length.sizes) == 60
    assert all(0 <= score <= 1 for scores in frequency.scores.values() for score in scores)
    better, worse = result.examples["encoder.cell=gru"]
    assert any(" | " in item.reference for item in [*better, *worse])
    rows = runs[1] / "predictions" / "test.jsonl"
    lines = [json.loads(line) for line in rows.read_text().splitlines()]
    lines[0]["references"].append("other")
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "other data than" in compare([read_run(run) for run in runs]).notes[0]


def test_seeds_alone(tmp_path):
    runs = [text_run(tmp_path / "a", seed=1), text_run(tmp_path / "b", seed=2)]
    found = compare([read_run(run) for run in runs])
    assert len(found.variants) == 1
    assert "nothing to test" in found.notes[0]
    assert "same seed" in compare([read_run(runs[0]), read_run(runs[0])]).notes[1]
    assert "Test scores" in markdown(found)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("model.encoder.dropout", ["0.1", "0.25"]),
        ("optimizer.learning_rate", ["0.001", "1.001"]),
        ("decoding.length_penalty.alpha", ["0.6", "1.6"]),
        ("data.directory", ["a.b", "c.b"]),
    ],
)
def test_variants_are_named_by_whole_values(tmp_path, key, values):
    runs = []
    for number, value in enumerate(values):
        folder = text_run(tmp_path / str(number), seed=number)
        config = OmegaConf.load(folder / ".hydra" / "config.yaml")
        typed = float(value) if value[0].isdigit() else value
        OmegaConf.update(config, key, typed, force_add=True)
        OmegaConf.save(config, folder / ".hydra" / "config.yaml")
        runs.append(read_run(folder))
    labels = [variant.label for variant in compare(runs).variants]
    assert [label.partition("=")[2] for label in labels] == values


def test_keys_that_are_ignored_or_null_make_no_variant(tmp_path):
    runs = [read_run(text_run(tmp_path / "a")), read_run(text_run(tmp_path / "b", "gru", 2))]
    runs[1].config["model.window"] = "null"
    assert len(compare(runs).variants) == 2
    assert len(compare([run.without(["model.encoder"]) for run in runs]).variants) == 1
    assert len(compare([run.without(["model.enc"]) for run in runs]).variants) == 2


def test_what_cannot_be_compared_is_refused(tmp_path):
    run = read_run(text_run(tmp_path / "a"))
    with pytest.raises(UserError, match="at least two"):
        compare([run])
    with pytest.raises(UserError, match="no test score in common"):
        compare([run, read_run(label_run(tmp_path / "b"))])
    with pytest.raises(UserError, match=r"no metrics\.json"):
        read_run(tmp_path)


def test_run_folders_are_in_the_order_of_their_numbers(tmp_path):
    for name in ("10", "9", "mlartifacts/x"):
        text_run(tmp_path / name)
    assert [path.name for path in run_folders(tmp_path)] == ["9", "10"]
    assert run_folders(tmp_path / "9") == [tmp_path / "9"]


def test_json_and_markdown(compared):
    content = json.loads(as_json(compared))
    assert (
        content["variants"][0]["test"]["bleu"]["mean"]
        > content["variants"][1]["test"]["bleu"]["mean"]
    )
    assert content["tests"][0]["p_values_holm"] == content["tests"][0]["p_values"]
    text = markdown(compared)
    assert "| model.encoder.cell | lstm | gru |" in text
    for title in ("## Test scores", "## Significance", "## BLEU by source length"):
        assert title in text


def test_the_page_shows_texts_as_texts(tmp_path):
    runs = [text_run(tmp_path / "a"), text_run(tmp_path / "b", "<script>alert(1)</script>")]
    html = page(compare([read_run(run) for run in runs]))
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_the_page_in_a_browser(compared, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("there is no Chromium here")
    write_comparison(compared, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "comparison.html", "comparison.md", "comparison.json", "plots",
    }  # fmt: skip
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000"]
    # No network, no other file: all that the page shows is in the page.
    alone = tmp_path / "alone" / "page.html"
    alone.parent.mkdir()
    alone.write_bytes((tmp_path / "comparison.html").read_bytes() + COUNT_PICTURES)
    shown = subprocess.run(
        [*command, f"--user-data-dir={tmp_path}/browser", "--dump-dom", alone.as_uri()],
        capture_output=True, text=True, check=True, timeout=120,
    ).stdout  # fmt: skip
    assert f"<title>{len(list((tmp_path / 'plots').iterdir()))} pictures</title>" in shown
    assert "encoder.cell=gru" in shown
    assert 'src="http' not in shown
    subprocess.run(
        [*command, f"--user-data-dir={tmp_path}/browser", f"--screenshot={tmp_path}/page.png",
         "--window-size=1000,1200", alone.as_uri()],
        capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    assert (tmp_path / "page.png").stat().st_size > 20_000
