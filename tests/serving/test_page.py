"""The page in a browser: every control of each task, errors, token, keyboard, width and colours."""

import json
import shutil
from dataclasses import replace

import pytest

from seq2seq.data.embedded.co2 import Co2
from seq2seq.serving.app import create_app
from seq2seq.serving.limits import Limits
from seq2seq.serving.models.served_run import ServedRun
from tests.serving.conftest import saved_run
from tests.serving.server_thread import Server

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

from tests.serving.page_in_browser import Page, axe_script  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="Chromium or chromedriver is not installed"
)

LIMITS = Limits()
CO2_STEPS = 60


@pytest.fixture(scope="module")
def runs(run_folders):
    """Runs of all tasks, two of them with attention; two have an example of the test data."""
    folder = run_folders["translation"].parent
    words = ["tokenizer=word"]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        folders = {
            **run_folders,
            "plain": saved_run(folder, "translation", words),
            "translation": saved_run(folder, "translation", [*words, "model/attention=luong"]),
            "classification": saved_run(folder, "classification", ["model.pooling=[attention]"]),
            "forecasting": shutil.copytree(run_folders["forecasting"], folder / "co2"),
        }
    record = next(iter(Co2().records("test")))
    ds, history = list(map(str, record["ds"])), list(map(float, record["y"]))
    series = {"history_ds": ds[:CO2_STEPS], "history": history[:CO2_STEPS]}
    rows = {
        "translation": {"source": "7 May 2031"},
        "forecasting": {"unique_id": "co2", "target": "y", **series},
    }
    for name, row in rows.items():
        (folders[name] / "predictions").mkdir()
        (folders[name] / "predictions" / "test.jsonl").write_text(json.dumps(row) + "\n")
    return {name: ServedRun(path, LIMITS) for name, path in folders.items()}


@pytest.fixture(scope="module")
def server(runs):
    server = Server(create_app(runs, LIMITS))
    yield server
    server.stop()
    for run in runs.values():
        run.batcher.close()


@pytest.fixture(scope="module")
def driver():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(driver, server):
    yield Page(driver, server.url)
    messages = [entry["message"] for entry in driver.get_log("browser")]
    assert not [m for m in messages if "Failed to load resource" not in m], messages


def test_models_are_chosen_by_name_and_link(page):
    page.open()
    assert page.one("h1").text == page.field("Model").get_attribute("value") == "translation"
    assert "with attention" in page.one(".title p").text
    page.choose("Model", "plain")
    assert page.one("h1").text == "plain"
    assert "without attention" in page.one(".title p").text
    assert page.driver.current_url.endswith("#plain")
    assert page.open("tagging").one("h1").text == "tagging"


def test_a_translation_has_hypotheses_and_attention(page):
    page.open("translation")
    assert page.field("Source text").get_attribute("value") == "7 May 2031"
    page.fill("Beam size", "5")
    page.fill("Hypotheses", "3")
    page.press("Translate")
    hypotheses = page.texts(".hypothesis .text")
    assert len(hypotheses) == 3
    tokens = page.all(".tokens .token")
    assert page.texts(".tokens .token") == hypotheses[0].split()
    assert page.texts(".alignment .source span") == ["7", "May", "2031"]
    assert len(page.texts(".alignment .target span")) == len(tokens) + 1
    assert page.run("return document.querySelectorAll('.alignment path').length") > 0
    page.run("arguments[0].focus()", tokens[1])
    assert "probability" in page.one(".readout").text
    assert "attends to" in page.one(".readout").text
    assert page.all(".alignment .target .on")
    assert page.all(".alignment .source .on")
    buttons = page.all(".hypothesis")
    buttons[1].click()
    assert [b.get_attribute("aria-pressed") for b in buttons] == ["false", "true", "false"]


def test_a_token_begins_the_next_translation_and_can_be_changed(page):
    page.open("translation")
    page.press("Translate")
    before = page.texts(".hypothesis .text")[0]
    page.all(".tokens .token")[1].click()
    field = page.field("Begin the translation with")
    assert field.get_attribute("value").split() == before.split()[:2]
    assert page.focused == field
    page.fill("Begin the translation with", "Montag 3.")
    page.press("Continue")
    assert all(text.startswith("Montag 3.") for text in page.texts(".hypothesis .text"))
    assert "Montag 3." in page.one(".chip").text
    assert page.texts(".tokens .forced") == ["Montag", "3."]
    page.press("Remove")
    assert page.texts(".hypothesis .text")[0] == before
    page.all(".tokens .token")[0].click()
    page.press("Cancel")
    assert not page.all(".prefix")
    page.all(".tokens .token")[0].click()
    page.fill("Begin the translation with", "Dienstag")
    page.press("Continue")
    assert "'Dienstag' cannot be written" in page.one(".prefix .error").text


def test_greedy_search_and_sampling_have_their_own_options(page):
    page.open("plain")
    page.fill("Source text", "7 May 2031")
    page.run("arguments[0].click()", page.field("Greedy"))
    assert not page.all("input[type=number]")
    page.press("Translate")
    assert page.all(".token")
    assert not page.all(".hypothesis, .alignment")
    page.run("arguments[0].click()", page.field("Sampling"))
    values = {"Samples": 4, "Temperature": 0.9, "Top k (0: all)": 9, "Top p": 0.8, "Seed": 7}
    for label, value in values.items():
        page.fill(label, str(value))
    page.press("Translate")
    samples = page.texts(".hypothesis .text")
    assert len(samples) == 4
    page.press("Translate")
    assert page.texts(".hypothesis .text") == samples


@pytest.mark.parametrize(
    ("model", "label", "text", "button", "message"),
    [
        ("translation", "Beam size", "0", "Translate", "Beam size: needs a number from 1 to 20."),
        ("translation", "Source text", "a" * 301, "Show states", "300 characters"),
        ("tagging", "Text", "", "Show states", "no token"),
        ("generation", "Maximum length", "9999", "Generate", "from 1 to 5000"),
        ("forecasting", "Series as CSV", "a,b\n1,2\n", "Forecast", "no column"),
        ("forecasting", "Steps ahead", "0", "Forecast", "Steps ahead: needs a number"),
    ],
)  # fmt: skip
def test_an_error_is_one_message_beside_the_button(page, model, label, text, button, message):
    page.open(model)
    if button == "Show states":
        page.button("States").click()
    page.fill(label, text)
    page.press(button)
    error = page.one(".error")
    assert message in error.text
    assert error.get_attribute("role") == "alert"
    assert "\n" not in error.text


def test_a_server_that_is_gone_is_said(page, runs):
    server = Server(create_app({"tagging": runs["tagging"]}, LIMITS))
    page.url = server.url
    page.open()
    server.stop()
    page.press("Tag")
    assert page.one(".error").text == "The server cannot be reached."


def test_tags_have_text_and_confidence(page):
    page.open("tagging")
    page.fill("Text", "7 May 2031 !")
    page.press("Tag")
    assert page.texts(".tagged .word") == ["7", "May", "2031", "!"]
    assert set(page.texts(".tagged .tag")) <= {"X", "Y", "Z"}
    assert all(text.endswith("%") for text in page.texts(".tagged .confidence"))
    assert page.summary.startswith("4 tokens")
    page.fill("Text", " ")
    page.press("Tag")
    assert page.summary == "There are no tokens."


def test_classes_have_probabilities_and_tokens_their_weights(page):
    page.open("classification")
    page.fill("Text", "Montag")
    page.press("Classify")
    assert sorted(text.split()[0] for text in page.texts(".bars .name")) == ["a", "b"]
    assert page.one(".bars .predicted .mark").text == "predicted"
    values = [float(text.split()[0]) for text in page.texts(".bars .value")]
    assert sum(values) == pytest.approx(100, abs=0.2)
    assert [text.split("\n")[0][:1] for text in page.texts(".weighted li")] == list("Montag")
    assert page.summary in {"Class: a", "Class: b"}


def test_text_is_shown_while_it_is_generated_and_can_be_stopped(page, runs):
    page.open("generation")
    page.fill("Prompt", "7 May")
    page.fill("Maximum length", "30")
    page.fill("Seed", "3")
    page.press("Generate")
    assert page.summary.startswith("Finished after")
    text = page.one(".output").text
    page.press("Generate")
    assert page.one(".output").text == text
    page.fill("Maximum length", "5000")
    page.fill("Temperature", "0")
    page.button("Generate").click()
    length = "return document.querySelector('.made').textContent.length"
    first = page.wait(lambda: page.run(length))
    page.wait(lambda: page.run(length) > first)
    page.press("Stop")
    assert page.summary.startswith("Stopped after")
    assert not page.button("Stop").is_enabled()
    assert not page.all(".error")
    page.wait(lambda: runs["generation"].batcher.waiting == 0)


def test_a_forecast_is_drawn_with_intervals(page):
    page.open("forecasting")
    assert page.field("Steps ahead").get_attribute("value") == "24"
    page.field("50 %").click()
    page.press("Forecast")
    assert "co2" in page.summary
    assert len(page.all(".chart .band")) == 2
    assert page.texts(".chart .axis") == ["date", "y"]
    assert len(page.texts(".chart .tick")) > 6
    assert page.texts(".legend li") == ["History", "Forecast", "80 % interval", "95 % interval"]
    page.one("summary").click()
    assert page.texts("thead th") == ["Step", "Forecast", "80 %", "95 %"]
    assert len(page.all("tbody tr")) == 24
    page.run("arguments[0].dispatchEvent(new PointerEvent('pointermove', {clientX: 1100}))",
             page.one(".chart svg"))  # fmt: skip
    assert "forecast" in page.one(".readout").text
    text = page.field("Series as CSV").get_attribute("value")
    two = text + "".join(line.replace("co2", "b") for line in text.splitlines(True)[1:])
    page.run("arguments[0].value = arguments[1]", page.field("Series as CSV"), two)
    page.press("Forecast")
    page.choose("Series", "b")
    page.press("Use the example")
    assert page.field("Series as CSV").get_attribute("value") == text


VIEWS = {
    "translation": "Translate",
    "tagging": "Tag",
    "classification": "Classify",
    "generation": "Generate",
    "forecasting": "Forecast",
}


@pytest.mark.parametrize(("model", "button"), VIEWS.items())
def test_results_and_states_fit_narrow_windows_in_light_and_dark(page, model, button):
    page.open(model, width=360, dark=True)
    if model != "forecasting":
        long_word = "Donaudampfschifffahrtsgesellschaft" * 3
        page.run("arguments[0].value = arguments[1]", page.one("textarea"), f"7 May {long_word}")
    page.press(button)
    if model == "translation":
        page.all(".tokens .token")[0].click()
    check_view(page)
    page.button("States").click()
    page.choose("Units of each layer", "8 that vary most")
    page.press("Show states")
    check_heat_maps(page)
    if model == "translation":
        page.choose("Layer", "decoder/layer_0/forward")
        check_heat_maps(page)
    check_view(page)


def check_heat_maps(page):
    titles = page.texts("figcaption")
    assert titles[0] == "Hidden state h"
    assert len(titles) in {4, 6}  # of a GRU, of an LSTM
    canvas = page.all(".map canvas")[1]
    assert page.run("return arguments[0].getContext('2d').getImageData(5, 5, 1, 1).data[3]", canvas)
    page.run("arguments[0].focus()", canvas)
    page.keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    assert page.one(".readout").text.startswith("Unit ")
    assert page.one(".readout").text.count(",") == len(titles) - 1


def check_view(page):
    """Checks what is shown: narrow and dark, wide and light."""
    for width, scheme, background, rules in (
        (360, "dark", "rgb(18, 20, 24)", ()),
        (1200, "light", "rgb(246, 246, 243)", ("color-contrast",)),
    ):
        page.look(width, scheme)
        assert page.run("return document.documentElement.scrollWidth") <= width
        assert page.run("return getComputedStyle(document.body).backgroundColor") == background
        if axe_script() is not None:
            assert page.violations(*rules) == []
    page.look(360, "dark")


@pytest.mark.skipif(axe_script() is None, reason="axe-core is not there (SEQ2SEQ_AXE)")
def test_axe_finds_nothing_wrong_with_the_page_and_finds_what_is_wrong(page):
    """What each view shows is checked by `check_view`."""
    page.open("translation")
    assert page.violations() == []
    page.run("document.querySelector('label').remove()")
    assert "select-name" in {rule for rule, *_ in page.violations()}


def test_the_page_works_with_the_keyboard_alone(page):
    page.open("translation")
    page.keys(Keys.TAB)
    assert page.focused.text == "Skip to the model"
    assert page.run("return getComputedStyle(arguments[0]).outlineStyle", page.focused) == "solid"
    page.keys(Keys.ENTER, Keys.TAB)
    assert page.focused.get_attribute("role") == "tab"
    page.keys(Keys.ARROW_RIGHT)
    assert page.focused.text == "States"
    assert page.all(".states-columns")
    page.keys(Keys.ARROW_LEFT)
    page.keys(Keys.TAB)
    page.keys(Keys.CONTROL, Keys.ENTER)
    page.finish()
    assert page.all(".tokens .token")
    for _ in range(12):
        if page.focused.get_attribute("class").startswith("token"):
            break
        page.keys(Keys.TAB)
    page.keys(Keys.ARROW_RIGHT)
    assert page.focused == page.all(".tokens .token")[1]
    page.keys(Keys.ENTER)
    assert page.focused == page.field("Begin the translation with")
    page.keys(Keys.ENTER)
    page.finish()
    assert page.all(".chip")


def test_a_token_is_asked_for_and_sent(driver, runs):
    server = Server(create_app({"tagging": runs["tagging"]}, replace(LIMITS), token="right"))
    page = Page(driver, server.url).open()
    page.fill("Token", "wrong")
    page.press("Connect")
    assert page.one(".error").text == "The server refuses this token."
    page.fill("Token", "right")
    page.press("Connect")
    page.fill("Text", "a b")
    page.press("Tag")
    assert page.texts(".tagged .word") == ["a", "b"]
    assert page.run("return localStorage.length + sessionStorage.length") == 0
    assert page.run("return document.cookie") == ""
    page.open()
    assert page.field("Token").get_attribute("type") == "password"
    driver.get_log("browser")
    server.stop()
