"""Measure an editor on real photographs: does a smile arrive, does it go away, and does the person stay the same?"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from rich.progress import track

from leed_hub.errors import ConfigError, CorpusError
from leed_hub.evaluation.rows import SEED
from leed_hub.metrics import EditingMetrics, bootstrap_ratio_interval, wilson_interval
from leed_hub.transforms import crop_face, similarity

HAPPY = "happiness"
ROLES = ("neutral", "smile", "smile_edit", "neutral_edit", "neutral_edit_by_reference")
# A face laid by its eyes alone, since a smile moves the mouth; and what of that frame is face: (x, y, radii).
FRAME_PX = 192
EYES = np.array([[0.36, 0.40], [0.64, 0.40]]) * FRAME_PX - 0.5
OVAL = np.array([0.5, 0.55, 0.24, 0.31]) * FRAME_PX


@dataclass
class Person:
    """A person's two photographs, and what was read of them and their edits.

    Attributes:
        name: as the corpus writes it.
        is_unseen: whether the rendered faces hold this person out.
        readings: for each of `ROLES`, (called happy, probability of happy); no face found counts as (False, 0).
        faces: for some roles, the face laid into the frame, (FRAME_PX, FRAME_PX, 3) uint8.
    """

    name: str
    is_unseen: bool
    neutral: Image.Image
    smile: Image.Image
    readings: dict[str, tuple[bool, float]] = field(default_factory=dict)
    faces: dict[str, np.ndarray] = field(default_factory=dict)


def evaluate_photographs(
    editor: Callable, recognizer: Callable, data_dir: str | os.PathLike, *, progress: bool = False
) -> dict:
    """Make the London set's neutral faces smile by another person's smile, and its smiling ones neutral.

    A recogniser that has seen none of these persons judges. Persons whom the rendered faces hold out (`unseen`) take
    their references among themselves, so that no network has seen either; the others may be known to an editor from
    its training. References are a derangement with a fixed seed.

    Args:
        editor: called as `editor(source, reference, strength)` with RGB PIL pictures, reference None at strength 0; the
            result has `.image` and, found by a locator, `.faces` with `.points` (5, 2), eyes first.
        recognizer: called with a PIL picture; gives readings, largest face first, with `.label` and `.scores`.
        data_dir (str | os.PathLike): folder of the London set.
        progress (bool): show a progress bar.
    Returns:
        dict: `persons` and `persons_unseen` hold what follows for all persons and for the unseen ones; the single
            numbers are taken from there, those that end in `_unseen` from the latter.
            `sources_happy`, `edits_happy`, `smiles_happy`: shares called happy of the neutral photographs, of their
                edits, of the real smiles; `happy_ratio`: the second over the third.
            `neutral_edits_happy`, `neutral_edits_by_reference_happy`: shares of the smiling photographs still called
                happy at strength 0, and with another's neutral face as the reference.
            `..._interval` (95 %; shares Wilson, ratios a bootstrap over persons) and `..._probability` (mean
                probability of happy, with a bootstrap interval) of each.
            `identity_kept`: share of smile edits whose inner face, among all persons' real smiles, is likest to the
                person's own (normalised correlation of pixels); `identity_kept_unedited`: the same of the neutral
                photographs, the most that can be hoped for; `identity_chance`; `identity_of_reference`: share likest
                to the reference person's smile.
            `unchanged_error`: mean |edit - source| (0..255) where the person's real smile and neutral face do not
                differ, within a frame around the face.
    Raises:
        CorpusError: if the corpus is not laid out as expected, or a group of persons is too small to lend smiles.
        NoFaceError: if a photograph shows no face.
        ConfigError: if the editor looks for no faces.
    """
    persons = read_persons(data_dir)
    references = choose_references(persons)
    unchanged = {}
    for person, reference in track(
        list(zip(persons, references, strict=True)), description="Editing", disable=not progress
    ):
        smile_edit = editor(person.neutral, reference.smile, 1.0)
        neutral_edit = editor(person.smile, None, 0.0)
        edits = {
            "neutral": person.neutral,
            "smile": person.smile,
            "smile_edit": smile_edit.image,
            "neutral_edit": neutral_edit.image,
            "neutral_edit_by_reference": editor(person.smile, reference.neutral, 1.0).image,
        }
        if not (smile_edit.faces and neutral_edit.faces):
            raise ConfigError("Photographs are measured with an aligner that finds faces, such as yunet.")
        person.readings = {role: _read(recognizer, picture) for role, picture in edits.items()}
        own, smiling = smile_edit.faces[0].points, neutral_edit.faces[0].points
        person.faces = {
            "neutral": _in_frame(person.neutral, own),
            "smile_edit": _in_frame(smile_edit.image, own),
            "smile": _in_frame(person.smile, smiling),
        }
        unchanged[person.name] = (person.faces["smile_edit"], person.faces["neutral"], person.faces["smile"])

    groups = {"": range(len(persons)), "_unseen": [i for i, p in enumerate(persons) if p.is_unseen]}
    likest = {role: _likest_smiles(persons, role) for role in ("neutral", "smile_edit")}
    result = {"measured": "photographs", "corpus": "london"}
    for suffix, chosen in groups.items():
        if chosen:
            numbers = _shares([persons[i].readings for i in chosen])
            numbers |= _identity(chosen, likest, persons, references, unchanged)
            result[f"n{suffix}"] = len(chosen)
            result |= {f"{name}{suffix}": value for name, value in numbers.items() if not isinstance(value, list)}
            result[f"persons{suffix}"] = numbers
    return result


def read_persons(data_dir: str | os.PathLike) -> list[Person]:
    """Everybody whom the London set shows both neutral and smiling, by number.

    Args:
        data_dir (str | os.PathLike): its folder.
    Raises:
        CorpusError: if it is not laid out as expected.
    """
    from leed_hub.data import load_corpus  # here, for `datasets` is slow to import and editing needs none of it

    persons = []
    for split in ("train", "validation"):
        rows = load_corpus("london", data_dir, split)
        names = rows.features["label"].names
        pictures: dict[str, dict[str, Image.Image]] = {}
        for row in rows.select_columns(["image", "label", "subject"]):
            pictures.setdefault(row["subject"], {})[names[row["label"]]] = row["image"].convert("RGB")
        persons += [
            Person(name, split == "validation", both["neutral"], both[HAPPY])
            for name, both in pictures.items()
            if len(both) == 2
        ]
    return sorted(persons, key=lambda person: person.name)


def choose_references(persons: list[Person]) -> list[Person]:
    """Who lends each person expressions: the next in a shuffled round of the unseen ones, or of the others.

    Raises:
        CorpusError: if either round is one person alone.
    """
    generator = np.random.default_rng(SEED)
    lender = {}
    for unseen in (True, False):
        group = [i for i, person in enumerate(persons) if person.is_unseen == unseen]
        if len(group) == 1:
            raise CorpusError("The London set needs two persons or more of those held out and of the others, or none.")
        order = generator.permutation(group).tolist()
        lender |= dict(zip(order, order[1:] + order[:1], strict=True))
    return [persons[lender[i]] for i in range(len(persons))]


def _read(recognizer: Callable, picture: Image.Image) -> tuple[bool, float]:
    """Is the largest face called happy, and with what probability."""
    readings = recognizer(picture)
    return (readings[0].label == HAPPY, float(readings[0].scores[HAPPY])) if readings else (False, 0.0)


def _in_frame(picture: Image.Image, points: np.ndarray) -> np.ndarray:
    """The face laid by its eyes: (FRAME_PX, FRAME_PX, 3) uint8."""
    return crop_face(np.asarray(picture.convert("RGB")), similarity(points[:2], EYES), FRAME_PX)


def _shares(readings: list[dict[str, tuple[bool, float]]]) -> dict:
    """Shares called happy and mean probabilities for each of `ROLES`, with intervals."""
    names = dict(
        zip(
            ROLES,
            ("sources", "smiles", "edits", "neutral_edits", "neutral_edits_by_reference"),
            strict=True,
        )
    )
    happy = {role: np.array([reading[role][0] for reading in readings]) for role in ROLES}
    probability = {role: np.array([reading[role][1] for reading in readings]) for role in ROLES}
    ones = np.ones(len(readings))
    numbers = {}
    for role, name in names.items():
        numbers |= {
            f"{name}_happy": float(happy[role].mean()),
            f"{name}_happy_interval": wilson_interval(int(happy[role].sum()), len(readings)),
            f"{name}_happy_probability": float(probability[role].mean()),
            f"{name}_happy_probability_interval": bootstrap_ratio_interval(probability[role], ones, seed=SEED),
        }
    smiles = happy["smile"].sum()
    return numbers | {
        "happy_ratio": float(happy["smile_edit"].sum() / smiles) if smiles else None,
        "happy_ratio_interval": bootstrap_ratio_interval(happy["smile_edit"], happy["smile"], seed=SEED),
    }


def _likest_smiles(persons: list[Person], role: str) -> np.ndarray:
    """(N,), for each person's face in that role the person whose real smile is likest to it."""
    faces, smiles = (np.stack([_inner_face(person.faces[name]) for person in persons]) for name in (role, "smile"))
    return (faces @ smiles.T).argmax(axis=1)


def _inner_face(face: np.ndarray) -> np.ndarray:
    """The luma within the oval, with mean 0 and length 1: neither hair nor clothes nor light may tell who it is."""
    y, x = np.mgrid[:FRAME_PX, :FRAME_PX]
    inside = ((x - OVAL[0]) / OVAL[2]) ** 2 + ((y - OVAL[1]) / OVAL[3]) ** 2 < 1
    luma = (face @ np.array([0.299, 0.587, 0.114]))[inside]
    luma -= luma.mean()
    return luma / max(np.linalg.norm(luma), 1e-9)


def _identity(chosen, likest: dict, persons: list[Person], references: list[Person], unchanged: dict) -> dict:
    """What of the person is kept, for some of the persons."""
    own, edited, unedited = np.asarray(chosen), likest["smile_edit"][list(chosen)], likest["neutral"][list(chosen)]
    lenders = np.array([persons.index(references[i]) for i in chosen])
    metrics = EditingMetrics(seed=SEED)
    for i in chosen:
        metrics.update(*unchanged[persons[i].name], yaw_deg=0.0)
    return {
        "identity_kept": float((edited == own).mean()),
        "identity_kept_interval": wilson_interval(int((edited == own).sum()), len(own)),
        "identity_kept_unedited": float((unedited == own).mean()),
        "identity_of_reference": float((edited == lenders).mean()),
        "identity_chance": 1 / len(persons),
        "unchanged_error": metrics.compute()["unchanged_error"],
    }
