"""Measure whether an editor ever destroys a face, on real pictures and on inputs that no camera makes."""

import io
import os

import numpy as np
import torch
from PIL import Image
from rich.progress import track
from torch import Tensor

from leed_hub.damage import softened
from leed_hub.errors import NoFaceError
from leed_hub.evaluation.rows import SEED, crop_batch, drawn_rows
from leed_hub.labels import EXPRESSIONS
from leed_hub.metrics import destruction_signs, is_destroyed
from leed_hub.metrics.destruction import LIMITS
from leed_hub.metrics.intervals import wilson_interval
from leed_hub.transforms import crop_face, crop_matrix, to_bytes

FRONTAL_DEG = 20.0
FUZZ_SIDE = 160
CROP_PX = 192  # of the faces that are looked at, eyes and mouth corners aligned


@torch.inference_mode()
def evaluate_damage(
    editor,
    corpus: str,
    data_dir: str | os.PathLike,
    split: str,
    faces_dir: str | os.PathLike,
    *,
    limit: int | None = None,
    n_fuzzed: int = 1000,
    progress: bool = False,
) -> dict:
    """Edit a corpus' pictures, and made-up inputs, by strong rendered references, and look for ruins.

    Whether an edit is a ruin is told by a test of its pixels (`metrics.destruction`) which knows nothing of the flow
    and paint that the pipeline itself looks at. Noise that moves is no ruin, so of made-up inputs only what such a
    test can say of any picture counts: slabs, burnt-out patches, loud paint and stripes that were not there.

    Args:
        editor: `ExpressionEditor`, or what has `read_expression`, `edit_by_code`, `device` and `model` likewise.
        corpus, data_dir, split: as for `load_corpus`; pictures in which no face is found are taken as face crops.
        faces_dir (str | os.PathLike): folder of the rendered faces, whose validation split lends the expressions: the
            strongest frontal one of each category.
        limit (int | None): at most so many pictures, drawn with a fixed seed.
        n_fuzzed (int): made-up inputs, each edited by one reference.
        progress (bool): show a progress bar.
    Returns:
        dict: `broken_share` of `n_edits` edits of `n_pictures` pictures, `broken_share_interval` (Wilson 95 %), and
            the control `unedited_broken_share` (the sources, recompressed); `weakened_share`: edits of which the
            pipeline showed less because they looked broken to it. `fuzzed_broken_share`, `fuzzed_weakened_share`,
            `n_fuzzed`; `largest_flow`, in half sides, over all made-up inputs. Below: `signs` (the largest of each).
    Raises:
        CorpusError: if a corpus is not laid out as expected.
    """
    from leed_hub.data import load_corpus  # here, for `datasets` is slow to import and editing needs none of it

    references = strongest_of_each_category(load_corpus("rendered_faces", faces_dir, "validation"))
    codes = [editor.read_expression([reference], aligner="none") for reference in references]
    rows = load_corpus(corpus, data_dir, split)
    rows = rows.select(drawn_rows(len(rows), limit).tolist())
    signs: dict[str, list[float]] = {name: [] for name in LIMITS}
    broken = weakened = edits = unedited_broken = 0
    for row in track(rows.select_columns(["image"]), description="Editing", disable=not progress):
        picture = row["image"].convert("RGB")
        try:  # found once: the edits then start from the aligned crop
            face = editor.edit_by_code(picture, None, 0.0).faces
        except NoFaceError:
            face = ()
        if face:
            matrix = crop_matrix(face[0].points, editor.model.config.template, CROP_PX)
            picture = Image.fromarray(crop_face(np.asarray(picture), matrix, CROP_PX))
        source = np.asarray(picture)
        unedited_broken += is_destroyed(destruction_signs(_recompressed(source), source))
        for code in codes:
            result = editor.edit_by_code(picture, code, aligner="none")
            found = destruction_signs(np.asarray(result.image), source)
            for name, value in found.items():
                signs[name].append(value)
            broken += is_destroyed(found)
            weakened += min(result.kept) < 1
            edits += 1
    fuzzed = _fuzz(editor, codes, n_fuzzed, progress)
    return {
        "measured": "damage",
        "corpus": corpus,
        "split": split,
        "n_pictures": len(rows),
        "n_edits": edits,
        "broken_share": broken / edits,
        "broken_share_interval": wilson_interval(broken, edits),
        "unedited_broken_share": unedited_broken / len(rows),
        "weakened_share": weakened / edits,
        **fuzzed,
        "signs": {name: max(values) for name, values in signs.items()},
    }


def strongest_of_each_category(rows) -> list[Image.Image]:
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

    def one(kind: int) -> np.ndarray:
        if kind == 0:
            return random.integers(0, 256, (FUZZ_SIDE, FUZZ_SIDE, 3))
        if kind == 1:
            return np.broadcast_to(colour(), (FUZZ_SIDE, FUZZ_SIDE, 3))
        if kind == 2:
            period = random.integers(2, 40)
            return np.where((((x // period) + (y // period)) % 2)[..., None], colour(), colour())
        if kind == 3:
            angle, period = random.uniform(0, np.pi), random.uniform(2, 60)
            wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)[..., None] / 2 + 0.5
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


def _fuzz(editor, codes: list[Tensor], count: int, progress: bool) -> dict:
    """Edits of made-up inputs, each by one reference, and each also as a reference."""
    pictures = fuzzed_pictures(count)
    broken = weakened = 0
    largest_flow = 0.0
    for first in track(range(0, count, 32), description="Fuzzing", disable=not progress):
        crops = crop_batch(editor, pictures[first : first + 32])
        encoding = editor.model.encode(crops)
        lent = torch.cat([codes[(first + place) % len(codes)] for place in range(len(crops))])
        own = encoding.expression_code.roll(1, 0)  # what another made-up input is read as
        turn = (torch.arange(len(crops), device=crops.device) % 2 == 0)[:, None]
        raw = editor.model.decode(crops, encoding, torch.where(turn, lent, own), 1.0)
        shown, kept = softened(crops, raw)
        largest_flow = max(largest_flow, float(raw.flow.abs().max()))
        weakened += int((kept < 1).sum())
        before, after = (to_bytes(images).permute(0, 2, 3, 1).cpu().numpy() for images in (crops, shown.edited))
        for source, edited in zip(before, after, strict=True):
            signs = destruction_signs(edited, source) | {"estranged": 0.0}
            broken += is_destroyed(signs)
    return {
        "n_fuzzed": count,
        "fuzzed_broken_share": broken / count if count else None,
        "fuzzed_weakened_share": weakened / count if count else None,
        "largest_flow": largest_flow if count else None,
    }


def _recompressed(picture: np.ndarray) -> np.ndarray:
    """The picture after JPEG at quality 75."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=75)
    return np.asarray(Image.open(file).convert("RGB"))
