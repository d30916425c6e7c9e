"""Face tables for the editor's training, made from corpora: what each recipe of `pairing.py` may know."""

import hashlib
import logging
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import torch
from safetensors.torch import load_file, save_file

from leed_hub.data import corpus_kind, load_corpus
from leed_hub.data.memory import JoinedPictures, cache_folder, decode_images, undecoded, write_once
from leed_hub.data.pairs import UNKNOWN, FaceTable
from leed_hub.errors import BadImageError, CorpusError
from leed_hub.faces.alignment import crop_face, crop_matrix, similarity
from leed_hub.faces.detectors import build_detector
from leed_hub.faces.face import Face
from leed_hub.media.images import load_image

logger = logging.getLogger(__name__)
TABLE_SIZE = 160  # side of all tables' pictures in pixels; the networks' crops are smaller
LANDMARKS = 68
STABLE_POINTS = [0, 1, 2]  # of a detector's five: eyes and nose, which an expression moves least
RENDERED_SPLITS = {"rendered_faces": ("train", "twins"), "rendered_people": ("posed", "photographs")}
LAYOUT = "1"  # of cached tables; another one when what is stored changes


def group_numbers(keys: list) -> torch.Tensor:
    """Equal keys get equal numbers; None gets -1."""
    numbers: dict = {}
    return torch.tensor([UNKNOWN if key is None else numbers.setdefault(key, len(numbers)) for key in keys])


def person_numbers(subjects: list[str | None]) -> torch.Tensor:
    """Equal subjects get equal numbers, in all corpora alike; None gets -1."""
    return torch.tensor([UNKNOWN if subject is None else zlib.crc32(subject.encode()) for subject in subjects])


def cached_table(key: tuple, make: Callable[[], FaceTable]) -> FaceTable:
    """A table from the cache, or made and put there; pictures stay on the disk, mapped into memory.

    Args:
        key: all that the table depends on, as strings and numbers.
        make: called where no such table is in the cache.
    """
    file = cache_folder("tables") / f"{hashlib.sha256(repr((LAYOUT, *key)).encode()).hexdigest()[:24]}.safetensors"

    def write(unfinished: Path) -> None:
        save_file({name: value.contiguous() for name, value in vars(make()).items()}, unfinished)

    write_once(file, write)
    return FaceTable(**load_file(file))


def kept_rows(rows: datasets.Dataset, *, without: tuple[str, ...] = (), only: tuple[str, ...] = ()) -> torch.Tensor:
    """Positions of the pictures without some persons and, if `only` is given, with one of these.

    A picture goes with any person who is in it.
    """
    people = rows["persons"][:] if "persons" in rows.column_names else [[subject] for subject in rows["subject"][:]]
    chosen = [not set(persons) & set(without) and (not only or bool(set(persons) & set(only))) for persons in people]
    return torch.nonzero(torch.tensor(chosen)).squeeze(1)


def rendered_table(
    corpus: str, data_dir: str | None, *, repeats: int | dict[str, int] = 1, without: tuple[str, ...] = (), only=()
) -> FaceTable:
    """Renders: setups with a neutral picture, expressions that several persons wear, landmarks.

    Args:
        corpus: "rendered_faces", "rendered_people", or such a dataset of the Hub.
        data_dir: the corpus' folder; None for the Hub.
        repeats: how often an epoch takes each picture as a target, or {split: number}; twins serve as references only.
        without, only: persons, see `kept_rows`; checkpoints are chosen on those left out.
    """
    parts: list[dict[str, torch.Tensor]] = []
    pictures: list[torch.Tensor | JoinedPictures] = []
    places = []
    for number, split in enumerate(RENDERED_SPLITS[corpus_kind(corpus)]):
        rows = load_corpus(corpus, data_dir, split)
        fingerprint = rows._fingerprint
        table = cached_table((corpus, split, fingerprint), partial(_rendered_split, rows))
        of_split = repeats.get(split, 1) if isinstance(repeats, dict) else repeats
        table.repeats.fill_(0 if split == "twins" else of_split)
        table.corpus.fill_(number)
        kept = kept_rows(rows, without=without, only=only)
        # Pictures are many: they stay where they are.
        parts.append({name: value[kept] for name, value in vars(table).items() if name != "images"})
        places.append(kept + sum(map(len, pictures)))
        pictures.append(table.images)
    # Equal numbers are equal expressions in all splits, and setups have numbers of their own.
    setups = 0
    for part in parts:
        part["setup"][part["setup"] != UNKNOWN] += setups
        setups = max([setups, *(part["setup"] + 1).tolist()])
    columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return FaceTable(images=JoinedPictures(pictures, torch.cat(places)), **columns)


def _rendered_split(rows: datasets.Dataset) -> FaceTable:
    """One split as a table; the numbers of expressions hold for all splits of a corpus."""
    names, files = rows.column_names, rows["file"][:]
    if "expression_id" in names:
        expression = torch.tensor(rows["expression_id"][:])
    else:  # a twin wears the expression of the picture that it names
        worn = [twin_of or file for twin_of, file in zip(rows["twin_of"][:], files, strict=True)]
        expression = torch.tensor([zlib.crc32(file.encode()) for file in worn])
    neutral = torch.tensor([file == of for file, of in zip(files, rows["neutral_file"][:], strict=True)])
    side = rows[0]["image"].width
    points = torch.from_numpy(_points(rows, "landmarks"))
    return FaceTable(
        images=decode_images(rows, TABLE_SIZE),
        setup=group_numbers(list(rows["setup"][:])),
        is_neutral=neutral,
        expression=torch.where(neutral, UNKNOWN, expression),
        person=person_numbers(rows["subject"][:]),
        landmarks=(points + 0.5) / side * 2 - 1,
        repeats=torch.ones(len(rows), dtype=torch.long),
        corpus=torch.zeros(len(rows), dtype=torch.long),
    )


def _points(rows: datasets.Dataset, column: str) -> np.ndarray:
    """(N, L, 2) float32 of a column of lists of points, not made into Python's numbers on the way."""
    values = rows.select_columns([column]).with_format("arrow")[:][column].combine_chunks()
    return values.flatten().flatten().to_numpy().astype(np.float32).reshape(len(rows), -1, 2)


def photograph_table(
    corpus: str,
    data_dir: str | None,
    split: str,
    template: tuple[float, ...],
    detector: str = "yunet",
    *,
    repeats: int = 1,
    without: tuple[str, ...] = (),
    alone: bool = False,
) -> FaceTable:
    """Photographs aligned by a detector; a person's pictures form a setup where one of them is known to be neutral.

    All pictures of a setup are framed as its neutral one, so that only the expression differs between them.

    Args:
        corpus: any name of `CORPORA` with one face a picture.
        data_dir: the corpus' folder.
        split: its split.
        template: where the crop puts eyes and mouth corners.
        detector: how faces are found, see `leed_hub.faces.detectors`; "none" where pictures are face crops.
        repeats: how often an epoch takes each picture as a target.
        without: persons left out.
        alone: no two pictures form a setup and none is known to be neutral: faces in the wild, which differ in more
            than the expression, or any faces whose labels the training shall not know.
    """
    rows = load_corpus(corpus, data_dir, split).filter(lambda person: person not in without, input_columns="subject")
    find = build_detector(detector) or _template_detector(template)
    key = (corpus, split, rows._fingerprint, detector, template, alone)
    table = cached_table(key, lambda: _photographs(corpus, rows, template, find, data_dir, split, alone))
    table.repeats.fill_(repeats)
    return table


def _photographs(corpus, rows, template, find, data_dir, split, alone) -> FaceTable:
    """The pictures of `photograph_table`, found, cut out and framed."""
    yaws = rows["yaw"][:] if "yaw" in rows.column_names else [0] * len(rows)
    names, labels, subjects = rows.features["label"].names, rows["label"][:], rows["subject"][:]
    files = undecoded(rows)

    def photograph(index: int) -> np.ndarray:
        entry = files[index]["image"]
        return np.asarray(load_image(entry["bytes"] or entry["path"]))

    # Twice through the files, so that never more than one photograph is in memory.
    points: dict[int, np.ndarray] = {}  # of the pictures kept, by row
    for index in range(len(rows)):
        try:
            faces = find(photograph(index))
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
        anchor = neutral_of.get(key, index) if key else index
        matrix = crop_matrix(points[anchor], template, TABLE_SIZE)
        if anchor != index:
            onto_neutral = similarity(points[index][STABLE_POINTS], points[anchor][STABLE_POINTS])
            matrix = matrix @ np.vstack([onto_neutral, [0, 0, 1]])
        crops.append(crop_face(photograph(index), matrix, TABLE_SIZE))
    return FaceTable(
        images=torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous(),
        setup=group_numbers([key if key in neutral_of else None for key in keys.values()]),
        is_neutral=torch.tensor(list(is_neutral.values())),
        expression=torch.full((len(points),), UNKNOWN),
        person=person_numbers([subjects[index] for index in points]),
        landmarks=torch.full((len(points), LANDMARKS, 2), torch.nan),
        repeats=torch.ones(len(points), dtype=torch.long),
        corpus=torch.zeros(len(points), dtype=torch.long),
    )


def _template_detector(template: tuple[float, ...]):
    """A detector for face crops: the points are where the template wants them in the largest central square."""

    def find(crop: np.ndarray) -> list[Face]:
        height, width = crop.shape[:2]
        side = min(width, height)
        corner = np.array([width - side, height - side]) / 2
        eyes_and_mouth = corner + side * np.reshape(template, (4, 2)) - 0.5
        points = np.insert(eyes_and_mouth, 2, eyes_and_mouth.mean(axis=0), axis=0)  # a nose between them
        return [Face((*corner, *(corner + side)), 1.0, points.astype(np.float32))]

    return find


def joined(tables: list[FaceTable]) -> FaceTable:
    """One table of several; group numbers are kept apart, and no picture is copied."""
    columns: dict[str, list[torch.Tensor]] = {name: [] for name in vars(tables[0])}
    counts = {"setup": 0, "expression": 0, "corpus": 0}
    for table in tables:
        for name, value in vars(table).items():
            if name in counts:
                columns[name].append(torch.where(value == UNKNOWN, UNKNOWN, value + counts[name]))
                counts[name] += int(value.max()) + 1
            else:
                columns[name].append(value)
    images = JoinedPictures(columns.pop("images"))
    return FaceTable(images=images, **{name: torch.cat(parts) for name, parts in columns.items()})
