"""Measure whether an editor has one expression code for photographs and renders, or one for each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from torch.nn import functional as F

from leed_hub.errors import CorpusError
from leed_hub.evaluation.evaluation import CardRows, Evaluation, RenderedFaces
from leed_hub.evaluation.rows import SEED, corpus_rows, drawn_rows, encode_pictures
from leed_hub.metrics import best_accuracy, cross_validated_probe, share_with_interval

FRONTAL_DEG = 25.0  # photographs are frontal, and pose must not identify renders


@dataclass(frozen=True, kw_only=True)
class Domains(Evaluation):
    """Probe an editor's codes for photograph or render, and look photographs' expressions up among renders.

    An editor that encodes photographs and renders differently passes measures on either and transfers nothing between
    them. The editor has `device` and `model`, whose `config.image_size` is the side of a crop and whose `encode` gives
    the codes of a batch (B, 3, S, S) in [-1, 1].

    Results:
        `domain_from_expression_code`, `domain_from_neutral_point`: balanced accuracy with which the best of several
            fresh probes separates photographs from frontal renders, both with the same expressions equally often,
            cross-validated by person; `domain_chance` (0.5), and the control `domain_from_expression_code_shuffled`,
            the same with randomly permuted domains.
        `retrieval_across`: share of photographs whose e is nearest, by cosine, to that of the posed render of another
            person with exactly their expression, among `n_candidates` renders of as many expressions;
            `retrieval_across_interval` (Wilson 95 %), `retrieval_across_chance`, `n_looked_up`.
        `probes`, `n_photographs`, `n_renders`.

    Raises:
        CorpusError: if a corpus holds none of the persons.
    """

    name, kind = "domains", "editor"
    card = (
        CardRows(
            ("domain_from_expression_code", "domain_from_neutral_point"),
            "balanced accuracy of the probe that finds most: photographs or renders, {n_photographs} and {n_renders}; "
            "chance 0.5, with the domains dealt at random {domain_from_expression_code_shuffled:.3f}",
            place=("Rendered people", "photographs_pairs_validation"),
        ),
        CardRows(
            ("retrieval_across",),
            "photographs whose nearest expression code among {n_candidates} posed renders of other persons is that of "
            "their exact expression; chance {retrieval_across_chance:.3f}",
            place=("Rendered people", "photographs"),
        ),
    )

    people_dir: Annotated[Path, "Folder of the rendered people."]
    data_dir: RenderedFaces
    person: Annotated[
        list[str] | None, "Whose photographs are looked up, such as 004; all by default, most of them seen in training."
    ] = None
    limit: Annotated[int, "At most so many photographs are looked up, drawn with a fixed seed."] = 500
    batch_size: Annotated[int, "Pictures per call of the network."] = 64

    def measure(self, editor: Any) -> dict:
        pairs = corpus_rows("rendered_people", self.people_dir, "validation", config="pairs")
        photographs = [
            (pair[role], pair[f"{role}_label"], pair[f"{role}_subject"])
            for pair in pairs
            for role in ("source", "reference", "target")
        ]
        rows = corpus_rows("rendered_faces", self.data_dir, "validation")
        renders = [
            (row["image"], row["label"], row["subject"])
            for row in rows.select_columns(["image", "label", "subject", "yaw"])
            if abs(row["yaw"]) <= FRONTAL_DEG
        ]
        photographs, renders = _equally_often(photographs, renders)
        pictures = [picture for picture, *_ in photographs + renders]
        codes = encode_pictures(self, editor, pictures, ("expression_code", "neutral_point"))
        domain = torch.tensor([0] * len(photographs) + [1] * len(renders))
        groups = [person for *_, person in photographs + renders]
        shuffled = domain[torch.randperm(len(domain), generator=torch.Generator().manual_seed(SEED))]
        probes = {
            name: cross_validated_probe(codes[code], labels, groups, seed=SEED)
            for name, code, labels in (
                ("domain_from_expression_code", "expression_code", domain),
                ("domain_from_neutral_point", "neutral_point", domain),
                ("domain_from_expression_code_shuffled", "expression_code", shuffled),
            )
        }
        return {
            **{name: best_accuracy(probe) for name, probe in probes.items()},
            "domain_chance": probes["domain_from_expression_code"]["chance_balanced"],
            **self.look_up(editor),
            "n_photographs": len(photographs),
            "n_renders": len(renders),
            "probes": probes,
        }

    def look_up(self, editor: Any) -> dict:
        """Photographs' expressions among posed renders of other persons."""
        persons = set(self.person or ())
        parts = {}
        for split in ("posed", "photographs"):
            rows = corpus_rows("rendered_people", self.people_dir, split)
            people = rows["persons"][:]
            kept = [row for row, expression in enumerate(rows["expression_id"][:]) if expression >= 0]
            if split == "photographs" and persons:
                kept = [row for row in kept if persons & set(people[row])]
            parts[split] = rows.select(kept)
        posed, photographs = parts["posed"], parts["photographs"]
        rows_of_expression: dict[int, list[int]] = {}
        posed_subjects = posed["subject"][:]
        for row, expression in enumerate(posed["expression_id"][:]):
            rows_of_expression.setdefault(expression, []).append(row)
        queries: list[int] = []  # rows of photographs, one an expression
        right: dict[int, int] = {}  # expression -> row of posed
        subjects = photographs["subject"][:]
        for row, expression in enumerate(photographs["expression_id"][:]):
            candidates = rows_of_expression.get(expression, ())
            others = [other for other in candidates if posed_subjects[other] != subjects[row]]
            if others and expression not in right:
                right[expression] = others[0]
                queries.append(row)
        if not queries:
            whom = ", ".join(sorted(persons)) or "anyone"
            raise CorpusError(f"The rendered people hold no photograph to look up of {whom}.")
        shown = photographs.select([queries[place] for place in drawn_rows(len(queries), self.limit).tolist()])
        gallery = posed.select([right[expression] for expression in shown["expression_id"][:]])
        asked, found = (
            F.normalize(encode_pictures(self, editor, rows["image"], ("expression_code",))["expression_code"], dim=1)
            for rows in (shown, gallery)
        )
        hits = (asked @ found.T).argmax(dim=1) == torch.arange(len(shown))
        return {
            **share_with_interval("retrieval_across", hits),
            "retrieval_across_chance": 1 / len(hits),
            "n_looked_up": len(hits),
            "n_candidates": len(hits),
        }


def _equally_often(first: list[tuple], second: list[tuple]) -> tuple[list[tuple], list[tuple]]:
    """As many rows (picture, label, person) of each label from both, drawn with a fixed seed."""
    generator = torch.Generator().manual_seed(SEED)
    kept: tuple[list, list] = ([], [])
    for label in sorted({label for _, label, _ in first} & {label for _, label, _ in second}):
        of_label = [[row for row in rows if row[1] == label] for rows in (first, second)]
        count = min(map(len, of_label))
        for rows, chosen in zip(of_label, kept, strict=True):
            order = torch.randperm(len(rows), generator=generator)[:count].tolist()
            chosen += [rows[place] for place in order]
    return kept
