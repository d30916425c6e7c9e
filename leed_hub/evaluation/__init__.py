"""Measure a finished editor or recogniser: what `leed-hub evaluate` prints and writes.

    numbers = Editing(data="pairs_validation").run(ExpressionEditor.from_pretrained(detector="none"))

A pipeline is called as a user would call it, so any other editor or recogniser that answers the same calls can be
measured beside ours. Only what lies inside an editor (its codes, the steps between two strengths) is read from its
network: it has `device` and `model`, whose `config.image_size` is the side of a crop, and whose `encode` and `decode`
take batches (B, 3, S, S) in [-1, 1].
"""

import importlib
from typing import Any

from leed_hub.evaluation.evaluation import Evaluation

# Command -> its help. Module and class, imported at first use, have its name: non-faces is `non_faces.NonFaces`.
EVALUATIONS = {
    "editing": "Compare edits with their exact targets.",
    "recognition": "Compare predictions with a corpus' labels, and probe the non-expression code for the expression.",
    "calibration": "Fit the temperature that calibrates a recogniser's scores.",
    "robustness": "Measure a recogniser's accuracy on compressed, blurred, rotated, small and dark crops.",
    "fairness": "Compare the accuracy on neutral faces and smiles by gender, age and ethnicity.",
    "non-faces": "Compare a recogniser's confidence on pictures without faces and on face crops, and count faces found "
    "there.",
    "disentanglement": "Probe an editor's codes: the expression code for the person, the neutral point for the "
    "expression.",
    "damage": "Count the edits that destroy a face, on a corpus' pictures and on made-up inputs.",
    "domains": "Test whether photographs and renders share one expression code.",
    "strength": "Remove, scale and mix expressions, and test whether the face follows evenly.",
    "photographs": "Make photographs smile and smiles neutral, classified by the bundled recogniser.",
    "transfer": "Test whether edits of any photographs follow their references, by networks that are not ours.",
}
_HOMES = {name.title().replace("-", ""): name.replace("-", "_") for name in EVALUATIONS} | {
    "FaceIdentity": "dlib_networks",
    "record_in_card": "card",
    "save_temperature": "calibration",
    "write_json": "card",
}


def evaluation_class(name: str) -> type[Evaluation]:
    """The measurement of a command of `leed-hub evaluate`, such as "non-faces"."""
    return __getattr__(name.title().replace("-", ""))


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


__all__ = ["EVALUATIONS", "Evaluation", "evaluation_class", *_HOMES]
