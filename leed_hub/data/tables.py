"""Face tables for the editor's training, made from corpora: what each recipe of `pairing.py` may know."""

import logging

import datasets
import numpy as np
import torch

from leed_hub.data import load_corpus
from leed_hub.data.memory import decode_images
from leed_hub.data.pairing import FaceTable
from leed_hub.errors import BadImageError, CorpusError
from leed_hub.faces import Face
from leed_hub.images import load_image
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
        corpus=torch.zeros_like(twin),
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
    alone: bool = False,
) -> FaceTable:
    """Photographs aligned by a locator; a person's pictures form a setup where one of them is known to be neutral.

    All pictures of a setup are framed as its neutral one, so that only the expression differs between them.

    Args:
        corpus: any name of `CORPORA` with one face a picture.
        data_dir: the corpus' folder.
        split: its split.
        template: where the crop puts eyes and mouth corners.
        locator: photograph -> list of `Face`, as `leed_hub.faces` builds them; None where pictures are face crops.
        repeats: how often an epoch takes each picture as a target.
        without: persons left out.
        alone: no two pictures form a setup and none is known to be neutral: faces in the wild, which differ in more
            than the expression, or any faces whose labels the training shall not know.
    """
    locator = locator or _template_locator(template)
    rows = load_corpus(corpus, data_dir, split).filter(lambda person: person not in without, input_columns="subject")
    yaws = rows["yaw"][:] if "yaw" in rows.column_names else [0] * len(rows)
    names, labels, subjects = rows.features["label"].names, rows["label"][:], rows["subject"][:]
    undecoded = rows.select_columns(["image"]).cast_column("image", datasets.Image(decode=False))

    def photograph(index: int) -> np.ndarray:
        entry = undecoded[index]["image"]
        return np.asarray(load_image(entry["bytes"] or entry["path"]))

    # Twice through the files, so that never more than one photograph is in memory.
    points: dict[int, np.ndarray] = {}  # of the pictures kept, by row
    for index in range(len(rows)):
        try:
            faces = locator(photograph(index))
        except BadImageError:
            continue
        if faces:
            points[index] = faces[0].points
    if not points:
        raise CorpusError(f"No face was found in the pictures of {corpus} ({split}); check {data_dir}.")
    if len(points) < len(rows):
        logger.warning("%s: no face found in %d of %d pictures", corpus, len(rows) - len(points), len(rows))

    is_neutral = {index: not alone and labels[index] >= 0 and names[labels[index]] == "neutral" for index in points}
    keys = {index: (subjects[index], yaws[index]) if subjects[index] is not None else None for index in points}
    neutral_of = {key: index for index, key in keys.items() if is_neutral[index] and key is not None}
    crops = []
    for index, key in keys.items():
        anchor = neutral_of.get(key, index)
        matrix = crop_matrix(points[anchor], template, RENDER_SIZE)
        if anchor != index:
            onto_neutral = similarity(points[index][STABLE_POINTS], points[anchor][STABLE_POINTS])
            matrix = matrix @ np.vstack([onto_neutral, [0, 0, 1]])
        crops.append(crop_face(photograph(index), matrix, RENDER_SIZE))
    return FaceTable(
        images=torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous(),
        setup=group_numbers([key if key in neutral_of else None for key in keys.values()]),
        is_neutral=torch.tensor(list(is_neutral.values())),
        twin=torch.full((len(points),), -1),
        repeats=torch.full((len(points),), repeats),
        corpus=torch.zeros(len(points), dtype=torch.long),
    )


def _template_locator(template: tuple[float, ...]):
    """A locator for face crops: the points are where the template wants them in the largest central square."""

    def locate(crop: np.ndarray) -> list[Face]:
        height, width = crop.shape[:2]
        side = min(width, height)
        corner = np.array([width - side, height - side]) / 2
        eyes_and_mouth = corner + side * np.reshape(template, (4, 2)) - 0.5
        points = np.insert(eyes_and_mouth, 2, eyes_and_mouth.mean(axis=0), axis=0)  # a nose between them
        return [Face((*corner, *(corner + side)), 1.0, points.astype(np.float32))]

    return locate


def joined(tables: list[FaceTable]) -> FaceTable:
    """One table of several; group numbers and indices are kept apart."""
    start, setups = 0, 0
    parts = []
    for corpus, table in enumerate(tables):
        parts.append(
            {
                "images": table.images,
                "setup": torch.where(table.setup >= 0, table.setup + setups, -1),
                "is_neutral": table.is_neutral,
                "twin": torch.where(table.twin >= 0, table.twin + start, -1),
                "repeats": table.repeats,
                "corpus": torch.full_like(table.corpus, corpus),
            }
        )
        start += len(table.images)
        setups += int(table.setup.max()) + 1
    return FaceTable(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})
