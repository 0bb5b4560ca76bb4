"""The exception for errors of the user, and the exit codes."""

USER_ERROR, INTERRUPTED, OUT_OF_TIME = 2, 130, 75
"""Exit codes; a signal ends with 128 and its number, so 130 is that of Ctrl-C.

75 is `EX_TEMPFAIL` of sysexits.h: the same command, started again, goes on; also where another
worker of a distributed training has ended.
"""

STOPPED = (OUT_OF_TIME, 129, INTERRUPTED, 143)
"""The exit codes of what can go on: out of time, or after SIGHUP, SIGINT or SIGTERM."""


class UserError(Exception):
    """An error that the user can correct.

    The message says what is wrong, where (file and line, or config key), and what to do. The
    command line prints it without a stack trace and exits with `exit_code`.
    """

    exit_code = USER_ERROR


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end.

    Args:
        text: What to print.
        exit_code: The exit code of the process.
    """

    def __init__(self, text: str = "", exit_code: int = INTERRUPTED) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def exit_code_of(stop: BaseException) -> int:
    """Returns the exit code after `Stopped` or Ctrl-C."""
    return stop.exit_code if isinstance(stop, Stopped) else INTERRUPTED
