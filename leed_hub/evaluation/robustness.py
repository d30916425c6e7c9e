"""Measure a recogniser's accuracy on degraded pictures."""

from dataclasses import dataclass
from typing import Any

import torch

from leed_hub.evaluation.corpus_reader import RecognizerEvaluation, whole_crop
from leed_hub.evaluation.corruptions import CORRUPTIONS
from leed_hub.evaluation.evaluation import CardRows
from leed_hub.evaluation.rows import batches
from leed_hub.metrics import share_with_interval


@dataclass(frozen=True, kw_only=True)
class Robustness(RecognizerEvaluation):
    """Score a recogniser on clean crops and on the same crops after each of `CORRUPTIONS`.

    A crop is made from the clean picture and corrupted at the network's own size (`recognizer.cropper.size`), so that
    resizing hides nothing, and a rotated face is not aligned again.

    Results: `accuracy_clean`; for each corruption `accuracy_NAME` (0..1) and `drop_NAME` (percentage points lost
        against `accuracy_clean`, negative if gained); `mean_drop`, over corruptions; `corruptions`: name ("clean" too)
        to `accuracy`, `accuracy_interval` (Wilson 95 %), `n_lost` and `n_gained` (rows that were right before and are
        wrong now, and the reverse); and those of `RecognizerEvaluation`.
    """

    name = "robustness"
    card = (
        CardRows(
            (*(f"drop_{name}" for name in CORRUPTIONS), "mean_drop"),
            "percentage points lost against an accuracy of {accuracy_clean:.3f} on clean crops; {n} pictures, "
            "{reading}, not aligned again",
        ),
    )

    def measure(self, recognizer: Any) -> dict:
        reader, rows, labels, unmatched = self.scored_rows(recognizer)
        predicted: dict[str, list] = {name: [] for name in ("clean", *CORRUPTIONS)}
        for pictures in batches(self, rows["image"], "Predicting"):
            crops = [whole_crop(reader.crop(picture), recognizer.cropper.size) for picture in pictures]
            for name, parts in predicted.items():
                seen = [CORRUPTIONS[name](crop) for crop in crops] if name in CORRUPTIONS else crops
                parts.append(reader.predict(seen)["logits"].argmax(dim=1))

        correct = {name: torch.cat(parts) == labels for name, parts in predicted.items()}
        clean = correct["clean"]
        corruptions = {
            name: share_with_interval("accuracy", right)
            | {"n_lost": int((clean & ~right).sum()), "n_gained": int((~clean & right).sum())}
            for name, right in correct.items()
        }
        accuracies = {f"accuracy_{name}": numbers["accuracy"] for name, numbers in corruptions.items()}
        drops = {
            f"drop_{name}": 100 * (accuracies["accuracy_clean"] - accuracies[f"accuracy_{name}"])
            for name in CORRUPTIONS
        }
        return {
            "n": len(rows),
            **accuracies,
            **drops,
            "mean_drop": sum(drops.values()) / len(drops),
            **reader.protocol,
            **unmatched,
            "corruptions": corruptions,
        }
