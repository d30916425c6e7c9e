"""FER2013 (Goodfellow et al. 2013, arXiv:1307.0414): 35,887 grey faces of 48x48 from a web search, 7 categories.

It is read in any of its three forms: folders `train/<class>/` and `test/<class>/`, a zip of those, or the original
table of pixels. The test folder mixes two official splits, told apart by `PublicTest_` and `PrivateTest_`.
The corpus names no persons, so one may be in several splits.
"""

import io
from collections import Counter
from collections.abc import Iterator

import numpy as np
from PIL import Image

from leed_hub.data.corpora.corpus import NO_CATEGORY, CorpusAbout, CorpusBuilder
from leed_hub.data.corpora.files import CorpusFiles
from leed_hub.models.labels import expression_name

_TABLES = ("fer2013.csv", "icml_face_data.csv")
_CODES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # 0..6 of the column `emotion`
_USAGES = {"train": "Training", "test_public": "PublicTest", "test_private": "PrivateTest"}
_SIDE = 48


class FER2013(CorpusBuilder):
    """Splits `train`, `test_public` (often used for validation), `test_private` (the reported one)."""

    about = CorpusAbout(
        title="FER2013",
        licence="for research use; pictures found by web search, no licence file",
        homepage="https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge",
        citation="""@inproceedings{goodfellow2013challenges,
  title={Challenges in Representation Learning: A Report on Three Machine Learning Contests},
  author={Goodfellow, Ian J. and Erhan, Dumitru and Carrier, Pierre Luc and Courville, Aaron and others},
  booktitle={International Conference on Neural Information Processing}, year={2013}, note={arXiv:1307.0414}
}""",
        layout="train/<class>/ and test/<class>/ with Public/PrivateTest_* (a folder or a zip), or fer2013.csv",
        access="It is published at kaggle.com: Challenges in Representation Learning, Facial Expression Recognition.",
        weights_terms="fer2013-research-use",
    )
    splits = {"default": tuple(_USAGES)}

    @classmethod
    def recognises(cls, files: CorpusFiles) -> bool:
        return bool(files.under("train/") or files.under("test/") or _table(files))

    def rows(self, split: str, skipped: Counter) -> Iterator[dict]:
        table = _table(self.files)
        return self._from_table(table, split, skipped) if table else self._from_folders(split, skipped)

    def _from_folders(self, split: str, skipped: Counter) -> Iterator[dict]:
        for name in self.files.under("train/" if split == "train" else "test/"):
            parts = name.split("/")
            if split != "train" and not parts[-1].startswith(f"{_USAGES[split]}_"):
                if split == "test_public" and not parts[-1].startswith("PrivateTest_"):
                    skipped["test files named neither PublicTest_ nor PrivateTest_"] += 1
                continue
            try:
                yield {"image": name, "label": expression_name(parts[1])}
            except KeyError:
                skipped[NO_CATEGORY] += 1

    def _from_table(self, table: str, split: str, skipped: Counter) -> Iterator[dict]:
        lines = self.files.lines(table)
        header = [column.strip().lower() for column in next(lines)]
        if not {"emotion", "pixels", "usage"} <= set(header):
            raise self.layout_error(table, f"the columns {', '.join(header)} instead of emotion, pixels, Usage")
        emotion, pixels, usage = (header.index(column) for column in ("emotion", "pixels", "usage"))
        for number, line in enumerate(lines):
            if len(line) != len(header):
                skipped["broken lines"] += split == "train"
            elif line[usage].strip() == _USAGES[split]:
                image = _drawn(line[pixels])
                if not line[emotion].strip().isdigit() or int(line[emotion]) >= len(_CODES):
                    skipped[NO_CATEGORY] += 1
                elif image is None:
                    skipped["pixels that are not 48x48 numbers of 0..255"] += 1
                else:
                    label = expression_name(_CODES[int(line[emotion])])
                    yield {"image": image, "label": label, "file": f"{table}#{number}"}


def _table(files: CorpusFiles) -> str | None:
    """The table of pixels, if that is the form at hand."""
    return next((name for name in files.names if name.rsplit("/", 1)[-1] in _TABLES), None)


def _drawn(pixels: str) -> dict | None:
    """Space-separated grey values as a PNG; None if they are not one 48x48 face."""
    try:
        values = np.array(pixels.split(), dtype=np.int64)
    except (ValueError, OverflowError):
        return None
    if len(values) != _SIDE**2 or values.min() < 0 or values.max() > 255:
        return None
    file = io.BytesIO()
    Image.fromarray(values.astype(np.uint8).reshape(_SIDE, _SIDE)).save(file, "PNG", compress_level=1)
    return {"bytes": file.getvalue(), "path": None}
