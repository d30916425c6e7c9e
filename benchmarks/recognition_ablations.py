"""The paper's ablation: what the weights of reconstruction (beta1) and of the adversary (beta2) do to the recogniser.

    .venv/bin/python benchmarks/recognition_ablations.py             # trains and measures what has no result yet
    .venv/bin/python benchmarks/recognition_ablations.py --report    # only rewrites the table from the results at hand

A training that was cut off goes on where it stopped, and a run that has its `result.json` is not made again. Seeds are
the outer loop, so a sweep that is stopped early has measured all variants alike.
"""

import json
import statistics
from pathlib import Path
from typing import Annotated

import typer
import yaml
from variants import ROOT, markdown, resolve, train, write_into

from leed_hub.evaluation import evaluate_recognition
from leed_hub.pipelines import ExpressionRecognizer
from leed_hub.recipes import corpus_folder

COLUMNS = {  # key of a result: heading of the table
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "leakage_linear": "expression from h_n, linear",
    "leakage_mlp": "two-layer",
    "expression_code_linear": "expression from h_e, linear",
    "expression_code_mlp": "two-layer",
}


def measure(folder: Path) -> dict[str, float]:
    """A recogniser's numbers on the split that neither trained it nor chose its checkpoint."""
    recognizer = ExpressionRecognizer.from_pretrained(folder, aligner="none")
    found = evaluate_recognition(recognizer, "fer2013", corpus_folder("fer2013.zip"), "test_private")
    numbers = {key: found[key] for key in ("accuracy", "macro_f1")}
    for code, probe in (("leakage", "leakage"), ("expression_code", "expression_code_probe")):
        numbers |= {f"{code}_{kind}": found[probe][f"{kind}_accuracy"] for kind in ("linear", "mlp")}
    return numbers | {"chance": found["leakage"]["chance_balanced"]}


def summary(runs: list[dict[str, float]]) -> dict:
    """Mean and sample standard deviation over the seeds, and the runs themselves."""
    columns = {key: [run[key] for run in runs] for key in COLUMNS}
    return {
        "mean": {key: statistics.mean(values) for key, values in columns.items()},
        "deviation": {key: statistics.stdev(values) if len(runs) > 1 else None for key, values in columns.items()},
        "runs": runs,
    }


def table(results: dict[str, dict]) -> str:
    """Markdown, one row a variant: mean and standard deviation over its seeds."""

    def cell(result: dict, key: str) -> str:
        deviation = result["deviation"][key]
        return f"{result['mean'][key]:.3f}" + ("" if deviation is None else f" ± {deviation:.3f}")

    rows = [
        [name, *(cell(result, key) for key in COLUMNS), str(len(result["runs"]))] for name, result in results.items()
    ]
    return markdown(["training", *COLUMNS.values(), "seeds"], rows)


def main(
    file: Annotated[Path, typer.Argument(help="Base and variants.")] = ROOT / "configs/ablations/recognition.yaml",
    report: Annotated[bool, typer.Option("--report", help="Train nothing.")] = False,
    json_file: Annotated[Path, typer.Option("--json", help="Where results go.")] = ROOT
    / "benchmarks/recognition_ablations.json",
    page: Annotated[Path, typer.Option(help="Its table is rewritten.")] = ROOT / "docs/recognition.md",
) -> None:
    """Train and measure every variant with every seed, or report what was measured."""
    settings = yaml.safe_load(file.read_text())
    runs: dict[str, list[dict]] = {name: [] for name in settings["variants"]}
    for seed in settings["seeds"]:
        for name, changes in settings["variants"].items():
            config = resolve(settings["base"], f"{name}, seed {seed}", changes | {"seed": seed})
            result = ROOT / config["output_dir"] / "result.json"
            if not report and not result.exists():
                numbers = measure(train(config))
                result.write_text(json.dumps(numbers | {"seed": seed}, indent=2) + "\n")
            if result.exists():
                runs[name].append(json.loads(result.read_text()))
    if report:
        results = {name: summary(measured) for name, measured in runs.items() if measured}
        json_file.write_text(json.dumps(results, indent=2) + "\n")
        write_into(page, table(results))
        print(table(results))


if __name__ == "__main__":
    typer.run(main)
