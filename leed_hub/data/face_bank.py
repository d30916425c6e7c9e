"""Faces with known points, cut out of their pictures and kept in memory: what the locator's scenes are made from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from leed_hub.data import load_corpus
from leed_hub.faces import Locator, five_points
from leed_hub.models.face_locator import face_frames

BANK_SIZE = 160  # side of a kept picture in pixels
BANK_SCALE = 2.2  # that side over the face's: hair and shoulders come along
NOSE_DROP = 0.4  # YuNet's nose tip lies this far on the way from landmark 30 to 33 of the Multi-PIE points


@dataclass
class FaceBank:
    """Pictures of one face each.

    Attributes:
        images: (N, 2, S, S) uint8: grey values, and 255 where the photograph reached.
        points: (N, 5, 2), the face's points in units of half the side.
        repeats: (N,) how often an epoch takes each.
    """

    images: Tensor
    points: Tensor
    repeats: Tensor

    def __add__(self, other: "FaceBank") -> "FaceBank":
        return FaceBank(*(torch.cat([getattr(self, name), getattr(other, name)]) for name in vars(self)))


def face_bank(faces: Iterable[tuple[np.ndarray, np.ndarray]], repeats: int = 1) -> FaceBank:
    """Cut faces out of their photographs, unturned and at one scale.

    Args:
        faces: photographs (H, W, 3) uint8 and the five points (5, 2) in pixels of their one face.
        repeats: how often an epoch takes each.
    """
    images, kept = [], []
    for photograph, points in faces:
        grey = cv2.cvtColor(photograph, cv2.COLOR_RGB2GRAY)
        middles, axes = face_frames(torch.from_numpy(np.asarray(points, np.float32))[None])
        scale = BANK_SIZE / (BANK_SCALE * float(axes.norm()))
        middle = scale * (middles[0].numpy() + 0.5) - 0.5
        step = max(scale, 1.0)
        if scale < 1:  # reduced by area first, as the step below looks at 2x2 pixels only
            size = [max(1, round(side * scale)) for side in grey.shape[::-1]]
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        offset = (BANK_SIZE - 1) / 2 - middle + 0.5 * (step - 1)
        matrix = np.array([[step, 0, offset[0]], [0, step, offset[1]]])
        layers = [grey, np.full_like(grey, 255)]
        images.append(np.stack([cv2.warpAffine(layer, matrix, (BANK_SIZE, BANK_SIZE)) for layer in layers]))
        kept.append((np.asarray(points) - middles[0].numpy()) * scale * 2 / BANK_SIZE)
    return FaceBank(
        torch.from_numpy(np.stack(images)),
        torch.from_numpy(np.stack(kept)).float(),
        torch.full((len(images),), repeats),
    )


def rendered_bank(data_dir: str, split: str, *, repeats: int = 1, without: tuple[str, ...] = ()) -> FaceBank:
    """Renders with their exact landmarks, save those of the persons `without`."""
    rows = load_corpus("rendered_faces", data_dir, split).filter(
        lambda person: person not in without, input_columns="subject"
    )

    def faces() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for row in rows:
            landmarks = np.asarray(row["landmarks"], dtype=np.float32)
            points = five_points(landmarks)
            points[2] += NOSE_DROP * (landmarks[33] - landmarks[30])
            yield np.asarray(row["image"].convert("RGB")), points

    return face_bank(faces(), repeats)


def photograph_bank(
    corpus: str,
    data_dir: str,
    split: str,
    teacher: Locator,
    *,
    every: int = 1,
    repeats: int = 1,
    without: tuple[str, ...] = (),
) -> FaceBank:
    """Photographs in which a teacher finds exactly one face, with its points.

    Args:
        corpus: any name of `CORPORA`.
        data_dir: the corpus' folder.
        split: its split.
        teacher: a locator.
        every: take each such picture of the corpus only.
        repeats: how often an epoch takes each.
        without: persons left out.
    """
    rows = load_corpus(corpus, data_dir, split)
    rows = rows.select(range(0, len(rows), every)).filter(lambda person: person not in without, input_columns="subject")

    def faces() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for row in rows:
            photograph = np.asarray(row["image"].convert("RGB"))
            found = teacher(photograph)
            if len(found) == 1:
                yield photograph, found[0].points

    return face_bank(faces(), repeats)
