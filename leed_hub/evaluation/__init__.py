"""Measure a finished editor or recogniser: what `leed-hub evaluate` prints and writes.

    numbers = Editing(data="pairs_validation").run(ExpressionEditor.from_pretrained(detector="none"))

A pipeline is called as a user would call it, so any other editor or recogniser that answers the same calls can be
measured beside ours. Only what lies inside an editor (its codes, the steps between two strengths) is read from its
network, by `editor.model.encode` and `decode`.
"""

import importlib
from typing import Any

from leed_hub.evaluation.evaluation import Evaluation

# Command -> class, imported at first use, and the command's help.
EVALUATIONS = {
    "editing": ("editing:Editing", "Compare edits with their exact targets."),
    "recognition": (
        "recognition:Recognition",
        "Compare predictions with a corpus' labels, and probe the non-expression code for the expression.",
    ),
    "calibration": ("calibration:Calibration", "Fit the temperature that calibrates a recogniser's scores."),
    "robustness": (
        "robustness:Robustness",
        "Measure a recogniser's accuracy on compressed, blurred, rotated, small and dark crops.",
    ),
    "fairness": (
        "fairness:Fairness",
        "Compare the accuracy on neutral faces and smiles by gender, age and ethnicity.",
    ),
    "non-faces": (
        "non_faces:NonFaces",
        "Compare a recogniser's confidence on pictures without faces and on face crops, and count faces found there.",
    ),
    "disentanglement": (
        "disentanglement:Disentanglement",
        "Probe an editor's codes: the expression code for the person, the neutral point for the expression.",
    ),
    "damage": ("damage:Damage", "Count the edits that destroy a face, on a corpus' pictures and on made-up inputs."),
    "domains": ("domains:Domains", "Test whether photographs and renders share one expression code."),
    "strength": (
        "strength:Strength",
        "Remove, scale and mix expressions, and test whether the face follows evenly.",
    ),
    "photographs": (
        "photographs:Photographs",
        "Make photographs smile and smiles neutral, classified by the bundled recogniser.",
    ),
    "transfer": (
        "transfer:Transfer",
        "Test whether edits of any photographs follow their references, by networks that are not ours.",
    ),
}
_HOMES = {target.split(":")[1]: target.split(":")[0] for target, _ in EVALUATIONS.values()} | {
    "FaceIdentity": "face_identity",
    "FaceMesh": "face_mesh",
    "record_in_card": "card",
    "save_temperature": "calibration",
    "write_json": "card",
}


def evaluation_class(name: str) -> type[Evaluation]:
    """The measurement of a command of `leed-hub evaluate`, such as "non-faces"."""
    return __getattr__(EVALUATIONS[name][0].split(":")[1])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


__all__ = ["EVALUATIONS", "Evaluation", "evaluation_class", *_HOMES]
