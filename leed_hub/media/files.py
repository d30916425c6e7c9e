"""The one way files are written: whole, or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """A path beside `path` to write to, with the same ending.

    What is written there takes the name `path` when the context ends well, and is deleted when it does not, so a file
    that was there before is only ever replaced by a whole one.
    """
    path = Path(path)
    unfinished = path.with_name(f".leed-{secrets.token_hex(8)}{path.suffix}")  # the same folder, so the move is atomic
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
