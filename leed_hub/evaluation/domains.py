"""Measure whether an editor has one expression code for photographs and renders, or one for each."""

import os
from collections.abc import Sequence

import torch
from PIL import Image
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F

from leed_hub.errors import CorpusError
from leed_hub.evaluation.rows import SEED, crop_batch, drawn_rows
from leed_hub.metrics import cross_validated_probe, wilson_interval

FRONTAL_DEG = 25.0  # photographs are frontal, and a pose must not give renders away


@torch.inference_mode()
def evaluate_domains(
    editor,
    people_dir: str | os.PathLike,
    faces_dir: str | os.PathLike,
    *,
    persons: Sequence[str] = (),
    limit: int = 500,
    batch_size: int = 64,
    progress: bool = False,
) -> dict:
    """Probe an editor's codes for photograph or render, and look photographs' expressions up among renders.

    An editor that reads photographs by one code and renders by another passes measures on either and carries nothing
    across.

    Args:
        editor: has `device` and `model`, whose `config.image_size` is the side of a crop and whose `encode` gives the
            codes of a batch (B, 3, S, S) in [-1, 1].
        people_dir (str | os.PathLike): folder of the rendered people, whose validation triplets are photographs.
        faces_dir (str | os.PathLike): folder of the rendered faces, whose validation split shows the same persons.
        persons (Sequence[str]): whose photographs are looked up, such as those a training held out; all by default,
            most of whom a training has seen.
        limit (int): at most so many photographs are looked up, drawn with a fixed seed.
        batch_size (int): pictures per call.
        progress (bool): show a progress bar.
    Returns:
        dict:
            `domain_from_expression_code`, `domain_from_neutral_point`: balanced accuracy with which the best of several
                fresh probes tells photographs from frontal renders, both with the same expressions equally often,
                cross-validated by person; `domain_chance` (0.5), and the control
                `domain_from_expression_code_shuffled`, the same with the domains dealt at random.
            `retrieval_across`: share of photographs whose e is nearest, by cosine, to that of the posed render which
                wears their exact expression, worn by another person, among `n_candidates` renders of as many
                expressions; `retrieval_across_interval` (Wilson 95 %), `retrieval_across_chance`, `n_looked_up`.
            And below: `probes`, `n_photographs`, `n_renders`.
    Raises:
        CorpusError: if a corpus is not laid out as expected, or holds none of the persons.
    """
    from leed_hub.data import load_corpus  # here, for `datasets` is slow to import and editing needs none of it

    pairs = load_corpus("rendered_people", people_dir, "validation", config="pairs")
    photographs = [
        (pair[role], pair[f"{role}_label"], pair[f"{role}_subject"])
        for pair in pairs
        for role in ("source", "reference", "target")
    ]
    rows = load_corpus("rendered_faces", faces_dir, "validation")
    renders = [
        (row["image"], row["label"], row["subject"])
        for row in rows.select_columns(["image", "label", "subject", "yaw"])
        if abs(row["yaw"]) <= FRONTAL_DEG
    ]
    photographs, renders = _equally_often(photographs, renders)
    codes = _encode(editor, [picture for picture, *_ in photographs + renders], batch_size, progress)
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
    kinds = ("linear_accuracy", "mlp_accuracy", "ridge_accuracy")
    return {
        "measured": "domains",
        **{name: max(probe[kind] for kind in kinds) for name, probe in probes.items()},
        "domain_chance": probes["domain_from_expression_code"]["chance_balanced"],
        **_look_up(editor, people_dir, set(persons), limit, batch_size, progress),
        "n_photographs": len(photographs),
        "n_renders": len(renders),
        "probes": probes,
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


def _look_up(editor, people_dir, persons: set[str], limit: int, batch_size: int, progress: bool) -> dict:
    """Photographs' expressions among posed renders of other persons."""
    from leed_hub.data import load_corpus

    parts = {}
    for split in ("posed", "photographs"):
        rows = load_corpus("rendered_people", people_dir, split)
        people = rows["persons"][:]
        kept = [row for row, expression in enumerate(rows["expression_id"][:]) if expression >= 0]
        if split == "photographs" and persons:
            kept = [row for row in kept if persons & set(people[row])]
        parts[split] = rows.select(kept)
    posed, photographs = parts["posed"], parts["photographs"]
    wearers: dict[int, list[int]] = {}
    posed_subjects = posed["subject"][:]
    for row, expression in enumerate(posed["expression_id"][:]):
        wearers.setdefault(expression, []).append(row)
    queries, right = [], {}  # rows of photographs; expression -> row of posed
    for row, (expression, subject) in enumerate(
        zip(photographs["expression_id"][:], photographs["subject"][:], strict=True)
    ):
        others = [other for other in wearers.get(expression, ()) if posed_subjects[other] != subject]
        if others and expression not in right:  # one photograph an expression
            right[expression] = others[0]
            queries.append(row)
    if not queries:
        raise CorpusError(
            f"The rendered people hold no photograph to look up of {', '.join(sorted(persons)) or 'anyone'}."
        )
    queries = [queries[place] for place in drawn_rows(len(queries), limit).tolist()]
    shown = photographs.select(queries)
    gallery = posed.select([right[expression] for expression in shown["expression_id"][:]])
    asked, found = (
        F.normalize(_encode(editor, rows["image"][:], batch_size, progress)["expression_code"], dim=1)
        for rows in (shown, gallery)
    )
    hits = (asked @ found.T).argmax(dim=1) == torch.arange(len(queries))
    return {
        "retrieval_across": float(hits.float().mean()),
        "retrieval_across_interval": wilson_interval(int(hits.sum()), len(hits)),
        "retrieval_across_chance": 1 / len(hits),
        "n_looked_up": len(hits),
        "n_candidates": len(hits),
    }


def _encode(editor, pictures: Sequence[Image.Image], batch_size: int, progress: bool) -> dict[str, Tensor]:
    """The codes of pictures that are face crops, (N, D) float32 each."""
    parts: dict[str, list[Tensor]] = {"expression_code": [], "neutral_point": []}
    for first in track(range(0, len(pictures), batch_size), description="Encoding", disable=not progress):
        encoding = editor.model.encode(crop_batch(editor, pictures[first : first + batch_size]))
        for name, part in parts.items():
            part.append(getattr(encoding, name).float().cpu())
    return {name: torch.cat(part) for name, part in parts.items()}
