"""Measure whether a recogniser predicts the same two expressions equally well for different groups of people."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from leed_hub.errors import ConfigError
from leed_hub.evaluation.evaluation import LONDON, CardRows, Detector, Evaluation, London
from leed_hub.evaluation.rows import corpus_rows
from leed_hub.metrics import wilson_interval

ROLES = {"neutral": "neutral_as_neutral", "happiness": "smiles_as_happiness"}  # the photograph's label -> its share
AGE_BANDS = ((18, 24), (25, 34), (35, None))  # of the London set's 79 known ages 35, 30 and 14
LEAST_PERSONS = 5  # a smaller group says nothing about people, and something about a person
NO_FACE = "no face"
SENTENCE = (
    f"Photographs of the {LONDON} (CC BY 4.0): share read as the person posed, Wilson's 95 % interval and number of "
    "photographs, by what the persons say of themselves; groups of fewer than {least_persons} are left out. The set is "
    "small, evenly lit and mostly of young people, most of whom were possibly seen in training as renders. Where "
    "intervals overlap widely, neither is a difference shown nor that there is none."
)


@dataclass(frozen=True, kw_only=True)
class Fairness(Evaluation):
    """Classify the London set's neutral and smiling photographs, and compare groups of persons.

    Gender and ethnicity are self-reported. The set is small, posed, evenly lit and young: a wide interval means that
    nothing is known, not that there is no difference. Renders made from the photographs of all but its `validation`
    persons may have trained the recogniser; those persons are counted apart, as `unseen`. The recogniser is called
    with a PIL picture and gives predictions, largest face first, with `.label`; it has `labels`.

    Results: `neutral_as_neutral`, `smiles_as_happiness`: share of the neutral photographs predicted neutral, and of the
            smiling ones predicted happiness, with `..._interval` (Wilson 95 %) and, for persons of the `validation`
            split, `..._unseen`; a photograph without a detected face counts as wrong. `n` photographs, `n_not_found` of
            them without a detected face; `n_persons`, `n_persons_unseen`, `least_persons`.
        `groups`: for each of `gender`, `age` (bands in years) and `ethnicity`, group to `n_persons` and, for both
            shares, `n`, `n_correct`, `share`, `interval`; `n_persons_left_out`: of each grouping, persons of groups
            too small or not stated; `calls`: for each of the two shares, predicted label to count of photographs;
            `table`: the groups in Markdown.

    Raises:
        ConfigError: if the recogniser knows neither neutral nor happiness.
    """

    name, kind, finds_faces = "fairness", "recognizer", True
    card = tuple(
        CardRows(
            tuple(f"{share}{suffix}" for share in ROLES.values()),
            f"share of {{n_persons{suffix}}} persons' photographs, a face not found counted as misread; {known}",
            (LONDON, split),
        )
        for split, suffix, known in (
            ("train+validation", "", "most of them possibly seen in training as renders"),
            ("validation", "_unseen", "in no training split"),
        )
    )

    data_dir: London
    detector: Detector = "yunet"
    least_persons: Annotated[int, "Leave out groups of fewer persons."] = LEAST_PERSONS

    def measure(self, recognizer: Any) -> dict:
        if lacking := set(ROLES) - set(recognizer.labels):
            raise ConfigError(
                f"Fairness is measured by neutral and happiness; the recogniser lacks {sorted(lacking)[0]}."
            )
        predictions = self.predictions(recognizer)
        persons = {each["subject"]: each for each in predictions}
        unseen = [each for each in predictions if each["is_unseen"]]
        result: dict[str, Any] = {
            "corpus": "london",
            "n": len(predictions),
            "n_not_found": sum(each["call"] == NO_FACE for each in predictions),
            "n_persons": len(persons),
            "n_persons_unseen": len({each["subject"] for each in unseen}),
            "least_persons": self.least_persons,
        }
        for suffix, chosen in (("", predictions), ("_unseen", unseen)):
            for share, numbers in shares(chosen).items():
                result |= {f"{share}{suffix}": numbers["share"], f"{share}{suffix}_interval": numbers["interval"]}
        groups: dict[str, dict] = {}
        left_out = {}
        for grouping in ("gender", "age", "ethnicity"):
            sizes = Counter(person[grouping] for person in persons.values())
            kept = [group for group, size in sizes.most_common() if group is not None and size >= self.least_persons]
            groups[grouping] = {
                group: {"n_persons": sizes[group]} | shares([each for each in predictions if each[grouping] == group])
                for group in (sorted(kept) if grouping == "age" else kept)
            }
            left_out[grouping] = len(persons) - sum(sizes[group] for group in kept)
        calls = {
            share: dict(Counter(each["call"] for each in predictions if each["label"] == label).most_common())
            for label, share in ROLES.items()
        }
        result |= {"groups": groups, "n_persons_left_out": left_out, "calls": calls}
        return result | {"table": fairness_table(result)}

    def predictions(self, recognizer: Any) -> list[dict]:
        """A dict a photograph: what is known of the person, its label and the predicted one."""
        predictions = []
        for split in ("train", "validation"):
            rows = corpus_rows("london", self.data_dir, split)
            names = rows.features["label"].names
            columns = ["image", "label", "subject", "age", "gender", "ethnicity"]
            for row in self.track(rows.select_columns(columns), f"Predicting {split}", len(rows)):
                faces = recognizer(row.pop("image").convert("RGB"))
                row |= {"label": names[row["label"]], "call": faces[0].label if faces else NO_FACE}
                predictions.append(row | {"age": age_band(row["age"]), "is_unseen": split == "validation"})
        return predictions

    @classmethod
    def card_facts(cls, numbers: dict) -> dict:
        return {"fairness": f"{SENTENCE.format(**numbers)}\n\n{numbers['table']}"}


def age_band(age: int | None) -> str | None:
    """The band of `AGE_BANDS`, such as "18-24" or "35+"; None where the age is unknown or below all bands."""
    for low, high in AGE_BANDS:
        if age is not None and low <= age and (high is None or age <= high):
            return f"{low}+" if high is None else f"{low}-{high}"
    return None


def fairness_table(result: dict) -> str:
    """A result's groups as a table in Markdown."""
    lines = ["| | persons | neutral read as neutral | smile read as happiness |", "| --- | --- | --- | --- |"]
    for grouping, groups in result["groups"].items():
        for group, numbers in groups.items():
            cells = " | ".join(_cell(numbers[share]) for share in ROLES.values())
            lines.append(f"| {grouping}: {group.replace('_', ' ')} | {numbers['n_persons']} | {cells} |")
    cells = " | ".join(_cell({"share": result[s], "interval": result[f"{s}_interval"]}) for s in ROLES.values())
    return "\n".join([*lines, f"| all | {result['n_persons']} | {cells} |"])


def shares(predictions: Sequence[dict]) -> dict[str, dict]:
    """For each of `ROLES`, how many photographs are predicted as posed."""
    found = {}
    for label, share in ROLES.items():
        calls = [each["call"] for each in predictions if each["label"] == label]
        n, n_correct = len(calls), calls.count(label)
        interval = wilson_interval(n_correct, n) if n else None
        found[share] = {"n": n, "n_correct": n_correct, "share": n_correct / n if n else None, "interval": interval}
    return found


def _cell(numbers: dict) -> str:
    if numbers["share"] is None:
        return "none shown"
    low, high = numbers["interval"]
    n = f", n = {numbers['n']}" if "n" in numbers else ""
    return f"{numbers['share']:.2f} ({low:.2f} to {high:.2f}{n})"
