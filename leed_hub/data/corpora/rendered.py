"""What the rendered corpora share: tables of faces, and triplets whose target is known exactly.

Yaw > 0 is a face turned to the right of the image, pitch > 0 one that looks up, roll > 0 a head tilted
counter-clockwise (taken out by the alignment), all in degrees.
"""

from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

import datasets

from leed_hub.data.corpora.corpus import NO_CATEGORY, NO_ROW, CorpusBuilder
from leed_hub.data.corpora.files import CorpusFiles
from leed_hub.models.labels import EXPRESSIONS, UNLABELLED

ROLES = ("source", "reference", "target")
ANGLES = ("yaw", "pitch", "roll")
LANDMARKS = datasets.List(datasets.List(datasets.Value("float32"), length=2), length=68)  # Multi-PIE order, pixels
BLENDSHAPES = datasets.List(datasets.Value("float32"), length=53)  # in 0..1
_FILE_COLUMNS = ("file_name", "source_file", "reference_file", "target_file")


class RenderedCorpus(CorpusBuilder):
    """Base of the builders of rendered corpora, with the configs `faces` and `pairs`.

    A subclass says where its tables are, how its pictures end, and which columns its `faces` have besides.
    """

    tables: ClassVar[dict[str, dict[str, str]]]  # config -> split -> parquet file
    suffix: ClassVar[str]  # of the pictures, in lower case

    BUILDER_CONFIGS = [
        datasets.BuilderConfig(name="faces", version=CorpusBuilder.VERSION, description="single pictures"),
        datasets.BuilderConfig(name="pairs", version=CorpusBuilder.VERSION, description="triplets"),
    ]
    DEFAULT_CONFIG_NAME = "faces"

    @classmethod
    def recognises(cls, files: CorpusFiles) -> bool:
        return any(table in files for tables in cls.tables.values() for table in tables.values())

    def present_splits(self) -> tuple[str, ...]:
        return tuple(split for split in super().present_splits() if self._table(split) in self.files)

    def columns(self) -> dict:
        return {
            "identity": datasets.Value("int32"),
            "intensity": datasets.Value("float32"),
            **{angle: datasets.Value("float32") for angle in ANGLES},
            "blendshapes": BLENDSHAPES,
            "landmarks": LANDMARKS,
            "neutral_file": datasets.Value("string"),
        }

    def features(self) -> datasets.Features:
        if self.config.name == "faces":
            return super().features()
        columns = {"pair": datasets.Value("int32")}
        columns |= {role: datasets.Image() for role in ROLES}
        for role in ROLES:
            columns |= {f"{role}_subject": datasets.Value("string"), f"{role}_identity": datasets.Value("int32")}
            columns |= {f"{role}_label": datasets.ClassLabel(names=list(EXPRESSIONS))}
            columns |= {f"{role}_{angle}": datasets.Value("float32") for angle in ANGLES}
            columns |= {f"{role}_blendshapes": BLENDSHAPES, f"{role}_landmarks": LANDMARKS}
            columns |= {f"{role}_file": datasets.Value("string")}
        return datasets.Features(columns)

    def rows(self, split: str, skipped: Counter) -> Iterator[dict]:
        table = self._table(split)
        folder = table.rsplit("/", 1)[0] + "/"
        make = self.face if self.config.name == "faces" else self.pair
        known = set()
        for record in self.files.table(table):
            known |= {record[key] for key in _FILE_COLUMNS if key in record}
            try:
                yield make(folder, record)
            except KeyError:
                skipped[NO_CATEGORY] += 1
        pictures = (name for name in self.files.under(folder) if name.lower().endswith(self.suffix))
        skipped[NO_ROW] += sum(name.removeprefix(folder) not in known for name in pictures)

    def face(self, folder: str, record: dict) -> dict:
        """A row of `faces`: what all rendered corpora have; raises KeyError if its expression is unknown."""
        neutral = record.get("neutral_file")
        return {key: record[key] for key in ("identity", "intensity", *ANGLES, "blendshapes")} | {
            "image": folder + record["file_name"],
            "label": label_of(record["expression"]),
            "subject": subject_of(record["person"]),
            "landmarks": record["landmarks68"],
            "neutral_file": neutral and folder + neutral,
        }

    def pair(self, folder: str, record: dict) -> dict:
        """A row of `pairs`; raises KeyError if an expression is unknown."""
        row = {"pair": record["pair"]}
        for role in ROLES:
            body = "reference" if role == "reference" else "source"  # whose person and pose
            mind = "source" if role == "source" else "reference"  # whose expression
            row |= {
                role: folder + record[f"{role}_file"],
                f"{role}_file": folder + record[f"{role}_file"],
                f"{role}_landmarks": record[f"{role}_landmarks68"],
                f"{role}_subject": subject_of(record[f"{body}_person"]),
                f"{role}_identity": record[f"{body}_identity"],
                f"{role}_label": label_of(record[f"{mind}_expression"]),
                f"{role}_blendshapes": record[f"{mind}_blendshapes"],
            }
            row |= {f"{role}_{angle}": record[f"{body}_{angle}"] for angle in ANGLES}
        return row

    def _table(self, split: str) -> str:
        return self.tables[self.config.name][split]


def subject_of(person: int) -> str:
    """As the London set writes its persons."""
    return f"{person:03d}"


def label_of(expression: str) -> int:
    """The position in `EXPRESSIONS`; mixtures without a name ("free") are unlabelled."""
    if expression == "free":
        return UNLABELLED
    if expression not in EXPRESSIONS:
        raise KeyError(expression)
    return EXPRESSIONS.index(expression)
