"""What each part of the editor's training is worth: one small training with it and one without, side by side.

    .venv/bin/python benchmarks/ablations.py                                # trains, measures, rewrites the table
    .venv/bin/python benchmarks/ablations.py --only "no siamese loss"       # one variant

A training that was cut off goes on where it stopped; a finished one is only measured again.
"""

import json
import os
from pathlib import Path
from typing import Annotated

import typer
import yaml
from variants import ROOT, markdown, resolve, train, write_into

from leed_hub.evaluation import evaluate_disentanglement, evaluate_editing, evaluate_photographs
from leed_hub.pipelines import ExpressionEditor, ExpressionRecognizer

COLUMNS = {  # key of a result: heading of the table
    "error_ratio": "error ratio",
    "error_ratio_profile": "profile",
    "unchanged_error": "change elsewhere",
    "ssim": "SSIM",
    "retrieval": "retrieval by e",
    "person_from_expression_code": "person from e",
    "expression_from_neutral_point": "expression from z_n",
    "edits_happy_probability": "smiles on photographs",
}


def measure(folder: Path, corpora: Path) -> dict[str, float]:
    """The table's numbers of one editor; all but those on photographs on persons that no training saw."""
    editor = ExpressionEditor.from_pretrained(folder, aligner="yunet")
    recognizer = ExpressionRecognizer.from_pretrained(aligner="yunet")
    found = (
        evaluate_photographs(editor, recognizer, corpora / "london")
        | evaluate_editing(editor, corpora / "rendered_faces/pairs_validation")
        | evaluate_disentanglement(editor, corpora / "rendered_faces")
    )
    return {key: found[key] for key in COLUMNS}


def table(results: dict[str, dict[str, float]]) -> str:
    """Markdown, one row a variant."""
    rows = [[name, *(f"{numbers[key]:.3f}" for key in COLUMNS)] for name, numbers in results.items()]
    return markdown(["training", *COLUMNS.values()], rows)


def main(
    file: Annotated[Path, typer.Argument(help="Base and variants.")] = ROOT / "configs/ablations/editing.yaml",
    only: Annotated[list[str] | None, typer.Option(help="These variants and no others.")] = None,
    json_file: Annotated[Path, typer.Option("--json", help="Kept up to date.")] = ROOT / "benchmarks/ablations.json",
    page: Annotated[Path, typer.Option(help="Its table is rewritten.")] = ROOT / "docs/editing.md",
) -> None:
    """Train and measure every variant, and write the table."""
    settings = yaml.safe_load(file.read_text())
    corpora = Path(os.environ.get("LEED_HUB_CORPORA", "corpora"))
    results = json.loads(json_file.read_text()) if json_file.exists() else {}
    for name, changes in settings["variants"].items():
        if not only or name in only:
            results[name] = measure(train(resolve(settings["base"], name, changes)), corpora)
            json_file.write_text(json.dumps(results, indent=2) + "\n")
    results = {name: results[name] for name in settings["variants"] if name in results}
    write_into(page, table(results))
    print(table(results))


if __name__ == "__main__":
    typer.run(main)
