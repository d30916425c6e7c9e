"""AffectNet (Mollahosseini et al. 2017, arXiv:1708.03985): faces in the wild, 8 categories, valence and arousal.

Two releases are read. 2017: `training.csv`, `validation.csv` and whole pictures below `Manually_Annotated_Images/` or
beside the tables; `box` and `landmarks` find the face. 2021: `train_set/` and `val_set/`, each with `images/N.jpg`
already cropped and `annotations/N_exp.npy`, `N_val.npy`, `N_aro.npy`, `N_lnd.npy`. No test split was ever published,
and neither release names persons.
"""

import math
from collections import Counter
from collections.abc import Iterator

import datasets

from leed_hub.data.corpora.corpus import NO_ROW, POINTS, CorpusAbout, CorpusBuilder
from leed_hub.data.corpora.files import CorpusFiles
from leed_hub.models.labels import EXPRESSIONS

_TABLES = {"train": "training.csv", "validation": "validation.csv"}
_TABLE_FOLDERS = ("", "Manually_Annotated_file_lists/")
_IMAGE_FOLDERS = ("Manually_Annotated_Images/", "Manually_Annotated/Manually_Annotated_Images/", "")
_COLUMNS = [  # of the 2017 tables, some copies of which have lost the header
    "subDirectory_filePath",
    *("face_x", "face_y", "face_width", "face_height"),
    *("facial_landmarks", "expression", "valence", "arousal"),
]
_SETS = {"train": "train_set/", "validation": "val_set/"}
_PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
_NO_FACE = "labels none, uncertain or no-face"


class AffectNet(CorpusBuilder):
    """Configs `eight` (all categories) and `seven` (contempt left out, as many papers do).

    `valence` and `arousal` lie in [-1, 1], None where the corpus writes -2; `box` is (x, y, width, height) in pixels.
    """

    about = CorpusAbout(
        title="AffectNet",
        licence="non-commercial research, by agreement with the owners",
        homepage="https://www.mohammadmahoor.com/pages/databases/affectnet/",
        citation="""@article{mollahosseini2017affectnet,
  title={AffectNet: A Database for Facial Expression, Valence, and Arousal Computing in the Wild},
  author={Mollahosseini, Ali and Hasani, Behzad and Mahoor, Mohammad H.},
  journal={IEEE Transactions on Affective Computing}, year={2017}, note={arXiv:1708.03985}
}""",
        layout="train_set/ and val_set/ with images/ and annotations/, or training.csv, validation.csv and pictures",
        access="Ask its owners at https://www.mohammadmahoor.com/pages/databases/affectnet/ (a university signs).",
        weights_terms="affectnet-research-use",
    )
    BUILDER_CONFIGS = [
        datasets.BuilderConfig(name="eight", version=CorpusBuilder.VERSION, description="all categories"),
        datasets.BuilderConfig(name="seven", version=CorpusBuilder.VERSION, description="without contempt"),
    ]
    DEFAULT_CONFIG_NAME = "eight"
    splits = {"eight": ("train", "validation"), "seven": ("train", "validation")}

    def columns(self) -> dict:
        return {
            "valence": datasets.Value("float32"),
            "arousal": datasets.Value("float32"),
            "box": datasets.List(datasets.Value("float32")),
            "landmarks": POINTS,
        }

    @classmethod
    def recognises(cls, files: CorpusFiles) -> bool:
        return any(_source(files, split) for split in _SETS)

    def present_splits(self) -> tuple[str, ...]:
        return tuple(split for split in super().present_splits() if _source(self.files, split))

    def rows(self, split: str, skipped: Counter) -> Iterator[dict]:
        source = _source(self.files, split) or ""  # present_splits knows that there is one
        rows = self._of_2017(split, skipped) if source.endswith(".csv") else self._of_2021(source, skipped)
        for label, row in rows:
            if not 0 <= label < len(EXPRESSIONS):
                skipped[_NO_FACE if label in (8, 9, 10) else "labels outside 0..10"] += 1
            elif EXPRESSIONS[label] != "contempt" or self.config.name == "eight":
                yield row | {"label": label}

    def _of_2017(self, split: str, skipped: Counter) -> Iterator[tuple[int, dict]]:
        for record in _records(self.files, _source(self.files, split) or ""):
            try:
                label, image = int(record["expression"]), self._picture_of(record)
                row: dict = {"valence": _affect(record["valence"]), "arousal": _affect(record["arousal"])}
            except (KeyError, ValueError):
                skipped["broken lines"] += 1
                continue
            numbers = _numbers(record[key] for key in _COLUMNS[1:5])
            row["box"] = numbers if numbers and numbers[2] > 0 and numbers[3] > 0 else None
            row["landmarks"] = _points(_numbers(record["facial_landmarks"].split(";")))
            yield label, row | {"image": image}
        if split == self.present_splits()[0]:
            tables = [
                source
                for split in self.present_splits()
                if (source := _source(self.files, split)) and source.endswith(".csv")
            ]
            named = {self._picture_of(record) for table in tables for record in _records(self.files, table)}
            pictures = (name for name in self.files.names if name.lower().endswith(_PICTURE_ENDINGS))
            skipped[NO_ROW] += sum(name not in named for name in pictures)

    def _picture_of(self, record: dict) -> str:
        """Where the picture of a row of a 2017 table lies; the bare name if nowhere."""
        name = record[_COLUMNS[0]]
        return next((folder + name for folder in _IMAGE_FOLDERS if folder + name in self.files), name)

    def _of_2021(self, folder: str, skipped: Counter) -> Iterator[tuple[int, dict]]:
        for name in sorted(self.files.under(f"{folder}images/"), key=lambda name: (len(name), name)):
            stem = f"{folder}annotations/{name.rsplit('/', 1)[-1].rsplit('.', 1)[0]}"
            if f"{stem}_exp.npy" not in self.files:
                skipped[NO_ROW] += 1
                continue
            row: dict = {"image": name}
            try:
                label = int(self.files.number(f"{stem}_exp.npy"))
                for column in ("valence", "arousal"):
                    file = f"{stem}_{column[:3]}.npy"
                    row[column] = _affect(self.files.number(file)) if file in self.files else None
                if f"{stem}_lnd.npy" in self.files:
                    row["landmarks"] = _points(self.files.array(f"{stem}_lnd.npy").astype(float).ravel().tolist())
            except (EOFError, OSError, ValueError):
                skipped["broken annotations"] += 1
                continue
            yield label, row


def _source(files: CorpusFiles, split: str) -> str | None:
    """The table or folder a split is read from."""
    tables = (folder + _TABLES[split] for folder in _TABLE_FOLDERS)
    table = next((table for table in tables if table in files), None)
    return table or (_SETS[split] if files.under(f"{_SETS[split]}images/") else None)


def _records(files: CorpusFiles, table: str) -> Iterator[dict]:
    """The rows of a 2017 table by column."""
    lines = files.lines(table)
    first = next(lines, [])
    columns = first if _COLUMNS[0] in first else _COLUMNS
    if columns is _COLUMNS and first:
        yield dict(zip(columns, first, strict=False))
    for line in lines:
        yield dict(zip(columns, line, strict=False))


def _affect(value: str | float) -> float | None:
    value = float(value)
    return value if -1 <= value <= 1 else None


def _numbers(texts) -> list[float] | None:
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        return None
    return numbers if all(math.isfinite(number) for number in numbers) else None


def _points(numbers: list[float] | None) -> list[list[float]] | None:
    """68 points from 136 numbers; None if they are not that many."""
    if numbers is None or len(numbers) != 136:
        return None
    return [numbers[at : at + 2] for at in range(0, 136, 2)]
