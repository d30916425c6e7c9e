"""Measure a recogniser on a corpus' labels."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch

from leed_hub.evaluation.corpus_reader import CorpusReader, RecognizerEvaluation
from leed_hub.evaluation.evaluation import CardRows
from leed_hub.evaluation.rows import SEED, corpus_rows, rows_of_classes
from leed_hub.metrics import affect_scores, probe_leakage, recognition_scores

PROBE_ROWS = 10_000


@dataclass(frozen=True, kw_only=True)
class Recognition(RecognizerEvaluation):
    """Score a recogniser on a corpus, and probe what its two codes hold of the expression.

    It may predict any of its classes; one that the corpus never shows is wrong. The probe on the non-expression code
    measures leakage: the nearer to chance, the better disentangled. The same probe on the expression code shows how
    much there is to find. `encode_crops` also gives `expression_code` (N, D) and `non_expression_code` (N, D) or None.

    Results: those of `recognition_scores` and `RecognizerEvaluation`;
        `calls_of_lacking_classes`: share of rows predicted as a class that the split never shows;
        `leakage`, `expression_code_probe`: each that of `probe_leakage`, or None without probes and where a code or two
            shared classes are lacking; `probe_split`;
        `valence_arousal`: that of `affect_scores`, or None where network or corpus have none.

    Raises:
        ValueError: if `probe_split` is `split`.
    """

    name = "recognition"
    card = (
        CardRows(
            ("accuracy", "balanced_accuracy", "macro_f1", "expected_calibration_error"), "{n} pictures, {reading}"
        ),
        CardRows(
            ("calls_of_lacking_classes",),
            "share of {n} pictures called a class that the split never shows ({lacking}), {reading}",
        ),
        CardRows(
            ("leakage, linear probe", "leakage, mlp probe"),
            "balanced accuracy of a fresh probe on the non-expression code, trained on {probe_split}; chance "
            "{leakage[chance_balanced]:.3f}",
        ),
    )

    probe_split: Annotated[
        str,
        "The split that probes are trained on, at most 10,000 rows of it, best one that the network never saw; none: "
        "no probes.",
    ] = "train"

    def measure(self, recognizer: Any) -> dict:
        if self.probe_split == self.split:
            raise ValueError(
                f"Recognition expected a probe_split other than the split it tests, got {self.split} twice."
            )
        reader, rows, labels, unmatched = self.scored_rows(recognizer)
        test = self.predict(reader, rows)
        lacking = torch.tensor([name in unmatched["classes_lacking"] for name in recognizer.labels])
        result: dict[str, Any] = {
            "probe_split": self.probe_split,
            **recognition_scores(test["logits"], labels, recognizer.labels),
            **reader.protocol,
            **unmatched,
            "calls_of_lacking_classes": float(lacking[test["logits"].argmax(dim=1)].float().mean()),
            "leakage": None,
            "expression_code_probe": None,
            "valence_arousal": None,
        }
        if test["valence_arousal"] is not None and {"valence", "arousal"} <= rows.features.keys():
            annotated = np.array([rows["valence"][:], rows["arousal"][:]], np.float32).T
            result["valence_arousal"] = affect_scores(test["valence_arousal"], torch.from_numpy(annotated))
        if self.probe_split != "none":
            limit = PROBE_ROWS if self.limit is None else min(PROBE_ROWS, self.limit)
            train_split = corpus_rows(self.corpus, self.data_dir, self.probe_split)
            rows, train_labels, _ = rows_of_classes(train_split, recognizer.labels, limit)
            one_view = CorpusReader(recognizer, detector=self.detector)  # only the codes are wanted
            train = self.predict(one_view, rows, "Encoding for probes")
            n_shared = len(set(train_labels.tolist()) & set(labels.tolist()))
            for name, code in (("leakage", "non_expression_code"), ("expression_code_probe", "expression_code")):
                if train[code] is not None and n_shared >= 2:
                    result[name] = probe_leakage(train[code], train_labels, test[code], labels, seed=SEED)
        return result

    @classmethod
    def card_rows(cls, numbers: dict) -> list[dict]:
        leakage = numbers["leakage"] or {}
        return super().card_rows(
            numbers | {f"leakage, {kind} probe": leakage.get(f"{kind}_accuracy") for kind in ("linear", "mlp")}
        )
