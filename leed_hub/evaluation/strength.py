"""Measure strength and mixing: 0 gives the neutral face, more strength more change, and mixtures change evenly."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from leed_hub.errors import CorpusError
from leed_hub.evaluation.editing import add_triplet
from leed_hub.evaluation.evaluation import RENDERED, CardRows, Evaluation, RenderedFaces
from leed_hub.evaluation.rows import SEED, corpus_rows, crop_batch
from leed_hub.metrics import EditingMetrics, bootstrap_ratio_interval, share_with_interval

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
MIXING_STEPS = 11
LEVELS = 127.5  # of 255 in one unit of [-1, 1]


@dataclass(frozen=True, kw_only=True)
class Strength(Evaluation):
    """Remove expressions, scale them, and mix them, on rendered persons the editor never saw.

    Whole pictures are edited at strength 0. Scaling and mixing are measured on the network's own crops, before they
    are pasted back and rounded to whole levels, in which a small step would be lost. The editor is called as
    `editor(source, None, 0.0, detector="none")`, whose result has `.image`.

    Results:
        `error_ratio_strength_zero`, `error_ratio_strength_zero_interval`, `unchanged_error_strength_zero`: those of
            `EditingMetrics`, expressive validation pictures at strength 0 against the same setup's neutral render;
            `n_expressive` of them.
        `strengths`, and `change`: at each, the mean absolute difference from the edit at strength 0 (0..255), over the
            triplets' sources and references; `change_grows`: whether that curve rises at every step; `growing_share`,
            `growing_share_interval` (Wilson 95 %): of triplets whose own curve does; `n`.
        `mixing_largest_step`, `mixing_largest_step_p95`: between two references' expressions in ten equal steps of
            their codes' mixture, the largest difference between neighbouring edits over the mean one (1: perfectly
            even, 10: a jump), its mean (with a bootstrap interval) and 95th percentile over triplets.
        `mixing_monotonic_share`, `mixing_monotonic_share_interval`: of triplets in which every step leads away from the
            first edit and towards the last; `n_mixed` (triplets whose two ends differ at all).
    """

    name, kind = "strength", "editor"
    card = (
        CardRows(
            ("error_ratio_strength_zero",),
            "{n_expressive} expressive pictures at strength 0 against the neutral render",
            place=(RENDERED, "validation"),
        ),
        CardRows(
            ("growing_share",),
            "share of {n} triplets whose edit grows at every step of strength from 0 to 1.5",
            place=(RENDERED, "pairs_validation"),
        ),
        CardRows(
            ("mixing_largest_step",),
            "two references mixed in ten steps: largest change from step to step over the mean one",
            place=(RENDERED, "pairs_validation"),
        ),
    )

    data_dir: RenderedFaces
    limit: Annotated[int | None, "Only the first so many pictures and triplets."] = None
    batch_size: Annotated[int, "Triplets per call of the network."] = 32

    def measure(self, editor: Any) -> dict:
        neutralised = self.neutralise(editor, corpus_rows("rendered_faces", self.data_dir, "validation"))
        pairs = corpus_rows("rendered_faces", self.data_dir, "validation", config="pairs")
        pairs = pairs.select(range(min(len(pairs), self.limit or len(pairs))))
        change, distances = self.steps(editor, pairs)
        curve = change.mean(dim=1)
        mean_step = distances["step"].mean(dim=0)
        mixed = mean_step > 0
        largest = (distances["step"].max(dim=0).values / mean_step)[mixed]
        away, towards = distances["from_first"].diff(dim=0) > 0, distances["to_last"].diff(dim=0) < 0
        return {
            "corpus": "rendered_faces",
            **neutralised,
            "n": len(pairs),
            "strengths": list(STRENGTHS),
            "change": curve.tolist(),
            "change_grows": bool((curve.diff() > 0).all()),
            **share_with_interval("growing_share", (change.diff(dim=0) > 0).all(dim=0)),
            "n_mixed": len(largest),
            "mixing_largest_step": float(largest.mean()) if len(largest) else None,
            "mixing_largest_step_interval": bootstrap_ratio_interval(largest, torch.ones_like(largest), seed=SEED),
            "mixing_largest_step_p95": float(np.percentile(largest, 95)) if len(largest) else None,
            **share_with_interval("mixing_monotonic_share", (away & towards).all(dim=0)[mixed]),
        }

    def neutralise(self, editor: Any, rows: Any) -> dict:
        """Strength 0 on expressive pictures, against the neutral picture of the same setup."""
        row_of_file = {file: row for row, file in enumerate(rows["file"][:])}
        neutral_files = rows["neutral_file"][:]
        if lacking := set(neutral_files) - set(row_of_file):
            missing = sorted(map(str, lacking))[0]
            raise CorpusError(f"The rendered faces lack {missing}, the neutral picture of others.")
        expressive = [row for file, row in row_of_file.items() if file != neutral_files[row]][: self.limit]
        metrics = EditingMetrics(seed=SEED, similarity=False)
        for row in self.track(expressive, "Neutralising"):
            source, target = (rows[number]["image"].convert("RGB") for number in (row, row_of_file[neutral_files[row]]))
            add_triplet(metrics, editor(source, None, 0.0, detector="none").image, source, target, rows[row]["yaw"])
        numbers = metrics.compute()
        return {
            "n_expressive": numbers["n"],
            "error_ratio_strength_zero": numbers["error_ratio"],
            "error_ratio_strength_zero_interval": numbers["error_ratio_interval"],
            "unchanged_error_strength_zero": numbers["unchanged_error"],
        }

    def steps(self, editor: Any, pairs: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """How edits differ along strengths and along mixtures, in levels of 255.

        Returns:
            tuple: (len(STRENGTHS), N), difference from strength 0; and for mixtures `step` (MIXING_STEPS - 1, N), from
                one to the next, `from_first` and `to_last` (MIXING_STEPS, N).
        """
        model = editor.model
        pictures = pairs.select_columns(["source", "reference"])
        rows = range(len(pairs))
        batches = [list(rows[first : first + self.batch_size]) for first in rows[:: self.batch_size]]
        codes = torch.cat(
            [
                model.encode(crop_batch(editor, pictures[batch]["reference"])).expression_code
                for batch in self.track(batches, "Encoding")
            ]
        )
        partners = _partners(pairs["reference_label"][:])
        changes: list[Tensor] = []
        distances: dict[str, list[Tensor]] = {"step": [], "from_first": [], "to_last": []}
        shares = [step / (MIXING_STEPS - 1) for step in range(MIXING_STEPS)]
        for batch in self.track(batches, "Editing"):
            crops = crop_batch(editor, pictures[batch]["source"])
            source, own = model.encode(crops), codes[batch]
            edits = [model.decode(crops, source, own, strength).edited for strength in STRENGTHS]
            changes.append(torch.stack([_difference(edit, edits[0]) for edit in edits]))

            others = codes[[partners[row] for row in batch]]
            edits = [model.decode(crops, source, (1 - share) * own + share * others).edited for share in shares]
            steps = zip(edits[1:], edits[:-1], strict=True)
            distances["step"].append(torch.stack([_difference(edit, other) for edit, other in steps]))
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
