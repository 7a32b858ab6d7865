"""How settings refuse values that cannot work."""

from __future__ import annotations

from mv2mae.errors import InputError


def require(condition: bool, message: str) -> None:
    """Raises InputError with this message unless the condition holds."""
    if not condition:
        raise InputError(message)
