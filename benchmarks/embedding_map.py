"""Where the recogniser's expression codes lie: the rendered validation faces on the codes' two main axes.

    python benchmarks/embedding_map.py --data-dir RENDERED_FACES --output docs/embedding_map.png

The persons of that split are in no training. Prints how often the nearest code of another person shares the category.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image, ImageDraw, ImageFont

from leed_hub import ExpressionRecognizer
from leed_hub.data import load_corpus
from leed_hub.evaluation.rows import rows_of_classes
from leed_hub.metrics.disentanglement import retrieval_accuracy
from leed_hub.pipelines.plot import COLORS

SIDE, MARGIN, LEGEND, DOT = 900, 40, 190, 5  # pixels


def main_axes(codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Principal components: codes (N, D) -> places (N, 2), and the shares of the variance on both axes (2,)."""
    centred = codes - codes.mean(dim=0)
    _, deviations, axes = torch.linalg.svd(centred, full_matrices=False)
    shares = deviations.square() / deviations.square().sum()
    return centred @ axes[:2].T, shares[:2]


def draw(places: np.ndarray, names: list[str], shares: list[float]) -> Image.Image:
    """A dot for each face, in its category's colour."""
    image = Image.new("RGB", (SIDE + LEGEND, SIDE), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(18)
    low, high = places.min(axis=0), places.max(axis=0)
    spread = (high - low).max()  # one scale for both axes: distances stay true
    dots = (places - (low + high) / 2) / spread * (SIDE - 2 * MARGIN) * (1, -1) + SIDE / 2
    for (x, y), name in zip(dots, names, strict=True):
        pen.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), fill=COLORS[name], outline="#444444")
    for line, name in enumerate(name for name in COLORS if name in names):
        y = MARGIN + 30 * line
        pen.ellipse((SIDE + 10, y, SIDE + 24, y + 14), fill=COLORS[name], outline="#444444")
        pen.text((SIDE + 34, y - 4), name, "#222222", font)
    pen.text(
        (MARGIN, SIDE - 30), f"first axis: {shares[0]:.0%} of the variance, second: {shares[1]:.0%}", "#222222", font
    )
    return image


def main(
    data_dir: Annotated[Path, typer.Option(help="Folder of the rendered faces.")],
    output: Annotated[Path, typer.Option(help="The picture, a .png.")],
    model: Annotated[str | None, typer.Option(help="A folder or ORG/NAME; the bundled checkpoint by default.")] = None,
) -> None:
    """Read the codes, draw the map, and print the retrieval."""
    recognizer = ExpressionRecognizer.from_pretrained(model)
    rows, labels, _ = rows_of_classes(load_corpus("rendered_faces", data_dir, "validation"), recognizer.labels, None)
    codes = torch.from_numpy(recognizer.embed(list(rows["image"])))
    places, shares = main_axes(codes)
    names = [recognizer.labels[label] for label in labels.tolist()]
    draw(places.numpy(), names, shares.tolist()).save(output)
    expressive = torch.tensor([name != "neutral" for name in names])
    persons = [person for person, kept in zip(rows["subject"], expressive.tolist(), strict=True) if kept]
    print(retrieval_accuracy(codes[expressive], labels[expressive], persons))


if __name__ == "__main__":
    typer.run(main)
