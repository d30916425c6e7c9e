"""The apparent expression of one face over a video: the face is followed, frames stream through in batches."""

import csv
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from leed_hub.errors import BadVideoError, ConfigError
from leed_hub.faces.tracking import FaceChoice, FaceTracker
from leed_hub.media.animation import AnimatedPicture
from leed_hub.media.files import atomic_path
from leed_hub.media.video import VideoFrames, open_video
from leed_hub.pipelines.arguments import known_arguments, whole_number
from leed_hub.pipelines.cropper import FaceCrops
from leed_hub.pipelines.recognizer import ExpressionRecognizer, FacePrediction
from leed_hub.pipelines.tables import face_cells, face_columns


@dataclass(frozen=True, eq=False)
class FramePrediction:
    """What was read of one frame.

    Attributes:
        frame: its number in the video, from 0.
        time_s: seconds from the file's start.
        face: of the followed face; None while it is not seen.
        rank: the followed face's number among the frame's faces, 0 the largest; None while it is not seen.
    """

    frame: int
    time_s: float
    face: FacePrediction | None
    rank: int | None


@known_arguments
def classify_video(
    recognizer: ExpressionRecognizer,
    video: str | os.PathLike | VideoFrames | AnimatedPicture,
    *,
    face: FaceChoice = "largest",
    every: int = 1,
    batch_size: int = 32,
    detector: str | None = None,
) -> Iterator[FramePrediction]:
    """Read the expression of one face, frame by frame; a video of any length streams through.

    The choice is made where a face first appears, and the face is then followed, its points steadied. A face that is
    lost for half a second, or to a cut, is chosen anew.

    Args:
        recognizer: the pipeline.
        video: path of any common video or animated picture, or what `open_video` made of it.
        face: whose: "largest", or a number, 0 being the largest.
        every: 1 for all frames, n for each n-th.
        batch_size: frames that go through the network at once.
        detector: instead of the pipeline's own; with "none" each frame is a face crop.
    Returns:
        Iterator[FramePrediction]: one a frame that is read; a frame without the face does not stop it.
    Raises:
        BadVideoError: if the video cannot be read; damage further on shows while prediction.
        ConfigError: if `face`, `every` or `batch_size` are out of range.
    """
    if face == "all":
        raise ConfigError('One face is followed through a video: "largest" or a number from 0 upwards; got "all".')
    every, batch_size = whole_number("every", every, 1), whole_number("batch_size", batch_size, 1)
    tracker = FaceTracker(face)
    frames = video if isinstance(video, VideoFrames | AnimatedPicture) else open_video(video)
    followed = _followed(recognizer, islice(enumerate(frames), 0, None, every), tracker, detector)
    return _predictions(recognizer, followed, batch_size)


def _followed(
    recognizer: ExpressionRecognizer, frames: Iterable, tracker: FaceTracker, detector: str | None
) -> Iterator[tuple[int, float, int | None, FaceCrops]]:
    """(frame, time in seconds, rank, crops), with the followed face's crop or, while it is not seen, none."""
    cropper = recognizer.cropper
    for number, (time_s, photo) in frames:
        faces, found_by = cropper.find(photo, detector)
        rank: int | None = 0
        if faces is not None:
            seen = [one.face for one in tracker(faces, float(time_s), photo) if one.is_seen]
            rank = next((i for i, face in enumerate(faces) for one in seen if face.box == one.box), None)
            faces = seen
        yield number, float(time_s), rank, cropper.cut(photo, faces, found_by)


def _predictions(recognizer: ExpressionRecognizer, followed: Iterator, batch_size: int) -> Iterator[FramePrediction]:
    while batch := list(islice(followed, batch_size)):
        predictions = recognizer.classify_crops([crops for *_, crops in batch], batch_size)
        for (number, time_s, rank, _), faces in zip(batch, predictions, strict=True):
            yield FramePrediction(number, time_s, faces[0] if faces else None, rank)


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

    def write(self, prediction: FramePrediction) -> None:
        """Add a frame; without the face, its other cells are empty."""
        cells = face_cells(prediction.rank, prediction.face, self.labels)
        self._writer.writerow([prediction.frame, round(prediction.time_s, 4), *cells])


def saved(
    predictions: Iterable[FramePrediction],
    labels: tuple[str, ...],
    table: str | os.PathLike,
    plot: str | os.PathLike | None = None,
) -> Iterator[FramePrediction]:
    """The predictions as they come, and, once all are taken, a table of them and a plot; whole, or not at all.

    Args:
        predictions: of `classify_video`.
        labels: the recogniser's categories.
        table: ends in .csv.
        plot: ends in .png; none by default.
    Raises:
        ConfigError, BadVideoError, BadImageError: if the table or the plot cannot be written.
    """
    from leed_hub.pipelines.plot import ExpressionPlot  # matplotlib only where it is needed

    chart = ExpressionPlot(plot, labels) if plot else None
    with frame_table(table, labels) as rows:
        for prediction in predictions:
            rows.write(prediction)
            if chart:
                chart.add(prediction.time_s, prediction.face.scores if prediction.face else None)
            yield prediction
    if chart:
        chart.save()


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
    try:
        with atomic_path(path) as unfinished, open(unfinished, "w", encoding="utf-8", newline="") as file:
            yield FrameTable(file, labels)
    except OSError as error:
        raise BadVideoError(f"{path.name} could not be written: {error.strerror or error}.") from error
