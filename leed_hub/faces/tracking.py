"""Which faces of a picture are meant, and the same ones from frame to frame of a video, held steady.

Everything here is causal: a frame is dealt with before the next one is read, so a video of any length streams through.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from leed_hub.errors import ConfigError
from leed_hub.faces.face import Face

FaceChoice = str | int
"""Which faces are edited: "largest", "all", or a number, 0 being the largest."""

HOLD_S = 0.5  # how long a face that is lost is still edited, ever more faintly
REACH = 1.0  # how far a face may be from where it was last seen, in sides of its box
CUT = 0.15  # mean change of the thumbnail, of full range, that is a new scene: hand-held film stays below 0.05
# Chosen with benchmarks/video.py: the points of a still face scatter half as much as raw ones, and those of a quick one
# no more, their lag included.
MIN_CUTOFF_HZ = 2.0
BETA = 60.0


def check_face_choice(choice: FaceChoice) -> None:
    """Raise `ConfigError` unless it is "largest", "all" or a whole number of at least 0."""
    is_number = isinstance(choice, int) and not isinstance(choice, bool)
    if choice in ("largest", "all") or (is_number and face_number(choice) >= 0):
        return
    raise ConfigError(f'face is "largest", "all" or a number from 0, the largest, upwards; got {choice!r}.')


def face_number(choice: FaceChoice) -> int:
    """The number of the one face that is chosen, 0 being the largest."""
    return choice if isinstance(choice, int) else 0


def choose_faces(faces: list[Face], choice: FaceChoice) -> list[Face]:
    """The faces meant, of a picture's faces, at least one and largest first.

    Raises:
        ConfigError: if there is no face of that number.
    """
    if choice == "all":
        return faces
    number = face_number(choice)
    if number >= len(faces):
        has = "has one face, number 0" if len(faces) == 1 else f"has {len(faces)} faces, numbers 0 to {len(faces) - 1}"
        raise ConfigError(f"There is no face number {number}: the source {has}.")
    return [faces[number]]


class OneEuroFilter:
    """A low pass whose cut-off rises with speed: steady where nothing moves, prompt where something does.

    Source: Casiez, Roussel and Vogel 2012, doi 10.1145/2207676.2208639. Theirs filters each coordinate by its own
    speed; we take one speed for all of them, the root mean square, because a head moves as a whole, and noise, which
    moves the points apart, then looks slower than the head.

    Args:
        min_cutoff_hz: cut-off at rest; lower is steadier.
        beta: cut-off gained per unit of speed (in values a second); higher lags less.
        speed_cutoff_hz: cut-off of the speed itself.
    """

    def __init__(self, min_cutoff_hz: float = MIN_CUTOFF_HZ, beta: float = BETA, speed_cutoff_hz: float = 1.0):
        self.min_cutoff_hz, self.beta, self.speed_cutoff_hz = min_cutoff_hz, beta, speed_cutoff_hz
        self._value = self._raw = self._speed = np.zeros(0)
        self._time: float | None = None

    def __call__(self, value: np.ndarray, time_s: float) -> np.ndarray:
        """The filtered value; the first comes back as it is. Times rise."""
        value = np.asarray(value, dtype=np.float64)
        if self._time is None or time_s <= self._time:
            self._value, self._speed = value, np.zeros_like(value)
        else:
            step_s = time_s - self._time
            speed = (value - self._raw) / step_s
            self._speed = self._speed + _weight(self.speed_cutoff_hz, step_s) * (speed - self._speed)
            cutoff_hz = self.min_cutoff_hz + self.beta * float(np.sqrt(np.mean(self._speed**2)))
            self._value = self._value + _weight(cutoff_hz, step_s) * (value - self._value)
        self._raw, self._time = value, time_s
        return self._value


def _weight(cutoff_hz: float, step_s: float) -> float:
    """Share of the new value in a first-order low pass."""
    rate = 2 * math.pi * cutoff_hz * step_s
    return rate / (rate + 1)


@dataclass(frozen=True, eq=False)
class TrackedFace:
    """A face that is followed through a video.

    Attributes:
        face: where it is, its points smoothed; where it was last seen while it is lost.
        presence: how much of the edit it gets, in 0..1; rises and falls over half a second.
        is_seen: whether this frame shows it.
    """

    face: Face
    presence: float
    is_seen: bool


class _Track:
    """One face over time."""

    def __init__(self, face: Face, time_s: float, presence: float, smoothing: OneEuroFilter):
        self.side = _side(face)  # the points are filtered in units of the face, so that its size does not matter
        self.filter = smoothing
        self.presence, self.time_s = presence, time_s
        self._place(face, time_s)

    def update(self, face: Face | None, time_s: float) -> None:
        step = (time_s - self.time_s) / HOLD_S
        self.time_s = time_s
        self.is_seen = face is not None
        self.presence = min(max(self.presence + (step if self.is_seen else -step), 0.0), 1.0)
        if face is not None:
            self._place(face, time_s)

    def _place(self, face: Face, time_s: float) -> None:
        self.box, self.is_seen = face.box, True
        points = self.filter(face.points / self.side, time_s) * self.side
        self.face = replace(face, points=points.astype(np.float32))

    def distance(self, face: Face) -> float:
        """How far a face is from where this one was last seen, in sides; infinite if its size is quite another."""
        ratio = _side(face) / _side(self.face)
        if not 0.5 < ratio < 2:
            return math.inf
        return float(np.hypot(*(_centre(face) - _centre(self.face)))) / _side(self.face)


class FaceTracker:
    """Follows the chosen faces of a video: each is the nearest to where it was in the frame before.

    A face that is lost stays where it was and fades out within `HOLD_S`. After that, or after a cut to another scene,
    the choice is made anew; "all" also takes in the faces that come later.

    Args:
        choice: "largest", "all" or a number, 0 the largest; it is made where the following begins.
        make_filter: gives the smoothing of one face's points, in sides of its box.
    """

    def __init__(self, choice: FaceChoice = "largest", make_filter: Callable[[], OneEuroFilter] = OneEuroFilter):
        check_face_choice(choice)
        self.choice, self.make_filter = choice, make_filter
        self.tracks: list[_Track] = []
        self._thumbnail = None
        self._is_new_scene = True

    def __call__(self, faces: list[Face], time_s: float, photo: np.ndarray | None = None) -> list[TrackedFace]:
        """The followed faces at a time.

        Args:
            faces: all that were found in the frame, largest first.
            time_s: rises from call to call.
            photo: the frame, (H, W, 3) uint8, to tell where a new scene begins.
        """
        if photo is not None and self._shows_new_scene(photo):
            self.tracks, self._is_new_scene = [], True
        free = list(faces)
        pairs = sorted(
            ((track.distance(face), i, j) for i, track in enumerate(self.tracks) for j, face in enumerate(faces)),
        )
        found: dict[int, Face] = {}
        for distance, i, j in pairs:
            if distance <= REACH and i not in found and any(faces[j] is face for face in free):
                found[i] = faces[j]
                free = [face for face in free if face is not faces[j]]
        for i, track in enumerate(self.tracks):
            track.update(found.get(i), time_s)
        self.tracks = [track for track in self.tracks if track.is_seen or track.presence > 0]
        if self.choice == "all":
            chosen = free
        elif self.tracks:
            chosen = []
        else:
            number = face_number(self.choice)
            chosen = faces[number : number + 1]
        self.tracks += [_Track(face, time_s, float(self._is_new_scene), self.make_filter()) for face in chosen]
        self._is_new_scene = self._is_new_scene and not self.tracks
        return [TrackedFace(track.face, track.presence, track.is_seen) for track in self.tracks]

    def _shows_new_scene(self, photo: np.ndarray) -> bool:
        rows = np.linspace(0, photo.shape[0] - 1, 32).astype(int)
        columns = np.linspace(0, photo.shape[1] - 1, 32).astype(int)
        thumbnail = photo[np.ix_(rows, columns)].mean(axis=2, dtype=np.float32) / 255
        before, self._thumbnail = self._thumbnail, thumbnail
        return before is not None and float(np.abs(thumbnail - before).mean()) > CUT


def _side(face: Face) -> float:
    """The longer side of the box in pixels."""
    x0, y0, x1, y1 = face.box
    return max(x1 - x0, y1 - y0, 1.0)


def _centre(face: Face) -> np.ndarray:
    x0, y0, x1, y1 = face.box
    return np.array([(x0 + x1) / 2, (y0 + y1) / 2])
