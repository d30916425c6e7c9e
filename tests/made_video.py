"""Small videos for tests."""

from pathlib import Path

import av
import numpy as np


def make_video(path: Path, frames, *, rate=25, sound: str | None = None, rotation: int = 0) -> Path:
    """A file of (H, W, 3) uint8 frames, with a sine tone as long as they are."""
    frames = list(frames)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=rate, options={"crf": "12", "preset": "ultrafast"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        if sound:
            tone = output.add_stream(sound, rate=44100, layout="mono")
            wave = np.sin(2 * np.pi * 440 * np.arange(int(44100 * len(frames) / rate)) / 44100) * 8000
            heard = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
            heard.sample_rate, heard.pts = 44100, 0
            output.mux([*tone.encode(heard), *tone.encode(None)])
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame)
            picture.pts = number
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return path
