"""Moving pictures in and out, one frame at a time: any common video in, a marked H.264 mp4 with its sound out."""

import math
import os
import secrets
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from leed_hub.errors import BadVideoError, needs_extra
from leed_hub.media.animation import AnimatedPicture
from leed_hub.media.high_dynamic_range import needs_conversion, to_bt709
from leed_hub.media.images import MAX_PIXELS, MIN_SIDE, NO_URLS, is_animated, is_picture, is_url, printable_name
from leed_hub.media.notes import note
from leed_hub.media.provenance import DIGITAL_SOURCE_TYPE, edited_comment, edited_xmp
from leed_hub.media.sound import CarriedSound

with needs_extra("video", "Reading and writing videos"):
    import av

# Containers that hold their pictures themselves; playlists, which name other files and addresses, are not opened.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif,h264,hevc,m4v,dv"
_MATRICES = {1, 5, 6, 7, 9}  # AVColorSpace values that swscale converts exactly; an untagged video stays untagged
_BT709, _UNTAGGED = 1, 2
_FULL_RANGE = 2  # AVColorRange
SHORT_S = 0.3  # so much of its end a video may lack without a word
LAST_FRAMES = 3  # among which the last that was coded is shown
_XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")  # XMP specification part 3: the box that holds XMP in mp4


class VideoFrames:
    """The frames of a video file as players show them; each pass over it reads the file anew, one frame at a time.

    They are upright, with square pixels, and in the colours of an ordinary screen: high dynamic range and wide gamut
    become BT.709. Frames that cannot be decoded are left out with a warning, and so is the end that a file lacks. MPEG
    streams state no length: an end within a frame is told, and one between two frames cannot be, nor any of raw DV.

    Attributes:
        path: the file.
        width, height: of the pictures, in pixels.
        rate (Fraction): frames a second, on average.
        time_base (Fraction): all times are multiples of it, in seconds.
        matrix (int): how colours are coded, as AVColorSpace.
        start_s (Fraction): what the file calls its start.
        n_frames: as the file states or its length suggests; None if it does neither.
        sound: name of the sound's codec; None where there is none.
    Raises:
        BadVideoError: if there is no such file, it is no video, is damaged, or has too many pixels; also while reading.
    """

    def __init__(self, path: str | os.PathLike):
        if is_url(path) and not os.path.exists(path):
            raise BadVideoError(NO_URLS)
        self.path = Path(path).absolute()  # what begins with a protocol's name is no file to FFmpeg
        with self.opened() as container:
            stream = moving_pictures(container)
            frame = next(_decoded(container, stream, []), None)
            if frame is None:
                raise BadVideoError(f"{self.path.name} has no frame that can be read.")
            self._square = _square_size(frame.width, frame.height, stream.sample_aspect_ratio or Fraction(1))
            if math.prod(self._square) > MAX_PIXELS or min(self._square) < MIN_SIDE:
                raise BadVideoError(
                    f"{self.path.name} has {'x'.join(map(str, self._square))} pixels; each side needs at least "
                    f"{MIN_SIDE}, and at most {MAX_PIXELS // 10**6} megapixels are allowed."
                )
            self._matrix = _display_matrix(frame)
            self.height, self.width = _upright(np.empty(self._square[::-1]), self._matrix).shape
            self._colors = int(frame.color_trc), int(frame.color_primaries)
            if _has_colors_of_dolby_vision_alone(frame):
                raise BadVideoError(
                    f"{self.path.name} is Dolby Vision of profile 5, which is not read; export it as HDR10 or SDR."
                )
            coding = int(frame.colorspace) if int(frame.colorspace) in _MATRICES else _UNTAGGED
            self.matrix = _BT709 if needs_conversion(*self._colors) else coding
            # What FFmpeg calls the average rate of a raw DV stream is that of its clock.
            average_rate = None if container.format.name == "dv" else stream.average_rate
            self.rate = average_rate or stream.guessed_rate or Fraction(25)
            self.time_base = stream.time_base
            self.start_s = Fraction(container.start_time or 0, av.time_base)
            length_s = container.duration / av.time_base if container.duration else 0
            self.n_frames = stream.frames or round(length_s * self.rate) or None
            sounds = container.streams.audio
            self.sound = None if not sounds else getattr(sounds[0].codec_context, "name", "unknown")

    def __iter__(self) -> Iterator[tuple[Fraction, np.ndarray]]:
        """Time in seconds from the file's start, and the picture, (H, W, 3) uint8 RGB."""
        for time_s, frame in self._frames():
            yield time_s, np.ascontiguousarray(_upright(self._picture(frame), self._matrix))

    def times(self) -> Iterator[Fraction]:
        """The times alone, which is cheaper."""
        for time_s, _ in self._frames():
            yield time_s

    def _picture(self, frame: av.VideoFrame) -> np.ndarray:
        width, height = self._square
        scaling = None if (width, height) == (frame.width, frame.height) else "BICUBIC"
        if needs_conversion(*self._colors):
            return to_bt709(frame.reformat(width, height, "rgb48le", interpolation=scaling).to_ndarray(), *self._colors)
        return frame.reformat(width, height, "rgb24", interpolation=scaling).to_ndarray()

    def _frames(self) -> Iterator[tuple[Fraction, av.VideoFrame]]:
        faults: list[Exception] = []
        end_s = 0.0
        is_partial: deque[bool] = deque(maxlen=LAST_FRAMES)
        with self.opened() as container:
            stream = moving_pictures(container)
            stated_s = _stated_length(container, stream)
            # Frames decoded side by side do not surely tell that they are incomplete.
            stream.thread_type = "SLICE" if stated_s is None else "AUTO"
            for number, frame in enumerate(_decoded(container, stream, faults)):
                # A raw stream has no times: its frames follow each other at its rate.
                time_s = number / self.rate if frame.pts is None else frame.pts * frame.time_base - self.start_s
                end_s = float(time_s) + max(float(1 / self.rate), frame.duration * float(self.time_base))
                is_partial.append(frame.is_corrupt)
                yield time_s, frame
        if faults:
            note(f"{self.path.name} is damaged; {len(faults)} of its frames are missing.")
        if stated_s is None and any(is_partial):
            note(f"{self.path.name} is cut off within a frame, after {end_s:.1f} s.")
        elif stated_s is not None and end_s < stated_s - max(SHORT_S, 2 / self.rate):
            note(f"{self.path.name} is cut off: it ends after {end_s:.1f} of {stated_s:.1f} s.")

    @contextmanager
    def opened(self):
        """The container, with its troubles turned into a `BadVideoError`."""
        if not self.path.is_file():
            raise BadVideoError(f"{self.path.name}: there is no such file.")
        try:
            with av.open(str(self.path), options={"format_whitelist": _CONTAINERS}) as container:
                if moving_pictures(container) is None:
                    raise BadVideoError(f"{self.path.name} has no moving picture in it.")
                yield container
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise BadVideoError(f"{self.path.name} is damaged, or no video that can be read.") from error


def moving_pictures(container: Any) -> Any:
    """The video stream; None where there is none, or only the picture on a record's cover."""
    cover = av.stream.Disposition.attached_pic
    return next((stream for stream in container.streams.video if not stream.disposition & cover), None)


def _decoded(container: Any, stream: Any, faults: list[Exception]) -> Iterator[Any]:
    """The frames that can be decoded, as players do it; why others cannot is added to `faults`."""
    packets = container.demux(stream)
    while True:
        try:
            frames = next(packets).decode()
        except StopIteration:
            return
        except av.error.FFmpegError as error:
            faults.append(error)
            continue
        yield from frames


def _square_size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """Width and height with square pixels; nothing is made smaller."""
    return (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))


def _display_matrix(frame: av.VideoFrame) -> np.ndarray:
    """(2, 2), where the picture's axes come to lie when it is shown: (x, y) of its x axis, (x, y) of its y axis."""
    side_data: Any = frame.side_data
    matrix = side_data.get("DISPLAYMATRIX")
    return np.eye(2) if matrix is None else np.frombuffer(bytes(matrix), np.int32).reshape(3, 3)[:2, :2]


def _has_colors_of_dolby_vision_alone(frame: Any) -> bool:
    """Whether it is no picture without its Dolby Vision data: what other screens show too is tagged, or limited."""
    tags = int(frame.color_trc), int(frame.color_primaries), int(frame.color_range)
    return frame.side_data.get("DOVI_RPU_BUFFER") is not None and tags == (_UNTAGGED, _UNTAGGED, _FULL_RANGE)


def _upright(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """A picture (H, W, ...) turned and mirrored, by the nearest multiple of a right angle."""
    if abs(np.diag(matrix)).sum() < abs(np.diag(matrix[::-1])).sum():
        picture, matrix = picture.swapaxes(0, 1), matrix[::-1]
    (x, _), (_, y) = matrix
    return picture[:: -1 if y < 0 else 1, :: -1 if x < 0 else 1]


def _stated_length(container: Any, stream: Any) -> float | None:
    """How many seconds the pictures last, by what a file says of them; None where it says nothing."""
    if container.format.name.startswith("mpeg"):  # what is known there comes from the end that is present
        return None
    if stream.duration:  # which FFmpeg makes fit the size of an AVI that is cut off; its count of frames stays
        counted_s = stream.frames / stream.average_rate if stream.average_rate else 0
        return float(max(stream.duration * stream.time_base, counted_s))
    return container.duration / av.time_base if len(container.streams) == 1 and container.duration else None


def open_video(path: str | os.PathLike) -> VideoFrames | AnimatedPicture:
    """A video, or a picture that moves.

    Raises:
        BadVideoError: as `VideoFrames` does, and if it is a picture that does not move.
    """
    if not isinstance(path, str | os.PathLike):
        raise BadVideoError(f"A video is given by its path; this is a {type(path).__name__}.")
    if is_animated(path):
        return AnimatedPicture(path)
    if is_picture(path):
        raise BadVideoError(f"{printable_name(Path(path).name)} is a picture that does not move; a video is expected.")
    return VideoFrames(path)


class Timing(Protocol):
    """What a new video takes over from another: frames a second, the unit of times in seconds, the sound's codec."""

    @property
    def rate(self) -> Fraction: ...
    @property
    def time_base(self) -> Fraction: ...
    @property
    def sound(self) -> str | None: ...


class VideoWriter:
    """Writes an H.264 mp4 that says "AI-edited" in its metadata; used as a context.

    The file appears at its path when the context ends well, whole, and not at all otherwise. Where a side is odd, its
    last pixels are repeated once, as 4:2:0 needs even sides. Other metadata, such as a place, is not carried over.

    Args:
        path: ends in .mp4.
        timing: the video whose rate, times and sound the new one has.
        size: (width, height) in pixels.
        matrix: how colours are coded, see `VideoFrames.matrix`.
        end_s: sound from that second on is left out.
        software: what made the edit.
    Raises:
        BadVideoError: if the file cannot be written; also at the end of the context.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        timing: Timing,
        *,
        size: tuple[int, int],
        matrix: int = _BT709,
        end_s: float = math.inf,
        software: str,
    ):
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise BadVideoError(f"{self.path.name}: an edited video is saved as .mp4.")
        self.timing, self.size, self.matrix, self.end_s, self.software = timing, size, matrix, end_s, software
        self._temporary = self.path.with_name(f".leed-{secrets.token_hex(8)}.tmp")
        self._last = -1

    @property
    def sound(self) -> str | None:
        """ "copied", "encoded" (as AAC, where mp4 does not take the original), or None."""
        return self._sound.how

    def __enter__(self):
        try:
            with self._told():
                self._open()
        except BaseException:
            self._temporary.unlink(missing_ok=True)
            raise
        return self

    def _open(self) -> None:
        self._output = av.open(str(self._temporary), "w", format="mp4", options={"movflags": "faststart"})
        self._output.metadata["title"] = "AI-edited video"
        self._output.metadata["comment"] = edited_comment(self.software)
        self._stream = self._output.add_stream(
            "libx264", rate=self.timing.rate, options={"crf": "17", "preset": "fast"}
        )
        self._stream.width, self._stream.height = (side + side % 2 for side in self.size)
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = self.timing.time_base
        context.color_range = av.video.reformatter.ColorRange.MPEG
        if self.matrix != _UNTAGGED:
            context.colorspace = self.matrix
        if self.matrix == _BT709:
            context.color_primaries = context.color_trc = _BT709
        self._sound = CarriedSound(self.timing, self._output)

    def write(self, time_s: Fraction, picture: np.ndarray) -> None:
        """Add the frame of a time in seconds: (H, W, 3) uint8 RGB."""
        odd_rows, odd_columns = picture.shape[0] % 2, picture.shape[1] % 2
        if odd_rows or odd_columns:
            picture = np.pad(picture, ((0, odd_rows), (0, odd_columns), (0, 0)), mode="edge")
        matrix = {} if self.matrix == _UNTAGGED else {"dst_colorspace": self.matrix}
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
            format="yuv420p", dst_color_range=av.video.reformatter.ColorRange.MPEG, **matrix
        )
        frame.time_base = self.timing.time_base
        frame.pts = self._last = max(round(time_s / frame.time_base), self._last + 1)
        with self._told():
            self._output.mux(self._stream.encode(frame))
            self._sound.carry(min(float(time_s), self.end_s))

    def __exit__(self, kind, error, trace) -> None:
        try:
            with self._told():
                if error is None:
                    self._output.mux(self._stream.encode(None))
                    self._sound.carry(self.end_s)
                self._output.close()
                if error is None:
                    xmp = edited_xmp(self.software).encode()
                    with open(self._temporary, "ab") as file:
                        file.write((24 + len(xmp)).to_bytes(4, "big") + b"uuid" + _XMP_BOX + xmp)
                    os.replace(self._temporary, self.path)
        except BadVideoError:
            if error is None:  # else the first error is the one to tell
                raise
        finally:
            self._temporary.unlink(missing_ok=True)

    @contextmanager
    def _told(self):
        try:
            yield
        except (av.error.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise BadVideoError(f"{self.path.name} could not be written: {reason}.") from error


def is_marked_edited(path: str | os.PathLike) -> bool:
    """Whether a video's metadata declares it edited with a trained algorithm.

    Raises:
        BadVideoError: if the file cannot be read.
    """
    with VideoFrames(path).opened() as container:
        return DIGITAL_SOURCE_TYPE in container.metadata.get("comment", "")
