"""Results written for people and programs; a file is either complete or as it was before."""

import json
import os
from pathlib import Path


def write_json(result: dict, path: str | os.PathLike) -> None:
    """Write a result for people and programs; the file is either complete or as it was before.

    Args:
        result (dict): what an evaluation returned.
        path (str | os.PathLike): the file; its folder is made if need be.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(result, indent=2, allow_nan=False) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Replace a file by its new text, or leave it as it was."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # in the same folder, so that the move is atomic
    try:
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
