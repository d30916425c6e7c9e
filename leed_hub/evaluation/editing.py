"""Measure an editor on triplets whose target is known exactly."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
from PIL import Image, UnidentifiedImageError
from rich.progress import track

from leed_hub.errors import CorpusError
from leed_hub.evaluation.rows import SEED
from leed_hub.metrics import EditingMetrics

_ROLES = ("source", "reference", "target")
_HELD_OUT = {"pairs_validation": "Rendered faces", "photographs_pairs_validation": "Rendered people"}  # folder: corpus
_OPTIONAL_COLUMNS = ("source_yaw", "reference_expression", *(f"{role}_file" for role in _ROLES))


def evaluate_editing(
    editor: Callable, data_dir: str | os.PathLike, *, limit: int | None = None, progress: bool = False
) -> dict:
    """Edit every source of a folder of exact triplets to its reference's expression, and compare with the target.

    Three times: by the triplet's own reference; by another triplet's, which is the control, for an editor that makes
    the same of every reference passes any measure but this one; and at strength 0, where the source is neutral and the
    target is not: an expression taken off the target gives the source.

    Args:
        editor (Callable): called as `editor(source, reference, aligner="none")` and, to take an expression off, as
            `editor(source, None, 0.0, aligner="none")`, with RGB PIL pictures; the result's `.image` is a PIL picture
            of the source's size.
        data_dir (str | os.PathLike): folder with `pairs.parquet` (columns `pair`, `source_expression`; perhaps
            `reference_expression`; `source_yaw` in degrees, else every source counts as frontal) and the pictures that
            its columns `source_file`, `reference_file`, `target_file` name, else `NNN_source.jpg`,
            `NNN_reference.jpg`, `NNN_target.jpg`.
        limit (int | None): only the first so many triplets.
        progress (bool): show a progress bar.
    Returns:
        dict: that of `EditingMetrics.compute`, and
            `error_ratio_neutral_source`, `error_ratio_expressive_source`, `n_neutral_source`, `n_expressive_source`:
                does the face start from the neutral expression or another;
            `error_ratio_wrong_reference`, by the reference of the triplet half the list away, and
                `wrong_over_right_reference`, it over `error_ratio`: 1 where the reference does not matter;
            `ssim_of_source`, `visual_information_fidelity_of_source`: source against target, for comparison;
            `error_ratio_strength_zero`, `unchanged_error_strength_zero`, `n_strength_zero`;
            `corpus`, `split`, `seen`: what the folder's name tells of it, in words for a card.
    Raises:
        CorpusError: if a file or a column is missing or cannot be read.
    """
    folder = Path(data_dir)
    split = folder.resolve().name
    pairs = _read_pairs(folder)[:limit]
    right, wrong, untouched, neutralised = (EditingMetrics(seed=SEED) for _ in range(4))
    for number, pair in enumerate(track(pairs, description="Editing", disable=not progress)):
        source, reference, target = (_read_picture(folder / _file_of(pair, role)) for role in _ROLES)
        yaw = pair.get("source_yaw", 0.0)

        def compare(metrics: EditingMetrics, edit, source, target, yaw=yaw) -> None:
            metrics.update(*(np.asarray(picture.convert("RGB")) for picture in (edit, source, target)), yaw)

        compare(right, editor(source, reference, aligner="none").image, source, target)
        compare(untouched, source, source, target)
        if len(pairs) > 1:
            other = pairs[(number + len(pairs) // 2) % len(pairs)]
            other_reference = _read_picture(folder / _file_of(other, "reference"))
            compare(wrong, editor(source, other_reference, aligner="none").image, source, target)
        if pair["source_expression"] == "neutral" != pair.get("reference_expression"):
            compare(neutralised, editor(target, None, 0.0, aligner="none").image, target, source)

    neutral = np.array([pair["source_expression"] == "neutral" for pair in pairs], dtype=bool)
    numbers, without = right.compute(), untouched.compute()
    taken_off = neutralised.compute()
    wrong_ratio = wrong.error_ratio()
    return {
        "measured": "editing",
        "corpus": _HELD_OUT.get(split, "Triplets"),
        "split": split,
        "seen": "persons in no training split" if split in _HELD_OUT else "persons perhaps seen in training",
        **numbers,
        "n_neutral_source": int(neutral.sum()),
        "n_expressive_source": int((~neutral).sum()),
        "error_ratio_neutral_source": right.error_ratio(neutral),
        "error_ratio_expressive_source": right.error_ratio(~neutral),
        "error_ratio_wrong_reference": wrong_ratio,
        "wrong_over_right_reference": wrong_ratio / numbers["error_ratio"]
        if wrong_ratio and numbers["error_ratio"]
        else None,
        "ssim_of_source": without["ssim"],
        "visual_information_fidelity_of_source": without["visual_information_fidelity"],
        "error_ratio_strength_zero": taken_off["error_ratio"],
        "unchanged_error_strength_zero": taken_off["unchanged_error"],
        "n_strength_zero": taken_off["n"],
    }


def _read_pairs(folder: Path) -> list[dict]:
    """The triplets' numbers and expression and, where known, yaw and files, one dict each."""
    path = folder / "pairs.parquet"
    try:
        known = pyarrow.parquet.read_schema(path).names
        columns = ["pair", "source_expression", *(name for name in _OPTIONAL_COLUMNS if name in known)]
        return pyarrow.parquet.read_table(path, columns=columns).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise CorpusError(
            f"{path} cannot be read: give a folder with pairs.parquet (columns pair, source_expression and, if heads "
            "turn, source_yaw) and the pictures that its source_file, reference_file and target_file name, else "
            "NNN_source.jpg, NNN_reference.jpg, NNN_target.jpg, such as the rendered faces' pairs_validation."
        ) from error


def _file_of(pair: dict, role: str) -> str:
    """The name of a triplet's picture."""
    return pair.get(f"{role}_file") or f"{pair['pair']:03d}_{role}.jpg"


def _read_picture(path: Path) -> Image.Image:
    """An RGB picture, read whole."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise CorpusError(
            f"{path} is missing or broken, though pairs.parquet beside it lists it: copy the folder again."
        ) from error
