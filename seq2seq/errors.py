"""The exception for mistakes of the user, and the exit codes."""

USER_ERROR, INTERRUPTED = 2, 130


class UserError(Exception):
    """A mistake that the user can correct.

    The message says what is wrong, where (file and line, or config key), and what to do. The
    command line prints it without a stack trace and exits with code 2.
    """
