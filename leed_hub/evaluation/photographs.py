"""Measure an editor on real photographs: smiles added, smiles removed, and identity kept."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from leed_hub.errors import ConfigError, CorpusError
from leed_hub.evaluation.evaluation import LONDON, CardRows, Detector, Evaluation, London
from leed_hub.evaluation.rows import SEED, corpus_rows
from leed_hub.faces.alignment import crop_face, similarity
from leed_hub.metrics import EditingMetrics, bootstrap_ratio_interval, share_with_interval

HAPPY = "happiness"
ROLES = {  # picture -> how results call it
    "neutral": "sources",
    "smile": "smiles",
    "smile_edit": "edits",
    "neutral_edit": "neutral_edits",
    "neutral_edit_by_reference": "neutral_edits_by_reference",
}
# A face aligned by its eyes alone, since a smile moves the mouth; and what of that frame is face: (x, y, radii).
FRAME_PX = 192
EYES = np.array([[0.36, 0.40], [0.64, 0.40]]) * FRAME_PX - 0.5
OVAL = np.array([0.5, 0.55, 0.24, 0.31]) * FRAME_PX


@dataclass(eq=False)
class Person:
    """A person's two photographs, and the predictions for them and their edits.

    Attributes:
        name: as the corpus writes it.
        is_unseen: whether the rendered faces hold this person out.
        predictions: for each of `ROLES`, (is predicted happy, probability of happy); (False, 0) without a face.
        faces: for some roles, the face aligned in the frame, (FRAME_PX, FRAME_PX, 3) uint8.
    """

    name: str
    is_unseen: bool
    neutral: Image.Image
    smile: Image.Image
    predictions: dict[str, tuple[bool, float]] = field(default_factory=dict)
    faces: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Photographs(Evaluation):
    """Make the London set's neutral faces smile by another person's smile, and its smiling ones neutral.

    A recogniser that was not trained on these persons classifies the edits. Persons whom the rendered faces hold out
    (`unseen`) take their references among themselves, so that no network has seen either; the others may be known to
    an editor from its training. References are a derangement with a fixed seed.

    The editor is called as `editor(source, reference, strength)` with RGB PIL pictures, reference None at strength 0;
    the result has `.image` and, found by a detector, `.faces` with `.points` (5, 2), eyes first. The recogniser (by
    default the bundled one) is called with a PIL picture; it gives predictions, largest face first, with `.label` and
    `.scores`.

    Results: `persons` and `persons_unseen` hold what follows for all persons and for the unseen ones; the single
        numbers are taken from there, those that end in `_unseen` from the latter.
        `sources_happy`, `edits_happy`, `smiles_happy`: shares predicted happy of the neutral photographs, of their
            edits, of the real smiles; `happy_ratio`: the second over the third.
        `neutral_edits_happy`, `neutral_edits_by_reference_happy`: shares of the smiling photographs still predicted
            happy at strength 0, and with another's neutral face as the reference.
        `..._interval` (95 %; shares Wilson, ratios a bootstrap over persons) and `..._probability` (mean probability of
            happy, with a bootstrap interval) of each.
        `identity_kept`: share of smile edits whose inner face, among all persons' real smiles, is most similar to the
            person's own (normalised correlation of pixels); `identity_kept_unedited`: the same of the neutral
            photographs, an upper bound; `identity_chance`; `identity_of_reference`: share most similar to the reference
            person's smile.
        `unchanged_error`: mean |edit - source| (0..255) where the person's real smile and neutral face do not differ,
            within a frame around the face.

    Raises:
        CorpusError: if a group of persons is too small to take references from.
        NoFaceError: if a photograph shows no face.
        ConfigError: if the editor looks for no faces.
    """

    name, kind, finds_faces = "photographs", "editor", True
    card = tuple(
        CardRows(
            (name + suffix,),
            f"{words}, judged by the bundled recogniser; {{n{suffix}}} persons, {known}",
            (LONDON, split),
        )
        for split, suffix, known in (
            ("train+validation", "", "most of them possibly seen in training"),
            ("validation", "_unseen", "in no training split"),
        )
        for name, words in (
            ("sources_happy", "neutral photographs called happy"),
            ("edits_happy", "their edits to another person's smile called happy"),
            ("smiles_happy", "the persons' own smiles called happy"),
            ("happy_ratio", "edits over own smiles"),
            ("neutral_edits_happy", "smiles still called happy at strength 0"),
        )
    )

    data_dir: London
    detector: Detector = "yunet"

    def measure(self, editor: Callable, recognizer: Callable | None = None) -> dict:
        if recognizer is None:
            from leed_hub.pipelines.recognizer import ExpressionRecognizer

            recognizer = ExpressionRecognizer.from_pretrained(detector=self.detector)
        persons = read_persons(self.data_dir)
        references = choose_references(persons)
        for person, reference in self.track(list(zip(persons, references, strict=True)), "Editing"):
            smile_edit = editor(person.neutral, reference.smile, 1.0)
            neutral_edit = editor(person.smile, None, 0.0)
            pictures = {
                "neutral": person.neutral,
                "smile": person.smile,
                "smile_edit": smile_edit.image,
                "neutral_edit": neutral_edit.image,
                "neutral_edit_by_reference": editor(person.smile, reference.neutral, 1.0).image,
            }
            if not (smile_edit.faces and neutral_edit.faces):
                raise ConfigError("Photographs are measured with a detector that finds faces, such as yunet.")
            person.predictions = {role: _predict(recognizer, picture) for role, picture in pictures.items()}
            own, smiling = smile_edit.faces[0].points, neutral_edit.faces[0].points
            person.faces = {
                "neutral": _in_frame(person.neutral, own),
                "smile_edit": _in_frame(smile_edit.image, own),
                "smile": _in_frame(person.smile, smiling),
            }

        groups = {"": list(range(len(persons))), "_unseen": [i for i, p in enumerate(persons) if p.is_unseen]}
        nearest = {role: _nearest_smiles(persons, role) for role in ("neutral", "smile_edit")}
        result: dict[str, Any] = {"corpus": "london"}
        for suffix, chosen in groups.items():
            if chosen:
                numbers = _shares([persons[i].predictions for i in chosen])
                numbers |= _identity(chosen, nearest, persons, references)
                result[f"n{suffix}"] = len(chosen)
                result |= {f"{name}{suffix}": value for name, value in numbers.items() if not isinstance(value, list)}
                result[f"persons{suffix}"] = numbers
        return result


def read_persons(data_dir: Path) -> list[Person]:
    """Everybody whom the London set, in that folder, shows both neutral and smiling, by number."""
    persons = []
    for split in ("train", "validation"):
        rows = corpus_rows("london", data_dir, split)
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
    """Each person's reference: the next in a shuffled cycle of the unseen persons, or of the others.

    Raises:
        CorpusError: if either round is one person alone.
    """
    generator = np.random.default_rng(SEED)
    reference_of: dict[int, int] = {}
    for unseen in (True, False):
        group = [i for i, person in enumerate(persons) if person.is_unseen == unseen]
        if len(group) == 1:
            raise CorpusError("The London set needs two persons or more of those held out and of the others, or none.")
        order = generator.permutation(group).tolist()
        reference_of |= dict(zip(order, order[1:] + order[:1], strict=True))
    return [persons[reference_of[i]] for i in range(len(persons))]


def _predict(recognizer: Callable, picture: Image.Image) -> tuple[bool, float]:
    """Whether the largest face is predicted happy, and with what probability."""
    faces = recognizer(picture)
    return (faces[0].label == HAPPY, float(faces[0].scores[HAPPY])) if faces else (False, 0.0)


def _in_frame(picture: Image.Image, points: np.ndarray) -> np.ndarray:
    """The face aligned by its eyes: (FRAME_PX, FRAME_PX, 3) uint8."""
    return crop_face(np.asarray(picture.convert("RGB")), similarity(points[:2], EYES), FRAME_PX)


def _shares(predictions: list[dict[str, tuple[bool, float]]]) -> dict:
    """Shares predicted happy and mean probabilities for each of `ROLES`, with intervals."""
    ones = np.ones(len(predictions))
    happy: dict[str, np.ndarray] = {}
    numbers: dict[str, Any] = {}
    for role, name in ROLES.items():
        happy[role] = np.array([each[role][0] for each in predictions])
        probability = np.array([each[role][1] for each in predictions])
        numbers |= {
            **share_with_interval(f"{name}_happy", happy[role]),
            f"{name}_happy_probability": float(probability.mean()),
            f"{name}_happy_probability_interval": bootstrap_ratio_interval(probability, ones, seed=SEED),
        }
    smiles = happy["smile"].sum()
    return numbers | {
        "happy_ratio": float(happy["smile_edit"].sum() / smiles) if smiles else None,
        "happy_ratio_interval": bootstrap_ratio_interval(happy["smile_edit"], happy["smile"], seed=SEED),
    }


def _nearest_smiles(persons: list[Person], role: str) -> np.ndarray:
    """(N,), for each person's face in that role the person whose real smile is most similar to it."""
    faces, smiles = (np.stack([_inner_face(person.faces[name]) for person in persons]) for name in (role, "smile"))
    return (faces @ smiles.T).argmax(axis=1)


def _inner_face(face: np.ndarray) -> np.ndarray:
    """The luma within the oval, with mean 0 and length 1: neither hair, clothes nor light may identify the person."""
    y, x = np.mgrid[:FRAME_PX, :FRAME_PX]
    inside = ((x - OVAL[0]) / OVAL[2]) ** 2 + ((y - OVAL[1]) / OVAL[3]) ** 2 < 1
    luma = (face @ np.array([0.299, 0.587, 0.114]))[inside]
    luma -= luma.mean()
    return luma / max(np.linalg.norm(luma), 1e-9)


def _identity(
    chosen: list[int], nearest: dict[str, np.ndarray], persons: list[Person], references: list[Person]
) -> dict:
    """How well the identity is kept, for some of the persons."""
    own, edited, unedited = np.array(chosen), nearest["smile_edit"][chosen], nearest["neutral"][chosen]
    others = np.array([persons.index(references[i]) for i in chosen])
    metrics = EditingMetrics(seed=SEED, similarity=False)
    for i in chosen:
        faces = persons[i].faces
        metrics.update(faces["smile_edit"], faces["neutral"], faces["smile"], yaw_deg=0.0)
    return {
        **share_with_interval("identity_kept", edited == own),
        "identity_kept_unedited": float((unedited == own).mean()),
        "identity_of_reference": float((edited == others).mean()),
        "identity_chance": 1 / len(persons),
        "unchanged_error": metrics.compute()["unchanged_error"],
    }
