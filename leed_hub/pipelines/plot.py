"""The apparent expression over time as a picture: the categories' probabilities as stacked areas."""

import math
import os
from array import array
from pathlib import Path

import numpy as np
from PIL import Image

from leed_hub.errors import BadImageError, needs_extra
from leed_hub.media.files import atomic_path

with needs_extra("video", "Plotting"):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

SIZE = (1280, 480)  # pixels
MAX_BINS = 2000  # more frames than that are averaged: a plot is 1280 pixels wide
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

    Each frame lasts until the next one, the last as long as frames do on median.

    Args:
        times_s: (N,) rising seconds.
        scores: (N, K) probabilities; a row of NaN where no face was seen.
        labels: the K categories.
    Returns:
        Image.Image: RGB, `SIZE` pixels.
    """
    times_s, scores = np.asarray(times_s, np.float64), np.asarray(scores, np.float64).reshape(-1, len(labels))
    figure = Figure(figsize=(SIZE[0] / 100, SIZE[1] / 100), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set(xlabel="time in s", ylabel="probability", title="apparent expression", ylim=(0, 1))
    if len(times_s):
        frame_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 1.0
        edges = np.append(times_s, times_s[-1] + max(frame_s, 1e-3))
        first = np.linspace(0, len(scores), min(len(scores), MAX_BINS) + 1).astype(int)
        means = np.stack([_mean_of_seen(scores[a:b]) for a, b in zip(first, first[1:], strict=False)])
        # Both ends of each bin, so that the one before a gap keeps its width.
        axes.stackplot(
            np.repeat(edges[first], 2)[1:-1], np.repeat(means, 2, axis=0).T, colors=[COLORS[k] for k in labels]
        )
        axes.set_xlim(edges[0], edges[-1])
    entries = [axes.fill_between([], [], color=COLORS[label], label=label) for label in reversed(labels)]
    axes.legend(handles=entries, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _mean_of_seen(scores: np.ndarray) -> np.ndarray:
    """The mean of the rows that are no NaN; NaN if all are."""
    seen = scores[np.isfinite(scores).all(axis=1)]
    return seen.mean(axis=0) if len(seen) else np.full(scores.shape[1], np.nan)


class ExpressionPlot:
    """Gathers what a plot needs, frame by frame, and writes it.

    Args:
        path: ends in .png.
        labels: the categories.
    Raises:
        BadImageError: if the path has another ending, or its folder does not exist.
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
        try:
            with atomic_path(self.path) as unfinished:
                self.draw().save(unfinished, "PNG", optimize=True)
        except OSError as error:
            raise BadImageError(f"{self.path.name} could not be written: {error.strerror or error}.") from error
