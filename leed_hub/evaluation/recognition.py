"""Measure a recogniser on a corpus' labels."""

import os

import torch
from rich.progress import track

from leed_hub.errors import CorpusError
from leed_hub.evaluation.rows import SEED, rows_of_classes
from leed_hub.metrics import probe_leakage, recognition_scores

PROBE_ROWS = 10_000


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
    rows, labels, counts = rows_of_classes(load_corpus(corpus, data_dir, split), recognizer.labels, limit)
    if len(rows) == 0:
        raise CorpusError(
            f"The {split} split of {corpus} in {data_dir} has no row of the recogniser's classes "
            f"({', '.join(recognizer.labels)})."
        )
    test = _read_rows(recognizer, rows, batch_size, progress, "Scoring")
    result = {
        "measured": "recognition",
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
        rows, train_labels, _ = rows_of_classes(
            load_corpus(corpus, data_dir, probe_split), recognizer.labels, probe_limit
        )
        train = _read_rows(recognizer, rows, batch_size, progress, "Probing")
        classes_shared = len(set(train_labels.tolist()) & set(labels.tolist()))
        for name, code in (("leakage", "non_expression_code"), ("expression_code_probe", "expression_code")):
            if train[code] is not None and classes_shared >= 2:
                result[name] = probe_leakage(train[code], train_labels, test[code], labels, seed=SEED)
    return result


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
