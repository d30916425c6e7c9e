"""`leed-hub classify` and `classify-video`."""

import functools
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from leed_hub.cli.options import Detector, Model, face_choice, plain_errors, progress_bar, shown
from leed_hub.errors import ConfigError

if TYPE_CHECKING:
    from leed_hub.pipelines.batch import PicturePrediction


class Format(StrEnum):
    """What `classify` prints."""

    table = "table"
    json = "json"
    csv = "csv"


def classify(
    images: Annotated[list[Path], typer.Argument(help="Photographs, and folders of them.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A .csv file; if it exists, continue it.")
    ] = None,
    output_format: Annotated[Format, typer.Option("--format", help="What to print without --output.")] = Format.table,
    batch_size: Annotated[int, typer.Option(help="Faces per call of the network.")] = 32,
    workers: Annotated[int, typer.Option(help="Threads that open pictures and detect faces.")] = 2,
    model: Model = None,
    detector: Detector = "yunet",
) -> None:
    """Predict the apparent expression of every face in IMAGES: what it looks like, not what the person feels.

    A picture that cannot be read is reported and skipped; if it was named itself, the exit code is 2.
    """
    with plain_errors():
        from leed_hub.pipelines.batch import classify_many, find_pictures
        from leed_hub.pipelines.recognizer import ExpressionRecognizer
        from leed_hub.pipelines.tables import PictureTable, continued_table

        if output and output_format is Format.json:
            raise ConfigError("--output writes CSV; leave --format json out.")
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="surrogateescape")  # a file name may hold bytes that are no text
        pictures = list(dict.fromkeys(find_pictures(images)))
        recognizer = ExpressionRecognizer.from_pretrained(model, detector=detector)

        def write_all(pictures: Sequence[Any], write: Callable, *, shows_bar: bool = True) -> Counter:
            predictions: Any = classify_many(recognizer, pictures, batch_size=batch_size, workers=workers)
            with (
                progress_bar("Pictures", is_shown=shows_bar and len(pictures) > 1) as on_progress,
                closing(predictions),
            ):
                return write_and_count(predictions, write, set(images), lambda done: on_progress(done, len(pictures)))

        if output:
            with continued_table(output, recognizer.labels, pictures) as (table, left):
                count = write_all(left, table.write)
            held = f"; {len(pictures) - len(left)} were in it already" if len(left) < len(pictures) else ""
            print(f"Wrote {shown(output)} ({in_words(count)}{held}).")
        elif output_format is Format.csv:
            table = PictureTable(sys.stdout, recognizer.labels)
            count = write_all(pictures, table.write, shows_bar=not sys.stdout.isatty())
        else:
            rows: list[dict] = []
            count = write_all(pictures, lambda prediction: rows.extend(printed_rows(prediction)))
            print_rows(rows, output_format)
        if len(pictures) > 1 and (count["unreadable"] or count["without a face"]) and not output:
            print(f"{in_words(count)}.", file=sys.stderr)
        if count["failed"]:
            raise typer.Exit(2)


def write_and_count(
    predictions: Iterable["PicturePrediction"],
    write: Callable[["PicturePrediction"], None],
    named: set[Path],
    on_progress: Callable[[int], None],
) -> Counter:
    """Pass each prediction to `write`, and report on stderr what could not be read.

    Args:
        named: the paths on the command line, for which an error matters more.
    """
    count: Counter = Counter()
    for prediction in predictions:
        write(prediction)
        count.update(pictures=1, faces=len(prediction.faces))
        picture: Any = prediction.picture
        is_named = picture in named
        if prediction.error:
            count.update({"unreadable": 1, "failed": is_named})
            whose = "Error" if is_named else f"Left out {shown(picture)}"
            print(f"{whose}: {shown(prediction.error)}", file=sys.stderr)
        elif not prediction.faces:
            count["without a face"] += 1
            if is_named:
                print(f"{shown(picture.name)}: no face found.", file=sys.stderr)
        on_progress(count["pictures"])
    return count


def in_words(count: Counter) -> str:
    """What `write_and_count` has counted."""
    seen = [f"{count[what]} {what.removesuffix('s') if count[what] == 1 else what}" for what in ("pictures", "faces")]
    failures = [f"{count[what]} {what}" for what in ("without a face", "unreadable") if count[what]]
    return ", ".join(seen + failures)


def printed_rows(prediction: "PicturePrediction") -> list[dict]:
    """A picture's faces as `classify` prints them."""
    return [
        {
            "image": str(prediction.picture),
            "face": number,
            "expression": face.label,
            "box": [round(edge, 1) for edge in face.box],
            "scores": {name: round(score, 4) for name, score in face.scores.items()},
        }
        for number, face in enumerate(prediction.faces)
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
        table.add_row(escape(shown(Path(row["image"]).name)), str(row["face"]), row["expression"], score, box)
    Console().print(table)


def classify_video(
    video: Annotated[Path, typer.Argument(help="The video.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the table goes: .csv, a row a frame.")],
    plot: Annotated[Path | None, typer.Option(help="Where a plot over time goes: .png.")] = None,
    face: Annotated[str, typer.Option(help="Which face: largest, or a number, 0 being the largest.")] = "largest",
    every: Annotated[int, typer.Option(help="Use every n-th frame only.")] = 1,
    model: Model = None,
    detector: Detector = "yunet",
) -> None:
    """Predict the apparent expression of one face over a VIDEO: what it looks like, not what the person feels."""
    with plain_errors():
        from leed_hub.media.files import check_output
        from leed_hub.media.video import open_video
        from leed_hub.pipelines import video_classification
        from leed_hub.pipelines.recognizer import ExpressionRecognizer

        for written in filter(None, (output, plot)):
            check_output(written, video)
        recognizer = ExpressionRecognizer.from_pretrained(model, detector=detector)
        frames = open_video(video)
        predictions = video_classification.classify_video(recognizer, frames, face=face_choice(face), every=every)
        count = without_face = 0
        total = frames.n_frames and -(-frames.n_frames // every)
        with progress_bar("Frames") as on_progress:
            for prediction in video_classification.saved(predictions, recognizer.labels, output, plot):
                count += 1
                without_face += prediction.face is None
                on_progress(count, total)
        print(f"Wrote {shown(output)} ({count} frames).")
        if plot:
            print(f"Wrote {shown(plot)}.")
        if without_face:
            print(f"Note: the face was not seen in {without_face} frames.", file=sys.stderr)


@functools.wraps(classify_video)
def read_video(**arguments: Any) -> None:
    """The former name of `classify-video`."""
    print("Note: read-video is now called classify-video.", file=sys.stderr)
    classify_video(**arguments)
