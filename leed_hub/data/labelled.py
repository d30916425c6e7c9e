"""Batches for the recogniser: labelled crops, seen through random views."""

import hashlib
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import datasets
import numpy as np
import torch
from torch import Tensor

from leed_hub.data.augment import Affine, ColorJitter, Degradation, apply_color_jitter, degrade, erase, mirror, view
from leed_hub.data.memory import JoinedPictures, mapped_pictures, undecoded
from leed_hub.faces.alignment import crop_face, crop_matrix, square_matrix
from leed_hub.faces.detectors import FaceDetector
from leed_hub.media.images import load_image

logger = logging.getLogger(__name__)


class CropDegradation(Degradation):
    """As the editor's, but blurred further: up to 1.4 pixels of FER2013's 48."""

    BLUR_SIGMA = (0.003, 0.03)


# How a batch's views differ.
AFFINE = Affine(scale=0.12, shift=0.06, rotation_deg=18)
COLOR_JITTER = ColorJitter(gamma=0.4, gain=0.2, offset=0.05, tint=0, saturation=0)
DEGRADATION = CropDegradation(grey=0, blurred=0.25, small=0.25, noisy=0.4, compressed=0.25)
ERASED_SHARE = 0.25


def labelled_crops(
    rows: datasets.Dataset,
    labels: tuple[str, ...],
    size: int,
    channels: int,
    *,
    template: tuple[float, ...] = (),
    detector: FaceDetector | None = None,
    store: Path | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The pictures of known categories, cropped as the recogniser will crop them.

    Args:
        rows: with `image` and `label` (a `ClassLabel`); rows whose category is not in `labels` are left out.
        labels: the recogniser's categories in the order of its logits.
        size: side of the crops in pixels.
        channels: 1 or 3.
        template: with a detector: where crops put eyes and mouth corners.
        detector: finds the face to crop; where it finds none, and everywhere if None, the crop is the largest central
            square of the picture.
        store: keep the crops in a file of this folder, where the next start finds them, instead of in memory.
    Returns:
        tuple: uint8 (N, channels, size, size), positions in `labels` (N,), and valence and arousal (N, 2) in [-1, 1],
            NaN where the corpus does not say.
    """
    names = rows.features["label"].names
    to_position = torch.tensor([labels.index(name) if name in labels else -1 for name in names] + [-1])
    positions = to_position[torch.tensor(rows["label"][:])]  # -1, unlabelled, reads the last entry
    kept = torch.nonzero(positions >= 0).squeeze(1)
    rows = rows.select(kept.tolist())
    affect = torch.full((len(rows), 2), torch.nan)
    if {"valence", "arousal"} <= rows.features.keys():
        affect = torch.tensor(np.array([rows["valence"][:], rows["arousal"][:]], np.float32).T)
    shape = (len(rows), channels, size, size)

    def cropped(entry: dict) -> tuple[np.ndarray, bool]:
        photo = np.asarray(load_image(entry["bytes"] or entry["path"]))
        faces = detector(photo) if detector else []
        whole = square_matrix(photo.shape[1], photo.shape[0], size)
        crop = crop_face(photo, crop_matrix(faces[0].points, template, size) if faces else whole, size)
        crop = crop if channels == 3 else cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[:, :, None]
        return crop.transpose(2, 0, 1), bool(faces)

    def fill(pictures: np.ndarray) -> None:
        n_whole = 0
        with ThreadPoolExecutor() as pool:
            for batch, start in zip(undecoded(rows).iter(256), range(0, len(rows), 256), strict=True):
                for index, (crop, is_face) in enumerate(pool.map(cropped, batch["image"]), start):
                    pictures[index] = crop
                    n_whole += not is_face
        if detector and n_whole:
            logger.warning("no face found in %d of %d pictures, which are taken whole", n_whole, len(rows))

    if store is None:
        images = torch.empty(shape, dtype=torch.uint8)
        fill(images.numpy())
    else:
        made_of = (rows._fingerprint, size, channels, *((detector.name, *template) if detector else ()))
        digest = hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]
        images = mapped_pictures(store / f"{digest}_{size}px.npy", shape, fill)
    return images, positions[kept], affect


def warn_of_leakage(
    training: list[datasets.Dataset], validation: list[datasets.Dataset], *, by_person: bool = True
) -> None:
    """Say how many pictures that choose the checkpoint were trained on, and how many persons.

    Pictures are compared by the bytes of their files, and persons by name within one corpus.

    Args:
        by_person: False where persons are held out by name already.
    """
    known = {digest for rows in validation for digest in _digests(rows)}
    sizes = {size for size, _ in known}
    pictures: set[tuple[int, bytes]] = set()
    for rows in training:
        pictures |= known & set(_digests(rows, sizes))
    persons = set()
    if by_person:
        persons = set().union(*map(_persons, validation)) & set().union(*map(_persons, training))
    if pictures or persons:
        logger.warning(
            "%d pictures and %d persons of the validation split are in the training too, so its score is too good",
            len(pictures),
            len(persons),
        )


def _persons(rows: datasets.Dataset) -> set[tuple[str, str]]:
    """(corpus, person)."""
    return {(rows.info.description, person) for person in rows["subject"][:] if person is not None}


def _digests(rows: datasets.Dataset, sizes: set[int] | None = None) -> Iterator[tuple[int, bytes]]:
    """(size, SHA-256) of the pictures' files; only of those of certain sizes, if given."""
    for batch in undecoded(rows).iter(256):
        for entry in batch["image"]:
            size = os.path.getsize(entry["path"]) if entry["bytes"] is None else len(entry["bytes"])
            if sizes is None or size in sizes:
                content = Path(entry["path"]).read_bytes() if entry["bytes"] is None else entry["bytes"]
                yield size, hashlib.sha256(content).digest()


class LabelledFaces:
    """Draws batches of pictures with their categories.

    Args:
        images: uint8 (N, C, S, S), read by positions alone.
        labels: (N,) integers.
        valence_arousal: (N, 2) in [-1, 1], NaN where unknown.
        balance: a category of n pictures is drawn as often as n ** (1 - balance) says: 0 as the pictures are, 1 every
            category equally often.
        mixup: alpha of mixup (Zhang et al. 2018, arXiv:1710.09412): each picture of a batch is blended with another,
            whose share is the smaller side of a draw from Beta(alpha, alpha), one a batch; 0 is off.
    """

    def __init__(
        self,
        images: Tensor | JoinedPictures,
        labels: Tensor,
        *,
        valence_arousal: Tensor | None = None,
        balance: float = 0.0,
        mixup: float = 0.0,
    ):
        self.images, self.labels, self.valence_arousal = images, labels, valence_arousal
        self.mixup = mixup
        self.draw_weights = torch.bincount(labels)[labels].double() ** -balance if balance else None

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor, generator: torch.Generator, device: torch.device) -> dict[str, Tensor]:
        """Random views of the indices (B,), or of as many balanced draws.

        Returns:
            dict: `images` in [-1, 1], `labels`, `valence_arousal` where given; with mixup also `other_labels` (B,) and
                their `other_share` ().
        """
        if self.draw_weights is not None:
            indices = torch.multinomial(self.draw_weights, len(indices), replacement=True, generator=generator)
        theta = AFFINE.draw(len(indices), generator)
        theta = mirror(theta, torch.rand(len(indices), generator=generator) < 0.5)
        images = view(self.images[indices].to(device), theta, self.images.shape[-1])
        images = apply_color_jitter(images, COLOR_JITTER.draw(len(indices), generator))
        images = degrade(images, torch.arange(len(indices)), DEGRADATION, generator)
        images = erase(images, ERASED_SHARE, generator)
        batch = {"images": images * 2 - 1, "labels": self.labels[indices].to(device)}
        if self.valence_arousal is not None:
            batch["valence_arousal"] = self.valence_arousal[indices].to(device)
        if self.mixup:
            seed = int(torch.randint(2**31, (), generator=generator))
            drawn = np.random.default_rng(seed).beta(self.mixup, self.mixup)
            batch["other_share"] = torch.tensor(min(drawn, 1 - drawn), dtype=torch.float32, device=device)
            batch["images"] = batch["images"].lerp(batch["images"].roll(1, 0), batch["other_share"])
            batch["other_labels"] = batch["labels"].roll(1)
        return batch
