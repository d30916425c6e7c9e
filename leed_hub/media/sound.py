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
_FAULTS = 1000  # so many in a row, and nothing more is expected
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
        try:
            frames = self._fed() if self._source.sound == "mp2" else self._pulled(self._graph())
            frame: Any = next(frames, None)
        except (av.error.FFmpegError, ValueError):
            frame = None
        if frame is None:
            self.how = None
            note(f"The sound of {self._source.path.name} cannot be read and is left out.")
            return
        rate = frame.sample_rate
        stream = self._output.add_stream("aac", rate=rate, layout=frame.layout.name)
        yield -math.inf, []
        end = 0
        while frame is not None:
            # A packet of WMA gives several frames, and only the first of them has a time.
            frame.pts = end if frame.pts is None else max(end, frame.pts - round(self._source.start_s * rate))
            end = frame.pts + frame.samples
            yield frame.pts / rate, stream.encode(frame)
            frame = next(frames, None)
        yield end / rate, stream.encode(None)  # what the encoder still holds

    def _graph(self, first: Any = None) -> av.filter.Graph:
        """What mixes the sound: of the file, or of frames such as `first`.

        The file is decoded within FFmpeg, for PyAV frees the channel order of a frame twice where it is a file's own.
        """
        with self._source.opened() as container:
            source = container.streams.audio[0]
            name, index = container.format.name.split(",")[0], str(source.index)
            rate = getattr(source, "rate", 0)  # a codec that is not known has none
        graph = av.filter.Graph()
        if first is None:
            start = graph.add("amovie", filename=str(self._source.path), format_name=name, stream_index=index)
        else:
            start = graph.add_abuffer(
                sample_rate=first.sample_rate, format=first.format, layout=first.layout, time_base=first.time_base
            )
        graph.link_nodes(
            start,
            # Holes in time become silence, and times follow from the samples, since a container's may be coarse.
            graph.add("aresample", **{"async": "1", "rematrix_maxval": "1"}),
            graph.add(
                "aformat",
                sample_fmts="fltp",
                sample_rates=str(rate if rate in _AAC_RATES else 48000),
                channel_layouts="mono|stereo",
            ),
            graph.add("abuffersink"),
        ).configure()
        return graph

    def _fed(self) -> Iterator[Any]:
        """Frames of MP2, which has no channel orders of its own; FFmpeg's `amovie` takes it for MP3 in .ts files."""
        graph = None
        with self._source.opened() as container:
            packets = container.demux(container.streams.audio[0])
            while True:
                try:
                    for frame in next(packets).decode():
                        graph = graph or self._graph(frame)
                        graph.push(frame)
                except StopIteration:
                    break
                except av.error.FFmpegError:  # also where it goes on with other channels
                    self._is_damaged = True
                if graph:
                    yield from self._pulled(graph)
        if graph:
            graph.push(None)
            yield from self._pulled(graph)

    def _pulled(self, graph: av.filter.Graph) -> Iterator[Any]:
        """The frames that a graph has; what is damaged is passed over, as players do it."""
        faults = 0
        while faults < _FAULTS:
            try:
                yield graph.pull()
                faults = 0
            except (EOFError, BlockingIOError):
                return
            except av.error.FFmpegError:
                self._is_damaged, faults = True, faults + 1
