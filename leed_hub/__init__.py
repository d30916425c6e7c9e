"""leed_hub: edit and read facial expressions with models that load in one line."""

import importlib

from leed_hub.errors import LeedHubError

__version__ = "0.1.0"

# Public name -> its module; imported at first use, so that `leed-hub --help` and the data builders need no torch.
_HOMES = {
    "EditResult": "leed_hub.pipelines",
    "ExpressionEditor": "leed_hub.pipelines",
    "ExpressionEncoderConfig": "leed_hub.models.expression_encoder",
    "ExpressionEncoderModel": "leed_hub.models.expression_encoder",
    "ExpressionRecognizer": "leed_hub.pipelines",
    "FaceReading": "leed_hub.pipelines",
    "LEEDConfig": "leed_hub.models.leed",
    "LEEDModel": "leed_hub.models.leed",
    "PictureReading": "leed_hub.reading",
    "read_many": "leed_hub.reading",
    "read_video": "leed_hub.video_reading",
}

__all__ = ["LeedHubError", *_HOMES]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'leed_hub' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
