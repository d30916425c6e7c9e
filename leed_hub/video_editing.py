"""A video edited by a picture or a video, and a picture brought to life by a video; frames stream through.

Only the expression changes: each frame is edited within its own face crop, so the head moves as the source's does.
"""

import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from leed_hub.damage import softened
from leed_hub.errors import ConfigError, NoFaceError
from leed_hub.images import FORMATS, load_image
from leed_hub.tracking import FaceChoice, FaceTracker, choose_faces
from leed_hub.transforms import crop_face
from leed_hub.video import VideoFrames, VideoWriter

if TYPE_CHECKING:
    from leed_hub.pipelines import ExpressionEditor, Picture


@dataclass(frozen=True)
class VideoEditResult:
    """What was written.

    Attributes:
        frames: in the video.
        frames_without_face: of the source, that showed none of the faces followed; 0 where it is a picture.
        reference_frames_without_face: of the reference, as far as it was read; 0 where it is a picture.
        sound: "copied", "encoded" or None.
        aligner: what found the source's faces: "yunet", "face-alignment" or "none".
    """

    frames: int
    frames_without_face: int
    reference_frames_without_face: int
    sound: str | None
    aligner: str


@torch.inference_mode()
def edit_video(
    editor: "ExpressionEditor",
    source: "Picture",
    reference: "Picture | None",
    output: str | os.PathLike,
    *,
    strength: float = 1.0,
    face: FaceChoice = "largest",
    aligner: str | None = None,
    progress: bool = False,
) -> VideoEditResult:
    """Edit a video by a picture or a video, or bring a picture to life by a video.

    The output has the size, frame times and sound of the source, or, where the source is a picture, its size and the
    frame times and sound of the reference. Two videos run side by side from their starts, by time: a longer reference
    is not read to its end, and of a shorter one the last expression is held. It is held, too, while the reference shows
    no face. A face that the source loses is edited for another half second, fading, where it was; then frames pass
    unedited until it is found again.

    Args:
        editor: the pipeline.
        source: path of a video, or a picture as `ExpressionEditor` takes it.
        reference: the same; at least one of the two is a video. None only with strength 0, the neutral face.
        output: path of the mp4, marked as AI-edited; appears when it is whole.
        strength: 0 neutral, 1 the reference's expression, up to 2 exaggerated.
        face: which of the source's faces: "largest", "all", or a number, 0 being the largest; the choice is made where
            a face first appears, and the face is then followed.
        aligner: instead of the pipeline's own.
        progress: draw a bar on the terminal.
    Raises:
        BadVideoError: if a video cannot be read or written.
        BadImageError: if a picture cannot be read.
        NoFaceError: if the source or the reference shows no face, in no frame.
        ConfigError: if strength or face are out of range, or both are pictures.
    """
    from leed_hub.pipelines import check_strength

    strength = check_strength(strength, reference)
    tracker = FaceTracker(face)
    source_video, reference_video = _video_of(source), _video_of(reference)
    timing = source_video or reference_video
    if timing is None:
        raise ConfigError("Both source and reference are pictures; at least one must be a video.")
    if reference is None:
        code_at = _same_code(torch.zeros(1, editor.model.config.expression_dim, device=editor.device))
    elif reference_video is None:
        code_at = _same_code(editor.read_expression([reference], aligner=aligner))
    else:
        code_at = ReferenceVideo(editor, reference_video, aligner)
    if source_video is None:
        photo = np.asarray(load_image(source))
        edit = SourcePicture(editor, photo, face, strength, aligner)
        frames = ((time_s, photo) for time_s in timing.times())
        size, matrix = (photo.shape[1], photo.shape[0]), {}
    else:
        edit = SourceVideo(editor, tracker, strength, aligner)
        frames = iter(source_video)
        size, matrix = (timing.width, timing.height), {"matrix": timing.matrix}
    count = 0
    with (
        VideoWriter(output, timing, size=size, software=editor.software, **matrix) as writer,
        _bar(timing.n_frames) if progress else nullcontext() as advance,
    ):
        for time_s, photo in frames:
            writer.write(time_s, edit(photo, float(time_s), code_at(float(time_s))))
            count += 1
            if advance:
                advance()
        edit.check()
    lost = getattr(code_at, "frames_without_face", 0)
    return VideoEditResult(count, edit.frames_without_face, lost, writer.sound, edit.aligner)


def _video_of(source) -> VideoFrames | None:
    """The video at a path; None for a picture."""
    if not isinstance(source, str | os.PathLike):
        return None
    if os.path.isfile(source):
        try:
            Image.open(source, formats=FORMATS).close()  # looks at the first bytes only
            return None
        except (UnidentifiedImageError, OSError):
            pass
    return VideoFrames(source)


def _same_code(code: Tensor):
    return lambda time_s: code


class ReferenceVideo:
    """The expression code (1, expression_dim) of a reference video at rising times, mixed between its frames.

    Attributes:
        frames_without_face: of those read so far.
    """

    def __init__(self, editor: "ExpressionEditor", video: VideoFrames, aligner: str | None):
        self.editor, self.video, self.aligner = editor, video, aligner
        self.frames_without_face = 0
        self._readings = self._read()
        self._before = self._after = None

    def __call__(self, time_s: float) -> Tensor:
        if self._before is None:
            self._before = next(self._readings, None)
            if self._before is None:
                raise NoFaceError("No face was found in the reference video; use one where a face is well visible.")
            self._after = next(self._readings, None)
        while self._after is not None and self._after[0] <= time_s:
            self._before, self._after = self._after, next(self._readings, None)
        start_s, code = self._before
        if self._after is None or time_s <= start_s:
            return code
        end_s, next_code = self._after
        return torch.lerp(code, next_code, (time_s - start_s) / (end_s - start_s))

    def _read(self) -> Iterator[tuple[float, Tensor]]:
        tracker = FaceTracker("largest")
        for time_s, photo in self.video:
            faces, _ = self.editor._find(photo, self.aligner)
            if faces is None:
                face = None
            else:
                face = next((one.face for one in tracker(faces, float(time_s), photo) if one.is_seen), None)
                if face is None:
                    self.frames_without_face += 1
                    continue
            crop = crop_face(photo, self.editor._matrix(photo, face), self.editor.size)
            yield float(time_s), self.editor.model.encode(self.editor._tensor([crop], 3)).expression_code


class SourcePicture:
    """Edits one picture again and again: its faces are found and encoded once, and only the decoder runs."""

    frames_without_face = 0

    def __init__(self, editor: "ExpressionEditor", photo: np.ndarray, face: FaceChoice, strength: float, aligner):
        faces, self.aligner = editor._find(photo, aligner)
        if faces is not None and not faces:
            raise NoFaceError("No face was found in the source picture; use one where a face is well visible.")
        chosen = [None] if faces is None else choose_faces(faces, face)
        self.editor, self.strength = editor, strength
        self.matrices = [editor._matrix(photo, one) for one in chosen]
        self.crops = editor._tensor([crop_face(photo, matrix, editor.size) for matrix in self.matrices], 3)
        self.encoding = editor.model.encode(self.crops)

    def __call__(self, photo: np.ndarray, time_s: float, code: Tensor) -> np.ndarray:
        output = self.editor.model.decode(self.crops, self.encoding, code.expand(len(self.crops), -1), self.strength)
        output, _ = softened(self.crops, output)
        return self.editor._set_back(photo, self.matrices, output)

    def check(self) -> None:
        """Its faces were there from the start."""


class SourceVideo:
    """Edits the frames of a video, following its faces.

    Attributes:
        frames_without_face: that showed none of the faces followed.
        aligner: what found them.
    """

    def __init__(self, editor: "ExpressionEditor", tracker: FaceTracker, strength: float, aligner: str | None):
        self.editor, self.tracker, self.strength, self._wanted = editor, tracker, strength, aligner
        self.frames_without_face = self.most_faces = 0
        self.aligner = "none"
        self.has_edited = False

    def __call__(self, photo: np.ndarray, time_s: float, code: Tensor) -> np.ndarray:
        faces, self.aligner = self.editor._find(photo, self._wanted)
        if faces is None:
            places, presence = [None], [1.0]
        else:
            self.most_faces = max(self.most_faces, len(faces))
            tracked = self.tracker(faces, time_s, photo)
            self.frames_without_face += not any(one.is_seen for one in tracked)
            tracked = [one for one in tracked if one.presence > 0]
            if not tracked:
                return photo
            places, presence = [one.face for one in tracked], [one.presence for one in tracked]
        self.has_edited = True
        matrices = [self.editor._matrix(photo, place) for place in places]
        crops = self.editor._tensor([crop_face(photo, matrix, self.editor.size) for matrix in matrices], 3)
        encoding = self.editor.model.encode(crops)
        output = self.editor.model.decode(crops, encoding, code.expand(len(crops), -1), self.strength)
        output, _ = softened(crops, output)
        return self.editor._set_back(photo, matrices, output, presence)

    def check(self) -> None:
        """After the last frame: was there anything to edit?"""
        if self.has_edited:
            return
        if self.most_faces == 0:
            raise NoFaceError("No face was found in the source video; use one where a face is well visible.")
        raise ConfigError(
            f"There is no face number {self.tracker.choice}: no frame of the source shows more than {self.most_faces}."
        )


class _bar:
    """A progress bar as a context; gives a function that moves it by a frame."""

    def __init__(self, total: int | None):
        self.total = total

    def __enter__(self):
        columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
        self.progress = Progress(*columns)
        self.progress.start()
        task = self.progress.add_task("Frames", total=self.total)
        return lambda: self.progress.advance(task)

    def __exit__(self, *_) -> None:
        self.progress.stop()
