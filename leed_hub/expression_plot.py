"""The apparent expression over time as a picture: the categories' probabilities stacked, drawn with Pillow."""

import math
import os
from array import array
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from leed_hub.errors import BadImageError

SIZE = (1280, 480)
LEFT, TOP, RIGHT, BOTTOM = 84, 60, 190, 72  # margins of the plot's area in pixels
INK, FAINT = "#222222", "#bbbbbb"
# Okabe and Ito's palette, which colour-blind readers tell apart: https://jfly.uni-koeln.de/color/
COLORS = {
    "neutral": "#d0d0d0",
    "happiness": "#f0e442",
    "sadness": "#0072b2",
    "surprise": "#56b4e9",
    "fear": "#cc79a7",
    "disgust": "#009e73",
    "anger": "#d55e00",
    "contempt": "#5a4632",  # the palette's orange and black are too near to anger and to the axes
}


def plot_expressions(times_s: np.ndarray, scores: np.ndarray, labels: tuple[str, ...]) -> Image.Image:
    """Draw probabilities over time as areas on top of each other; where no face was seen the plot stays blank.

    Each frame lasts until the next one; where several fall on one column of pixels, their mean is drawn.

    Args:
        times_s: (N,) rising seconds.
        scores: (N, K) probabilities; a row of NaN where no face was seen.
        labels: the K categories.
    Returns:
        Image.Image: RGB, `SIZE` pixels.
    """
    width, height = SIZE[0] - LEFT - RIGHT, SIZE[1] - TOP - BOTTOM
    times_s, scores = np.asarray(times_s, np.float64), np.asarray(scores, np.float64).reshape(-1, len(labels))
    start_s, end_s = _span(times_s)
    image = Image.new("RGB", SIZE, "white")
    area = _stacked(times_s, scores, [COLORS[label] for label in labels], start_s, end_s, (width, height))
    image.paste(area, (LEFT, TOP))
    draw = ImageDraw.Draw(image)
    draw.text((LEFT + width / 2, 18), "apparent expression", INK, _font(22), anchor="mt")
    _draw_axes(image, draw, start_s, end_s, (width, height))
    _draw_legend(draw, labels)
    return image


class ExpressionPlot:
    """Gathers what a plot needs, frame by frame, and writes it.

    Args:
        path: ends in .png.
        labels: the categories.
    Raises:
        BadImageError: if it does not end so, or its folder is not there.
    """

    def __init__(self, path: str | os.PathLike, labels: tuple[str, ...]):
        self.path, self.labels = Path(path), labels
        if self.path.suffix.lower() != ".png":
            raise BadImageError(f"{self.path.name}: a plot is saved as .png.")
        if not self.path.parent.is_dir():
            raise BadImageError(f"{self.path.name} could not be written: there is no folder {self.path.parent}.")
        self._times_s, self._scores = array("d"), array("f")

    def add(self, time_s: float, scores: dict[str, float] | None) -> None:
        """A frame's probabilities; None where no face was seen."""
        self._times_s.append(time_s)
        self._scores.extend(scores[label] if scores else math.nan for label in self.labels)

    def draw(self) -> Image.Image:
        """The plot of what was added so far."""
        scores = np.array(self._scores).reshape(-1, len(self.labels))
        return plot_expressions(np.array(self._times_s), scores, self.labels)

    def save(self) -> None:
        """Write the plot; a file already there is replaced only by a whole one.

        Raises:
            BadImageError: if it cannot be written.
        """
        unfinished = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        try:
            try:
                self.draw().save(unfinished, "PNG", optimize=True)
                os.replace(unfinished, self.path)
            finally:
                unfinished.unlink(missing_ok=True)
        except OSError as error:
            raise BadImageError(f"{self.path.name} could not be written: {error.strerror or error}.") from error


def _span(times_s: np.ndarray) -> tuple[float, float]:
    """From the first frame to the end of the last one, which lasts as long as frames do in the middle of all."""
    if len(times_s) == 0:
        return 0.0, 1.0
    frame_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 1.0
    return float(times_s[0]), float(times_s[-1]) + max(frame_s, 1e-3)


def _stacked(
    times_s: np.ndarray, scores: np.ndarray, colors: list[str], start_s: float, end_s: float, size: tuple[int, int]
) -> Image.Image:
    width, height = size
    edges = np.linspace(start_s, end_s, width + 1)
    first = np.maximum(np.searchsorted(times_s, edges[:-1], "right") - 1, 0)  # the frame that a column begins in
    last = np.maximum(np.searchsorted(times_s, edges[1:], "left"), first + 1)
    is_seen = np.isfinite(scores).all(axis=1)
    sums = np.vstack([np.zeros(len(colors)), np.cumsum(np.where(is_seen[:, None], scores, 0), axis=0)])
    counts = np.concatenate([[0], np.cumsum(is_seen)])
    last = np.minimum(last, len(times_s))
    first = np.minimum(first, last)
    n_seen = counts[last] - counts[first]
    means = (sums[last] - sums[first]) / np.maximum(n_seen, 1)[:, None]  # (width, K)
    tops = np.cumsum(means, axis=1)
    # Half a row below the top of a category still is that category.
    levels = 1 - (np.arange(height) + 0.5) / height
    category = (levels[:, None, None] > tops[None]).sum(axis=2)  # (height, width)
    palette = np.array([tuple(bytes.fromhex(color[1:])) for color in [*colors, "#ffffff"]], np.uint8)
    category = np.where(n_seen > 0, np.minimum(category, len(colors) - 1), len(colors))
    return Image.fromarray(palette[category])


def _draw_axes(
    image: Image.Image, draw: ImageDraw.ImageDraw, start_s: float, end_s: float, size: tuple[int, int]
) -> None:
    width, height = size
    right, bottom = LEFT + width, TOP + height
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = bottom - round(share * height)
        draw.line([(LEFT - 6, y), (LEFT, y)], INK)
        draw.text((LEFT - 10, y), f"{share:g}", INK, _font(15), anchor="rm")
    step_s = _step(end_s - start_s)
    for n in range(math.ceil(start_s / step_s - 1e-9), math.floor(end_s / step_s + 1e-9) + 1):
        x = LEFT + round((n * step_s - start_s) / (end_s - start_s) * width)
        draw.line([(x, bottom), (x, bottom + 6)], INK)
        draw.text((x, bottom + 10), f"{round(n * step_s, 6):g}", INK, _font(15), anchor="mt")
    draw.rectangle([LEFT - 1, TOP - 1, right, bottom], outline=INK)
    draw.text((LEFT + width / 2, SIZE[1] - 16), "time in s", INK, _font(17), anchor="mb")
    sideways = Image.new("L", (height, 26), 0)
    ImageDraw.Draw(sideways).text((height / 2, 13), "probability", 255, _font(17), anchor="mm")
    sideways = sideways.rotate(90, expand=True)
    image.paste(INK, (8, TOP), sideways)


def _draw_legend(draw: ImageDraw.ImageDraw, labels: tuple[str, ...]) -> None:
    """In the order of the areas, so the last category on top, and what a blank means below them."""
    x, y = SIZE[0] - RIGHT + 22, TOP + 2
    for name, color in [*((label, COLORS[label]) for label in reversed(labels)), ("no face seen", "white")]:
        draw.rectangle([x, y, x + 18, y + 18], fill=color, outline=FAINT if color == "white" else color)
        draw.text((x + 28, y + 9), name, INK, _font(16), anchor="lm")
        y += 32


def _step(span_s: float) -> float:
    """1, 2 or 5 times a power of ten that gives at most ten steps."""
    power = 10.0 ** math.floor(math.log10(span_s / 10))
    return next(power * factor for factor in (1, 2, 5, 10, 20) if span_s / (power * factor) <= 10)


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
