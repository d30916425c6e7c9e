"""Measure a finished editor or recogniser on a corpus: what `leed-hub evaluate` prints and writes.

Whoever is measured is called as a user would call it, pictures in and pictures or logits out, so any other editor or
recogniser that answers the same call can be measured beside ours. Only what lies inside an editor (its codes, the way
between two strengths) is read from its network, by `editor.model.encode` and `decode`.

Each result is a dict for `json`: the numbers worth printing on its first level, the rest below, and `measured`, which
says what it is.
"""

from leed_hub.evaluation.calibration import evaluate_calibration, save_temperature
from leed_hub.evaluation.card import record_in_card
from leed_hub.evaluation.damage import evaluate_damage
from leed_hub.evaluation.disentanglement import evaluate_disentanglement
from leed_hub.evaluation.domains import evaluate_domains
from leed_hub.evaluation.editing import evaluate_editing
from leed_hub.evaluation.face_identity import FaceIdentity
from leed_hub.evaluation.face_mesh import FaceMesh
from leed_hub.evaluation.fairness import evaluate_fairness
from leed_hub.evaluation.files import write_json
from leed_hub.evaluation.non_faces import evaluate_non_faces
from leed_hub.evaluation.photographs import evaluate_photographs
from leed_hub.evaluation.recognition import evaluate_recognition
from leed_hub.evaluation.robustness import evaluate_robustness
from leed_hub.evaluation.strength import evaluate_strength
from leed_hub.evaluation.transfer import evaluate_transfer

__all__ = [
    "FaceIdentity",
    "FaceMesh",
    "evaluate_calibration",
    "evaluate_damage",
    "evaluate_disentanglement",
    "evaluate_domains",
    "evaluate_editing",
    "evaluate_fairness",
    "evaluate_non_faces",
    "evaluate_photographs",
    "evaluate_recognition",
    "evaluate_robustness",
    "evaluate_strength",
    "evaluate_transfer",
    "record_in_card",
    "save_temperature",
    "write_json",
]
