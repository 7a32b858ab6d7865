"""The one error that users are meant to see."""

from __future__ import annotations


class InputError(ValueError):
    """Something the user can mend: a key, a file, a size, a choice.

    The message is one line that says what came, what was expected and what to do. The command line
    prints it without a traceback and exits with status 1; from Python it is an ordinary ``ValueError``.
    """
