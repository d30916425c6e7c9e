"""Small trainings that differ from a base config in a few keys: what the ablations of both networks share."""

import copy
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def resolve(base: dict, name: str, changes: dict) -> dict:
    """The base config with some keys replaced; "losses.siamese" names a key of the mapping `losses`."""
    config = copy.deepcopy(base)
    for path, value in changes.items():
        *parents, key = path.split(".")
        mapping = config
        for parent in parents:
            mapping = mapping[parent]
        mapping[key] = value
    slug = re.sub(r"\W+", "_", name).strip("_")
    config["output_dir"] = f"{base['output_dir']}/{slug}"
    return config


def train(config: dict) -> Path:
    """Run or go on with a training; the folder of its best weights."""
    folder = ROOT / config["output_dir"]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    subprocess.run(
        [sys.executable, "train_accelerate.py", "--config", str(file), "--resume"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
    )
    return folder / "best"


def markdown(heading: list[str], rows: list[list[str]]) -> str:
    """A table for a page."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_into(page: Path, name: str, table: str) -> None:
    """Put a table between the page's two marks of that name."""
    text = page.read_text()
    begin = f"<!-- {name} -->"
    start, end = text.index(begin) + len(begin), text.index(f"<!-- end of {name} -->")
    page.write_text(f"{text[:start]}\n{table}\n{text[end:]}")
