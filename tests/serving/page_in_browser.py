"""The page in a browser, by what a user sees."""

import os
from pathlib import Path

from selenium.webdriver.support.ui import Select, WebDriverWait

VISIBLE = "[...document.querySelectorAll(arguments[0])].filter((e) => e.checkVisibility())"


def axe_script():
    """The path of axe-core; None if it is not there."""
    named = os.environ.get("SEQ2SEQ_AXE")
    places = [named] if named else ["node_modules/axe-core/axe.min.js"]
    return next((Path(place) for place in places if Path(place).is_file()), None)


class Page:
    """The page, by what a user sees: labels, buttons and texts."""

    def __init__(self, driver, url):
        self.driver, self.url = driver, url

    def open(self, model="", width=1200, dark=False):
        self.look(width, "dark" if dark else "light")
        self.driver.get("about:blank")
        self.driver.get(f"{self.url}#{model}")
        self.wait(lambda: self.all("section[role=tabpanel], .token.card, .error"))
        return self

    def look(self, width, scheme):
        """Sets the width of the window, and light or dark; nothing moves."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in media.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def violations(self, *rules):
        """What axe finds wrong, by all its rules or some."""
        if not self.run("return 'axe' in window"):
            self.run(axe_script().read_text())
        return self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "const options = arguments[0].length ? {runOnly: arguments[0]} : {};"
            "axe.run(options).then((result) => done(result.violations.map("
            "(v) => [v.id, v.nodes.map((node) => node.html + ' ' + node.failureSummary)])))",
            rules,
        )

    def run(self, script, *values):
        return self.driver.execute_script(script, *values)

    def wait(self, condition, seconds=15):
        return WebDriverWait(self.driver, seconds, 0.02).until(lambda _: condition())

    def all(self, selector):
        return self.run(f"return {VISIBLE}", selector)

    def one(self, selector):
        [element] = self.all(selector)
        return element

    def texts(self, selector):
        return self.run(
            f"return {VISIBLE}.map((e) => (e.innerText ?? e.textContent).trim())", selector
        )

    def field(self, label):
        """The control with a label."""
        [field] = self.run(
            f"return {VISIBLE}.filter((e) => e.innerText === arguments[1]).map((e) => e.control)",
            "label",
            label,
        )
        return field

    def fill(self, label, text):
        field = self.field(label)
        field.clear()
        field.send_keys(text)

    def choose(self, label, value):
        Select(self.field(label)).select_by_visible_text(value)

    def button(self, text):
        named = f"{VISIBLE}.filter((e) => e.innerText === arguments[1])"
        [button] = self.run(f"return {named}", "button", text)
        return button

    def press(self, text):
        """Presses a button, and waits for the answer."""
        self.button(text).click()
        self.finish()

    def finish(self):
        self.wait(lambda: self.run("return !document.querySelector('form[aria-busy]')"))

    @property
    def summary(self):
        selector = "[role=tabpanel]:not([hidden]) [role=status]"
        return self.run("return document.querySelector(arguments[0]).textContent", selector)

    @property
    def focused(self):
        return self.driver.switch_to.active_element

    def keys(self, *keys):
        self.focused.send_keys(*keys)
