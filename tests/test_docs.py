"""Every Python example of README.md and docs/ runs as it stands.

The blocks of a page run one after the other in one process, in a folder with a copy of `docs/examples` and with every
picture or video that an example names. `<!-- not run -->` on the line before a block leaves it out.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import EXAMPLES, ROOT
from made_video import make_video
from PIL import Image

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(<!-- not run -->\s*\n)?^( *)```python[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def blocks(page: Path) -> list[str]:
    """Each block padded with empty lines, so that a traceback tells the page's own line."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in BLOCK.finditer(text):
        if match[1]:
            continue
        lines = [line.removeprefix(match[2]) for line in match[3].splitlines()]
        found.append("\n" * text.count("\n", 0, match.start(3)) + "\n".join(lines) + "\n")
    return found


def lay_out(code: str, folder: Path) -> None:
    """Put stand-ins where the code names pictures and videos; one whose name tells an expression shows it."""
    for node in ast.walk(ast.parse(code)):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value):
            continue
        path = folder / node.value
        if path.suffix not in (".jpg", ".jpeg", ".png", ".webp", ".mp4") or path.exists() or "*" in node.value:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".mp4":
            with Image.open(EXAMPLES / "source.png") as picture:
                make_video(path, [np.asarray(picture.convert("RGB").resize((256, 256)))] * 3)
            continue
        like = EXAMPLES / f"{path.stem}.png"
        with Image.open(like if like.is_file() else EXAMPLES / "source.png") as picture:
            picture.convert("RGB").save(path)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_the_examples_of_a_page_run(page, tmp_path):
    shutil.copytree(EXAMPLES, tmp_path / "docs" / "examples")
    script = []
    for code in blocks(page):
        lay_out(code, tmp_path)
        script.append(f"exec(compile({code!r}, {str(page)!r}, 'exec'), globals())")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    said = subprocess.run(
        [sys.executable, "-c", "\n".join(script)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr


def test_a_block_keeps_its_line_and_one_that_is_marked_is_left_out(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "Text\n\n```python\na = 1\n```\n\n<!-- not run -->\n```python\nb = 2\n```\n\n- x\n  ```python\n  c = 3\n  ```\n"
    )
    assert blocks(page) == ["\n\n\na = 1\n", "\n" * 13 + "c = 3\n"]
