"""A video's sound carried over into an mp4: copied as it is where mp4 takes it, else mixed to stereo and encoded."""

import math
from collections.abc import Iterator
from typing import Any

from leed_hub.errors import needs_extra
from leed_hub.media.notes import note

with needs_extra("video", "Reading and writing videos"):
    import av
    import av.filter

_COPIED = {"aac", "ac3", "eac3", "alac", "opus", "flac"}  # what players expect in mp4; others become AAC
_AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}


class CarriedSound:
    """Adds the sound of a video to a new one, in step with its pictures, so that no queue grows.

    Sound that cannot be read is left out with a warning, and so are single packets that are damaged.

    Args:
        source: the video that has it, as `open_video` gives it.
        output: the file that takes it, before its first packet is written.
    Attributes:
        how: "copied", "encoded" (as AAC), or None where there is none.
    """

    def __init__(self, source: Any, output: Any):
        self._source, self._output = source, output
        self._is_damaged = False
        self.how = None if source.sound is None else "copied" if source.sound in _COPIED else "encoded"
        self._parts = self._copied() if self.how == "copied" else self._encoded() if self.how else iter(())
        self._next()

    def carry(self, until_s: float) -> None:
        """Write the sound up to that second."""
        while self._second < until_s:
            try:
                self._output.mux(self._packets)
            except av.error.InvalidDataError:  # what the muxer must understand, such as AAC's frame headers
                self._is_damaged = True
            self._next()
            if self._second == math.inf and self._is_damaged:
                note(f"The sound of {self._source.path.name} is damaged; parts are missing.")

    def _next(self) -> None:
        self._second, self._packets = next(self._parts, (math.inf, []))

    def _copied(self) -> Iterator[tuple[float, list]]:
        with self._source.opened() as container:
            source = container.streams.audio[0]
            stream = self._output.add_stream_from_template(source)
            yield -math.inf, []
            try:
                for packet in container.demux(source):
                    if packet.dts is None:  # the empty packet at the end
                        continue
                    shift = round(self._source.start_s / packet.time_base)
                    packet.dts -= shift
                    packet.pts = packet.dts if packet.pts is None else packet.pts - shift
                    packet.stream = stream
                    yield float(packet.dts * packet.time_base), [packet]
            except av.error.FFmpegError:
                self._is_damaged = True

    def _encoded(self) -> Iterator[tuple[float, list]]:
        """Decoded and mixed within FFmpeg: PyAV frees the channel order of a frame twice where it is a file's own."""
        with self._source.opened() as container:
            source = container.streams.audio[0]
            known_rate = getattr(source, "rate", 0)  # a codec that is not known has none
            rate = known_rate if known_rate in _AAC_RATES else 48000
            index, container_name = source.index, container.format.name.split(",")[0]
        graph = av.filter.Graph()
        try:
            graph.link_nodes(
                graph.add(
                    "amovie", filename=str(self._source.path), format_name=container_name, stream_index=str(index)
                ),
                # Holes in time become silence, and times follow from the samples, since a container's may be coarse.
                graph.add("aresample", **{"async": "1", "rematrix_maxval": "1"}),
                graph.add("aformat", sample_fmts="fltp", sample_rates=str(rate), channel_layouts="mono|stereo"),
                graph.add("abuffersink"),
            ).configure()
            frame: Any = graph.pull()
        except (av.error.FFmpegError, ValueError):
            self.how = None
            note(f"The sound of {self._source.path.name} cannot be read and is left out.")
            return
        stream = self._output.add_stream("aac", rate=rate, layout=frame.layout.name)
        yield -math.inf, []
        end = 0
        while frame is not None:
            # A packet of WMA gives several frames, and only the first of them has a time.
            frame.pts = end if frame.pts is None else max(end, frame.pts - round(self._source.start_s * rate))
            end = frame.pts + frame.samples
            yield frame.pts / rate, stream.encode(frame)
            try:
                frame = graph.pull()
            except EOFError:
                frame = None
            except av.error.FFmpegError:
                self._is_damaged, frame = True, None
        yield end / rate, stream.encode(None)  # what the encoder still holds
