"""Rendered faces with exact ground truth: photo-textured 3D heads whose expression weights are known.

Geometry from ICT-FaceKit, textures from the Face Research Lab London Set. Labels are recipes, not perceived emotions;
mixtures outside the categories ("free") are unlabelled. Yaw > 0 is a face turned to the right of the image, pitch > 0
one that looks up, roll > 0 a head tilted counter-clockwise (taken out by the alignment), all in degrees.
"""

from collections import Counter
from collections.abc import Iterator

import datasets

from leed_hub.data.corpus import NO_CATEGORY, NO_ROW, CorpusAbout, CorpusBuilder
from leed_hub.data.files import CorpusFiles
from leed_hub.labels import EXPRESSIONS, UNLABELLED

_TABLES = {
    "train": "train/metadata.parquet",
    "validation": "validation/metadata.parquet",
    "twins": "train_twins/metadata.parquet",
    "pairs": "pairs_validation/pairs.parquet",
}
_FILE_COLUMNS = ("file_name", "source_file", "reference_file", "target_file")
_LANDMARKS = datasets.List(datasets.List(datasets.Value("float32"), length=2), length=68)  # Multi-PIE order, pixels
_BLENDSHAPES = datasets.List(datasets.Value("float32"), length=53)  # in 0..1


class RenderedFaces(CorpusBuilder):
    """Two configs.

    `faces`: splits `train`, `validation` and `twins`. `setup` names person, shape, pose and light, so its pictures
    differ in expression only; `neutral_file` is the neutral one among them. A twin shares its weights exactly with the
    picture `twin_of` of `train`, on another person in another pose.

    `pairs`: split `validation`, triplets whose `target` is the source with the reference's expression.
    """

    about = CorpusAbout(
        title="Rendered faces",
        licence="MIT (ICT-FaceKit) and CC-BY-4.0 (Face Research Lab London Set, modified)",
        homepage="https://github.com/ICT-VGL/ICT-FaceKit",
        citation="""@misc{debruine2017london,
  title={Face Research Lab London Set}, author={DeBruine, Lisa and Jones, Benedict},
  year={2017}, doi={10.6084/m9.figshare.5047666.v5}
}
@misc{ictfacekit, title={ICT-FaceKit}, author={{USC Institute for Creative Technologies}}, year={2020},
  howpublished={https://github.com/ICT-VGL/ICT-FaceKit}}""",
        layout="train/, validation/ and train_twins/ with metadata.parquet, and pairs_validation/ with pairs.parquet",
        access="It is made for leed_hub; ask its maintainers for a copy.",
    )
    BUILDER_CONFIGS = [
        datasets.BuilderConfig(name="faces", version=CorpusBuilder.VERSION, description="single pictures"),
        datasets.BuilderConfig(name="pairs", version=CorpusBuilder.VERSION, description="triplets"),
    ]
    DEFAULT_CONFIG_NAME = "faces"
    splits = {"faces": ("train", "validation", "twins"), "pairs": ("validation",)}

    @classmethod
    def recognises(cls, files: CorpusFiles) -> bool:
        return any(table in files for table in _TABLES.values())

    def present_splits(self) -> tuple[str, ...]:
        return tuple(split for split in super().present_splits() if self._table(split) in self.files)

    def columns(self) -> dict:
        return {
            "identity": datasets.Value("int32"),
            "intensity": datasets.Value("float32"),
            "yaw": datasets.Value("float32"),
            "pitch": datasets.Value("float32"),
            "roll": datasets.Value("float32"),
            "blendshapes": _BLENDSHAPES,
            "landmarks": _LANDMARKS,
            "neutral_file": datasets.Value("string"),
            "twin_of": datasets.Value("string"),
            "setup": datasets.Value("string"),
        }

    def features(self) -> datasets.Features:
        if self.config.name == "faces":
            return super().features()
        roles = ("source", "reference", "target")
        columns = {"pair": datasets.Value("int32")}
        columns |= {role: datasets.Image() for role in roles}
        for role in roles:
            columns |= {f"{role}_subject": datasets.Value("string"), f"{role}_identity": datasets.Value("int32")}
            columns |= {f"{role}_label": datasets.ClassLabel(names=list(EXPRESSIONS))}
            columns |= {f"{role}_{angle}": datasets.Value("float32") for angle in ("yaw", "pitch", "roll")}
            columns |= {f"{role}_blendshapes": _BLENDSHAPES, f"{role}_landmarks": _LANDMARKS}
            columns |= {f"{role}_file": datasets.Value("string")}
        return datasets.Features(columns)

    def rows(self, split: str, skipped: Counter) -> Iterator[dict]:
        table = self._table(split)
        folder = table.rsplit("/", 1)[0] + "/"
        make = self._face if self.config.name == "faces" else self._pair
        known = set()
        for record in self.files.table(table):
            known |= {record[key] for key in _FILE_COLUMNS if key in record}
            try:
                yield make(folder, record)
            except KeyError:
                skipped[NO_CATEGORY] += 1
        pictures = (name for name in self.files.under(folder) if name.lower().endswith(".jpg"))
        skipped[NO_ROW] += sum(name.removeprefix(folder) not in known for name in pictures)

    def _table(self, split: str) -> str:
        return _TABLES["pairs" if self.config.name == "pairs" else split]

    def _face(self, folder: str, record: dict) -> dict:
        name, twin_of, neutral = record["file_name"], record.get("twin_of"), record.get("neutral_file")
        same = ("identity", "intensity", "yaw", "pitch", "roll", "blendshapes")
        return {key: record[key] for key in same} | {
            "image": folder + name,
            "label": _label(record["expression"]),
            "subject": _subject(record["person"]),
            "landmarks": record["landmarks68"],
            "neutral_file": neutral and folder + neutral,
            "twin_of": twin_of and f"train/{twin_of}",
            "setup": None if twin_of else name.rsplit("_", 1)[0],
        }

    def _pair(self, folder: str, record: dict) -> dict:
        row = {"pair": record["pair"]}
        for role in ("source", "reference", "target"):
            body = "reference" if role == "reference" else "source"  # whose person and pose
            mind = "source" if role == "source" else "reference"  # whose expression
            row |= {
                role: folder + record[f"{role}_file"],
                f"{role}_file": folder + record[f"{role}_file"],
                f"{role}_landmarks": record[f"{role}_landmarks68"],
                f"{role}_subject": _subject(record[f"{body}_person"]),
                f"{role}_identity": record[f"{body}_identity"],
                f"{role}_label": _label(record[f"{mind}_expression"]),
                f"{role}_blendshapes": record[f"{mind}_blendshapes"],
            }
            row |= {f"{role}_{angle}": record[f"{body}_{angle}"] for angle in ("yaw", "pitch", "roll")}
        return row


def _subject(person: int) -> str:
    """As the London set writes its persons."""
    return f"{person:03d}"


def _label(expression: str) -> int:
    if expression == "free":
        return UNLABELLED
    if expression not in EXPRESSIONS:
        raise KeyError(expression)
    return EXPRESSIONS.index(expression)
