"""Measure what strength and mixing do: 0 gives the neutral face, more gives more, and between two faces lies a way."""

import os

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from leed_hub.errors import CorpusError
from leed_hub.evaluation.rows import SEED, crop_batch
from leed_hub.metrics import EditingMetrics, bootstrap_ratio_interval, wilson_interval

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
MIXING_STEPS = 11
LEVELS = 127.5  # of 255 in one unit of [-1, 1]


@torch.inference_mode()
def evaluate_strength(
    editor, data_dir: str | os.PathLike, *, limit: int | None = None, batch_size: int = 32, progress: bool = False
) -> dict:
    """Take expressions off, scale them, and mix them, on rendered persons the editor never saw.

    Whole pictures are edited for strength 0. Scaling and mixing are measured on the network's own crops, before they
    are set back and rounded to whole levels: a small step would drown in the rounding.

    Args:
        editor: called as `editor(source, None, 0.0, aligner="none")`, whose result has `.image`; has `device` and
            `model` with `config.image_size`, `encode` and `decode`.
        data_dir (str | os.PathLike): folder of the rendered faces.
        limit (int | None): only the first so many pictures and triplets.
        batch_size (int): triplets per call.
        progress (bool): show a progress bar.
    Returns:
        dict:
            `error_ratio_strength_zero`, `error_ratio_strength_zero_interval`, `unchanged_error_strength_zero`: those of
                `EditingMetrics`, expressive validation pictures at strength 0 against the same setup's neutral render;
                `n_expressive` of them.
            `strengths`, and `change`: at each, the mean absolute difference from the edit at strength 0 (0..255), over
                the triplets' sources and references; `change_grows` says whether that curve rises at every step;
                `growing_share` and `growing_share_interval` (Wilson 95 %): of triplets whose own curve does; `n`.
            `mixing_largest_step`, `mixing_largest_step_p95`: on the way between two references' expressions in ten
                equal steps of their codes' mixture, the largest difference between neighbouring edits over the mean
                one (1: perfectly even, 10: a jump), its mean (with a bootstrap interval) and 95th percentile over
                triplets.
            `mixing_monotonic_share`, `mixing_monotonic_share_interval`: of triplets in which every step leads away from
                the first edit and towards the last; `n_mixed` (triplets whose two ends differ at all).
    Raises:
        CorpusError: if the corpus is not laid out as expected.
    """
    from leed_hub.data import load_corpus  # here, for `datasets` is slow to import and editing needs none of it

    neutralised = _neutralise(editor, load_corpus("rendered_faces", data_dir, "validation"), limit, progress)
    pairs = load_corpus("rendered_faces", data_dir, "validation", config="pairs")
    pairs = pairs.select(range(min(len(pairs), limit or len(pairs))))
    change, distances = _walk(editor, pairs, batch_size, progress)
    grows = (change.diff(dim=0) > 0).all(dim=0)
    curve = change.mean(dim=1)

    mean_step = distances["step"].mean(dim=0)
    mixed = mean_step > 0
    largest = (distances["step"].max(dim=0).values / mean_step)[mixed]
    away, towards = distances["from_first"].diff(dim=0) > 0, distances["to_last"].diff(dim=0) < 0
    monotonic = (away & towards).all(dim=0)[mixed]
    return {
        "measured": "strength",
        "corpus": "rendered_faces",
        **neutralised,
        "n": len(pairs),
        "strengths": list(STRENGTHS),
        "change": curve.tolist(),
        "change_grows": bool((curve.diff() > 0).all()),
        "growing_share": float(grows.float().mean()),
        "growing_share_interval": wilson_interval(int(grows.sum()), len(grows)),
        "n_mixed": len(largest),
        "mixing_largest_step": float(largest.mean()) if len(largest) else None,
        "mixing_largest_step_interval": bootstrap_ratio_interval(largest, torch.ones_like(largest), seed=SEED),
        "mixing_largest_step_p95": float(np.percentile(largest, 95)) if len(largest) else None,
        "mixing_monotonic_share": float(monotonic.float().mean()) if len(largest) else None,
        "mixing_monotonic_share_interval": wilson_interval(int(monotonic.sum()), len(largest))
        if len(largest)
        else None,
    }


def _neutralise(editor, rows, limit: int | None, progress: bool) -> dict:
    """Strength 0 on expressive pictures, against the neutral picture of the same setup."""
    row_of_file = {file: row for row, file in enumerate(rows["file"][:])}
    neutral_files = rows["neutral_file"][:]
    if lacking := set(neutral_files) - set(row_of_file):
        raise CorpusError(f"The rendered faces lack {sorted(map(str, lacking))[0]}, a neutral picture others rest on.")
    expressive = [row for file, row in row_of_file.items() if file != neutral_files[row]][:limit]
    metrics = EditingMetrics(seed=SEED)
    for row in track(expressive, description="Neutralising", disable=not progress):
        source, target = (rows[number]["image"].convert("RGB") for number in (row, row_of_file[neutral_files[row]]))
        edited = editor(source, None, 0.0, aligner="none").image.convert("RGB")
        metrics.update(*(np.asarray(picture) for picture in (edited, source, target)), rows[row]["yaw"])
    numbers = metrics.compute()
    names = {
        "error_ratio": "error_ratio_strength_zero",
        "error_ratio_interval": "error_ratio_strength_zero_interval",
        "unchanged_error": "unchanged_error_strength_zero",
    }
    return {"n_expressive": numbers["n"]} | {ours: numbers[name] for name, ours in names.items()}


def _walk(editor, pairs, batch_size: int, progress: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """How pictures differ along strengths and along mixtures.

    Returns:
        tuple: (len(STRENGTHS), N), difference from strength 0; and for mixtures `step` (MIXING_STEPS - 1, N), from one
            to the next, `from_first` and `to_last` (MIXING_STEPS, N). All in levels of 255.
    """
    model = editor.model
    pictures = pairs.select_columns(["source", "reference"])
    batches = [range(first, min(first + batch_size, len(pairs))) for first in range(0, len(pairs), batch_size)]
    codes = torch.cat(
        [
            model.encode(crop_batch(editor, pictures[list(batch)]["reference"])).expression_code
            for batch in track(batches, description="Encoding", disable=not progress)
        ]
    )
    partners = _partners(pairs["reference_label"][:])
    changes, distances = [], {"step": [], "from_first": [], "to_last": []}
    for batch in track(batches, description="Walking", disable=not progress):
        crops = crop_batch(editor, pictures[list(batch)]["source"])
        source, own = model.encode(crops), codes[list(batch)]
        edits = [model.decode(crops, source, own, strength).edited for strength in STRENGTHS]
        changes.append(torch.stack([_difference(edit, edits[0]) for edit in edits]))

        others = codes[[partners[row] for row in batch]]
        shares = [step / (MIXING_STEPS - 1) for step in range(MIXING_STEPS)]
        edits = [model.decode(crops, source, (1 - share) * own + share * others).edited for share in shares]
        distances["step"].append(torch.stack([_difference(a, b) for a, b in zip(edits[1:], edits[:-1], strict=True)]))
        distances["from_first"].append(torch.stack([_difference(edit, edits[0]) for edit in edits]))
        distances["to_last"].append(torch.stack([_difference(edit, edits[-1]) for edit in edits]))
    return torch.cat(changes, dim=1), {name: torch.cat(parts, dim=1) for name, parts in distances.items()}


def _difference(images: Tensor, others: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1], twice -> (B,), mean absolute difference in levels of 255, on the CPU."""
    return LEVELS * (images.float() - others.float()).abs().mean(dim=(1, 2, 3)).cpu()


def _partners(labels: list[int]) -> list[int]:
    """For each triplet the next one, round the end, whose reference shows another category; itself if none does."""
    n = len(labels)
    return [
        next(((row + step) % n for step in range(1, n) if labels[(row + step) % n] != labels[row]), row)
        for row in range(n)
    ]
