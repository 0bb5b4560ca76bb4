import io
import logging
import threading

import pytest
from rich.console import Console

from seq2seq import progress
from seq2seq.progress import Step, clock, report, set_verbosity, shown_on, step

log = logging.getLogger("seq2seq.somewhere")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def no_display():
    yield
    progress._use(None)
    progress._level = logging.INFO


def terminal() -> Console:
    return Console(file=Terminal(), force_terminal=True, width=80)


def daemons() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.daemon}


def has_ended(threads: set[threading.Thread]) -> bool:
    for thread in threads:
        thread.join(60)
    return not any(thread.is_alive() for thread in threads)


def test_a_log_has_a_line_for_each_step(capsys):
    set_verbosity()
    with step("reading the data"):
        log.info("3 rows")
        with step("compiling"):
            log.debug("details")
    captured = capsys.readouterr()
    assert captured.err == "reading the data\n3 rows\ncompiling\n"
    assert captured.out == ""


def test_quiet_shows_warnings_only(capsys):
    set_verbosity(logging.WARNING)
    with step("reading the data"):
        log.info("3 rows")
        log.warning("one is empty")
    assert capsys.readouterr().err == "one is empty\n"


def test_verbose_shows_details(capsys):
    set_verbosity(logging.DEBUG)
    log.debug("details")
    assert capsys.readouterr().err == "details\n"


def test_without_a_display_nothing_is_shown(capsys):
    with step("reading the data") as shown:
        report(1, 2)
    assert capsys.readouterr() == ("", "")
    assert shown.done == 0


def test_a_terminal_has_a_row_for_each_step_and_nothing_after_the_last(capsys):
    console = terminal()
    before = daemons()
    with shown_on(console):
        with step("reading the data"):
            log.info("3 rows")
            with step("compiling") as shown:
                report(2, 8)
                started = daemons() - before
                rows = Console(file=io.StringIO(), width=80)
                rows.print(progress._display._rows())
        written = console.file.getvalue()
        assert "3 rows\n" in written
        assert "reading the data" in rows.file.getvalue()
        assert "2/8" in rows.file.getvalue()
        assert written.endswith("\x1b[2K")  # the rows are erased
        assert (shown.done, shown.total) == (2, 8)
    assert started
    assert has_ended(started)
    assert console.file.getvalue() == written


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("make", [terminal, lambda: Console(file=io.StringIO())])
def test_the_thread_ends_after_an_error(make, error):
    before, started = daemons(), set()

    def fail():
        with shown_on(make()), step("reading"), step("compiling"):
            started.update(daemons() - before)
            raise error

    with pytest.raises(error):
        fail()
    assert len(started) == 1
    assert has_ended(started)


def test_a_step_that_lasts_is_repeated_with_its_state(monkeypatch):
    console, written = Console(file=io.StringIO()), threading.Event()
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.01)

    class Written(logging.Handler):
        def emit(self, record):
            if "3/8" in record.getMessage():
                written.set()

    handler = Written()
    log.addHandler(handler)
    logging.getLogger("seq2seq").addHandler(handler)
    try:
        with shown_on(console), step("compiling"):
            report(3, 8)
            assert written.wait(60)
    finally:
        logging.getLogger("seq2seq").removeHandler(handler)
        log.removeHandler(handler)
    assert "compiling: 3/8, 0:00\n" in console.file.getvalue()


def test_no_control_codes_in_a_log():
    console = Console(file=io.StringIO())
    with shown_on(console), step("compiling"):
        log.warning("careful")
    assert "\x1b" not in console.file.getvalue()


def test_no_bars_in_worker_processes(monkeypatch):
    monkeypatch.setattr(progress, "current_process", lambda: type("", (), {"name": "Loky-1"}))
    console = terminal()
    with shown_on(console), step("compiling"):
        pass
    assert console.file.getvalue() == "compiling\n"


def test_the_display_before_is_restored(capsys):
    set_verbosity()
    with shown_on(Console(file=io.StringIO())):
        log.info("there")
    log.info("here")
    assert capsys.readouterr().err == "here\n"


def test_state():
    assert Step("", 5, 10, "loss 0.5").state() == "5/10, loss 0.5"
    assert Step("").state() == "0:00"
    assert (clock(65), clock(3600)) == ("1:05", "1:00:00")
