"""Measure whether a recogniser reads the same two expressions equally well on different groups of people."""

import os
from collections import Counter
from collections.abc import Callable

from rich.progress import track

from leed_hub.errors import ConfigError
from leed_hub.metrics import wilson_interval

ROLES = {"neutral": "neutral_as_neutral", "happiness": "smiles_as_happiness"}  # the photograph's label -> its share
AGE_BANDS = ((18, 24), (25, 34), (35, None))  # of the London set's 79 known ages 35, 30 and 14
LEAST_PERSONS = 5  # a smaller group tells nothing about people, and something about a person
NO_FACE = "no face"


def evaluate_fairness(
    recognizer: Callable,
    data_dir: str | os.PathLike,
    *,
    least_persons: int = LEAST_PERSONS,
    progress: bool = False,
) -> dict:
    """Read the London set's neutral and smiling photographs, and compare groups of persons.

    Gender and ethnicity are what the persons said of themselves. The set is small, posed, evenly lit and young: a wide
    interval means that nothing is known, not that nothing is there. Renders made from the photographs of all but its
    `validation` persons may have trained the recogniser; those persons are counted apart, as `unseen`.

    Args:
        recognizer: called with a PIL picture; gives readings, largest face first, with `.label`; has `labels`.
        data_dir (str | os.PathLike): folder of the London set.
        least_persons (int): groups of fewer persons are left out.
        progress (bool): show a progress bar.
    Returns:
        dict: `neutral_as_neutral`, `smiles_as_happiness`: share of the neutral photographs read as neutral, and of the
            smiling ones read as happiness, with `..._interval` (Wilson 95 %) and, for persons of the `validation`
            split, `..._unseen`; a photograph in which no face is found counts as misread. `n` photographs,
            `n_not_found` of them without a face found; `n_persons`, `n_persons_unseen`, `least_persons`.
            `groups`: for each of `gender`, `age` (bands in years) and `ethnicity`, group to `n_persons` and, for each
            of the two shares, `n`, `n_correct`, `share`, `interval`. `n_persons_left_out`: of each grouping, persons of
            groups too small or not stated. `calls`: for each of the two shares, label to count of photographs.
            `table`: the groups in Markdown.
    Raises:
        CorpusError: if the corpus is not laid out as expected.
        ConfigError: if the recogniser knows neither neutral nor happiness.
    """
    from leed_hub.data import load_corpus  # here, for `datasets` is slow to import and editing needs none of it

    if lacking := set(ROLES) - set(recognizer.labels):
        raise ConfigError(f"Fairness is measured by neutral and happiness; the recogniser lacks {sorted(lacking)[0]}.")
    readings = []
    for split in ("train", "validation"):
        rows = load_corpus("london", data_dir, split)
        names = rows.features["label"].names
        columns = ["image", "label", "subject", "age", "gender", "ethnicity"]
        for row in track(rows.select_columns(columns), description=f"Reading {split}", disable=not progress):
            faces = recognizer(row.pop("image").convert("RGB"))
            label, call = names[row["label"]], faces[0].label if faces else NO_FACE
            band = {"age": age_band(row["age"])}
            readings.append(row | band | {"label": label, "call": call, "is_unseen": split == "validation"})

    persons = {reading["subject"]: reading for reading in readings}
    unseen = [reading for reading in readings if reading["is_unseen"]]
    result = {
        "measured": "fairness",
        "corpus": "london",
        "n": len(readings),
        "n_not_found": sum(reading["call"] == NO_FACE for reading in readings),
        "n_persons": len(persons),
        "n_persons_unseen": len({reading["subject"] for reading in unseen}),
        "least_persons": least_persons,
    }
    for suffix, chosen in (("", readings), ("_unseen", unseen)):
        for share, numbers in _shares(chosen).items():
            result |= {f"{share}{suffix}": numbers["share"], f"{share}{suffix}_interval": numbers["interval"]}
    groups = {}
    left_out = {}
    for grouping in ("gender", "age", "ethnicity"):
        sizes = Counter(person[grouping] for person in persons.values())
        kept = [group for group, size in sizes.most_common() if group is not None and size >= least_persons]
        groups[grouping] = {
            group: {"n_persons": sizes[group]} | _shares([each for each in readings if each[grouping] == group])
            for group in (sorted(kept) if grouping == "age" else kept)
        }
        left_out[grouping] = len(persons) - sum(sizes[group] for group in kept)
    calls = {
        share: dict(Counter(each["call"] for each in readings if each["label"] == label).most_common())
        for label, share in ROLES.items()
    }
    result |= {"groups": groups, "n_persons_left_out": left_out, "calls": calls}
    return result | {"table": fairness_table(result)}


def age_band(age: int | None) -> str | None:
    """The band of `AGE_BANDS`, such as "18-24" or "35+"; None where the age is unknown or below all bands."""
    for low, high in AGE_BANDS:
        if age is not None and low <= age and (high is None or age <= high):
            return f"{low}+" if high is None else f"{low}-{high}"
    return None


def fairness_table(result: dict) -> str:
    """A fairness result's groups as a table in Markdown."""
    lines = [
        "| | persons | neutral read as neutral | smile read as happiness |",
        "| --- | --- | --- | --- |",
    ]
    for grouping, groups in result["groups"].items():
        for group, numbers in groups.items():
            cells = " | ".join(_cell(numbers[share]) for share in ROLES.values())
            lines.append(f"| {grouping}: {group.replace('_', ' ')} | {numbers['n_persons']} | {cells} |")
    cells = " | ".join(_cell({"share": result[s], "interval": result[f"{s}_interval"]}) for s in ROLES.values())
    return "\n".join([*lines, f"| all | {result['n_persons']} | {cells} |"])


def _shares(readings: list[dict]) -> dict[str, dict]:
    """For each of `ROLES`, how many photographs are read as they should be."""
    shares = {}
    for label, share in ROLES.items():
        calls = [reading["call"] for reading in readings if reading["label"] == label]
        n, n_correct = len(calls), calls.count(label)
        shares[share] = {
            "n": n,
            "n_correct": n_correct,
            "share": n_correct / n if n else None,
            "interval": wilson_interval(n_correct, n) if n else None,
        }
    return shares


def _cell(numbers: dict) -> str:
    if numbers["share"] is None:
        return "none shown"
    low, high = numbers["interval"]
    n = f", n = {numbers['n']}" if "n" in numbers else ""
    return f"{numbers['share']:.2f} ({low:.2f} to {high:.2f}{n})"
