"""Faces marked in a picture, each with its apparent expression."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from leed_hub.pipelines.cropper import Box
from leed_hub.pipelines.recognizer import FacePrediction

COLOR, TEXT = (255, 170, 0), (0, 0, 0)  # black on orange has a contrast of 11 to 1


def draw_faces(picture: Image.Image, faces: Sequence[FacePrediction], *, highlighted: int | None = None) -> Image.Image:
    """The picture with a box and a label for each of its faces.

    Args:
        picture: RGB.
        faces: what was read of it.
        highlighted: number of the face whose box has a thicker line.
    Returns:
        Image.Image: a copy.
    """
    marked = picture.copy()
    draw = ImageDraw.Draw(marked)
    font_size, line = max(max(picture.size) / 32, 10), max(2, round(max(picture.size) / 300))
    texts = [f"{face.label} {face.scores[face.label]:.0%}" for face in faces]
    edges = [draw.textbbox((0, 0), text, font_size=font_size) for text in texts]
    sizes = [(right + 2 * line, bottom + 2 * line) for _, _, right, bottom in edges]
    places = label_places([face.box for face in faces], sizes, picture.size)
    for number, face in enumerate(faces):
        draw.rectangle(face.box, outline=COLOR, width=3 * line if number == highlighted else line)
    for text, (x, y), (width, height) in zip(texts, places, sizes, strict=True):
        draw.rectangle((x, y, x + width, y + height), fill=COLOR)
        draw.text((x + line, y + line / 2), text, fill=TEXT, font_size=font_size)
    return marked


def label_places(
    boxes: Sequence[Box], sizes: Sequence[tuple[float, float]], picture: tuple[int, int]
) -> list[tuple[float, float]]:
    """Where labels go: beside their faces, inside the picture, and off all faces and other labels where there is room.

    Args:
        boxes: of the faces.
        sizes: (width, height) of their labels.
        picture: (width, height).
    Returns:
        list[tuple[float, float]]: (x, y) of the labels' upper left corners.
    """
    taken = list(boxes)
    places = []
    for (x0, y0, x1, y1), (width, height) in zip(boxes, sizes, strict=True):
        columns, rows = (x0, x1 - width), (y0, y1 - height)
        around = [(x, y) for y in (y0 - height, y1) for x in columns] + [(x, y) for x in (x1, x0 - width) for y in rows]
        inside = [(max(0, min(x, picture[0] - width)), max(0, min(y, picture[1] - height))) for x, y in around]
        x, y = min(inside, key=lambda place: _covered((*place, place[0] + width, place[1] + height), taken))  # noqa: B023
        places.append((x, y))
        taken.append((x, y, x + width, y + height))
    return places


def _covered(box: Box, others: Sequence[Box]) -> float:
    """How much of the others a box covers, in square pixels."""
    x0, y0, x1, y1 = box
    return sum(
        max(0.0, min(x1, right) - max(x0, left)) * max(0.0, min(y1, bottom) - max(y0, top))
        for left, top, right, bottom in others
    )
