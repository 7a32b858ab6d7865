"""The one error that users are meant to see."""

from __future__ import annotations


class InputError(ValueError):
    """Something the user can mend: a key, a file, a size, a choice.

    The message is one line that says what came, what was expected and what to do. The command line
    prints it without a traceback and exits with status 1; from Python it is an ordinary ``ValueError``.
    """


class RunStopped(KeyboardInterrupt):
    """A training ended before its last step, because a signal asked for it.

    What the message says is saved; the same command goes on from there.

    Attributes:
        status: for the command line to exit with, 128 and the signal's number.
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status
