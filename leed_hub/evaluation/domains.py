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
    them.

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
        posed, photographs = (
            corpus_rows("rendered_people", self.people_dir, split) for split in ("posed", "photographs")
        )
        wearers: dict[int, list[tuple[int, str]]] = {}  # expression -> (row, person) of posed renders
        for row, (expression, person) in enumerate(zip(posed["expression_id"], posed["subject"], strict=True)):
            wearers.setdefault(expression, []).append((row, person))
        found_rows: dict[int, tuple[int, int]] = {}  # expression -> rows of a photograph and of another person's render
        columns = (photographs[name] for name in ("expression_id", "subject", "persons"))
        for row, (expression, person, people) in enumerate(zip(*columns, strict=True)):
            others = [render for render, other in wearers.get(expression, ()) if other != person]
            is_meant = expression >= 0 and (not persons or bool(persons & set(people)))
            if others and is_meant and expression not in found_rows:
                found_rows[expression] = row, others[0]
        if not found_rows:
            whom = ", ".join(sorted(persons)) or "anyone"
            raise CorpusError(f"The rendered people hold no photograph to look up of {whom}.")
        pairs = torch.tensor(list(found_rows.values()))[drawn_rows(len(found_rows), self.limit)]
        shown, gallery = photographs.select(pairs[:, 0].tolist()), posed.select(pairs[:, 1].tolist())
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
