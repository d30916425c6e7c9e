"""Predictions as CSV, written picture by picture; a table that was cut off goes on where it stopped."""

import csv
import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO, cast

from filelock import FileLock, Timeout

from leed_hub.errors import ConfigError
from leed_hub.media.images import printable
from leed_hub.pipelines.arguments import known_arguments
from leed_hub.pipelines.batch import PicturePrediction
from leed_hub.pipelines.recognizer import FacePrediction

if TYPE_CHECKING:
    import pandas

NO_FACE = "no face found"
_FORMULA = tuple("=+-@\t\r")  # what begins a cell that spreadsheets run


def face_columns(labels: tuple[str, ...]) -> list[str]:
    """The columns that say what was read of one face."""
    return ["face", "expression", "x0", "y0", "x1", "y1", *labels]


def face_cells(number: int | None, face: FacePrediction | None, labels: tuple[str, ...]) -> list:
    """Their cells; empty ones for no face."""
    if face is None:
        return [""] * len(face_columns(labels))
    edges = [round(edge, 1) for edge in face.box]
    return [number, face.label, *edges, *(round(face.scores[label], 4) for label in labels)]


def name_cell(path: Any) -> str:
    """A path as a table holds it: one that a spreadsheet would run as a formula begins with "./"."""
    name = os.fsdecode(path)
    return f"./{name}" if name.startswith(_FORMULA) else name


def _text_cell(text: str) -> str:
    """A sentence, which may begin with a file's name."""
    return f"'{text}" if text.startswith(_FORMULA) else text


class PictureTable:
    """A row a face: image, face (0 the largest), expression, x0, y0, x1, y1, one column a category, error.

    A picture without a face has one row that says so in its last column, and so has one that cannot be read.

    Args:
        file: where the rows go, each picture's at once; opened with `newline=""`.
        labels: the recogniser's categories.
        has_header: whether the file has its first line already.
    """

    def __init__(self, file: TextIO, labels: tuple[str, ...], *, has_header: bool = False):
        self.file, self.labels = file, labels
        self._writer = csv.writer(file)
        if not has_header:
            self._writer.writerow(_header(labels))
            file.flush()

    def write(self, prediction: PicturePrediction) -> None:
        """Add a picture, given by its path."""
        name = name_cell(prediction.picture)
        if self.file.isatty():
            name = printable(name)
        self._writer.writerows(_rows(name, prediction, self.labels))
        self.file.flush()


@known_arguments
def to_frame(predictions: Iterable[PicturePrediction]) -> "pandas.DataFrame":
    """Predictions as a pandas table of `PictureTable`'s rows and columns; cells that hold nothing are NaN.

    A picture that is no path is named by its place, `picture 1` being the first.

    Raises:
        ConfigError: if pandas is not installed, or they are not predictions of `classify_many`.
    """
    try:
        import pandas
    except ImportError as error:
        raise ConfigError("A table of this kind needs pandas: pip install pandas.") from error
    predictions = list(predictions) if isinstance(predictions, Iterable) else [predictions]
    for one in predictions:
        if not isinstance(one, PicturePrediction):
            raise ConfigError(f"predictions must be what `classify_many` gives; got {one!r:.80}.")
    labels = tuple(next((face.scores for found in predictions for face in found.faces), {}))
    rows: list[list] = []
    for number, prediction in enumerate(predictions, 1):
        picture = prediction.picture
        name = os.fsdecode(picture) if isinstance(picture, str | os.PathLike) else f"picture {number}"
        rows += _rows(name, prediction, labels)
    return pandas.DataFrame(rows, columns=_header(labels)).replace("", None).infer_objects()


def _rows(name: str, prediction: PicturePrediction, labels: tuple[str, ...]) -> list[list]:
    if not prediction.faces:
        return [[name, *face_cells(0, None, labels), _text_cell(prediction.error or NO_FACE)]]
    return [[name, *face_cells(number, face, labels), ""] for number, face in enumerate(prediction.faces)]


@contextmanager
def continued_table(
    path: str | os.PathLike, labels: tuple[str, ...], pictures: Iterable[str | os.PathLike]
) -> Iterator[tuple[PictureTable, list[str | os.PathLike]]]:
    """A table in a file, and those of the pictures that it lacks; what it holds already stays.

    A last line that is cut off is taken away. If the file ends with a face, its picture is read anew if it is asked
    for, since the rows of more faces may be missing. Pictures are known by their paths as they are written in it.

    Raises:
        ConfigError: if the file cannot be read or written, is a link or no such table for these categories, or is being
            written by another process.
    """
    path = Path(path)
    if path.suffix.lower() != ".csv":
        raise ConfigError(f"{path.name}: a table is saved as .csv.")
    if path.is_symlink():
        raise ConfigError(f"{path.name} is a link; give the file that it leads to.")
    pictures = list(pictures)
    try:
        with (
            # Names that are no UTF-8 come back as the bytes they are.
            open(path, "a+", encoding="utf-8", errors="surrogateescape", newline="") as file,
            FileLock(path.with_name(f".{path.name}.lock"), timeout=0),  # the system lets it go even if we are killed
        ):
            done, end = _held(
                cast(BinaryIO, file.buffer), path.name, labels, {name_cell(picture) for picture in pictures}
            )
            file.truncate(end)
            table = PictureTable(file, labels, has_header=end > 0)
            yield table, [picture for picture in pictures if name_cell(picture) not in done]
    except Timeout as error:
        raise ConfigError(
            f"{path.name} is being written by another run; wait for it or choose another file."
        ) from error
    except OSError as error:
        raise ConfigError(f"{path.name} could not be written: {error.strerror or error}.") from error


def _header(labels: tuple[str, ...]) -> list[str]:
    return ["image", *face_columns(labels), "error"]


def _held(file: BinaryIO, name: str, labels: tuple[str, ...], wanted: set[str]) -> tuple[set[str], int]:
    """The pictures that are complete in a table, and the byte at which it goes on."""
    header = _header(labels)
    first, last = io.StringIO(), None
    csv.writer(first).writerow(header)
    start = end = last_start = 0
    done: set[str] = set()
    file.seek(0)
    for number, (end, record) in enumerate(_records(file), 1):
        if number == 1:
            if record != header:
                raise ConfigError(f"{name} exists and is no table of these categories; choose another file.")
        elif len(record) != len(header):
            raise ConfigError(f"{name} is damaged: row {number} has {len(record)} columns instead of {len(header)}.")
        elif record[0] != last:
            last, last_start = record[0], start
            done.add(last)
        start = end
    if end == 0:
        file.seek(0)
        if not first.getvalue().encode().startswith(file.read(first.tell() + 1)):
            raise ConfigError(f"{name} exists and is no table of these categories; choose another file.")
    if last in wanted and not record[-1]:
        return done - {last}, last_start
    return done, end


def _records(file: BinaryIO) -> Iterator[tuple[int, list[str]]]:
    """(byte after it, cells) of each complete record; a name may hold line breaks, in quotes, which come in pairs."""
    lines, is_quoted, end = [], False, 0
    for line in file:
        lines.append(line)
        is_quoted ^= line.count(b'"') % 2 == 1
        if line.endswith(b"\n") and not is_quoted:
            record = b"".join(lines)
            lines, end = [], end + len(record)
            text = io.StringIO(record.decode("utf-8", "surrogateescape"), newline="")
            yield end, next(csv.reader(text), [])
