"""The command line `leed-hub`: edit, edit-video, classify, read-video, evaluate, push, push-corpus, export.

Bad input gets one sentence and exit code 2.
"""

import json
import sys
import warnings
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from leed_hub.errors import ConfigError, LeedHubError

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
Corpus = Annotated[str, typer.Option(help="Name of a corpus, such as fer2013, or ORG/NAME of one on the Hub.")]
CorpusDir = Annotated[Path | None, typer.Option("--data-dir", help="Its folder or archive; none for one on the Hub.")]
Split = Annotated[str, typer.Option(help="Its split, such as test_private.")]
Mirrored = Annotated[
    bool, typer.Option("--mirrored", help="Read each face and its mirror image, and average their logits.")
]
London = Annotated[Path, typer.Option("--data-dir", help="Folder of the Face Research Lab London Set.")]
RenderedFaces = Annotated[Path, typer.Option("--data-dir", help="Folder of the rendered faces.")]


class Aligner(StrEnum):
    """How faces are found."""

    auto = "auto"
    yunet = "yunet"
    leed = "leed"
    face_alignment = "face-alignment"
    none = "none"


CropAligner = Annotated[
    Aligner, typer.Option("--aligner", help="How faces are found; none: pictures are framed as the network wants them.")
]
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
        if result.note:
            print(f"Note: {result.note}", file=sys.stderr)


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
    images: Annotated[list[Path], typer.Argument(help="Photographs, and folders of them.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A .csv file; where it exists, go on where it stopped.")
    ] = None,
    output_format: Annotated[Format, typer.Option("--format", help="What to print without --output.")] = Format.table,
    batch_size: Annotated[int, typer.Option(help="Faces that go through the network at once.")] = 32,
    workers: Annotated[int, typer.Option(help="Threads that open pictures and find faces.")] = 2,
    model: Model = None,
    aligner: Annotated[Aligner, typer.Option(help="How faces are found.")] = Aligner.auto,
) -> None:
    """Read the apparent expression of every face in IMAGES: what it looks like, not what the person feels.

    A picture that cannot be read is told and passed over; was it named itself, the exit code is 2 in the end.
    """
    with plain_errors():
        from leed_hub.pipelines import ExpressionRecognizer
        from leed_hub.reading import find_pictures
        from leed_hub.reading_table import PictureTable, continued_table

        if output and output_format is Format.json:
            raise ConfigError("--output writes CSV; leave --format json out.")
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="surrogateescape")  # a file name may hold bytes that are no text
        pictures = list(dict.fromkeys(find_pictures(images)))
        recognizer = ExpressionRecognizer.from_pretrained(model, aligner=aligner)
        options = {"batch_size": batch_size, "workers": workers}
        count = ReadingCount(named=frozenset(images))
        if output:
            with continued_table(output, recognizer.labels, pictures) as (table, left):
                count.read(recognizer, left, table.write, **options)
            held = f"; {len(pictures) - len(left)} were in it already" if len(left) < len(pictures) else ""
            print(f"Wrote {output} ({count}{held}).")
        elif output_format is Format.csv:
            table = PictureTable(sys.stdout, recognizer.labels)
            count.read(recognizer, pictures, table.write, shows_bar=not sys.stdout.isatty(), **options)
        else:
            rows = []
            count.read(recognizer, pictures, lambda reading: rows.extend(printed_rows(reading)), **options)
            print_rows(rows, output_format)
        if len(pictures) > 1 and (count.unreadable or count.without_face) and not output:
            print(f"{count}.", file=sys.stderr)
        if count.has_failed:
            raise typer.Exit(2)


@dataclass
class ReadingCount:
    """What `classify` has met so far; `named` are the paths on the command line, for which an error matters more."""

    named: frozenset[Path]
    pictures: int = 0
    faces: int = 0
    without_face: int = 0
    unreadable: int = 0
    has_failed: bool = False

    def __str__(self) -> str:
        said = f"{self.pictures} picture{'s' * (self.pictures != 1)}, {self.faces} face{'s' * (self.faces != 1)}"
        failures = {"without a face": self.without_face, "unreadable": self.unreadable}
        return said + "".join(f", {number} {what}" for what, number in failures.items() if number)

    def read(self, recognizer, pictures: list[Path], write, *, shows_bar: bool = True, **options) -> None:
        """Read the pictures, hand each reading on, and tell on stderr what could not be read."""
        from leed_hub.reading import read_many

        with (
            progress_bar("Pictures", len(pictures), is_shown=shows_bar and len(pictures) > 1) as advance,
            closing(read_many(recognizer, pictures, **options)) as readings,
        ):
            for reading in readings:
                write(reading)
                self.pictures += 1
                self.faces += len(reading.faces)
                if reading.error and reading.picture in self.named:
                    self.unreadable, self.has_failed = self.unreadable + 1, True
                    print(f"Error: {reading.error}", file=sys.stderr)
                elif reading.error:
                    self.unreadable += 1
                    print(f"Left out {reading.picture}: {reading.error}", file=sys.stderr)
                elif not reading.faces:
                    self.without_face += 1
                    if reading.picture in self.named:
                        print(f"{reading.picture.name}: no face found.", file=sys.stderr)
                advance()


def printed_rows(reading) -> list[dict]:
    """A picture's faces as `classify` prints them."""
    return [
        {
            "image": str(reading.picture),
            "face": number,
            "expression": face.label,
            "box": [round(edge, 1) for edge in face.box],
            "scores": {name: round(score, 4) for name, score in face.scores.items()},
        }
        for number, face in enumerate(reading.faces)
    ]


def print_rows(rows: list[dict], output_format: Format) -> None:
    """All faces, as JSON or a table."""
    if output_format is Format.json:
        print(json.dumps(rows, indent=2))
        return
    table = Table("image", "face", "apparent expression", "score", "box (x0, y0, x1, y1)")
    for row in rows:
        box = ", ".join(f"{edge:.0f}" for edge in row["box"])
        score = f"{row['scores'][row['expression']]:.2f}"
        table.add_row(escape(Path(row["image"]).name), str(row["face"]), row["expression"], score, box)
    Console().print(table)


@contextmanager
def progress_bar(what: str, total: int | None, *, is_shown: bool = True):
    """A bar on stderr where that is a terminal; gives a function that moves it on by one."""
    console = Console(stderr=True)
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    # Results go to stdout, which rich would send to the bar's own stream.
    options = {"console": console, "transient": True, "redirect_stdout": False}
    with Progress(*columns, disable=not (is_shown and console.is_terminal), **options) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


@app.command("read-video")
def read_video_command(
    video: Annotated[Path, typer.Argument(help="The video.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the table goes: .csv, a row a frame.")],
    plot: Annotated[Path | None, typer.Option(help="Where a plot over time goes: .png.")] = None,
    face: Annotated[str, typer.Option(help="Whose: largest, or a number, 0 being the largest.")] = "largest",
    every: Annotated[int, typer.Option(help="Read each n-th frame only.")] = 1,
    model: Model = None,
    aligner: Annotated[Aligner, typer.Option(help="How faces are found.")] = Aligner.auto,
) -> None:
    """Read the apparent expression of one face over a VIDEO: what it looks like, not what the person feels."""
    with plain_errors():
        from leed_hub.expression_plot import ExpressionPlot
        from leed_hub.pipelines import ExpressionRecognizer
        from leed_hub.video import VideoFrames
        from leed_hub.video_reading import frame_table, read_video

        recognizer = ExpressionRecognizer.from_pretrained(model, aligner=aligner)
        drawing = ExpressionPlot(plot, recognizer.labels) if plot else None
        frames = VideoFrames(video)
        readings = read_video(recognizer, frames, face=face_choice(face), every=every)
        count = without_face = 0
        total = frames.n_frames and -(-frames.n_frames // every)
        with frame_table(output, recognizer.labels) as table, progress_bar("Frames", total) as advance:
            for reading in readings:
                table.write(reading)
                if drawing:
                    drawing.add(reading.time_s, reading.face.scores if reading.face else None)
                count += 1
                without_face += reading.face is None
                advance()
        print(f"Wrote {output} ({count} frames).")
        if drawing:
            drawing.save()
            print(f"Wrote {plot}.")
        if without_face:
            print(f"Note: the face was not seen in {without_face} frames.", file=sys.stderr)


@evaluate_app.command("editing")
def evaluate_editing_command(
    data: Annotated[Path, typer.Option(help="Folder of triplets: pairs.parquet and the pictures it names.")],
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
    corpus: Corpus,
    split: Split,
    json_file: JsonFile,
    data_dir: CorpusDir = None,
    model: Model = None,
    aligner: CropAligner = Aligner.none,
    mirrored: Mirrored = False,
    card: Card = False,
) -> None:
    """Compare readings with a corpus' labels, and probe what the non-expression code still tells."""
    with plain_errors():
        from leed_hub.evaluation import evaluate_recognition
        from leed_hub.pipelines import ExpressionRecognizer

        recognizer = ExpressionRecognizer.from_pretrained(model, aligner="none")
        options = {"aligner": aligner, "mirrored": mirrored, "progress": True}
        numbers = evaluate_recognition(recognizer, corpus, data_dir, split, **options)
        report(numbers, json_file, recognizer, model if card else None)


@evaluate_app.command("calibration")
def evaluate_calibration_command(
    corpus: Corpus,
    split: Annotated[str, typer.Option(help="The split to fit on, such as test_public: not one that is reported.")],
    json_file: JsonFile,
    data_dir: CorpusDir = None,
    model: Model = None,
    aligner: CropAligner = Aligner.none,
    mirrored: Mirrored = False,
    save: Annotated[
        bool, typer.Option("--save", help="Write the temperature into MODEL, which must be a folder.")
    ] = False,
    card: Card = False,
) -> None:
    """Fit the temperature that makes a recogniser's scores say how often they are right."""
    with plain_errors():
        from leed_hub.errors import ConfigError
        from leed_hub.evaluation import evaluate_calibration, save_temperature
        from leed_hub.pipelines import ExpressionRecognizer

        if save and not (model and Path(model).is_dir()):
            raise ConfigError("--save writes into a model's folder; name it with --model.")
        recognizer = ExpressionRecognizer.from_pretrained(model, aligner="none")
        options = {"aligner": aligner, "mirrored": mirrored, "progress": True}
        numbers = evaluate_calibration(recognizer, corpus, data_dir, split, **options)
        if save:
            numbers["saved_temperature"] = save_temperature(model, numbers["temperature_factor"])
        report(numbers, json_file, recognizer, model if card else None)


@evaluate_app.command("robustness")
def evaluate_robustness_command(
    corpus: Corpus,
    split: Split,
    json_file: JsonFile,
    data_dir: CorpusDir = None,
    model: Model = None,
    aligner: CropAligner = Aligner.none,
    mirrored: Mirrored = False,
    card: Card = False,
) -> None:
    """See what is left of a recogniser's accuracy on compressed, blurred, turned, small and dark crops."""
    with plain_errors():
        from leed_hub.evaluation import evaluate_robustness
        from leed_hub.pipelines import ExpressionRecognizer

        recognizer = ExpressionRecognizer.from_pretrained(model, aligner="none")
        options = {"aligner": aligner, "mirrored": mirrored, "progress": True}
        numbers = evaluate_robustness(recognizer, corpus, data_dir, split, **options)
        report(numbers, json_file, recognizer, model if card else None)


@evaluate_app.command("fairness")
def evaluate_fairness_command(
    data_dir: London,
    json_file: JsonFile,
    model: Model = None,
    aligner: Annotated[Aligner, typer.Option(help="How faces are found.")] = Aligner.auto,
    card: Card = False,
) -> None:
    """Compare how well neutral faces and smiles are read by gender, age and ethnicity."""
    with plain_errors():
        from leed_hub.evaluation import evaluate_fairness
        from leed_hub.pipelines import ExpressionRecognizer

        recognizer = ExpressionRecognizer.from_pretrained(model, aligner=aligner)
        numbers = evaluate_fairness(recognizer, data_dir, progress=True)
        print(numbers["table"])
        report(numbers, json_file, recognizer, model if card else None)


@evaluate_app.command("non-faces")
def evaluate_non_faces_command(
    corpus: Corpus,
    split: Split,
    json_file: JsonFile,
    data_dir: CorpusDir = None,
    london: Annotated[Path | None, typer.Option(help="Folder of the London Set, for pieces of its portraits.")] = None,
    model: Model = None,
    aligner: Annotated[Aligner, typer.Option(help="How faces are found.")] = Aligner.auto,
    card: Card = False,
) -> None:
    """See how sure a recogniser is of pictures without faces, beside a corpus' face crops, and if any face is found."""
    with plain_errors():
        from leed_hub.evaluation import evaluate_non_faces
        from leed_hub.pipelines import ExpressionRecognizer

        recognizer = ExpressionRecognizer.from_pretrained(model, aligner=aligner)
        numbers = evaluate_non_faces(recognizer, corpus, data_dir, split, london_dir=london, progress=True)
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


@evaluate_app.command("damage")
def evaluate_damage_command(
    corpus: Corpus,
    data_dir: CorpusDir,
    split: Split,
    faces_dir: Annotated[Path, typer.Option("--faces-dir", help="Folder of the rendered faces.")],
    json_file: JsonFile,
    limit: Annotated[int | None, typer.Option(help="At most so many pictures.")] = None,
    fuzzed: Annotated[int, typer.Option(help="How many made-up inputs.")] = 1000,
    model: Model = None,
    aligner: Annotated[Aligner, typer.Option(help="How faces are found.")] = Aligner.auto,
    card: Card = False,
) -> None:
    """Count the edits that destroy a face, on a corpus' pictures and on made-up inputs."""
    with plain_errors():
        from leed_hub.evaluation import evaluate_damage
        from leed_hub.pipelines import ExpressionEditor

        editor = ExpressionEditor.from_pretrained(model, aligner=aligner)
        options = {"limit": limit, "n_fuzzed": fuzzed, "progress": True}
        numbers = evaluate_damage(editor, corpus, data_dir, split, faces_dir, **options)
        report(numbers, json_file, editor, model if card else None)


@evaluate_app.command("domains")
def evaluate_domains_command(
    people_dir: Annotated[Path, typer.Option("--people-dir", help="Folder of the rendered people.")],
    data_dir: RenderedFaces,
    json_file: JsonFile,
    model: Model = None,
    person: Annotated[
        list[str] | None, typer.Option(help="Whose photographs are looked up, such as 004; all by default.")
    ] = None,
    card: Card = False,
) -> None:
    """See whether photographs and renders share one expression code."""
    with plain_errors():
        from leed_hub.evaluation import evaluate_domains
        from leed_hub.pipelines import ExpressionEditor

        editor = ExpressionEditor.from_pretrained(model, aligner="none")
        numbers = evaluate_domains(editor, people_dir, data_dir, persons=person or (), progress=True)
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
    data_dir: London,
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


@evaluate_app.command("transfer")
def evaluate_transfer_command(
    sources: Annotated[Path, typer.Option(help="Folder of photographs to edit.")],
    references: Annotated[
        Path,
        typer.Option(
            help="Folder of expressions; NAME_n.jpg is the neutral face of NAME.jpg, neutral*.jpg a reference."
        ),
    ],
    json_file: Annotated[Path, typer.Option("--json", "--json-file", help="Where the numbers go.")],
    model: Model = None,
    aligner: Annotated[Aligner, typer.Option(help="How faces are found.")] = Aligner.auto,
    card: Card = False,
) -> None:
    """See whether edits of any photographs follow their references, judged by networks that are not ours."""
    with plain_errors():
        from leed_hub.evaluation import FaceIdentity, FaceMesh, evaluate_transfer
        from leed_hub.pipelines import ExpressionEditor

        mesh = FaceMesh()
        try:
            identity = FaceIdentity()
        except ConfigError as error:
            identity = None
            print(f"Note: identity is not measured. {error}", file=sys.stderr)
        editor = ExpressionEditor.from_pretrained(model, aligner=aligner)
        numbers = evaluate_transfer(editor, sources, references, mesh=mesh, identity=identity, progress=True)
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


@app.command("push-corpus")
def push_corpus_command(
    name: Annotated[str, typer.Argument(help="A corpus that may be passed on: rendered_faces or rendered_people.")],
    data_dir: Annotated[Path, typer.Argument(help="Its folder or archive.")],
    repo_id: Annotated[str, typer.Argument(metavar="ORG/NAME", help="Where it goes on the Hub.")],
    private: Annotated[bool, typer.Option("--private", help="Create the repository as private.")] = False,
) -> None:
    """Send a corpus to the Hub as a dataset, which `corpus: ORG/NAME` in a training config reads."""
    with plain_errors():
        from leed_hub.data.pushing import push_corpus

        print(push_corpus(name, data_dir, repo_id, private=private))


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
