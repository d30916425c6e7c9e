"""Animated GIF, WebP, PNG and AVIF pictures as videos."""

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from leed_hub.media.images import load_image, opened_image

SHORTEST_MS = 20  # a frame that is to last less than that lasts 100 ms, as in browsers


class AnimatedPicture:
    """The frames of an animated picture, transparency on white; each pass over it reads the file anew.

    Attributes:
        path, width, height, rate, time_base, matrix, n_frames, sound: as of `VideoFrames`.
    Raises:
        BadImageError: if it cannot be read; also while reading.
    """

    sound, matrix, time_base = None, 1, Fraction(1, 1000)

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        ends = [end for end, _ in self._frames()]
        with opened_image(path) as (image, _):
            self.width, self.height = load_image(image).size
        self.n_frames = len(ends)
        self.rate = Fraction(1000 * len(ends), ends[-1])

    def __iter__(self) -> Iterator[tuple[Fraction, np.ndarray]]:
        """As of `VideoFrames`."""
        start = 0
        for end, image in self._frames():
            yield Fraction(start, 1000), np.asarray(load_image(image))
            start = end

    def times(self) -> Iterator[Fraction]:
        """The times alone, which is cheaper."""
        start = 0
        for end, _ in self._frames():
            yield Fraction(start, 1000)
            start = end

    def _frames(self) -> Iterator[tuple[int, Image.Image]]:
        """When each ends, in ms, and the picture, not yet decoded."""
        with opened_image(self.path) as (image, _):
            end = 0
            for number in range(getattr(image, "n_frames", 1)):
                image.seek(number)
                image.load()  # GIF and PNG know how long it lasts only then
                duration = round(image.info.get("duration") or 0)
                end += duration if duration >= SHORTEST_MS else 100
                yield end, image
