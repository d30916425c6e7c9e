"""A video edited by a picture or a video, and a picture brought to life by a video; frames stream through.

Only the expression changes: each frame is edited within its own face crop, so the head moves as the source's does.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import takewhile

import numpy as np
import torch
from torch import Tensor

from leed_hub.errors import ConfigError, NoFaceError
from leed_hub.faces.tracking import FaceChoice, FaceTracker, check_face_choice
from leed_hub.media.animation import AnimatedPicture
from leed_hub.media.files import check_output
from leed_hub.media.images import is_animated, is_picture
from leed_hub.media.video import VideoFrames, VideoWriter, open_video
from leed_hub.pipelines.arguments import a_path, number
from leed_hub.pipelines.cropper import Picture
from leed_hub.pipelines.editor import EditSession, ExpressionEditor, check_strength
from leed_hub.pipelines.expressions import Expression, half_strength

Video = VideoFrames | AnimatedPicture


@dataclass(frozen=True)
class VideoEditResult:
    """What was written.

    Attributes:
        frames: in the video.
        frames_without_face: of the source, that showed none of the faces followed; 0 where it is a picture.
        reference_frames_without_face: of the reference, as far as it was read; 0 where it is a picture.
        sound: "copied", "encoded" or None.
        detector: what found the source's faces: "yunet", "face-alignment" or "none".
    """

    frames: int
    frames_without_face: int
    reference_frames_without_face: int
    sound: str | None
    detector: str


@torch.inference_mode()
def edit_video(
    editor: ExpressionEditor,
    source: Picture,
    reference: Picture | Sequence[Picture] | Expression | None,
    output: str | os.PathLike,
    *,
    strength: float = 1.0,
    mouth: float = 1.0,
    eyes: float = 1.0,
    seconds: float | None = None,
    face: FaceChoice = "largest",
    detector: str | None = None,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> VideoEditResult:
    """Edit a video by an expression, a picture or a video, or bring a picture to life by a video.

    The output has the size, frame times and sound of the source, or, where the source is a picture, its size and the
    frame times and sound of the reference. Two videos run side by side from their starts, by time: a longer reference
    is not read to its end, and of a shorter one the last expression is held. It is held, too, while the reference shows
    no face. A face that the source loses is edited for another half second, fading, where it was; then frames pass
    unedited until it is found again.

    Args:
        editor: the pipeline.
        source: path of a video or of an animated picture, or a picture as `ExpressionEditor` takes it.
        reference: the same, or what `ExpressionEditor.expression` takes, such as a preset's name; at least one of the
            two is a video. None only with strength 0, the neutral face.
        output: path of the mp4, marked as AI-edited; appears when it is whole.
        strength: 0 neutral, 1 the reference's expression, up to 2 exaggerated.
        mouth, eyes: strengths of the mouth, and of eyes and brows, on top of `strength`.
        seconds: so much of the video from its start, for a trial; all of it by default.
        face: which of the source's faces: "largest", "all", or a number, 0 being the largest; the choice is made where
            a face first appears, and the face is then followed.
        detector: instead of the pipeline's own.
        on_progress: called after each frame with the number of frames done and of all, None where the video does not
            tell; what it raises ends the edit, and nothing is written.
    Raises:
        BadVideoError: if a video cannot be read or written.
        BadImageError: if a picture cannot be read.
        NoFaceError: if the source or the reference shows no face, in no frame.
        ConfigError: if strengths, seconds or face are out of range, or neither is a video.
    """
    strength = check_strength(strength, reference)
    check_face_choice(face)
    a_path("output", output)
    check_output(output, source, reference)
    mouth, eyes = half_strength("mouth", mouth), half_strength("eyes", eyes)
    if seconds is not None and not 0 < (seconds := number("seconds", seconds)) < math.inf:
        raise ConfigError(f"seconds must be more than 0, and finite; got {seconds:g}.")
    source_video = _video_of(source)
    reference_video = None if editor.known_expression(reference) else _video_of(reference)
    timing = source_video or reference_video
    if timing is None:
        raise ConfigError("Source and reference are both pictures or expressions; at least one must be a video.")
    expression_at: Callable[[float], Expression | None]
    if reference_video is not None:
        expression_at = ReferenceVideo(editor, reference_video, detector)
    else:
        expression_at = _constant(None if reference is None else editor.expression(reference, detector=detector))
    edit: SourcePicture | SourceVideo
    frames: Iterable[tuple[Fraction, np.ndarray]]
    if source_video is None:
        edit = SourcePicture(editor.session(source, face=face, detector=detector), strength)
        frames = ((time_s, edit.session.photo) for time_s in timing.times())
        height, width = edit.session.photo.shape[:2]
        matrix = {}
    else:
        edit = SourceVideo(editor, FaceTracker(face), strength, detector)
        frames, matrix = source_video, {"matrix": timing.matrix}
        width, height = timing.width, timing.height
    end_s, total = math.inf, timing.n_frames
    if seconds is not None:
        end_s, total = seconds, min(total or math.inf, math.ceil(seconds * timing.rate))
    count = 0
    with VideoWriter(output, timing, size=(width, height), end_s=end_s, software=editor.software, **matrix) as writer:
        for time_s, photo in takewhile(lambda frame: frame[0] < end_s, frames):
            expression = expression_at(float(time_s))
            if expression is not None:
                expression = expression.with_strengths(
                    mouth=mouth * expression.mouth_strength, eyes=eyes * expression.eyes_strength
                )
            writer.write(time_s, edit(photo, float(time_s), expression))
            count += 1
            if on_progress is not None:
                on_progress(count, total)
        edit.check()
    lost = getattr(expression_at, "frames_without_face", 0)
    return VideoEditResult(count, edit.frames_without_face, lost, writer.sound, edit.detector)


def _video_of(source) -> Video | None:
    """The video, or the picture that moves, at a path; None for a picture that does not."""
    if not isinstance(source, str | os.PathLike) or (is_picture(source) and not is_animated(source)):
        return None
    return open_video(source)


def _constant(expression: Expression | None) -> Callable[[float], Expression | None]:
    return lambda time_s: expression


class ReferenceVideo:
    """The expression of a reference video at rising times, mixed between its frames.

    Attributes:
        frames_without_face: of those read so far.
    """

    def __init__(self, editor: ExpressionEditor, video: Video, detector: str | None):
        self.editor, self.video, self.detector = editor, video, detector
        self.frames_without_face = 0
        self._codes = self._encoded()
        self._before: tuple[float, Tensor] | None = None
        self._after: tuple[float, Tensor] | None = None

    def __call__(self, time_s: float) -> Expression:
        code = self._code(time_s)
        return Expression(code, code, editor=self.editor.fingerprint)

    def _code(self, time_s: float) -> Tensor:
        if self._before is None:
            self._before = next(self._codes, None)
            if self._before is None:
                raise NoFaceError("No face was found in the reference video; use one where a face is well visible.")
            self._after = next(self._codes, None)
        while self._after is not None and self._after[0] <= time_s:
            self._before, self._after = self._after, next(self._codes, None)
        start_s, code = self._before
        if self._after is None or time_s <= start_s:
            return code
        end_s, next_code = self._after
        return torch.lerp(code, next_code, (time_s - start_s) / (end_s - start_s))

    def _encoded(self) -> Iterator[tuple[float, Tensor]]:
        tracker, cropper = FaceTracker("largest"), self.editor.cropper
        for time_s, photo in self.video:
            faces, found_by = cropper.find(photo, self.detector)
            if faces is not None:
                faces = [one.face for one in tracker(faces, float(time_s), photo) if one.is_seen][:1]
                if not faces:
                    self.frames_without_face += 1
                    continue
            crops = cropper.cut(photo, faces, found_by).crops
            yield float(time_s), self.editor.model.encode(cropper.tensor(crops)).expression_code


class SourcePicture:
    """Edits one picture again and again: its faces are found and encoded once, and only the decoder runs."""

    frames_without_face = 0

    def __init__(self, session: EditSession, strength: float):
        self.session, self.strength, self.detector = session, strength, session.faces.detector

    def __call__(self, photo: np.ndarray, time_s: float, expression: Expression | None) -> np.ndarray:
        return self.session.draw(expression, self.strength)[0]

    def check(self) -> None:
        """Its faces were there from the start."""


class SourceVideo:
    """Edits the frames of a video, following its faces.

    Attributes:
        frames_without_face: that showed none of the faces followed.
        detector: what found them.
    """

    def __init__(self, editor: ExpressionEditor, tracker: FaceTracker, strength: float, detector: str | None):
        self.editor, self.tracker, self.strength, self._wanted = editor, tracker, strength, detector
        self.frames_without_face = self.most_faces = 0
        self.detector = "none"
        self.has_edited = False

    def __call__(self, photo: np.ndarray, time_s: float, expression: Expression | None) -> np.ndarray:
        faces, self.detector = self.editor.cropper.find(photo, self._wanted)
        presence = None
        if faces is not None:
            self.most_faces = max(self.most_faces, len(faces))
            tracked = self.tracker(faces, time_s, photo)
            self.frames_without_face += not any(one.is_seen for one in tracked)
            tracked = [one for one in tracked if one.presence > 0]
            if not tracked:
                return photo
            faces, presence = [one.face for one in tracked], [one.presence for one in tracked]
        self.has_edited = True
        session = EditSession(self.editor, photo, self.editor.cropper.cut(photo, faces, self.detector))
        return session.draw(expression, self.strength, presence)[0]

    def check(self) -> None:
        """After the last frame: was there anything to edit?"""
        if self.has_edited:
            return
        if self.most_faces == 0:
            raise NoFaceError("No face was found in the source video; use one where a face is well visible.")
        raise ConfigError(
            f"There is no face number {self.tracker.choice}: no frame of the source shows more than {self.most_faces}."
        )
