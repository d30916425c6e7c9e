"""Fit a recogniser's temperature on held-out rows, and write it into a saved model."""

import dataclasses
import json
import os
from pathlib import Path

from torch import Tensor
from torch.nn import functional as F

from leed_hub.errors import ModelLoadError
from leed_hub.evaluation.corpus_reader import CorpusReader
from leed_hub.evaluation.files import write_whole
from leed_hub.evaluation.rows import scored_rows
from leed_hub.metrics import fit_temperature, recognition_scores
from leed_hub.models.checkpoint import files_of_folder, read_config
from leed_hub.models.expression_encoder import ExpressionEncoderConfig


def evaluate_calibration(
    recognizer,
    corpus: str,
    data_dir: str | os.PathLike | None,
    split: str,
    *,
    aligner: str = "none",
    mirrored: bool = False,
    limit: int | None = None,
    batch_size: int = 128,
    progress: bool = False,
) -> dict:
    """Fit the temperature by which a recogniser's logits are best divided, and say what it changes on these very rows.

    The split should be neither trained on nor reported: `evaluate_recognition` on another one tells what is gained.
    Fit it as the recogniser will be used: `ExpressionRecognizer` reads one view.

    Args:
        recognizer, corpus, data_dir, aligner, mirrored, limit, batch_size, progress: as in `evaluate_recognition`.
        split (str): the split to fit on.
    Returns:
        dict: `temperature_factor` (what today's logits are to be divided by; what stands in the model is multiplied by
            it); `expected_calibration_error_before`, `..._after` (as in `recognition_scores`),
            `negative_log_likelihood_before`, `..._after` (nats a row); `accuracy`, which does not change; `n`, `views`,
            `aligner`, `n_not_found`, `n_skipped`, `n_unlabelled`, `classes_lacking` as in `evaluate_recognition`; and
            `corpus`, `split`.
    Raises:
        CorpusError: if the corpus is not laid out as expected, or has no row of the recogniser's classes.
        ConfigError: if there is no such aligner.
    """
    reader = CorpusReader(recognizer, aligner=aligner, mirrored=mirrored)
    rows, labels, unmatched = scored_rows(corpus, data_dir, split, recognizer.labels, limit)
    logits = reader.read_rows(rows, batch_size=batch_size, progress=progress)["logits"]
    factor = fit_temperature(logits, labels)

    def error(scaled: Tensor) -> float:
        return recognition_scores(scaled, labels, recognizer.labels)["expected_calibration_error"]

    return {
        "measured": "calibration",
        "corpus": corpus,
        "split": split,
        "n": len(rows),
        "temperature_factor": factor,
        "expected_calibration_error_before": error(logits),
        "expected_calibration_error_after": error(logits / factor),
        "negative_log_likelihood_before": F.cross_entropy(logits, labels).item(),
        "negative_log_likelihood_after": F.cross_entropy(logits / factor, labels).item(),
        "accuracy": float((logits.argmax(dim=1) == labels).float().mean()),
        **reader.protocol,
        **unmatched,
    }


def save_temperature(folder: str | os.PathLike, factor: float) -> float:
    """Multiply the temperature in a saved recogniser's config.json.

    Args:
        folder (str | os.PathLike): the saved model.
        factor (float): the `temperature_factor` that was fitted on it as it is.
    Returns:
        float: the temperature that now stands there.
    Raises:
        ModelLoadError: if the folder holds no recogniser.
    """
    if not Path(folder).is_dir():
        raise ModelLoadError(f"A temperature is saved into a model's folder, and {folder} is none.")
    path, _ = files_of_folder(Path(folder))
    config = read_config(path, ExpressionEncoderConfig)
    config = dataclasses.replace(config, temperature=config.temperature * factor)
    write_whole(path, json.dumps(dataclasses.asdict(config), indent=2) + "\n")
    return config.temperature
