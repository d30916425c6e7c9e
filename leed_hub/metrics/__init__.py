"""Metrics: how near an edit comes to its target, how well expressions are recognised, and what leaks.

Each result is a plain dict that `json` can write; a value that cannot be computed is None, never NaN.
"""

from leed_hub.metrics.editing import EditingMetrics
from leed_hub.metrics.leakage import probe_leakage
from leed_hub.metrics.recognition import recognition_scores

__all__ = ["EditingMetrics", "probe_leakage", "recognition_scores"]
