"""The exception for errors of the user, and the exit codes."""

USER_ERROR, INTERRUPTED = 2, 130


class UserError(Exception):
    """An error that the user can correct.

    The message says what is wrong, where (file and line, or config key), and what to do. The
    command line prints it without a stack trace and exits with code 2.
    """
