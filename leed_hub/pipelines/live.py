"""A webcam's frames as they come: the largest face is followed, and edited or read."""

import numpy as np

from leed_hub.faces.face import Face
from leed_hub.faces.tracking import FaceTracker
from leed_hub.faces.yunet import YuNetDetector
from leed_hub.pipelines.editor import EditSession, ExpressionEditor
from leed_hub.pipelines.expressions import Expression
from leed_hub.pipelines.recognizer import ExpressionRecognizer, FacePrediction

LOOK_EVERY = 5  # frames; in between, the face is looked for where it was


class LiveFace:
    """The largest face of a stream of frames, its points held steady.

    Attributes:
        place: where it is in the last frame; None where it is not.
    """

    def __init__(self) -> None:
        self._detector, self._tracker = YuNetDetector(), FaceTracker("largest")
        self.place: Face | None = None
        self._since_look = 0

    def __call__(self, photo: np.ndarray, time_s: float) -> Face | None:
        """Where it is in a frame (H, W, 3) uint8; None where there is none. Times, in seconds, rise."""
        self._since_look += 1
        seen = None
        if self.place is not None and self._since_look < LOOK_EVERY:
            seen = self._detector.again(photo, self.place)
        if seen is None:
            found, self._since_look = self._detector(photo), 0
        else:
            found = [seen]
        tracked = [one.face for one in self._tracker(found, time_s, photo) if one.is_seen]
        self.place = tracked[0] if tracked else None
        return self.place


class LiveView:
    """Edits or reads frame by frame.

    Args:
        editor, recognizer: the pipelines.
    """

    def __init__(self, editor: ExpressionEditor, recognizer: ExpressionRecognizer):
        self.editor, self.recognizer, self.face = editor, recognizer, LiveFace()

    def edit(self, photo: np.ndarray, time_s: float, expression: Expression, strength: float = 1.0) -> np.ndarray:
        """The frame, (H, W, 3) uint8, its largest face wearing an expression; as it is where there is no face.

        Raises:
            ConfigError: as `ExpressionEditor` does.
        """
        face = self.face(photo, time_s)
        if face is None:
            return photo
        crops = self.editor.cropper.cut(photo, [face], YuNetDetector.name)
        return EditSession(self.editor, photo, crops).draw(expression, strength)[0]

    def read(self, photo: np.ndarray, time_s: float) -> FacePrediction | None:
        """What the largest face looks like; None where there is none."""
        face = self.face(photo, time_s)
        if face is None:
            return None
        return self.recognizer.classify_crops([self.recognizer.cropper.cut(photo, [face], YuNetDetector.name)], 1)[0][0]
