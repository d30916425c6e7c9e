"""`leed-hub push`, `push-corpus` and `export`."""

from pathlib import Path
from typing import Annotated

import typer

from leed_hub.cli.options import plain_errors

Repository = Annotated[str, typer.Argument(metavar="ORG/NAME", help="Where it goes on the Hub.")]
Private = Annotated[bool, typer.Option("--private", help="Create the repository as private.")]


def push(
    folder: Annotated[Path, typer.Argument(help="A saved model: config.json, model.safetensors, README.md.")],
    repo_id: Repository,
    private: Private = False,
) -> None:
    """Upload a saved model to the Hub."""
    with plain_errors():
        from leed_hub.hub import push_folder

        print(push_folder(folder, repo_id, private=private))


def push_corpus(
    name: Annotated[str, typer.Argument(help="A corpus that may be passed on: rendered_faces or rendered_people.")],
    data_dir: Annotated[Path, typer.Argument(help="Its folder or archive.")],
    repo_id: Repository,
    private: Private = False,
) -> None:
    """Upload a corpus to the Hub as a dataset, which `corpus: ORG/NAME` in a training config reads."""
    with plain_errors():
        from leed_hub.data import pushing

        print(pushing.push_corpus(name, data_dir, repo_id, private=private))


def fit_controls(
    folder: Annotated[Path, typer.Argument(help="A saved editor; controls.json is written into it.")],
    data_dir: Annotated[Path, typer.Argument(help="The corpus rendered_people.")],
) -> None:
    """Fit an editor's presets and sliders to renders whose blendshape weights are known."""
    with plain_errors():
        from leed_hub.pipelines.editor import ExpressionEditor
        from leed_hub.training.controls import fit_controls

        controls = fit_controls(ExpressionEditor.from_pretrained(folder), data_dir)
        controls.save(folder)
        for name, r2 in controls.r2.items():
            print(f"{name}: R2 {r2:.2f}{'' if name in controls.sliders else ', no slider'}")


def export(
    model: Annotated[
        str, typer.Argument(metavar="FOLDER_OR_NAME", help="A folder, ORG/NAME on the Hub, editor or recognizer.")
    ],
    out_folder: Annotated[Path, typer.Argument(help="Where the graphs, config and card go.")],
) -> None:
    """Write a model as ONNX graphs that give the same numbers without torch."""
    with plain_errors():
        from leed_hub.models.export import export_folder

        for path in export_folder(model, out_folder):
            print(f"Wrote {path} ({path.stat().st_size / 1e6:.1f} MB).")
