"""Measure a recogniser on a corpus' labels."""

import os

import torch

from leed_hub.evaluation.corpus_reader import CorpusReader
from leed_hub.evaluation.rows import SEED, rows_of_classes, scored_rows
from leed_hub.metrics import probe_leakage, recognition_scores

PROBE_ROWS = 10_000


def evaluate_recognition(
    recognizer,
    corpus: str,
    data_dir: str | os.PathLike | None,
    split: str,
    *,
    aligner: str = "none",
    mirrored: bool = False,
    probe_split: str | None = "train",
    limit: int | None = None,
    batch_size: int = 128,
    progress: bool = False,
) -> dict:
    """Score a recogniser on a corpus, and probe what its two codes tell about the expression.

    It may say any of its classes, also one that the corpus never shows: such a call is wrong.

    The probe on the non-expression code measures leakage: the nearer to chance, the better disentangled. The same probe
    on the expression code shows how much there was to be found.

    Args:
        recognizer: has `labels` (tuple of K names from `EXPRESSIONS`) and `read_crops(list of PIL pictures)`, whose
            result has `logits` (N, K), `expression_code` (N, D), and `non_expression_code` (N, D) or None; what an
            aligner needs besides, `CorpusReader` says.
        corpus (str): a name that `leed_hub.data.load_corpus` knows.
        data_dir (str | os.PathLike | None): where that corpus lies; None for one on the Hub.
        split (str): the split to score.
        aligner (str): how the largest face is found in pictures that are not framed as the network wants them, see
            `CorpusReader`; "none" takes all pictures whole.
        mirrored (bool): average the logits of each crop and its mirror image; codes are those of the crop itself.
        probe_split (str | None): the split on which probes are trained, at most 10,000 rows of it. None: no probes.
        limit (int | None): only so many rows, drawn with a fixed seed, of either split.
        batch_size (int): pictures per call.
        progress (bool): show a progress bar.
    Returns:
        dict: that of `recognition_scores`; `views` (1, or 2 if mirrored), `aligner` (what found the faces) and
            `n_not_found` (pictures in which it found none, which were taken whole; None without an aligner);
            `n_skipped` (labelled rows of classes the recogniser does not have) and `n_unlabelled`, both left out;
            `classes_lacking` (the recogniser's classes that the split never shows) and `calls_of_lacking_classes` (the
            share of rows that were taken for one of them);
            `leakage` and `expression_code_probe`, each that of `probe_leakage`, or None where a code or two shared
            classes are lacking; and what was measured: `corpus`, `split`, `probe_split`.
    Raises:
        CorpusError: if the corpus is not laid out as expected, or has no row of the recogniser's classes.
        ConfigError: if there is no such aligner.
        ValueError: if `probe_split` is `split`.
    """
    from leed_hub.data import load_corpus  # here, for `datasets` is slow to import and editing needs none of it

    if probe_split == split:
        raise ValueError(
            f"evaluate_recognition expected a probe_split other than the split it tests, got {split} twice."
        )
    reader = CorpusReader(recognizer, aligner=aligner, mirrored=mirrored)
    rows, labels, unmatched = scored_rows(corpus, data_dir, split, recognizer.labels, limit)
    test = reader.read_rows(rows, batch_size=batch_size, progress=progress, description="Scoring")
    lacking = torch.tensor([name in unmatched["classes_lacking"] for name in recognizer.labels])
    result = {
        "measured": "recognition",
        "corpus": corpus,
        "split": split,
        "probe_split": probe_split,
        **recognition_scores(test["logits"], labels, recognizer.labels),
        **reader.protocol,
        **unmatched,
        "calls_of_lacking_classes": float(lacking[test["logits"].argmax(dim=1)].float().mean()),
        "leakage": None,
        "expression_code_probe": None,
    }
    if probe_split is not None:
        probe_limit = PROBE_ROWS if limit is None else min(PROBE_ROWS, limit)
        rows, train_labels, _ = rows_of_classes(
            load_corpus(corpus, data_dir, probe_split), recognizer.labels, probe_limit
        )
        one_view = CorpusReader(recognizer, aligner=aligner)  # only the codes are wanted
        train = one_view.read_rows(rows, batch_size=batch_size, progress=progress, description="Probing")
        classes_shared = len(set(train_labels.tolist()) & set(labels.tolist()))
        for name, code in (("leakage", "non_expression_code"), ("expression_code_probe", "expression_code")):
            if train[code] is not None and classes_shared >= 2:
                result[name] = probe_leakage(train[code], train_labels, test[code], labels, seed=SEED)
    return result
