"""Presets and sliders are fitted to what a code holds, and what it does not hold gets no slider."""

import json
from contextlib import nullcontext
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from leed_hub.models.labels import EXPRESSIONS
from leed_hub.training import controls
from leed_hub.training.controls import fit_controls

NAMES = ["mouthSmile_L", "mouthSmile_R", "jawOpen", "noseSneer_L", "noseSneer_R", "mouthUpperUp_L", "mouthFrown_L"]
NAMES += ["mouthPucker", "cheekSquint_L", "browInnerUp_L", "browOuterUp_L", "browDown_L", "eyeWide_L", "eyeSquint_L"]
NAMES += ["eyeBlink_L", "jawOpenSideways"]  # the last begins as another does


def made_rows(seed: int) -> datasets.Dataset:
    """Red tells how much a face smiles and green how far its jaw is open; nothing tells of the nose."""
    random = np.random.default_rng(seed)
    rows: dict[str, list] = {name: [] for name in ("image", "blendshapes", "subject", "label", "intensity")}
    for number in range(120):
        smile, jaw, sneer = random.random(3)
        pixels = np.full((16, 16, 3), 255 * np.array([smile, jaw, 0.5]), np.uint8)
        rows["image"].append(Image.fromarray(pixels))
        rows["blendshapes"].append([smile, smile, jaw, sneer, sneer] + [0.0] * (len(NAMES) - 6) + [random.random()])
        rows["subject"].append(f"{number % 12}")
        rows["label"].append(EXPRESSIONS.index("happiness") if smile > 0.5 else number % 8)
        rows["intensity"].append(0.9)
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "blendshapes": datasets.List(datasets.Value("float32")),
            "subject": datasets.Value("string"),
            "label": datasets.ClassLabel(names=list(EXPRESSIONS)),
            "intensity": datasets.Value("float32"),
        }
    )
    return datasets.Dataset.from_dict(rows, features=features)


@pytest.fixture
def fitted(tmp_path, monkeypatch):
    """Of an editor whose code is twice the mean colour."""
    (tmp_path / "blendshape_names.json").write_text(json.dumps(NAMES))
    monkeypatch.setattr(controls, "load_corpus", lambda name, folder, split: made_rows(len(split)))

    def encode(images):
        return SimpleNamespace(expression_code=(images + 1).mean(dim=(2, 3)))  # 0..2

    model = SimpleNamespace(encode=encode, config=SimpleNamespace(image_size=16))
    editor = SimpleNamespace(model=model, device=torch.device("cpu"), inference=nullcontext)
    return fit_controls(editor, tmp_path)


def test_a_slider_goes_where_its_shape_moves_the_code_and_unknown_shapes_get_none(fitted):
    assert set(fitted.sliders) == {"smile", "mouth open"}
    assert fitted.sliders["smile"].tolist() == pytest.approx([2, 0, 0], abs=0.05)
    assert fitted.sliders["mouth open"].tolist() == pytest.approx([0, 2, 0], abs=0.05)
    assert fitted.r2["smile"] > 0.95 and abs(fitted.r2["sneer"]) < 0.2 and fitted.r2["pucker"] == 0


def test_a_laugh_is_a_smile_with_the_mouth_open(fitted):
    smile, laugh = fitted.presets["smile"], fitted.presets["laugh"]
    assert laugh[1] > smile[1] + 1 and smile[0] > 1 < laugh[0]
    assert set(fitted.presets) == {"smile", "laugh", *EXPRESSIONS} - {"neutral", "happiness"}
    assert fitted.radius <= 3.0
