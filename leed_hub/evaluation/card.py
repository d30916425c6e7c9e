"""Write results into a saved model's card."""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

from leed_hub.evaluation.corruptions import CORRUPTIONS
from leed_hub.evaluation.fairness import ROLES
from leed_hub.evaluation.files import write_whole
from leed_hub.hub import CARD
from leed_hub.models.card import CardFacts
from leed_hub.models.hub import HubModel

RENDERED, LONDON = "Rendered faces", "Face Research Lab London Set"
NON_FACES = "Pictures without faces"
WILD = "Photographs in the wild"


@dataclass(frozen=True)
class _Entries:
    """Numbers of one result that stand in a card under one dataset and split.

    Attributes:
        dataset, split: what they were measured on; filled with the result's own values.
        protocol: how, in words; filled the same way.
        names: keys of the result's first level.
    """

    dataset: str
    split: str
    protocol: str
    names: tuple[str, ...]


_PROBED = "balanced accuracy of the probe that finds most"
_JUDGED = "judged by the bundled recogniser"
_PHOTOGRAPHS = (
    ("sources_happy", "neutral photographs called happy"),
    ("edits_happy", "their edits to another person's smile called happy"),
    ("smiles_happy", "the persons' own smiles called happy"),
    ("happy_ratio", "edits over own smiles"),
    ("neutral_edits_happy", "smiles still called happy at strength 0"),
)
_TRANSFER = (
    (
        "five movements of MediaPipe's face mesh, asked by the reference and made; shuffled: asked by another one",
        ("correlation", "correlation_shuffled", "slope", "slope_shuffled"),
    ),
    ("mean movement, shares of the distance between the eyes", ("motion_by_neutral_references", "landmark_noise")),
    ("mean difference in the face, of 255, between edits and from the source", ("spread", "distance_to_source")),
    ("share of edits whose face is not found any more, or destroyed", ("broken_share",)),
    ("median ratio to the source's variance of the Laplacian", ("sharpness_mouth", "sharpness_eyes")),
    (
        "mean cosine distance by dlib's recognition network, of edits from sources and of sources from each other",
        ("identity_distance", "identity_distance_others"),
    ),
)
_FAIRNESS = (
    f"Photographs of the {LONDON} (CC BY 4.0): share read as the person posed, Wilson's 95 % interval and number of "
    "photographs, by what the persons say of themselves; groups of fewer than {least_persons} are left out. The set is "
    "small, evenly lit and mostly of young people, most of whom were possibly seen in training as renders. Where "
    "intervals overlap widely, neither is a difference shown nor that there is none."
)
_ENTRIES = {
    "editing": (
        _Entries(
            "{corpus}",
            "{split}",
            "{n} triplets with exact targets, {seen}",
            (
                "error_ratio",
                "error_ratio_frontal",
                "error_ratio_profile",
                "worse_than_source",
                "unchanged_error",
                "ssim",
                "psnr",
                "visual_information_fidelity",
            ),
        ),
        _Entries(
            "{corpus}",
            "{split}",
            "the control: the same triplets by another triplet's reference",
            ("error_ratio_wrong_reference", "wrong_over_right_reference"),
        ),
        _Entries(
            "{corpus}",
            "{split}",
            "{n_strength_zero} targets at strength 0 against their neutral sources",
            ("error_ratio_strength_zero",),
        ),
    ),
    "recognition": (
        _Entries(
            "{corpus}",
            "{split}",
            "{n} pictures, {reading}",
            ("accuracy", "balanced_accuracy", "macro_f1", "expected_calibration_error"),
        ),
        _Entries(
            "{corpus}",
            "{split}",
            "share of {n} pictures called a class that the split never shows ({lacking}), {reading}",
            ("calls_of_lacking_classes",),
        ),
    ),
    "calibration": (
        _Entries(
            "{corpus}",
            "{split}",
            "{n} pictures, {reading}; before and after fitting the temperature on these very pictures",
            (
                "expected_calibration_error_before",
                "expected_calibration_error_after",
                "negative_log_likelihood_before",
                "negative_log_likelihood_after",
            ),
        ),
    ),
    "robustness": (
        _Entries(
            "{corpus}",
            "{split}",
            "percentage points lost against an accuracy of {accuracy_clean:.3f} on clean crops; {n} pictures, "
            "{reading}, not aligned again",
            (*(f"drop_{name}" for name in CORRUPTIONS), "mean_drop"),
        ),
    ),
    "fairness": tuple(
        _Entries(
            LONDON,
            split,
            f"share of {{n_persons{suffix}}} persons' photographs, a face not found counted as misread; {known}",
            tuple(f"{share}{suffix}" for share in ROLES.values()),
        )
        for split, suffix, known in (
            ("train+validation", "", "most of them possibly seen in training as renders"),
            ("validation", "_unseen", "in no training split"),
        )
    ),
    "non_faces": (
        _Entries(
            NON_FACES,
            "beside {corpus} {split}",
            "mean highest score and share of {n_non_faces} pictures with one of 0.8 or more, fed as crops; "
            "of {n_faces} faces {mean_score_faces:.3f} and {confident_share_faces:.3f}",
            ("mean_score_non_faces", "confident_share_non_faces"),
        ),
        _Entries(
            NON_FACES,
            "beside {corpus} {split}",
            "mean entropy of the scores in nats, at most {entropy_limit:.3f}; of faces {entropy_faces:.3f}",
            ("entropy_non_faces",),
        ),
        _Entries(
            NON_FACES,
            "beside {corpus} {split}",
            "how well the highest score tells {n_faces} faces from {n_non_faces} other pictures",
            ("auroc",),
        ),
        _Entries(
            NON_FACES,
            "beside {corpus} {split}",
            "share of {n_non_faces} pictures in which a face is found",
            ("face_found_share",),
        ),
    ),
    "disentanglement": (
        _Entries(
            RENDERED,
            "validation",
            f"{_PROBED}, cross-validated by setup over {{n}} pictures; chance {{person_chance:.3f}}",
            ("person_from_expression_code", "person_from_neutral_point"),
        ),
        _Entries(
            RENDERED,
            "validation",
            f"{_PROBED}, trained on other persons; chance {{expression_chance:.3f}}",
            ("expression_from_neutral_point", "expression_from_expression_code"),
        ),
        _Entries(
            RENDERED,
            "validation",
            "share of the variance of 53 blendshape weights that a kernel regression, fitted on other persons, finds",
            ("blendshapes_from_expression_code",),
        ),
        _Entries(
            RENDERED,
            "validation",
            "expressive pictures whose nearest expression code of another person, by cosine, is of their category; "
            "chance {retrieval_chance:.3f}",
            ("retrieval",),
        ),
    ),
    "damage": (
        _Entries(
            "{corpus}",
            "{split}",
            "{n_edits} edits of {n_pictures} pictures by rendered references of every category; of the pictures "
            "themselves, recompressed, {unedited_broken_share:.4f}",
            ("broken_share", "weakened_share"),
        ),
        _Entries(
            "Made-up inputs",
            "fuzzed",
            "{n_fuzzed} pictures that no camera makes, as sources and as references",
            ("fuzzed_broken_share", "fuzzed_weakened_share", "largest_flow"),
        ),
    ),
    "domains": (
        _Entries(
            "Rendered people",
            "photographs_pairs_validation",
            f"{_PROBED}: photographs or renders, {{n_photographs}} and {{n_renders}}; chance 0.5, with the domains "
            "dealt at random {domain_from_expression_code_shuffled:.3f}",
            ("domain_from_expression_code", "domain_from_neutral_point"),
        ),
        _Entries(
            "Rendered people",
            "photographs",
            "photographs whose nearest expression code among {n_candidates} posed renders of other persons is that of "
            "their exact expression; chance {retrieval_across_chance:.3f}",
            ("retrieval_across",),
        ),
    ),
    "strength": (
        _Entries(
            RENDERED,
            "validation",
            "{n_expressive} expressive pictures at strength 0 against the neutral render",
            ("error_ratio_strength_zero",),
        ),
        _Entries(
            RENDERED,
            "pairs_validation",
            "share of {n} triplets whose edit grows at every step of strength from 0 to 1.5",
            ("growing_share",),
        ),
        _Entries(
            RENDERED,
            "pairs_validation",
            "two references mixed in ten steps: largest change from step to step over the mean one",
            ("mixing_largest_step",),
        ),
    ),
    "photographs": tuple(
        _Entries(LONDON, split, f"{words}, {_JUDGED}; {{n{suffix}}} persons, {known}", (name + suffix,))
        for split, suffix, known in (
            ("train+validation", "", "most of them possibly seen in training"),
            ("validation", "_unseen", "in no training split"),
        )
        for name, words in _PHOTOGRAPHS
    ),
    "transfer": tuple(
        _Entries(
            WILD, "chosen by whoever measured", f"{words}; {{n_sources}} sources, {{n_references}} references", names
        )
        for words, names in _TRANSFER
    ),
}


def record_in_card(model: HubModel, folder: str | os.PathLike, result: dict) -> None:
    """Write a result's main numbers into a saved model's card, in place of older ones of the same name and data.

    Args:
        model (HubModel): the network that was measured, as loaded from `folder`.
        folder (str | os.PathLike): where it is saved.
        result (dict): what one of the evaluations returned.
    Raises:
        ModelLoadError: if the folder has no card of ours.
    """
    metrics, replaced = [], set()
    words = result | {"reading": _reading(result), "lacking": ", ".join(result.get("classes_lacking", ())) or "none"}
    for entries in _ENTRIES[result["measured"]]:
        if any(result.get(name) is not None for name in entries.names):
            data = {"dataset": entries.dataset.format(**result), "split": entries.split.format(**result)}
            protocol = entries.protocol.format(**words)
            for name in entries.names:
                replaced.add((*data.values(), name))
                if result.get(name) is not None:
                    metrics.append(data | {"name": name, "value": round(result[name], 4), "protocol": protocol})
    if result["measured"] == "recognition":
        data = {"dataset": result["corpus"], "split": result["split"]}
        leakage = result["leakage"]
        for kind in ("linear", "mlp"):
            replaced.add((*data.values(), f"leakage, {kind} probe"))
            if leakage:
                protocol = (
                    "balanced accuracy of a fresh probe on the non-expression code; "
                    f"chance {leakage['chance_balanced']:.3f}"
                )
                value = round(leakage[f"{kind}_accuracy"], 4)
                metrics.append(data | {"name": f"leakage, {kind} probe", "value": value, "protocol": protocol})
    facts = CardFacts.read(folder)
    if result["measured"] == "fairness":
        facts = dataclasses.replace(facts, fairness=f"{_FAIRNESS.format(**result)}\n\n{result['table']}")
    others = [entry for entry in facts.metrics if (entry["dataset"], entry["split"], entry["name"]) not in replaced]
    text = str(model.generate_model_card(dataclasses.replace(facts, metrics=others + metrics)))
    write_whole(Path(folder) / CARD, text)


def _reading(result: dict) -> str:
    """How the pictures of a corpus were read, in words."""
    words = "logits averaged over the crop and its mirror image" if result.get("views") == 2 else "one view each"
    if result.get("aligner", "none") != "none":
        words += f", faces found by {result['aligner']} (none in {result['n_not_found']}, taken whole)"
    return words
