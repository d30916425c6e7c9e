"""The one way files are written: whole, or not at all, and never over what they are made from."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leed_hub.errors import ConfigError


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


def write_text(path: Path, text: str) -> None:
    """Replace a file's text, or leave the file as it was."""
    with atomic_path(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def check_output(output: str | os.PathLike, *sources: object) -> None:
    """Refuse an output that is one of the files it is made from, under whatever name.

    Raises:
        ConfigError: if it is; the sentence names it.
    """
    paths = [source for source in sources if isinstance(source, str | os.PathLike) and os.path.exists(source)]
    if os.path.exists(output) and any(os.path.samefile(path, output) for path in paths):
        raise ConfigError(f"{Path(output).name} is what is read; choose another name for the result.")
