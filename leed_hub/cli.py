"""The command line `leed-hub`: edit, edit-video, classify, evaluate, push, export.

Bad input gets one sentence and exit code 2.
"""

import csv
import json
import sys
import warnings
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from leed_hub.errors import LeedHubError

app = typer.Typer(
    help="Edit and read facial expressions.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
evaluate_app = typer.Typer(help="Measure a model on a corpus.", no_args_is_help=True)
app.add_typer(evaluate_app, name="evaluate")

Model = Annotated[str | None, typer.Option(help="A folder or ORG/NAME on the Hub; the bundled checkpoint by default.")]
Card = Annotated[
    bool, typer.Option("--card", help="Also write the numbers into the card of MODEL, which must be a folder.")
]
JsonFile = Annotated[Path, typer.Option("--json", help="Where the numbers go.")]
RenderedFaces = Annotated[Path, typer.Option("--data-dir", help="Folder of the rendered faces.")]


class Aligner(StrEnum):
    """How faces are found."""

    auto = "auto"
    yunet = "yunet"
    leed = "leed"
    face_alignment = "face-alignment"
    none = "none"


FaceOption = Annotated[str, typer.Option("--face", help="Whose: largest, all, or a number, 0 being the largest.")]


class Format(StrEnum):
    """What `classify` prints."""

    table = "table"
    json = "json"
    csv = "csv"


@contextmanager
def plain_errors():
    """Our own errors end the program with their sentence and exit code 2; warnings are a sentence too."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(f"Note: {message}", file=sys.stderr)
        try:
            yield
        except LeedHubError as error:
            print(f"Error: {error}", file=sys.stderr)
            raise typer.Exit(2) from error


@app.command()
def edit(
    source: Annotated[Path, typer.Argument(help="The photograph to edit.")],
    reference: Annotated[Path, typer.Argument(help="A face with the wanted expression.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the result goes: .png, .jpg or .webp.")],
    strength: Annotated[float, typer.Option(help="0 neutral, 1 as the reference, up to 2 exaggerated.")] = 1.0,
    face: FaceOption = "largest",
    model: Model = None,
    aligner: Annotated[Aligner, typer.Option(help="How faces are found.")] = Aligner.auto,
) -> None:
    """Give SOURCE the expression of REFERENCE; the result is marked as edited in its metadata."""
    with plain_errors():
        from leed_hub.images import save_edited
        from leed_hub.pipelines import ExpressionEditor

        editor = ExpressionEditor.from_pretrained(model, aligner=aligner)
        result = editor(source, reference, strength, face=face_choice(face))
        save_edited(result.image, output, software=editor.software)
        edited = f"{len(result.faces)} faces edited, " if len(result.faces) > 1 else ""
        size = f"{result.image.width}x{result.image.height}"
        print(f"Wrote {output} ({size}, {edited}faces found by: {result.aligner}).")


@app.command("edit-video")
def edit_video(
    source: Annotated[Path, typer.Argument(help="The video, or the picture, to edit.")],
    reference: Annotated[Path, typer.Argument(help="A face with the wanted expression: a picture or a video.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the result goes: .mp4.")],
    strength: Annotated[float, typer.Option(help="0 neutral, 1 as the reference, up to 2 exaggerated.")] = 1.0,
    face: FaceOption = "largest",
    model: Model = None,
    aligner: Annotated[Aligner, typer.Option(help="How faces are found.")] = Aligner.auto,
) -> None:
    """Give a video the expression of a picture or a video, or a picture that of a video; the result is marked."""
    with plain_errors():
        from leed_hub.pipelines import ExpressionEditor

        editor = ExpressionEditor.from_pretrained(model, aligner=aligner)
        options = {"strength": strength, "face": face_choice(face), "progress": True}
        result = editor.edit_video(source, reference, output, **options)
        sound = f"sound {result.sound}" if result.sound else "no sound"
        print(f"Wrote {output} ({result.frames} frames, {sound}, faces found by: {result.aligner}).")
        if result.frames_without_face:
            print(f"Note: no face was seen in {result.frames_without_face} frames.", file=sys.stderr)


def face_choice(face: str) -> str | int:
    """A number where one was typed; what else is allowed, the pipeline knows."""
    return int(face) if face.isdecimal() else face


@app.command()
def classify(
    images: Annotated[list[Path], typer.Argument(help="Photographs.")],
    output_format: Annotated[Format, typer.Option("--format", help="What to print.")] = Format.table,
    model: Model = None,
    aligner: Annotated[Aligner, typer.Option(help="How faces are found.")] = Aligner.auto,
) -> None:
    """Read the apparent expression of every face in IMAGES: what it looks like, not what the person feels."""
    with plain_errors():
        from leed_hub.pipelines import ExpressionRecognizer

        recognizer = ExpressionRecognizer.from_pretrained(model, aligner=aligner)
        rows = []
        for image in images:
            faces = recognizer(image)
            if not faces:
                print(f"{image.name}: no face found.", file=sys.stderr)
            for number, face in enumerate(faces):
                box = [round(edge, 1) for edge in face.box]
                scores = {name: round(score, 4) for name, score in face.scores.items()}
                rows.append(
                    {"image": str(image), "face": number, "expression": face.label, "box": box, "scores": scores}
                )
    if output_format is Format.json:
        print(json.dumps(rows, indent=2))
    elif output_format is Format.csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(["image", "face", "expression", "x0", "y0", "x1", "y1", *recognizer.labels])
        for row in rows:
            writer.writerow([row["image"], row["face"], row["expression"], *row["box"], *row["scores"].values()])
    else:
        table = Table("image", "face", "apparent expression", "score", "box (x0, y0, x1, y1)")
        for row in rows:
            box = ", ".join(f"{edge:.0f}" for edge in row["box"])
            score = f"{row['scores'][row['expression']]:.2f}"
            table.add_row(Path(row["image"]).name, str(row["face"]), row["expression"], score, box)
        Console().print(table)


@evaluate_app.command("editing")
def evaluate_editing_command(
    data: Annotated[Path, typer.Option(help="Folder of triplets NNN_source.jpg, NNN_reference.jpg, NNN_target.jpg.")],
    json_file: JsonFile,
    model: Model = None,
    card: Card = False,
) -> None:
    """Compare edits with their exact targets."""
    with plain_errors():
        from leed_hub.evaluation import evaluate_editing
        from leed_hub.pipelines import ExpressionEditor

        editor = ExpressionEditor.from_pretrained(model, aligner="none")
        report(evaluate_editing(editor, data, progress=True), json_file, editor, model if card else None)


@evaluate_app.command("recognition")
def evaluate_recognition_command(
    corpus: Annotated[str, typer.Option(help="Name of a corpus, such as fer2013.")],
    data_dir: Annotated[Path, typer.Option(help="Its folder or archive.")],
    split: Annotated[str, typer.Option(help="Its split, such as test_private.")],
    json_file: JsonFile,
    model: Model = None,
    card: Card = False,
) -> None:
    """Compare readings with a corpus' labels, and probe what the non-expression code still tells."""
    with plain_errors():
        from leed_hub.evaluation import evaluate_recognition
        from leed_hub.pipelines import ExpressionRecognizer

        recognizer = ExpressionRecognizer.from_pretrained(model, aligner="none")
        numbers = evaluate_recognition(recognizer, corpus, data_dir, split, progress=True)
        report(numbers, json_file, recognizer, model if card else None)


@evaluate_app.command("disentanglement")
def evaluate_disentanglement_command(
    data_dir: RenderedFaces,
    json_file: JsonFile,
    model: Model = None,
    card: Card = False,
) -> None:
    """Probe an editor's codes: the expression code for the person, the neutral point for the expression."""
    with plain_errors():
        from leed_hub.evaluation import evaluate_disentanglement
        from leed_hub.pipelines import ExpressionEditor

        editor = ExpressionEditor.from_pretrained(model, aligner="none")
        numbers = evaluate_disentanglement(editor, data_dir, progress=True)
        report(numbers, json_file, editor, model if card else None)


@evaluate_app.command("strength")
def evaluate_strength_command(
    data_dir: RenderedFaces,
    json_file: JsonFile,
    model: Model = None,
    card: Card = False,
) -> None:
    """Take expressions off, scale them and mix them, and see whether the face follows evenly."""
    with plain_errors():
        from leed_hub.evaluation import evaluate_strength
        from leed_hub.pipelines import ExpressionEditor

        editor = ExpressionEditor.from_pretrained(model, aligner="none")
        report(evaluate_strength(editor, data_dir, progress=True), json_file, editor, model if card else None)


@evaluate_app.command("photographs")
def evaluate_photographs_command(
    data_dir: Annotated[Path, typer.Option(help="Folder of the Face Research Lab London Set.")],
    json_file: JsonFile,
    model: Model = None,
    aligner: Annotated[Aligner, typer.Option(help="How faces are found.")] = Aligner.auto,
    card: Card = False,
) -> None:
    """Make photographs smile and smiles neutral, judged by the bundled recogniser."""
    with plain_errors():
        from leed_hub.evaluation import evaluate_photographs
        from leed_hub.pipelines import ExpressionEditor, ExpressionRecognizer

        editor = ExpressionEditor.from_pretrained(model, aligner=aligner)
        recognizer = ExpressionRecognizer.from_pretrained(aligner=aligner)
        numbers = evaluate_photographs(editor, recognizer, data_dir, progress=True)
        report(numbers, json_file, editor, model if card else None)


def report(numbers: dict, json_file: Path, pipeline, card_folder: str | None) -> None:
    """Write all numbers, print the single ones, and put the main ones into the card of a saved model."""
    from leed_hub.evaluation import record_in_card, write_json

    write_json(numbers, json_file)
    if card_folder:
        record_in_card(pipeline.model, card_folder, numbers)
    for name, value in numbers.items():
        if isinstance(value, float | int):
            print(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")
    print(f"Wrote {json_file}.")


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(help="A saved model: config.json, model.safetensors, README.md.")],
    repo_id: Annotated[str, typer.Argument(metavar="ORG/NAME", help="Where it goes on the Hub.")],
    private: Annotated[bool, typer.Option("--private", help="Create the repository as private.")] = False,
) -> None:
    """Send a saved model to the Hub."""
    with plain_errors():
        from leed_hub.hub import push_folder

        print(push_folder(folder, repo_id, private=private))


@app.command()
def export(
    model: Annotated[
        str, typer.Argument(metavar="FOLDER_OR_NAME", help="A folder, ORG/NAME on the Hub, editor or recognizer.")
    ],
    out_folder: Annotated[Path, typer.Argument(help="Where the graphs, config and card go.")],
) -> None:
    """Write a model as ONNX graphs that give the same numbers without torch."""
    with plain_errors():
        from leed_hub.export import export_folder

        for path in export_folder(model, out_folder):
            print(f"Wrote {path} ({path.stat().st_size / 1e6:.1f} MB).")


if __name__ == "__main__":
    app()
