"""Named expressions and sliders, fitted to a trained editor's codes with the weights that renders were made by.

The training itself knows no blendshape and no category; only these handles on the finished codes do.
"""

import json
import os
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from torch import Tensor

from leed_hub.data import load_corpus
from leed_hub.evaluation.rows import SEED, crop_batch, drawn_rows
from leed_hub.models.labels import EXPRESSIONS
from leed_hub.pipelines.editor import ExpressionEditor
from leed_hub.pipelines.expressions import Controls

PICTURES = 3000  # of each split
LEAST_R2 = 0.5  # what is read worse than this off persons left out of the fit gets no slider
LEFT_OUT = 0.25  # of the persons
STRONG = 0.8  # intensity of a category's pictures that its preset is the mean of
RIDGES = np.logspace(-2, 4, 13)
SLIDERS = {
    "smile": ("mouthSmile",),
    "mouth open": ("jawOpen",),
    "upper lip up": ("mouthUpperUp",),
    "lip corners down": ("mouthFrown",),
    "pucker": ("mouthPucker",),
    "sneer": ("noseSneer",),
    "cheeks up": ("cheekSquint",),
    "brows up": ("browInnerUp", "browOuterUp"),
    "frown": ("browDown",),
    "eyes wide": ("eyeWide",),
    "squint": ("eyeSquint",),
    "eyes closed": ("eyeBlink",),
}


def fit_controls(editor: ExpressionEditor, data_dir: str | os.PathLike, *, limit: int = PICTURES) -> Controls:
    """Fit on rendered people, posed and in photographs.

    A preset is the mean code of a category's strong pictures. Happiness makes two: the quarter with the mouth closed
    most, and with it open most. A slider's direction is what a linear regression from blendshape weights to codes gives
    to its blendshapes (both sides of the face together, all others held), and its R2 is that of a linear regression the
    other way, on persons left out.

    Args:
        editor: with the weights to fit to; its detector plays no part.
        data_dir: the corpus `rendered_people`.
        limit: pictures of each split, drawn with a fixed seed.
    Raises:
        CorpusError: if the corpus is not laid out as expected.
    """
    names = json.loads((Path(data_dir) / "blendshape_names.json").read_text())
    codes, shapes, persons, labels, intensities = [], [], [], [], []
    for split in ("posed", "photographs"):
        rows = load_corpus("rendered_people", data_dir, split)
        rows = rows.select(drawn_rows(len(rows), limit).tolist())
        for batch in rows.iter(50):
            with editor.inference():
                codes.append(editor.model.encode(crop_batch(editor, batch["image"])).expression_code.float().cpu())
        shapes.append(np.array(rows["blendshapes"][:], np.float32))
        persons += rows["subject"][:]
        labels += rows["label"][:]
        intensities += rows["intensity"][:]
    code, weight = torch.cat(codes).numpy(), np.concatenate(shapes)
    both_sides = np.array([name.removesuffix("_L").removesuffix("_R") for name in names])
    kinds = list(dict.fromkeys(both_sides))
    of_kind = np.stack([weight[:, both_sides == kind].mean(axis=1) for kind in kinds], axis=1)

    people = np.unique(persons)
    left_out = np.random.default_rng(SEED).permutation(people)[: round(LEFT_OUT * len(people))]
    is_test = np.isin(persons, left_out)
    forward = RidgeCV(RIDGES).fit(of_kind, code)
    sliders, r2 = {}, {}
    for name, of_slider in SLIDERS.items():
        columns = [kinds.index(kind) for kind in of_slider]
        wanted = of_kind[:, columns].mean(axis=1)
        backward = RidgeCV(RIDGES).fit(code[~is_test], wanted[~is_test])
        # A shape that no picture wears is foreseen perfectly, and nothing is known of it.
        r2[name] = round(float(backward.score(code[is_test], wanted[is_test])), 3) if wanted[is_test].any() else 0.0
        if r2[name] >= LEAST_R2:
            sliders[name] = torch.from_numpy(forward.coef_[:, columns].sum(axis=1))
    opening = weight[:, names.index("jawOpen")]
    return Controls(
        _presets(code, np.array([-1 if label is None else label for label in labels]), np.array(intensities), opening),
        sliders,
        r2,
        radius=float(np.quantile(np.linalg.norm(code, axis=1), 0.99)),
    )


def _presets(code: np.ndarray, labels: np.ndarray, intensities: np.ndarray, opening: np.ndarray) -> dict[str, Tensor]:
    def mean_of(chosen: np.ndarray) -> Tensor:
        return torch.from_numpy(code[chosen].mean(axis=0))

    strong = intensities >= STRONG
    happy = strong & (labels == EXPRESSIONS.index("happiness"))
    closed, opened = np.quantile(opening[happy], [0.25, 0.75])
    presets = {"smile": mean_of(happy & (opening <= closed)), "laugh": mean_of(happy & (opening >= opened))}
    for number, name in enumerate(EXPRESSIONS):
        if name not in ("neutral", "happiness"):
            presets[name] = mean_of(strong & (labels == number))
    return presets
