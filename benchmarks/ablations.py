"""What each part of a training is worth: small trainings with it and without, each with several seeds.

    python benchmarks/ablations.py editing                 # trains and measures what has no result yet
    python benchmarks/ablations.py recognition --report    # only rewrites the table from the results at hand
    python benchmarks/ablations.py recognition --file configs/ablations/adversary.yaml    # another sweep of the task

A training that was cut off goes on where it stopped, and a run that has its `result.json` is not made again. Seeds are
the outer loop, so a sweep that is stopped early has measured all variants alike.
"""

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
import yaml
from variants import ROOT, markdown, resolve, train, write_into

from leed_hub.evaluation import Disentanglement, Editing, Recognition
from leed_hub.pipelines.editor import ExpressionEditor
from leed_hub.pipelines.recognizer import ExpressionRecognizer
from leed_hub.training.config import corpus_folder


@dataclass(frozen=True)
class Sweep:
    """What is measured of a task's variants, and where the table stands.

    Attributes:
        columns: key of a result -> heading of the table.
        measure: folder of a published model -> its numbers.
        page: the document whose table is rewritten.
    """

    columns: dict[str, str]
    measure: Callable[[Path], dict[str, float]]
    page: Path


def measure_editor(folder: Path) -> dict[str, float]:
    """An editor's numbers on persons whom no training saw: photograph triplets, posed triplets, codes."""
    editor = ExpressionEditor.from_pretrained(folder, detector="none")
    renders = Path(corpus_folder("rendered_faces"))
    photographs = Editing(
        data=Path(corpus_folder("rendered_people")) / "photographs_pairs_validation", similarity=False
    ).run(editor)
    posed = Editing(data=renders / "pairs_validation", similarity=False).run(editor)
    codes = Disentanglement(data_dir=renders).run(editor)
    return {
        "photographs": photographs["error_ratio"],
        "photographs_wrong_reference": photographs["error_ratio_wrong_reference"],
        "posed": posed["error_ratio"],
        "profile": posed["error_ratio_profile"],
    } | {name: codes[name] for name in ("retrieval", "person_from_expression_code", "expression_from_neutral_point")}


def measure_recognizer(folder: Path) -> dict[str, float]:
    """A recogniser's numbers on the split that neither trained it nor chose its checkpoint."""
    recognizer = ExpressionRecognizer.from_pretrained(folder, detector="none")
    found = Recognition(corpus="fer2013", data_dir=corpus_folder("fer2013.zip"), split="test_private").run(recognizer)
    numbers = {key: found[key] for key in ("accuracy", "macro_f1")}
    for code, probe in (("leakage", "leakage"), ("expression_code", "expression_code_probe")):
        numbers |= {f"{code}_{kind}": found[probe][f"{kind}_accuracy"] for kind in ("linear", "mlp")}
    return numbers | {"chance": found["leakage"]["chance_balanced"]}


SWEEPS = {
    "editing": Sweep(
        {
            "photographs": "photograph triplets",
            "photographs_wrong_reference": "by the wrong reference",
            "posed": "posed triplets",
            "profile": "profile",
            "retrieval": "retrieval by e",
            "person_from_expression_code": "person from e",
            "expression_from_neutral_point": "expression from z_n",
        },
        measure_editor,
        ROOT / "docs/research_log.md",
    ),
    "recognition": Sweep(
        {
            "accuracy": "accuracy",
            "macro_f1": "macro-F1",
            "leakage_linear": "expression from h_n, linear",
            "leakage_mlp": "two-layer",
            "expression_code_linear": "expression from h_e, linear",
            "expression_code_mlp": "two-layer",
        },
        measure_recognizer,
        ROOT / "docs/recognition.md",
    ),
}


def summary(runs: list[dict[str, float]], columns: dict[str, str]) -> dict:
    """Mean and sample standard deviation over the seeds, and the runs themselves."""
    values = {key: [run[key] for run in runs] for key in columns}
    return {
        "mean": {key: statistics.mean(several) for key, several in values.items()},
        "deviation": {key: statistics.stdev(several) if len(runs) > 1 else None for key, several in values.items()},
        "runs": runs,
    }


def table(results: dict[str, dict], columns: dict[str, str]) -> str:
    """Markdown, one row a variant: mean and standard deviation over its seeds."""

    def cell(result: dict, key: str) -> str:
        deviation = result["deviation"][key]
        return f"{result['mean'][key]:.3f}" + ("" if deviation is None else f" ± {deviation:.3f}")

    rows = [
        [name, *(cell(result, key) for key in columns), str(len(result["runs"]))] for name, result in results.items()
    ]
    return markdown(["training", *columns.values(), "seeds"], rows)


def main(
    task: Annotated[str, typer.Argument(help="editing or recognition.")],
    file: Annotated[Path | None, typer.Option(help="Base and variants; configs/ablations/TASK.yaml.")] = None,
    report: Annotated[bool, typer.Option("--report", help="Train nothing.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Where results go; benchmarks/ablations_NAME.json, by the file.")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Its table NAME is rewritten; the task's document.")] = None,
) -> None:
    """Train and measure every variant with every seed, or report what was measured."""
    sweep = SWEEPS[task]
    file = file or ROOT / f"configs/ablations/{task}.yaml"
    settings = yaml.safe_load(file.read_text())
    runs: dict[str, list[dict]] = {name: [] for name in settings["variants"]}
    for seed in settings["seeds"]:
        for name, changes in settings["variants"].items():
            config = resolve(settings["base"], f"{name}, seed {seed}", changes | {"seed": seed})
            result = ROOT / config["output_dir"] / "result.json"
            if not report and not result.exists():
                numbers = sweep.measure(train(config))
                result.write_text(json.dumps(numbers | {"seed": seed}, indent=2) + "\n")
            if result.exists():
                runs[name].append(json.loads(result.read_text()))
    if report:
        results = {name: summary(measured, sweep.columns) for name, measured in runs.items() if measured}
        json_file = json_file or ROOT / f"benchmarks/ablations_{file.stem}.json"
        json_file.write_text(json.dumps(results, indent=2) + "\n")
        write_into(page or sweep.page, file.stem, table(results, sweep.columns))
        print(table(results, sweep.columns))


if __name__ == "__main__":
    typer.run(main)
