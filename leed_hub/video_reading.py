"""The apparent expression of one face over a video: the face is followed, frames stream through in batches."""

import csv
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from leed_hub.errors import BadVideoError, ConfigError
from leed_hub.pipelines import ExpressionRecognizer, FaceCrops, FaceReading
from leed_hub.reading_table import face_cells, face_columns
from leed_hub.tracking import FaceChoice, FaceTracker
from leed_hub.video import VideoFrames


@dataclass(frozen=True, eq=False)
class FrameReading:
    """What was read of one frame.

    Attributes:
        frame: its number in the video, from 0.
        time_s: seconds from the file's start.
        face: of the followed face; None while it is not seen.
        rank: the followed face's number among the frame's faces, 0 the largest; None while it is not seen.
    """

    frame: int
    time_s: float
    face: FaceReading | None
    rank: int | None


def read_video(
    recognizer: ExpressionRecognizer,
    video: str | os.PathLike | VideoFrames,
    *,
    face: FaceChoice = "largest",
    every: int = 1,
    batch_size: int = 32,
    aligner: str | None = None,
) -> Iterator[FrameReading]:
    """Read the expression of one face, frame by frame; a video of any length streams through.

    The choice is made where a face first appears, and the face is then followed, its points steadied. A face that is
    lost for half a second, or to a cut, is chosen anew.

    Args:
        recognizer: the pipeline.
        video: path of any common video.
        face: whose: "largest", or a number, 0 being the largest.
        every: 1 for all frames, n for each n-th.
        batch_size: frames that go through the network at once.
        aligner: instead of the pipeline's own; with "none" each frame is a face crop.
    Returns:
        Iterator[FrameReading]: one a frame that is read; a frame without the face does not stop it.
    Raises:
        BadVideoError: if the video cannot be read; damage further on shows while reading.
        ConfigError: if `face`, `every` or `batch_size` are out of range.
    """
    if face == "all":
        raise ConfigError('One face is followed through a video: "largest" or a number from 0 upwards; got "all".')
    for name, value in (("every", every), ("batch_size", batch_size)):
        if value < 1:
            raise ConfigError(f"{name} must be at least 1; got {value}.")
    tracker = FaceTracker(face)
    frames = video if isinstance(video, VideoFrames) else VideoFrames(video)
    followed = _followed(recognizer, islice(enumerate(frames), 0, None, every), tracker, aligner)
    return _readings(recognizer, followed, batch_size)


def _followed(
    recognizer: ExpressionRecognizer, frames: Iterable, tracker: FaceTracker, aligner: str | None
) -> Iterator[tuple[int, float, int | None, FaceCrops]]:
    """(frame, time in seconds, rank, crops), with the followed face's crop or, while it is not seen, none."""
    for number, (time_s, photo) in frames:
        faces, found_by = recognizer._find(photo, aligner)
        if faces is None:
            yield number, float(time_s), 0, recognizer._cut(photo, None, found_by)
            continue
        seen = [one.face for one in tracker(faces, float(time_s), photo) if one.is_seen]
        rank = next((i for i, face in enumerate(faces) for one in seen if face.box == one.box), None)
        yield number, float(time_s), rank, recognizer._cut(photo, seen, found_by)


def _readings(recognizer: ExpressionRecognizer, followed: Iterator, batch_size: int) -> Iterator[FrameReading]:
    while batch := list(islice(followed, batch_size)):
        readings = recognizer._read([crops for *_, crops in batch], batch_size)
        for (number, time_s, rank, _), faces in zip(batch, readings, strict=True):
            yield FrameReading(number, time_s, faces[0] if faces else None, rank)


class FrameTable:
    """A row a frame: frame, time_s, face (its rank), expression, x0, y0, x1, y1, one column a category.

    Args:
        file: where the rows go; opened with `newline=""`.
        labels: the recogniser's categories.
    """

    def __init__(self, file, labels: tuple[str, ...]):
        self.labels = labels
        self._writer = csv.writer(file)
        self._writer.writerow(["frame", "time_s", *face_columns(labels)])

    def write(self, reading: FrameReading) -> None:
        """Add a frame; without the face, its other cells are empty."""
        cells = face_cells(reading.rank, reading.face, self.labels)
        self._writer.writerow([reading.frame, round(reading.time_s, 4), *cells])


@contextmanager
def frame_table(path: str | os.PathLike, labels: tuple[str, ...]) -> Iterator[FrameTable]:
    """A table in a file, which appears when the context ends well, whole, and not at all otherwise.

    Raises:
        ConfigError: if it does not end in .csv.
        BadVideoError: if it cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".csv":
        raise ConfigError(f"{path.name}: a table is saved as .csv.")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # in the same folder, so that the move is atomic
    try:
        try:
            with open(unfinished, "w", encoding="utf-8", newline="") as file:
                yield FrameTable(file, labels)
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise BadVideoError(f"{path.name} could not be written: {error.strerror or error}.") from error
