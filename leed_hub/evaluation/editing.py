"""Measure an editor on triplets whose target is known exactly."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow
import pyarrow.parquet
from PIL import Image

from leed_hub.errors import CorpusError
from leed_hub.evaluation.evaluation import CardRows, Evaluation, leaving_out
from leed_hub.evaluation.rows import SEED
from leed_hub.media.images import load_image
from leed_hub.metrics import EditingMetrics

ROLES = ("source", "reference", "target")
HELD_OUT = {"pairs_validation": "Rendered faces", "photographs_pairs_validation": "Rendered people"}  # folder: corpus
OPTIONAL_COLUMNS = ("source_yaw", "reference_expression", *(f"{role}_file" for role in ROLES))


@dataclass(frozen=True, kw_only=True)
class Editing(Evaluation):
    """Edit every source of a folder of exact triplets to its reference's expression, and compare with the target.

    Three times: by the triplet's own reference; by another triplet's, as a control, because an editor that ignores the
    reference passes every other measure; and at strength 0, where the source is neutral and the target is not: the
    target without its expression is the source.

    The folder has `pairs.parquet` (columns `pair`, `source_expression`; optionally `reference_expression`;
    `source_yaw` in degrees, else every source counts as frontal) and the pictures that its columns `source_file`,
    `reference_file`, `target_file` name, else `NNN_source.jpg`, `NNN_reference.jpg`, `NNN_target.jpg`. The editor is
    called as `editor(source, reference, detector="none")` and `editor(source, None, 0.0, detector="none")` with RGB
    PIL pictures; the result's `.image` is a PIL picture of the source's size.

    Results: those of `EditingMetrics.compute`, and
        `error_ratio_neutral_source`, `error_ratio_expressive_source`, `n_neutral_source`, `n_expressive_source`: by
            whether the source is neutral;
        `error_ratio_wrong_reference`: by the reference of the triplet half the list away;
        `wrong_over_right_reference`: that over `error_ratio`; 1 where the reference does not matter;
        `ssim_of_source`, `visual_information_fidelity_of_source`: source against target, for comparison;
        `error_ratio_strength_zero`, `unchanged_error_strength_zero`, `n_strength_zero`;
        `n_skipped`: triplets left out, since one of their pictures cannot be read;
        `corpus`, `split`, `seen`: what the folder's name says of it, in words for a card.
    """

    name, kind = "editing", "editor"
    card = (
        CardRows(
            ("error_ratio", "error_ratio_frontal", "error_ratio_profile", "worse_than_source", "unchanged_error")
            + ("ssim", "psnr", "visual_information_fidelity"),
            "{n} triplets with exact targets, {seen}",
        ),
        CardRows(
            ("error_ratio_wrong_reference", "wrong_over_right_reference"),
            "the control: the same triplets by another triplet's reference",
        ),
        CardRows(
            ("error_ratio_strength_zero",), "{n_strength_zero} targets at strength 0 against their neutral sources"
        ),
    )

    data: Annotated[Path, "Folder of triplets: pairs.parquet and the pictures it names."]
    limit: Annotated[int | None, "Only the first so many triplets."] = None
    similarity: Annotated[bool, "Also SSIM, PSNR and VIF, which take most of the time."] = True

    def measure(self, editor: Callable) -> dict:
        folder = Path(self.data)
        split = folder.resolve().name
        listed = read_pairs(folder)[: self.limit]
        pairs = readable_pairs(folder, listed)
        right, untouched = (EditingMetrics(seed=SEED, similarity=self.similarity) for _ in range(2))
        wrong, neutralised = (EditingMetrics(seed=SEED, similarity=False) for _ in range(2))
        for number, pair in enumerate(self.track(pairs, "Editing")):
            source, reference, target = (load_image(folder / file_of(pair, role)) for role in ROLES)
            yaw = pair.get("source_yaw", 0.0)
            add_triplet(right, editor(source, reference, detector="none").image, source, target, yaw)
            add_triplet(untouched, source, source, target, yaw)
            if len(pairs) > 1:
                other = pairs[(number + len(pairs) // 2) % len(pairs)]
                edit = editor(source, load_image(folder / file_of(other, "reference")), detector="none").image
                add_triplet(wrong, edit, source, target, yaw)
            if pair["source_expression"] == "neutral" != pair.get("reference_expression"):
                add_triplet(neutralised, editor(target, None, 0.0, detector="none").image, target, source, yaw)

        neutral = np.array([pair["source_expression"] == "neutral" for pair in pairs], dtype=bool)
        numbers, unedited, at_zero = right.compute(), untouched.compute(), neutralised.compute()
        wrong_ratio, ratio = wrong.error_ratio(), numbers["error_ratio"]
        return {
            "corpus": HELD_OUT.get(split, "Triplets"),
            "split": split,
            "seen": "persons in no training split" if split in HELD_OUT else "persons perhaps seen in training",
            **numbers,
            "n_skipped": len(listed) - len(pairs),
            "n_neutral_source": int(neutral.sum()),
            "n_expressive_source": int((~neutral).sum()),
            "error_ratio_neutral_source": right.error_ratio(neutral),
            "error_ratio_expressive_source": right.error_ratio(~neutral),
            "error_ratio_wrong_reference": wrong_ratio,
            "wrong_over_right_reference": wrong_ratio / ratio if wrong_ratio and ratio else None,
            "ssim_of_source": unedited["ssim"],
            "visual_information_fidelity_of_source": unedited["visual_information_fidelity"],
            "error_ratio_strength_zero": at_zero["error_ratio"],
            "unchanged_error_strength_zero": at_zero["unchanged_error"],
            "n_strength_zero": at_zero["n"],
        }


def add_triplet(
    metrics: EditingMetrics, edit: Image.Image, source: Image.Image, target: Image.Image, yaw_deg: float
) -> None:
    """`EditingMetrics.update` with PIL pictures."""
    edit_array, source_array, target_array = (np.asarray(one.convert("RGB")) for one in (edit, source, target))
    metrics.update(edit_array, source_array, target_array, yaw_deg)


def read_pairs(folder: Path) -> list[dict]:
    """The triplets' numbers and expression and, where known, yaw and files, one dict each."""
    path = folder / "pairs.parquet"
    try:
        known = pyarrow.parquet.read_schema(path).names
        columns = ["pair", "source_expression", *(name for name in OPTIONAL_COLUMNS if name in known)]
        return pyarrow.parquet.read_table(path, columns=columns).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise CorpusError(
            f"{path} cannot be read: give a folder with pairs.parquet (columns pair, source_expression and, if heads "
            "turn, source_yaw) and the pictures that its source_file, reference_file and target_file name, else "
            "NNN_source.jpg, NNN_reference.jpg, NNN_target.jpg, such as the rendered faces' pairs_validation."
        ) from error


def file_of(pair: dict, role: str) -> str:
    """The name of a triplet's picture."""
    return pair.get(f"{role}_file") or f"{pair['pair']:03d}_{role}.jpg"


def readable_pairs(folder: Path, pairs: list[dict]) -> list[dict]:
    """The triplets whose pictures can be read; a warning names the others.

    Raises:
        CorpusError: if there are none.
    """
    readable = []
    for pair in pairs:
        with leaving_out(f"triplet {pair['pair']}"):
            for role in ROLES:
                load_image(folder / file_of(pair, role))
            readable.append(pair)
    if not readable:
        raise CorpusError(f"{folder} has no triplet whose pictures can be read: copy the folder again.")
    return readable
