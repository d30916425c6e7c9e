"""The end of the circle: what is bundled is pushed by the command line and comes back the same in a fresh process."""

from pathlib import Path

import numpy as np
import pytest
from hub_server import LoopbackHub
from PIL import Image

from leed_hub import ExpressionEditor, ExpressionRecognizer
from leed_hub.models.checkpoint import BUNDLED

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
PUSH = """
from leed_hub.cli import app
app(["push", {folder!r}, {name!r}])
"""
USE = """
from leed_hub import ExpressionEditor, ExpressionRecognizer
editor = ExpressionEditor.from_pretrained("org/editor", detector="none")
editor({source!r}, {reference!r}).image.save({edited!r})
(face,) = ExpressionRecognizer.from_pretrained("org/recognizer", detector="none")({reference!r})
print(face.scores)
"""


@pytest.mark.slow
def test_the_bundled_models_go_to_the_hub_and_come_back_the_same(tmp_path):
    source, reference, edited = (
        str(EXAMPLES / "source.png"),
        str(EXAMPLES / "happiness.png"),
        str(tmp_path / "edited.png"),
    )
    with LoopbackHub() as hub:
        for name in ("editor", "recognizer"):
            pushed = hub.run_client(PUSH.format(folder=str(BUNDLED / name), name=f"org/{name}"), tmp_path / "pusher")
            assert pushed.returncode == 0, pushed.stderr
        code = USE.format(source=source, reference=reference, edited=edited)
        used = hub.run_client(code, tmp_path / "user")
        assert used.returncode == 0, used.stderr
    local = ExpressionEditor.from_pretrained(detector="none")(source, reference).image
    assert np.array_equal(np.asarray(Image.open(edited)), np.asarray(local))
    (face,) = ExpressionRecognizer.from_pretrained(detector="none")(reference)
    assert used.stdout.strip() == str(face.scores)
