"""Measure what an editor's codes hold: the expression in e and not in z_n, the person in z_n and not in e."""

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from leed_hub.evaluation.evaluation import RENDERED, CardRows, Evaluation, RenderedFaces
from leed_hub.evaluation.rows import SEED, corpus_rows, drawn_rows, encode_pictures, labels_of, rows_of_classes
from leed_hub.metrics import best_accuracy, cross_validated_probe, kernel_readout, probe_leakage, retrieval_accuracy
from leed_hub.models.labels import EXPRESSIONS, UNLABELLED

PROBE_ROWS = 3000  # of the training split, for the probes and once more for the blendshapes
NEUTRAL = EXPRESSIONS.index("neutral")
FREE = len(EXPRESSIONS)  # rendered mixtures outside the categories, which a retrieval may take for one more
CODES = ("expression_code", "displacement", "neutral_point")


@dataclass(frozen=True, kw_only=True)
class Disentanglement(Evaluation):
    """Probe an editor's codes for person and expression on rendered persons it never saw.

    Codes: `expression_code` e, `displacement` d = z - z_n, `neutral_point` z_n. Every probe is a fresh one: linear,
    two-layer and, where it is cross-validated, ridge; the single numbers are those of the most accurate probe.

    Results: all in 0..1:
        `person_from_expression_code`, `person_from_displacement`, `person_from_neutral_point`, `person_chance`:
            balanced accuracy over the validation split, cross-validated by setup, so that a probe knows all persons,
            but not the picture's pose and light; `person_over_chance`: the first over the last.
        `expression_from_neutral_point`, `expression_from_expression_code`, `expression_chance`: balanced accuracy of
            probes trained on the training split's persons, tested on the validation split's.
        `retrieval`, `retrieval_chance`: share of the validation split's expressive pictures of a category ("free"
            mixtures left out) whose nearest e of another person, by cosine, is of that category.
        `blendshapes_from_expression_code`: share of the variance of the 53 blendshape weights on the validation split
            that a kernel regression explains, fitted on the training split's persons.
        `readout` (that of `kernel_readout`), `probes` (each that of `cross_validated_probe` or `probe_leakage`; those
            named `..._by_person` are cross-validated over the validation split's persons), `retrievals` (each that of
            `retrieval_accuracy`; `all` and `expressive`, with "free" as one more category, and `..._of_category`
            without it; a neutral picture's e is near zero and so has hardly a direction), `n`, `n_persons`,
            `n_trained`.
    """

    name, kind = "disentanglement", "editor"
    card = tuple(
        CardRows(names, protocol, (RENDERED, "validation"))
        for names, protocol in (
            (
                ("person_from_expression_code", "person_from_neutral_point"),
                "balanced accuracy of the probe that finds most, cross-validated by setup over {n} pictures; "
                "chance {person_chance:.3f}",
            ),
            (
                ("expression_from_neutral_point", "expression_from_expression_code"),
                "balanced accuracy of the probe that finds most, trained on other persons; "
                "chance {expression_chance:.3f}",
            ),
            (
                ("blendshapes_from_expression_code",),
                "share of the variance of 53 blendshape weights that a kernel regression, fitted on other persons, "
                "finds",
            ),
            (
                ("retrieval",),
                "expressive pictures whose nearest expression code of another person, by cosine, is of their category; "
                "chance {retrieval_chance:.3f}",
            ),
        )
    )

    data_dir: RenderedFaces
    probe_rows: Annotated[int, "At most so many pictures of the training split, drawn with a fixed seed."] = PROBE_ROWS
    batch_size: Annotated[int, "Pictures per call of the network."] = 64

    def measure(self, editor: Any) -> dict:
        rows = corpus_rows("rendered_faces", self.data_dir, "validation")
        labels = labels_of(rows)
        persons, setups = rows["subject"][:], rows["setup"][:]
        names = sorted(set(persons))
        person_labels = torch.tensor([names.index(person) for person in persons])
        codes = encode_pictures(self, editor, rows["image"], CODES)
        all_train_rows = corpus_rows("rendered_faces", self.data_dir, "train")
        train_rows, train_labels, _ = rows_of_classes(all_train_rows, EXPRESSIONS, self.probe_rows)
        train_codes = encode_pictures(self, editor, train_rows["image"], CODES)

        readout_rows = all_train_rows.select(drawn_rows(len(all_train_rows), self.probe_rows).tolist())
        readout = kernel_readout(
            encode_pictures(self, editor, readout_rows["image"], CODES[:1])["expression_code"],
            torch.tensor(readout_rows["blendshapes"][:]),
            readout_rows["subject"][:],
            codes["expression_code"],
            torch.tensor(rows["blendshapes"][:]),
            seed=SEED,
        )

        probes = {}
        for code in self.track(CODES, "Probing for the person"):
            probes[f"person_from_{code}"] = cross_validated_probe(codes[code], person_labels, setups, seed=SEED)
        for code in self.track(("neutral_point", "expression_code"), "Probing for the expression"):
            parts = train_codes[code], train_labels, codes[code], labels
            probes[f"expression_from_{code}"] = probe_leakage(*parts, seed=SEED)
            probes[f"expression_from_{code}_by_person"] = cross_validated_probe(codes[code], labels, persons, seed=SEED)
        found = {name: best_accuracy(probe) for name, probe in probes.items()}
        person_chance = probes["person_from_expression_code"]["chance_balanced"]
        retrievals = _retrieve(codes["expression_code"], labels, persons)
        return {
            "corpus": "rendered_faces",
            "split": "validation",
            "n": len(rows),
            "n_persons": len(names),
            "n_trained": len(train_rows),
            **{name: accuracy for name, accuracy in found.items() if name.startswith("person_")},
            "person_chance": person_chance,
            "person_over_chance": found["person_from_expression_code"] / person_chance,
            **{name: accuracy for name, accuracy in found.items() if name.startswith("expression_")},
            "expression_chance": probes["expression_from_neutral_point"]["chance_balanced"],
            "blendshapes_from_expression_code": readout["explained"],
            "retrieval": retrievals["expressive_of_category"]["accuracy"],
            "retrieval_chance": retrievals["expressive_of_category"]["chance"],
            "retrieval_measure": "cosine",
            "readout": readout,
            "probes": probes,
            "retrievals": retrievals,
        }


def _retrieve(codes: Tensor, labels: Tensor, persons: list[str]) -> dict[str, dict]:
    """Retrieval among all pictures and among expressive ones, with and without "free" ones."""
    categories = torch.where(labels == UNLABELLED, FREE, labels)
    chosen = {
        "all": torch.ones_like(labels, dtype=torch.bool),
        "all_of_category": labels != UNLABELLED,
        "expressive": labels != NEUTRAL,
        "expressive_of_category": (labels != NEUTRAL) & (labels != UNLABELLED),
    }
    return {
        name: retrieval_accuracy(codes[rows], categories[rows], [persons[i] for i in rows.nonzero()[:, 0].tolist()])
        for name, rows in chosen.items()
    }
