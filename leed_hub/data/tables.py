"""Face tables for the editor's training, made from corpora: what each recipe of `pairing.py` may know."""

import logging

import datasets
import numpy as np
import torch

from leed_hub.data import load_corpus
from leed_hub.data.memory import decode_images
from leed_hub.data.pairing import FaceTable
from leed_hub.errors import CorpusError
from leed_hub.transforms import crop_face, crop_matrix, similarity

logger = logging.getLogger(__name__)
RENDER_SIZE = 192  # the renders' own side; photographs are cropped to it so that all share one tensor
STABLE_POINTS = [0, 1, 2]  # of a locator's five: eyes and nose, which an expression moves least


def group_numbers(keys: list) -> torch.Tensor:
    """Equal keys get equal numbers; None gets -1."""
    numbers: dict = {}
    return torch.tensor([-1 if key is None else numbers.setdefault(key, len(numbers)) for key in keys])


def rendered_table(data_dir: str, *, without: tuple[str, ...] = (), only: tuple[str, ...] = ()) -> FaceTable:
    """The training renders and their twins.

    Args:
        data_dir: the corpus' folder.
        without: persons left out, to choose checkpoints on.
        only: if given, these persons and no others.
    """

    def wanted(subject: str) -> bool:
        return subject not in without and (not only or subject in only)

    faces = load_corpus("rendered_faces", data_dir, "train").filter(wanted, input_columns="subject")
    twins = load_corpus("rendered_faces", data_dir, "twins")
    if not only:  # else few faces would have a twin left; who lends an expression is no matter when it is only judged
        twins = twins.filter(wanted, input_columns="subject")
    index_of = {file: index for index, file in enumerate(faces["file"])}
    twin = torch.full((len(faces) + len(twins),), -1)
    for offset, twin_of in enumerate(twins["twin_of"]):
        if twin_of in index_of:
            twin[index_of[twin_of]] = len(faces) + offset
    stem = [file == neutral for file, neutral in zip(faces["file"], faces["neutral_file"], strict=True)]
    return FaceTable(
        images=torch.cat([decode_images(faces, RENDER_SIZE), decode_images(twins, RENDER_SIZE)]),
        setup=torch.cat([group_numbers(list(faces["setup"])), torch.full((len(twins),), -1)]),
        is_neutral=torch.tensor(stem + [False] * len(twins)),
        twin=twin,
        repeats=torch.tensor([1] * len(faces) + [0] * len(twins)),
    )


def photograph_table(
    corpus: str,
    data_dir: str,
    split: str,
    template: tuple[float, ...],
    locator,
    *,
    repeats: int = 1,
    without: tuple[str, ...] = (),
) -> FaceTable:
    """Photographs aligned by a locator; a person's pictures form a setup where one of them is known to be neutral.

    All pictures of a setup are framed as its neutral one, so that only the expression differs between them.

    Args:
        corpus: any name of `CORPORA` with one face a picture.
        data_dir: the corpus' folder.
        split: its split.
        template: where the crop puts eyes and mouth corners.
        locator: photograph -> list of `Face`, as `leed_hub.faces` builds them.
        repeats: how often an epoch takes each picture as a target.
        without: persons left out.
    """
    rows = load_corpus(corpus, data_dir, split).filter(lambda person: person not in without, input_columns="subject")
    yaws = rows["yaw"][:] if "yaw" in rows.column_names else [0] * len(rows)
    kept, points, images = [], [], []
    rows = rows.cast_column("image", datasets.Image(mode="RGB"))
    for index, row in enumerate(rows):
        photo = np.asarray(row["image"])
        faces = locator(photo)
        if faces:
            kept.append(index)
            points.append(faces[0].points)
            images.append(photo)
    if not kept:
        raise CorpusError(f"No face was found in the pictures of {corpus} ({split}); check {data_dir}.")
    if len(kept) < len(rows):
        logger.warning("%s: no face found in %d of %d pictures", corpus, len(rows) - len(kept), len(rows))

    names, labels, subjects = rows.features["label"].names, rows["label"][:], rows["subject"][:]
    is_neutral = [labels[index] >= 0 and names[labels[index]] == "neutral" for index in kept]
    keys = [(subjects[index], yaws[index]) if subjects[index] is not None else None for index in kept]
    neutral_of = {key: place for place, key in enumerate(keys) if is_neutral[place] and key is not None}
    crops = []
    for place, key in enumerate(keys):
        anchor = neutral_of.get(key, place)
        matrix = crop_matrix(points[anchor], template, RENDER_SIZE)
        if anchor != place:
            onto_neutral = similarity(points[place][STABLE_POINTS], points[anchor][STABLE_POINTS])
            matrix = matrix @ np.vstack([onto_neutral, [0, 0, 1]])
        crops.append(crop_face(images[place], matrix, RENDER_SIZE))
    return FaceTable(
        images=torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous(),
        setup=group_numbers([key if key in neutral_of else None for key in keys]),
        is_neutral=torch.tensor(is_neutral),
        twin=torch.full((len(kept),), -1),
        repeats=torch.full((len(kept),), repeats),
    )


def joined(tables: list[FaceTable]) -> FaceTable:
    """One table of several; group numbers and indices are kept apart."""
    start, setups = 0, 0
    parts = []
    for table in tables:
        parts.append(
            {
                "images": table.images,
                "setup": torch.where(table.setup >= 0, table.setup + setups, -1),
                "is_neutral": table.is_neutral,
                "twin": torch.where(table.twin >= 0, table.twin + start, -1),
                "repeats": table.repeats,
            }
        )
        start += len(table.images)
        setups += int(table.setup.max()) + 1
    return FaceTable(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})
