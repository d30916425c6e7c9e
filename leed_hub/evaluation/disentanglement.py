"""Measure what an editor's codes hold: the expression in e and not in z_n, the person in z_n and not in e."""

import os

import torch
from rich.progress import track
from torch import Tensor

from leed_hub.evaluation.rows import SEED, crop_batch, drawn_rows, rows_of_classes
from leed_hub.labels import EXPRESSIONS, UNLABELLED
from leed_hub.metrics import cross_validated_probe, kernel_readout, probe_leakage, retrieval_accuracy

PROBE_ROWS = 3000  # of the training split, for the probes and once more for the blendshapes
NEUTRAL = EXPRESSIONS.index("neutral")
FREE = len(EXPRESSIONS)  # rendered mixtures outside the categories, which a retrieval may take for one more


@torch.inference_mode()
def evaluate_disentanglement(
    editor,
    data_dir: str | os.PathLike,
    *,
    probe_rows: int = PROBE_ROWS,
    batch_size: int = 64,
    progress: bool = False,
) -> dict:
    """Probe an editor's codes for person and expression on rendered persons it never saw.

    Codes: `expression_code` e, `displacement` d = z - z_n, `neutral_point` z_n. Every probe is a fresh one: linear,
    two-layer and, where it is cross-validated, ridge; the single numbers are those of the probe that finds most.

    Args:
        editor: has `device` and `model`, whose `config.image_size` is the side of a crop and whose `encode` gives the
            three codes of a batch (B, 3, S, S) in [-1, 1].
        data_dir (str | os.PathLike): folder of the rendered faces.
        probe_rows (int): at most so many pictures of the training split, drawn with a fixed seed: labelled ones for the
            probes, any for the blendshapes.
        batch_size (int): pictures per call.
        progress (bool): show a progress bar.
    Returns:
        dict: single numbers, all in 0..1:
            `person_from_expression_code`, `person_from_displacement`, `person_from_neutral_point`, `person_chance`:
                balanced accuracy over the validation split, cross-validated by setup, so that a probe knows all
                persons, but not the picture's pose and light; `person_over_chance`: the first over the last.
            `expression_from_neutral_point`, `expression_from_expression_code`, `expression_chance`: balanced accuracy
                of probes trained on the training split's persons, tested on the validation split's.
            `retrieval`, `retrieval_chance`: share of the validation split's expressive pictures of a category ("free"
                mixtures left out) whose nearest e of another person, by cosine, is of that category.
            `blendshapes_from_expression_code`: share of the variance of the 53 blendshape weights on the validation
                split that a kernel regression finds which was fitted on the training split's persons.
            And below: `readout` (that of `kernel_readout`), `probes` (each that of `cross_validated_probe` or
            `probe_leakage`; those named `..._by_person` are cross-validated over the validation split's persons),
            `retrievals` (each that of `retrieval_accuracy`; `all` and `expressive`, with "free" as one category more,
            and `..._of_category` without it; a neutral picture's e is near zero and so has hardly a direction to find
            another by), `n`, `n_persons`, `n_trained`.
    Raises:
        CorpusError: if the corpus is not laid out as expected.
    """
    from leed_hub.data import load_corpus  # here, for `datasets` is slow to import and editing needs none of it

    rows = load_corpus("rendered_faces", data_dir, "validation")
    labels = torch.tensor([UNLABELLED if label is None else label for label in rows["label"][:]])
    persons, setups = rows["subject"][:], rows["setup"][:]
    names = sorted(set(persons))
    person_labels = torch.tensor([names.index(person) for person in persons])
    codes = _encode(editor, rows, batch_size, progress, "Encoding")
    all_train_rows = load_corpus("rendered_faces", data_dir, "train")
    train_rows, train_labels, _ = rows_of_classes(all_train_rows, EXPRESSIONS, probe_rows)
    train_codes = _encode(editor, train_rows, batch_size, progress, "Encoding others")

    read_rows = all_train_rows.select(drawn_rows(len(all_train_rows), probe_rows).tolist())
    read_codes = _encode(editor, read_rows, batch_size, progress, "Encoding for the readout")
    readout = kernel_readout(
        read_codes["expression_code"],
        torch.tensor(read_rows["blendshapes"][:]),
        read_rows["subject"][:],
        codes["expression_code"],
        torch.tensor(rows["blendshapes"][:]),
        seed=SEED,
    )

    probes = {}
    for code in track(codes, description="Probing", disable=not progress):
        probes[f"person_from_{code}"] = cross_validated_probe(codes[code], person_labels, setups, seed=SEED)
    for code in track(("neutral_point", "expression_code"), description="Probing", disable=not progress):
        probes[f"expression_from_{code}"] = probe_leakage(
            train_codes[code], train_labels, codes[code], labels, seed=SEED
        )
        probes[f"expression_from_{code}_by_person"] = cross_validated_probe(codes[code], labels, persons, seed=SEED)
    kinds = ("linear_accuracy", "mlp_accuracy", "ridge_accuracy")
    found = {name: max(probe[kind] for kind in kinds if kind in probe) for name, probe in probes.items()}
    person_chance = probes["person_from_expression_code"]["chance_balanced"]

    retrievals = _retrieve(codes["expression_code"], labels, persons)
    return {
        "measured": "disentanglement",
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


def _encode(editor, rows, batch_size: int, progress: bool, description: str) -> dict[str, Tensor]:
    """The three codes of each row, (N, D) float32 each."""
    parts: dict[str, list[Tensor]] = {"expression_code": [], "displacement": [], "neutral_point": []}
    batches = rows.select_columns(["image"]).iter(batch_size)
    for batch in track(batches, description=description, total=-(-len(rows) // batch_size), disable=not progress):
        encoding = editor.model.encode(crop_batch(editor, batch["image"]))
        for name, part in parts.items():
            part.append(getattr(encoding, name).float().cpu())
    return {name: torch.cat(part) for name, part in parts.items()}


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
