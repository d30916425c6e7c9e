"""Moving pictures in and out, one frame at a time: any common video in, a marked H.264 mp4 with its sound out."""

import math
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np

from leed_hub.errors import BadVideoError, needs_extra
from leed_hub.media.images import MAX_PIXELS, MIN_SIDE
from leed_hub.media.provenance import DIGITAL_SOURCE_TYPE, edited_xmp

with needs_extra("video", "Reading and writing videos"):
    import av
    from av.audio.resampler import AudioResampler

# Containers that hold their pictures themselves; playlists, which name other files and addresses, are not opened.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif,h264,hevc,m4v"
_COPIED_SOUND = {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"}  # what players expect in mp4; others become AAC
_AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}
_MATRICES = {1, 5, 6, 7, 9}  # AVColorSpace values that swscale converts exactly; an untagged video stays untagged
_BT709, _UNTAGGED = 1, 2
_XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")  # XMP specification part 3: the box that holds XMP in mp4


class VideoFrames:
    """The frames of a video file; each pass over it reads the file anew and holds one frame at a time.

    Attributes:
        path: the file.
        width, height: of the upright picture, in pixels.
        rate (Fraction): frames a second, on average.
        time_base (Fraction): all times are multiples of it, in seconds.
        matrix (int): how its colours are coded, as AVColorSpace.
        n_frames: as the file states or its length suggests; None if it does neither.
        sound: name of the sound's codec; None where there is none.
    Raises:
        BadVideoError: if there is no such file, it is no video, is damaged, or has too many pixels; also while reading.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        with self._opened() as container:
            stream = container.streams.video[0]
            frame = next(container.decode(stream), None)
            if frame is None:
                raise BadVideoError(f"{self.path.name} has no frame that can be read.")
            if frame.width * frame.height > MAX_PIXELS or min(frame.width, frame.height) < MIN_SIDE:
                raise BadVideoError(
                    f"{self.path.name} has {frame.width}x{frame.height} pixels; each side needs at least {MIN_SIDE}, "
                    f"and at most {MAX_PIXELS // 10**6} megapixels are allowed."
                )
            is_turned = round(frame.rotation / 90) % 2
            self.width, self.height = (frame.height, frame.width) if is_turned else (frame.width, frame.height)
            self.rate = stream.average_rate or stream.guessed_rate or Fraction(25)
            self.time_base = stream.time_base
            self.matrix = int(frame.colorspace) if int(frame.colorspace) in _MATRICES else _UNTAGGED
            self.start_s = Fraction(container.start_time or 0, av.time_base)
            length_s = container.duration / av.time_base if container.duration else 0
            self.n_frames = stream.frames or round(length_s * self.rate) or None
            sounds = container.streams.audio
            self.sound = sounds[0].codec_context.name if sounds else None

    def __iter__(self) -> Iterator[tuple[Fraction, np.ndarray]]:
        """Time in seconds from the file's start, and the upright picture, (H, W, 3) uint8 RGB."""
        for time_s, frame in self._frames():
            picture = frame.to_ndarray(format="rgb24")
            yield time_s, np.ascontiguousarray(np.rot90(picture, round(frame.rotation / 90)))

    def times(self) -> Iterator[Fraction]:
        """The times alone, which is cheaper."""
        for time_s, _ in self._frames():
            yield time_s

    def _frames(self) -> Iterator[tuple[Fraction, av.VideoFrame]]:
        with self._opened() as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for number, frame in enumerate(container.decode(stream)):
                # A raw stream has no times: its frames follow each other at its rate.
                time_s = number / self.rate if frame.pts is None else frame.pts * frame.time_base - self.start_s
                yield time_s, frame

    @contextmanager
    def _opened(self):
        """The container, with its troubles turned into a `BadVideoError`."""
        if not self.path.is_file():
            raise BadVideoError(f"{self.path.name}: there is no such file.")
        try:
            with av.open(str(self.path), options={"format_whitelist": _CONTAINERS}) as container:
                if not container.streams.video:
                    raise BadVideoError(f"{self.path.name} has no moving picture in it.")
                yield container
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise BadVideoError(f"{self.path.name} is damaged, or no video that can be read.") from error


class VideoWriter:
    """Writes an H.264 mp4 that says "AI-edited" in its metadata; used as a context.

    The file appears at its path when the context ends well, whole, and not at all otherwise. Where a side is odd, its
    last pixels are repeated once, as 4:2:0 needs even sides. Other metadata, such as a place, is not carried over.

    Args:
        path: ends in .mp4.
        timing: the video whose rate, times and sound the new one has.
        size: (width, height) in pixels.
        matrix: how colours are coded, see `VideoFrames.matrix`.
        software: what made the edit.
    Attributes:
        sound: "copied", "encoded" (as AAC, where mp4 does not take the original), or None.
    Raises:
        BadVideoError: if the file cannot be written; also at the end of the context.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        timing: VideoFrames,
        *,
        size: tuple[int, int],
        matrix: int = _BT709,
        software: str,
    ):
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise BadVideoError(f"{self.path.name}: an edited video is saved as .mp4.")
        self.timing, self.size, self.matrix, self.software = timing, size, matrix, software
        self._temporary = self.path.with_name(f".leed-{secrets.token_hex(8)}.tmp")
        self._last = -1
        self.sound = None if timing.sound is None else "copied" if timing.sound in _COPIED_SOUND else "encoded"

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
        self._output.metadata["comment"] = f"AI-edited with {self.software}: {DIGITAL_SOURCE_TYPE}"
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
        self._sound = self._read_sound() if self.sound else iter(())
        self._sound_until, _ = next(self._sound, (math.inf, None))  # its stream must be there before the first packet

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
            self._write_sound(float(time_s))

    def __exit__(self, kind, error, trace) -> None:
        try:
            with self._told():
                if error is None:
                    self._output.mux(self._stream.encode(None))
                    self._write_sound(math.inf)
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

    def _write_sound(self, until_s: float) -> None:
        """Carry the sound over as far as that, in step with the pictures, so that no queue grows."""
        while self._sound_until < until_s:
            self._sound_until, packet = next(self._sound, (math.inf, None))
            if isinstance(packet, av.Packet):
                packet.stream = self._sound_stream
                self._output.mux(packet)
            elif self.sound == "encoded":  # a frame, or None at the end, when the encoder gives what it still holds
                self._output.mux(self._sound_stream.encode(packet))

    def _read_sound(self) -> Iterator[tuple[float, av.Packet | av.AudioFrame | None]]:
        """The second it has come to, and a packet to copy or a frame to encode; opens its stream of the new file."""
        with self.timing._opened() as container:
            source = container.streams.audio[0]
            if self.sound == "copied":
                self._sound_stream = self._output.add_stream_from_template(source)
            else:
                rate = source.rate if source.rate in _AAC_RATES else 48000
                layout = {1: "mono", 2: "stereo"}.get(source.channels, source.layout.name)
                self._sound_stream = self._output.add_stream("aac", rate=rate, layout=layout)
                resampler = AudioResampler(format="fltp", layout=layout, rate=rate)
            yield -math.inf, None
            for packet in container.demux(source):
                if packet.dts is None:  # the empty packet at the end
                    continue
                shift = round(self.timing.start_s / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                second = float(packet.dts * packet.time_base)
                if self.sound == "copied":
                    yield second, packet
                else:
                    for decoded in packet.decode():
                        for frame in resampler.resample(decoded):
                            yield second, frame

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
    with VideoFrames(path)._opened() as container:
        return DIGITAL_SOURCE_TYPE in container.metadata.get("comment", "")
