"""Tiny corpora in their true layouts and configs that train on them within seconds."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def draw_face(seed: int, mouth: float) -> Image.Image:
    """A disc with eyes and a mouth, open as far as `mouth` says."""
    y, x = np.mgrid[:64, :64] / 64
    picture = np.full((64, 64, 3), 40.0)
    picture[np.hypot(x - 0.5, y - 0.5) < 0.4] = np.random.default_rng(seed).integers(120, 240, 3)
    for eye in (0.36, 0.64):
        picture[np.hypot(x - eye, y - 0.4) < 0.05] = 10
    picture[((x - 0.5) / 0.14) ** 2 + ((y - 0.71) / (0.02 + 0.1 * mouth)) ** 2 < 1] = (150, 20, 30)
    return Image.fromarray(picture.astype(np.uint8))


def make_corpora(root: Path) -> Path:
    """A tiny FER2013 and tiny rendered faces with twins."""
    for number in range(28):
        name = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")[number % 7]
        for folder, stem in (("train", "Training"), ("test", "PublicTest")):
            path = root / "fer2013" / folder / name / f"{stem}_{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            draw_face(number, (number % 7) / 6).convert("L").resize((48, 48)).save(path)
    common = {
        "expression": "happiness", "intensity": 1.0, "blendshapes": [0.0] * 53, "yaw": 0.0, "pitch": 0.0, "roll": 0.0,
        "landmarks68": [[0.0, 0.0]] * 68,
    }  # fmt: skip
    faces, twins = [], []
    for person in (1, 2, 3, 4):
        for index in range(3):
            name = f"{person * 10:04d}_00_{index}.jpg"
            row = common | {"file_name": name, "identity": person * 10, "person": person}
            faces.append(row | {"neutral_file": f"{person * 10:04d}_00_0.jpg"})
            twins.append(row | {"file_name": f"t{person}{index}.jpg", "person": person % 4 + 1, "twin_of": name})
    for folder, rows in (("train", faces), ("train_twins", twins)):
        target = root / "rendered_faces" / folder
        target.mkdir(parents=True)
        for row in rows:
            draw_face(row["person"], int(row["file_name"][-5]) / 2).save(target / row["file_name"])
        pq.write_table(pa.Table.from_pylist(rows), target / "metadata.parquet")
    return root


RECOGNITION = {
    "task": "recognition",
    "model": {"widths": [4, 4, 8, 8], "code_dim": 8},
    "data": {
        "corpora": [{"corpus": "fer2013", "data_dir": "fer2013", "split": "train"}],
        "validation": {"corpus": "fer2013", "data_dir": "fer2013", "split": "test_public"},
    },
    "batch_size": 8,
}
EDITING = {
    "task": "editing",
    "model": {"image_size": 32, "widths": [8, 8, 8, 8], "manifold_dim": 16, "expression_dim": 4},
    "data": {"corpora": [{"corpus": "rendered_faces", "data_dir": "rendered_faces"}], "held_out": ["004"]},
    "batch_size": 4,
}
COMMON = {"steps": 4, "warmup_steps": 1, "log_every": 1, "evaluate_every": 2, "checkpoint_every": 2}
