"""Measure a finished editor or recogniser on a corpus: what `leed-hub evaluate` prints and writes.

Whoever is measured is called as a user would call it, pictures in and pictures or logits out, so any other editor or
recogniser that answers the same call can be measured beside ours.
"""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import torch
from PIL import Image, UnidentifiedImageError
from rich.progress import track

from leed_hub.errors import CorpusError
from leed_hub.hub import CARD
from leed_hub.labels import UNLABELLED
from leed_hub.metrics import EditingMetrics, probe_leakage, recognition_scores
from leed_hub.models.card import CardFacts
from leed_hub.models.hub import HubModel

PROBE_ROWS = 10_000
SEED = 0  # of every subset and probe, so that two models are measured on the same rows


def evaluate_editing(
    editor: Callable, data_dir: str | os.PathLike, *, limit: int | None = None, progress: bool = False
) -> dict:
    """Edit every source of a folder of exact triplets to its reference's expression, and compare with the target.

    Args:
        editor (Callable): called as `editor(source, reference, aligner="none")` with RGB PIL pictures; the result's
            `.image` is a PIL picture of the source's size.
        data_dir (str | os.PathLike): folder with `pairs.parquet` (columns `pair`, `source_yaw` in degrees,
            `source_expression`) and `NNN_source.jpg`, `NNN_reference.jpg`, `NNN_target.jpg` for each `pair`.
        limit (int | None): only the first so many triplets.
        progress (bool): show a progress bar.
    Returns:
        dict: that of `EditingMetrics.compute`, and `error_ratio_neutral_source`, `error_ratio_expressive_source` with
            `n_neutral_source`, `n_expressive_source`: does the face start from the neutral expression or another.
    Raises:
        CorpusError: if a file or a column is missing or cannot be read.
    """
    folder = Path(data_dir)
    pairs = _read_pairs(folder)[:limit]
    metrics = EditingMetrics(seed=SEED)
    for pair in track(pairs, description="Editing", disable=not progress):
        source, reference, target = (
            _read_picture(folder / f"{pair['pair']:03d}_{role}.jpg") for role in ("source", "reference", "target")
        )
        edited = editor(source, reference, aligner="none").image.convert("RGB")
        metrics.update(np.asarray(edited), np.asarray(source), np.asarray(target), pair["source_yaw"])

    neutral = np.array([pair["source_expression"] == "neutral" for pair in pairs], dtype=bool)
    return {
        **metrics.compute(),
        "n_neutral_source": int(neutral.sum()),
        "n_expressive_source": int((~neutral).sum()),
        "error_ratio_neutral_source": metrics.error_ratio(neutral),
        "error_ratio_expressive_source": metrics.error_ratio(~neutral),
    }


def evaluate_recognition(
    recognizer,
    corpus: str,
    data_dir: str | os.PathLike,
    split: str,
    *,
    probe_split: str | None = "train",
    limit: int | None = None,
    batch_size: int = 128,
    progress: bool = False,
) -> dict:
    """Score a recogniser on a corpus, and probe what its two codes tell about the expression.

    The probe on the non-expression code measures leakage: the nearer to chance, the better disentangled. The same probe
    on the expression code shows how much there was to be found.

    Args:
        recognizer: has `labels` (tuple of K names from `EXPRESSIONS`) and `read_crops(list of PIL pictures)`, whose
            result has `logits` (N, K), `expression_code` (N, D), and `non_expression_code` (N, D) or None.
        corpus (str): a name that `leed_hub.data.load_corpus` knows.
        data_dir (str | os.PathLike): where that corpus lies.
        split (str): the split to score.
        probe_split (str | None): the split on which probes are trained, at most 10,000 rows of it. None: no probes.
        limit (int | None): only so many rows, drawn with a fixed seed, of either split.
        batch_size (int): pictures per call.
        progress (bool): show a progress bar.
    Returns:
        dict: that of `recognition_scores`; `n_skipped` (labelled rows of classes the recogniser does not have) and
            `n_unlabelled`, both left out; `leakage` and `expression_code_probe`, each that of `probe_leakage`, or None
            where a code or two shared classes are lacking; and what was measured: `corpus`, `split`, `probe_split`.
    Raises:
        CorpusError: if the corpus is not laid out as expected, or has no row of the recogniser's classes.
        ValueError: if `probe_split` is `split`.
    """
    from leed_hub.data import load_corpus  # here, for `datasets` is slow to import and editing needs none of it

    if probe_split == split:
        raise ValueError(
            f"evaluate_recognition expected a probe_split other than the split it tests, got {split} twice."
        )
    rows, labels, counts = _rows_of_classes(load_corpus(corpus, data_dir, split), recognizer.labels, limit)
    if len(rows) == 0:
        raise CorpusError(
            f"The {split} split of {corpus} in {data_dir} has no row of the recogniser's classes "
            f"({', '.join(recognizer.labels)})."
        )
    test = _read_rows(recognizer, rows, batch_size, progress, "Scoring")
    result = {
        "corpus": corpus,
        "split": split,
        "probe_split": probe_split,
        **recognition_scores(test["logits"], labels, recognizer.labels),
        **counts,
        "leakage": None,
        "expression_code_probe": None,
    }
    if probe_split is not None:
        probe_limit = PROBE_ROWS if limit is None else min(PROBE_ROWS, limit)
        rows, train_labels, _ = _rows_of_classes(
            load_corpus(corpus, data_dir, probe_split), recognizer.labels, probe_limit
        )
        train = _read_rows(recognizer, rows, batch_size, progress, "Probing")
        classes_shared = len(set(train_labels.tolist()) & set(labels.tolist()))
        for name, code in (("leakage", "non_expression_code"), ("expression_code_probe", "expression_code")):
            if train[code] is not None and classes_shared >= 2:
                result[name] = probe_leakage(train[code], train_labels, test[code], labels, seed=SEED)
    return result


def record_in_card(model: HubModel, folder: str | os.PathLike, result: dict) -> None:
    """Write a result's main numbers into a saved model's card, in place of older ones on the same data.

    Args:
        model (HubModel): the network that was measured, as loaded from `folder`.
        folder (str | os.PathLike): where it is saved.
        result (dict): what `evaluate_editing` or `evaluate_recognition` returned.
    Raises:
        ModelLoadError: if the folder has no card of ours.
    """
    if "error_ratio" in result:
        data = {"dataset": "Rendered faces", "split": "pairs_validation"}
        names = ("error_ratio", "error_ratio_frontal", "error_ratio_profile", "unchanged_error", "ssim", "psnr")
        protocol = f"{result['n']} triplets with exact targets, persons in no training split"
    else:
        data = {"dataset": result["corpus"], "split": result["split"]}
        names = ("accuracy", "macro_f1", "expected_calibration_error")
        protocol = f"{result['n']} pictures, one view each"
    metrics = [
        data | {"name": name, "value": round(result[name], 4), "protocol": protocol}
        for name in names
        if result[name] is not None
    ]
    if leakage := result.get("leakage"):
        probed = (
            f"balanced accuracy of a fresh probe on the non-expression code; chance {leakage['chance_balanced']:.3f}"
        )
        metrics += [
            data
            | {"name": f"leakage, {kind} probe", "value": round(leakage[f"{kind}_accuracy"], 4), "protocol": probed}
            for kind in ("linear", "mlp")
        ]
    facts = CardFacts.read(folder)
    others = [
        entry for entry in facts.metrics if (entry["dataset"], entry["split"]) != (data["dataset"], data["split"])
    ]
    text = str(model.generate_model_card(dataclasses.replace(facts, metrics=others + metrics)))
    _write_whole(Path(folder) / CARD, text)


def write_json(result: dict, path: str | os.PathLike) -> None:
    """Write a result for people and programs; the file is either complete or as it was before.

    Args:
        result (dict): what the functions above return.
        path (str | os.PathLike): the file; its folder is made if need be.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_whole(path, json.dumps(result, indent=2, allow_nan=False) + "\n")


def _write_whole(path: Path, text: str) -> None:
    """Replace a file by its new text, or leave it as it was."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # in the same folder, so that the move is atomic
    try:
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _read_pairs(folder: Path) -> list[dict]:
    """The triplets' numbers, yaw and expression, one dict each."""
    path = folder / "pairs.parquet"
    try:
        return pyarrow.parquet.read_table(path, columns=["pair", "source_yaw", "source_expression"]).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise CorpusError(
            f"{path} cannot be read: give a folder with pairs.parquet (columns pair, source_yaw, source_expression) "
            "and NNN_source.jpg, NNN_reference.jpg, NNN_target.jpg, such as the rendered faces' pairs_validation."
        ) from error


def _read_picture(path: Path) -> Image.Image:
    """An RGB picture, read whole."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise CorpusError(
            f"{path} is missing or broken, though pairs.parquet beside it lists it: copy the folder again."
        ) from error


def _rows_of_classes(rows, class_names: tuple[str, ...], limit: int | None):
    """The rows whose class the head has, the positions of their classes (N,), and how many were left out and why."""
    names = rows.features["label"].names
    labels = [UNLABELLED if label is None else label for label in rows["label"][:]]
    positions = [
        class_names.index(names[label]) if label != UNLABELLED and names[label] in class_names else UNLABELLED
        for label in labels
    ]
    positions = torch.tensor(positions, dtype=torch.long)
    kept = torch.nonzero(positions != UNLABELLED).squeeze(1)
    n_unlabelled = labels.count(UNLABELLED)
    counts = {"n_skipped": len(labels) - len(kept) - n_unlabelled, "n_unlabelled": n_unlabelled}
    if limit is not None and limit < len(kept):
        # Drawn, not the first: corpora often lie on disk one class after another.
        drawn = torch.randperm(len(kept), generator=torch.Generator().manual_seed(SEED))[:limit]
        kept = kept[drawn.sort().values]
    return rows.select(kept.tolist()), positions[kept], counts


def _read_rows(recognizer, rows, batch_size: int, progress: bool, description: str) -> dict:
    """What the recogniser says of each row: `logits` and the two codes, (N, ...) each, None where it has none."""
    parts: dict[str, list] = {"logits": [], "expression_code": [], "non_expression_code": []}
    n_batches = -(-len(rows) // batch_size)
    batches = track(rows.iter(batch_size), description=description, total=n_batches, disable=not progress)
    for batch in batches:
        output = recognizer.read_crops(batch["image"])
        for name, part in parts.items():
            values = getattr(output, name)
            part.append(None if values is None else values.detach().float().cpu())
    return {name: torch.cat(part) if part and part[0] is not None else None for name, part in parts.items()}
