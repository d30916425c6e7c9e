"""Measure an editor on photographs in the wild: whether edits follow their references, and what they damage.

There is no exact target, so independent networks measure: a landmark mesh how far faces move, a recognition network
who they are.
"""

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import Image

from leed_hub.errors import ConfigError, CorpusError, NoFaceError
from leed_hub.evaluation.corruptions import jpeg
from leed_hub.evaluation.dlib_networks import FaceIdentity, FacePoints
from leed_hub.evaluation.evaluation import CardRows, Detector, Evaluation, leaving_out
from leed_hub.evaluation.rows import SEED
from leed_hub.faces.face_mesh import FaceMesh
from leed_hub.media.images import ENDINGS, load_image
from leed_hub.metrics import bootstrap_ratio_interval
from leed_hub.metrics.destruction import LIMITS, destruction_signs
from leed_hub.metrics.face_geometry import FEATURES, face_box, face_features, features_of_68
from leed_hub.metrics.following import following_scores
from leed_hub.metrics.sharpness import FACE_PX, REGIONS, cut_box, face_sharpness

LONG_SIDE = 1024  # larger photographs are reduced to it first, for the time
OWN_NEUTRAL, NEUTRAL = "_n", "neutral"  # how the names of neutral pictures end and begin
NOISE_QUALITY = 75
NOSE = 4  # of the mesh
# Of all features of a picture, those by the mesh and those by the second judge.
OF_MESH, OF_POINTS = slice(0, len(FEATURES)), slice(len(FEATURES), None)
NO_MESH = "the mesh finds no face."

Mesh = Callable[[np.ndarray], np.ndarray | None]
Identity = Callable[[np.ndarray, np.ndarray], np.ndarray]
Points = Callable[[np.ndarray, np.ndarray], np.ndarray]
Judges = tuple[Mesh, Points | None]


@dataclass
class _Reference:
    """A reference, its features (F,), those of its person's neutral picture, and whether it is neutral itself."""

    name: str
    picture: Image.Image
    features: np.ndarray
    own_neutral: np.ndarray | None
    is_neutral: bool


@dataclass(frozen=True, kw_only=True)
class Transfer(Evaluation):
    """Give every source the expression of every reference, and compare the landmarks' movements.

    Asked is a reference's movement: its features (`metrics.face_geometry`) minus those of its own person's neutral
    picture where there is one, else minus the mean of all the references' neutral pictures, or of all neutralised
    sources where there is none. Made is the edit's movement from the source made neutral by the editor.

    `NAME_n.jpg` is the neutral picture of the person in `NAME.jpg` and no reference, and a file whose name begins with
    `neutral` is a neutral reference; of several faces in a source the largest counts. The editor is called as
    `editor(source, reference)` and `editor(source, None, 0.0)` with RGB PIL pictures; the result has `.image`, a PIL
    picture of the source's size, and, where a face was found, `.faces` with `.box`, the edited one first. `run` also
    takes a mesh: a picture (H, W, 3) uint8 RGB -> the largest face's landmarks (468, 3), or None; by default a
    `FaceMesh`. And an identity: a picture and its landmarks -> a descriptor of length 1; and points, a second judge of
    movements: a picture and its landmarks -> 68 points (68, 2). By default, without a mesh of your own, `FaceIdentity`
    and `FacePoints` if dlib is installed. The second judge matters where the editor was trained with the mesh.

    Results: of the references that are not neutral, means over `FEATURES`, and `..._FEATURE` of each:
            `correlation`, `slope`: of made with asked, over all pairs (`metrics.following`); `correlation_shuffled`,
                `slope_shuffled`: the control, asked by another reference; all with `..._interval`, a bootstrap over
                sources.
            `motion_asked`, `motion_made`: mean size, as shares of the distance between the eyes.
            `correlation_points`, `slope_points` and their controls: the same by the second judge. None without one.
        Of neutral references:
            `motion_by_neutral_references`: mean size of what they make; `landmark_noise`: the same of recompressing or
                moving the source by a pixel, what the mesh cannot see.
        Of all references, over edits or sources:
            `spread`: mean difference (0..255, in the face's box) between a source's edits by different references;
            `distance_to_source`: of the edits from the source.
            `broken_share`: edits in which the face is not found any more (`lost_share`) or visibly destroyed
                (`destroyed_share`, by `metrics.destruction`).
            `sharpness_mouth`, `sharpness_eyes`: median ratio of the edit's sharpness to the source's, and
                `..._of_medians`, the ratio of both medians.
            `identity_distance`: mean cosine distance of edits from their sources; `identity_distance_others`: of
                sources from each other, which must be far more; `identity_distance_itself`: of sources from themselves,
                recompressed. None without an identity.
        `n_sources`, `n_references`, `n_neutral_references`, `n_own_neutral` (references with their person's neutral
            picture), `n_edits`, `n_pairs` (edits by references that are not neutral, whose landmarks were found),
            `n_sources_skipped`, `n_references_skipped` (unreadable, or mesh and editor find no face or not the same).
        `neutral_of_others`: what replaced missing neutral pictures. `features`, `signs`, `by_reference`: details.

    Raises:
        CorpusError: if a folder is missing, or has no usable picture, or all references are neutral.
        ConfigError: if the default mesh is not installed.
    """

    name, kind, finds_faces = "transfer", "editor", True
    card = tuple(
        CardRows(
            names,
            f"{words}; {{n_sources}} sources, {{n_references}} references",
            ("Photographs in the wild", "chosen by whoever measured"),
        )
        for names, words in (
            (
                ("correlation", "correlation_shuffled", "slope", "slope_shuffled"),
                "five movements of MediaPipe's face mesh, asked by the reference and made; shuffled: asked by another "
                "one",
            ),
            (
                ("correlation_points", "correlation_points_shuffled", "slope_points", "slope_points_shuffled"),
                "the same five movements by dlib's 68 points, which no training of ours has seen",
            ),
            (
                ("motion_by_neutral_references", "landmark_noise"),
                "mean movement, shares of the distance between the eyes",
            ),
            (
                ("spread", "distance_to_source"),
                "mean difference in the face, of 255, between edits and from the source",
            ),
            (("broken_share",), "share of edits whose face is not found any more, or destroyed"),
            (("sharpness_mouth", "sharpness_eyes"), "median ratio to the source's variance of the Laplacian"),
            (
                ("identity_distance", "identity_distance_others"),
                "mean cosine distance by dlib's recognition network, of edits from sources and of sources from each "
                "other",
            ),
        )
    )

    sources: Annotated[Path, "Folder of photographs to edit."]
    references: Annotated[
        Path, "Folder of expressions; NAME_n.jpg is the neutral face of NAME.jpg, neutral*.jpg a reference."
    ]
    detector: Detector = "yunet"

    def load(self) -> Any:
        default_networks()  # before any long work, what is missing is said
        return super().load()

    def measure(
        self, editor: Callable, mesh: Mesh | None = None, identity: Identity | None = None, points: Points | None = None
    ) -> dict:
        if mesh is None:
            mesh, identity, points = default_networks()
        judges = (mesh, points)
        references, n_references_skipped = _read_references(editor, Path(self.references), judges)
        expressive = [i for i, reference in enumerate(references) if not reference.is_neutral]
        if not expressive:
            raise CorpusError(f"{self.references} has no picture of an expression in which a face is found.")
        paths = _picture_files(Path(self.sources))
        measured = []
        for path in self.track(paths, "Editing"):
            with leaving_out(path.name):
                measured.append(_measure(editor, path, references, judges, identity))
        if not measured:
            raise CorpusError(f"{self.sources} has no picture in which mesh and editor find the same face.")

        seen = {name: np.stack([one[name] for one in measured]) for name in measured[0]}
        made = seen["edits"] - seen["neutralised"][:, None]  # (N, R, F)
        asked, baseline = _asked(references, seen["neutralised"])
        following, following_points = (
            following_scores(asked[expressive][:, part], made[:, expressive][..., part], names, seed=SEED)
            for part, names in ((OF_MESH, FEATURES), (OF_POINTS, FEATURES if points else ()))
        )
        features, features_of_points = following.pop("features"), following_points.pop("features")
        made, asked = made[..., OF_MESH], asked[:, OF_MESH]
        neutral = [i for i, reference in enumerate(references) if reference.is_neutral]
        return {
            "n_sources": len(measured),
            "n_sources_skipped": len(paths) - len(measured),
            "n_references": len(expressive),
            "n_neutral_references": len(neutral),
            "n_references_skipped": n_references_skipped,
            "n_own_neutral": sum(references[i].own_neutral is not None for i in expressive),
            "n_edits": len(measured) * len(references),
            "neutral_of_others": baseline,
            **following,
            **{f"{kind}_{name}": features[name][kind] for kind in ("correlation", "slope") for name in FEATURES},
            **{
                f"{kind}_points{rest}": following_points[kind + rest]
                for kind in ("correlation", "slope")
                for rest in ("", "_interval", "_shuffled", "_shuffled_interval")
            },
            "motion_asked": _mean(np.abs(asked[expressive])),
            "motion_made": _mean(np.abs(made[:, expressive])),
            "motion_by_neutral_references": _mean(np.abs(made[:, neutral])),
            "landmark_noise": _mean(seen["noise"]),
            "spread": _mean(seen["spread"]),
            "distance_to_source": _mean(seen["distances"]),
            **_breakage(np.isnan(seen["edits"]).any(axis=2), seen["signs"]),
            **_sharpness(seen["sharpness"]),
            **_identity(seen.get("descriptors")),
            "features": features,
            "features_of_points": features_of_points,
            "by_reference": {
                reference.name: {
                    "is_neutral": reference.is_neutral,
                    "has_own_neutral": reference.own_neutral is not None,
                    "asked": dict(zip(FEATURES, asked[i].tolist(), strict=True)),
                    "made": {name: _mean(made[:, i, k]) for k, name in enumerate(FEATURES)},
                }
                for i, reference in enumerate(references)
            },
        }


@functools.cache
def default_networks() -> tuple[Mesh, Identity | None, Points | None]:
    """MediaPipe's mesh and, where dlib is installed, its recognition network and points; a warning where it is not.

    Raises:
        ConfigError: if there is no mesh.
    """
    mesh = FaceMesh()
    try:
        return mesh, FaceIdentity(), FacePoints()
    except ConfigError as error:
        warnings.warn(f"identity is not measured. {error}", stacklevel=2)
        return mesh, None, None


def _picture_files(folder: Path) -> list[Path]:
    """The folder's pictures, by name."""
    if not folder.is_dir():
        raise CorpusError(f"{folder} is no folder: give one with photographs ({', '.join(ENDINGS)}).")
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS and path.is_file())


def _read_picture(path: Path) -> Image.Image:
    """An RGB picture of at most `LONG_SIDE`."""
    picture = load_image(path)
    picture.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
    return picture


def _features(judges: Judges, picture: Image.Image | np.ndarray) -> np.ndarray:
    """The face's features (F,), by the mesh and by the points if there are any; NaN where the mesh finds no face."""
    mesh, points = judges
    pixels = np.asarray(picture)
    landmarks = mesh(pixels)
    if landmarks is None:
        return np.full((1 + (points is not None)) * len(FEATURES), np.nan)
    features = [face_features(landmarks)]
    if points is not None:
        features.append(features_of_68(points(pixels, landmarks)))
    return np.concatenate(features)


def _read_references(editor: Callable, folder: Path, judges: Judges) -> tuple[list[_Reference], int]:
    """The references in which mesh and editor find a face, and how many are left out."""
    paths = _picture_files(folder)
    neutrals = {path.stem: path for path in paths if path.stem.endswith(OWN_NEUTRAL)}
    paths = [path for path in paths if path.stem not in neutrals]
    references = []
    for path in paths:
        with leaving_out(path.name):
            picture = _read_picture(path)
            features = _features(judges, picture)
            if np.isnan(features).any():
                raise NoFaceError(NO_MESH)
            editor(picture, None, 0.0)  # asks only whether it finds a face
            own = neutrals.get(path.stem + OWN_NEUTRAL)
            own_features = None if own is None else _features(judges, _read_picture(own))
            if own_features is not None and np.isnan(own_features).any():
                own_features = None
            is_neutral = path.stem.lower().startswith(NEUTRAL)
            references.append(_Reference(path.stem, picture, features, own_features, is_neutral))
    return references, len(paths) - len(references)


def _measure(
    editor: Callable, path: Path, references: list[_Reference], judges: Judges, identity: Identity | None
) -> dict[str, np.ndarray]:
    """What is measured of a source and its edits, one for each of R references; NaN for what cannot be.

    Returns:
        dict: `neutralised` (F,): features of the source made neutral; `edits` (R, F): those of the edits; `noise`
            (2, 5): how much the source's change when it is recompressed, and moved by a pixel; `distances` (R,): mean
            |edit - source| in the face's box, 0..255; `spread` (): mean |edit - another edit| there, over all pairs;
            `signs` (R, S): of destruction, in the order of `LIMITS`; `sharpness` (regions, R + 1): of the edits, then
            of the source; with an identity `descriptors` (R + 2, D): of the source, it recompressed, and the edits.
    Raises:
        BadImageError, NoFaceError: if it cannot be read, or mesh and editor do not find the same face in it.
    """
    source = _read_picture(path)
    pixels = np.asarray(source)
    landmarks = judges[0](pixels)
    if landmarks is None:
        raise NoFaceError(NO_MESH)
    neutralised = editor(source, None, 0.0)
    faces = getattr(neutralised, "faces", ())
    if faces:
        x, y = landmarks[NOSE, :2]
        x0, y0, x1, y1 = faces[0].box
        if not (x0 <= x <= x1 and y0 <= y <= y1):
            raise NoFaceError("mesh and editor do not find the same face.")

    recompressed = np.asarray(jpeg(source, NOISE_QUALITY))
    edits = [np.asarray(editor(source, reference.picture).image.convert("RGB")) for reference in references]
    box = face_box(landmarks)
    scale = min(1.0, FACE_PX / max(box[3] - box[1], 1.0))
    before, *crops = (cut_box(picture, box, scale) for picture in (pixels, *edits))
    pairs = [_difference(one, other) for one, other in combinations(crops, 2)]
    signs = [destruction_signs(crop, before) for crop in crops]
    sharpness = [face_sharpness(picture, landmarks) for picture in (*edits, pixels)]
    moved = np.roll(pixels, 1, axis=(0, 1))
    measured = {
        "neutralised": _features(judges, neutralised.image.convert("RGB")),
        "edits": np.stack([_features(judges, edit) for edit in edits]),
        "noise": np.abs([_features(judges, one)[OF_MESH] - face_features(landmarks) for one in (recompressed, moved)]),
        "distances": np.array([_difference(crop, before) for crop in crops]),
        "spread": np.array(np.mean(pairs) if pairs else np.nan),
        "signs": np.array([[one[name] for name in LIMITS] for one in signs]),
        "sharpness": np.array([[one[region] for one in sharpness] for region in REGIONS]),
    }
    if identity is not None:
        measured["descriptors"] = np.stack([identity(one, landmarks) for one in (pixels, recompressed, *edits)])
    return measured


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())


def _mean(values: np.ndarray) -> float | None:
    """The mean of what could be measured."""
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else None


def _asked(references: list[_Reference], neutralised: np.ndarray) -> tuple[np.ndarray, str]:
    """What each reference asks for, (R, F), and what replaces the neutral face of those without their own."""
    known: list[Any] = [one.own_neutral for one in references if one.own_neutral is not None]
    known += [one.features for one in references if one.is_neutral]
    baseline = f"mean of {len(known)} neutral pictures of references" if known else "mean of the neutralised sources"
    mean: Any = np.mean(known, axis=0) if known else np.nanmean(neutralised, axis=0)
    neutrals = [mean if one.own_neutral is None else one.own_neutral for one in references]
    return np.stack([one.features for one in references]) - np.stack(neutrals), baseline


def _breakage(lost: np.ndarray, signs: np.ndarray) -> dict:
    """Shares of edits in which the face is lost, (N, R), or destroyed, by signs (N, R, S)."""
    over = signs > np.array(list(LIMITS.values()))
    broken = lost | over.any(axis=2)
    return {
        "broken_share": float(broken.mean()),
        "broken_share_interval": bootstrap_ratio_interval(broken.sum(axis=1), np.full(*broken.shape), seed=SEED),
        "lost_share": float(lost.mean()),
        "destroyed_share": float(over.any(axis=2).mean()),
        "signs": {
            name: {
                "share_over_limit": float(over[..., k].mean()),
                "largest": float(signs[..., k].max()),
                "limit": limit,
            }
            for k, (name, limit) in enumerate(LIMITS.items())
        },
    }


def _sharpness(measured: np.ndarray) -> dict:
    """The edits' sharpness beside the sources', (N, regions, R + 1), where the source has any."""
    numbers: dict[str, float | None] = {}
    for k, region in enumerate(REGIONS):
        values = measured[measured[:, k, -1] > 0, k]
        edits, sources = values[:, :-1], values[:, -1:]
        numbers[f"sharpness_{region}"] = float(np.median(edits / sources)) if len(values) else None
        numbers[f"sharpness_{region}_of_medians"] = (
            float(np.median(edits) / np.median(sources)) if len(values) else None
        )
    return numbers


def _identity(descriptors: np.ndarray | None) -> dict:
    """How far the edits are from their sources, and both ends of that scale; descriptors (N, R + 2, D)."""
    if descriptors is None:
        return dict.fromkeys(("identity_distance", "identity_distance_others", "identity_distance_itself"))
    own = descriptors[:, :1]
    distances = 1 - (descriptors[:, 1:] * own).sum(axis=2)  # (N, R + 1)
    others = 1 - (own[:, 0] @ own[:, 0].T)[~np.eye(len(own), dtype=bool)]
    per_source = distances[:, 1:].mean(axis=1)
    return {
        "identity_distance": float(per_source.mean()),
        "identity_distance_interval": bootstrap_ratio_interval(per_source, np.ones(len(own)), seed=SEED),
        "identity_distance_others": _mean(others),
        "identity_distance_itself": float(distances[:, 0].mean()),
    }
