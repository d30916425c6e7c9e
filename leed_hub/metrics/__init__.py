"""Metrics: the quality of edits, of recognition, and of the disentanglement of codes.

Each result is a plain dict that `json` can write; a value that cannot be computed is None, never NaN.
"""

from leed_hub.metrics.calibration import fit_temperature
from leed_hub.metrics.destruction import destruction_signs, is_destroyed
from leed_hub.metrics.disentanglement import best_accuracy, cross_validated_probe, retrieval_accuracy
from leed_hub.metrics.editing import EditingMetrics
from leed_hub.metrics.face_geometry import face_features
from leed_hub.metrics.following import following_scores
from leed_hub.metrics.intervals import bootstrap_ratio_interval, share_with_interval, wilson_interval
from leed_hub.metrics.leakage import probe_leakage
from leed_hub.metrics.readout import kernel_readout
from leed_hub.metrics.recognition import affect_scores, recognition_scores
from leed_hub.metrics.sharpness import face_sharpness

__all__ = [
    "EditingMetrics",
    "affect_scores",
    "best_accuracy",
    "bootstrap_ratio_interval",
    "cross_validated_probe",
    "destruction_signs",
    "face_features",
    "face_sharpness",
    "fit_temperature",
    "following_scores",
    "is_destroyed",
    "kernel_readout",
    "probe_leakage",
    "recognition_scores",
    "retrieval_accuracy",
    "share_with_interval",
    "wilson_interval",
]
