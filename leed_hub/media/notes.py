"""What readers have to say of a file that they can read only in part."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_kept: ContextVar[list[str] | None] = ContextVar("kept", default=None)


def note(sentence: str) -> None:
    """Warn of it, and add it to the innermost `notes_kept` around this call in the same thread."""
    warnings.warn(sentence, stacklevel=3)
    kept = _kept.get()
    if kept is not None:
        kept.append(sentence)


@contextmanager
def notes_kept() -> Iterator[list[str]]:
    """Gives the list of what is noted within; unlike `warnings.catch_warnings` it minds no other thread."""
    notes: list[str] = []
    token = _kept.set(notes)
    try:
        yield notes
    finally:
        _kept.reset(token)
