"""Measure whether an editor ever destroys a face, on real pictures and on inputs that no camera makes."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from leed_hub.errors import NoFaceError
from leed_hub.evaluation.corruptions import jpeg
from leed_hub.evaluation.evaluation import CardRows, CorpusEvaluation, Detector, RenderedFaces
from leed_hub.evaluation.rows import SEED, corpus_rows, crop_batch, drawn_rows
from leed_hub.faces.alignment import crop_face, crop_matrix, to_bytes
from leed_hub.metrics import destruction_signs, is_destroyed, wilson_interval
from leed_hub.metrics.destruction import LIMITS
from leed_hub.models.labels import EXPRESSIONS
from leed_hub.pipelines.damage import softened

FRONTAL_DEG = 20.0
FUZZ_SIDE = 160
CROP_PX = 192  # side of the aligned crops that are edited


@dataclass(frozen=True, kw_only=True)
class Damage(CorpusEvaluation):
    """Edit a corpus' pictures, and made-up inputs, by strong rendered references, and look for destroyed faces.

    Whether an edit is destroyed is tested on its pixels (`metrics.destruction`), independently of the flow and paint
    that the pipeline itself checks. Made-up inputs need not resemble the source afterwards, so of `destruction_signs`
    all but `estranged` count there. The references are the strongest frontal render of each category in the rendered
    faces' validation split. The editor is `ExpressionEditor`, or has `encode_expression`, `session`, `device` and
    `model` likewise; pictures in which it finds no face are taken as face crops.

    Results: `broken_share` of `n_edits` edits of `n_pictures` pictures, `broken_share_interval` (Wilson 95 %), and the
            control `unedited_broken_share` (the sources, recompressed); `weakened_share`: edits that the pipeline
            weakened because they looked broken; `fuzzed_broken_share`, `fuzzed_weakened_share`, `n_fuzzed`;
            `largest_flow`, in half sides, over all made-up inputs.
        `signs`: the largest of each.
    """

    name, kind, finds_faces = "damage", "editor", True
    card = (
        CardRows(
            ("broken_share", "weakened_share"),
            "{n_edits} edits of {n_pictures} pictures by rendered references of every category; of the pictures "
            "themselves, recompressed, {unedited_broken_share:.4f}",
        ),
        CardRows(
            ("fuzzed_broken_share", "fuzzed_weakened_share", "largest_flow"),
            "{n_fuzzed} pictures that no camera makes, as sources and as references",
            place=("Made-up inputs", "fuzzed"),
        ),
    )

    faces_dir: RenderedFaces
    fuzzed: Annotated[int, "How many made-up inputs."] = 1000
    detector: Detector = "yunet"

    def measure(self, editor: Any) -> dict:
        references = strongest_of_each_category(corpus_rows("rendered_faces", self.faces_dir, "validation"))
        codes = [editor.encode_expression([reference], detector="none") for reference in references]
        rows = corpus_rows(self.corpus, self.data_dir, self.split)
        rows = rows.select(drawn_rows(len(rows), self.limit).tolist())
        signs: dict[str, list[float]] = {name: [] for name in LIMITS}
        broken = weakened = edits = unedited_broken = 0
        for row in self.track(rows.select_columns(["image"]), "Editing", len(rows)):
            picture = row["image"].convert("RGB")
            try:  # found once: the edits then start from the aligned crop
                face = editor.session(picture).faces.faces
            except NoFaceError:
                face = ()
            if any(face):
                matrix = crop_matrix(face[0].points, editor.model.config.template, CROP_PX)
                picture = Image.fromarray(crop_face(np.asarray(picture), matrix, CROP_PX))
            source = np.asarray(picture)
            unedited_broken += is_destroyed(destruction_signs(np.asarray(jpeg(picture, 75)), source))
            session = editor.session(picture, detector="none")
            for code in codes:
                result = session.render(code)
                found = destruction_signs(np.asarray(result.image), source)
                for name, value in found.items():
                    signs[name].append(value)
                broken += is_destroyed(found)
                weakened += min(result.kept) < 1
                edits += 1
        return {
            "n_pictures": len(rows),
            "n_edits": edits,
            "broken_share": broken / edits,
            "broken_share_interval": wilson_interval(broken, edits),
            "unedited_broken_share": unedited_broken / len(rows),
            "weakened_share": weakened / edits,
            **self.fuzz(editor, codes),
            "signs": {name: max(values) for name, values in signs.items()},
        }

    def fuzz(self, editor: Any, codes: list[Tensor]) -> dict:
        """Edits of made-up inputs, each by one reference or by the expression of another made-up input."""
        pictures = fuzzed_pictures(self.fuzzed)
        broken = weakened = 0
        largest_flow = 0.0
        for first in self.track(range(0, self.fuzzed, 32), "Fuzzing"):
            crops = crop_batch(editor, pictures[first : first + 32])
            encoding = editor.model.encode(crops)
            references = torch.cat([codes[(first + place) % len(codes)] for place in range(len(crops))])
            others = encoding.expression_code.roll(1, 0)
            is_even = (torch.arange(len(crops), device=crops.device) % 2 == 0)[:, None]
            raw = editor.model.decode(crops, encoding, torch.where(is_even, references, others), 1.0)
            shown, kept = softened(crops, raw)
            largest_flow = max(largest_flow, float(raw.flow.abs().max()))
            weakened += int((kept < 1).sum())
            before, after = (to_bytes(images).permute(0, 2, 3, 1).cpu().numpy() for images in (crops, shown.edited))
            for source, edited in zip(before, after, strict=True):
                broken += is_destroyed(destruction_signs(edited, source) | {"estranged": 0.0})
        count = self.fuzzed
        return {
            "n_fuzzed": count,
            "fuzzed_broken_share": broken / count if count else None,
            "fuzzed_weakened_share": weakened / count if count else None,
            "largest_flow": largest_flow if count else None,
        }


def strongest_of_each_category(rows: Any) -> list[Image.Image]:
    """The strongest frontal render of each expression, neutral included, of the rendered faces."""
    labels, yaws, strengths = rows["label"][:], rows["yaw"][:], rows["intensity"][:]
    frontal = [row for row in range(len(rows)) if abs(yaws[row]) < FRONTAL_DEG]
    chosen = [
        max((row for row in frontal if labels[row] == label), key=lambda row: (strengths[row], row), default=None)
        for label in range(len(EXPRESSIONS))
    ]
    return [rows[row]["image"].convert("RGB") for row in chosen if row is not None]


def fuzzed_pictures(count: int) -> list[Image.Image]:
    """Inputs that no camera makes: noise, flat colours, checks, stripes, gradients, discs, patches of all of them."""
    random = np.random.default_rng(SEED)
    y, x = np.mgrid[:FUZZ_SIDE, :FUZZ_SIDE]

    def colour() -> np.ndarray:
        return random.integers(0, 256, 3)

    def one(kind: int) -> Any:
        if kind == 0:
            return random.integers(0, 256, (FUZZ_SIDE, FUZZ_SIDE, 3))
        if kind == 1:
            return np.broadcast_to(colour(), (FUZZ_SIDE, FUZZ_SIDE, 3))
        if kind == 2:
            period = random.integers(2, 40)
            return np.where((((x // period) + (y // period)) % 2)[..., None], colour(), colour())
        if kind == 3:
            angle, wavelength = random.uniform(0, np.pi), random.uniform(2, 60)
            wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / wavelength)[..., None] / 2 + 0.5
            return wave * colour() + (1 - wave) * colour()
        if kind == 4:
            share = ((x * random.uniform(-1, 1) + y * random.uniform(-1, 1)) / FUZZ_SIDE)[..., None]
            return colour() + share * (colour() - 128.0)
        if kind == 5:
            picture = np.broadcast_to(colour(), (FUZZ_SIDE, FUZZ_SIDE, 3)).copy()
            for _ in range(random.integers(1, 12)):
                centre, radius = random.uniform(0, FUZZ_SIDE, 2), random.uniform(3, 50)
                picture[np.hypot(x - centre[0], y - centre[1]) < radius] = colour()
            return picture
        parts = [one(int(random.integers(0, 6))) for _ in range(4)]
        half = FUZZ_SIDE // 2
        above = np.concatenate([parts[0][:half, :half], parts[1][:half, half:]], axis=1)
        below = np.concatenate([parts[2][half:, :half], parts[3][half:, half:]], axis=1)
        return np.concatenate([above, below])

    return [Image.fromarray(np.clip(one(number % 7), 0, 255).astype(np.uint8)) for number in range(count)]
