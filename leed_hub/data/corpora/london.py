"""The Face Research Lab London Set (DeBruine & Jones 2017): adults photographed frontally, neutral and smiling.

Read in the layout of webmorphR.stim: `neutral_front/001_03.jpg` with its template `001_03.tem`,
`smiling_front/001_08.jpg`, `london_info.csv`. Only neutral faces have a template.
"""

import re
from collections import Counter
from collections.abc import Iterator

import datasets

from leed_hub.data.corpora.corpus import POINTS, CorpusAbout, CorpusBuilder
from leed_hub.data.corpora.files import CorpusFiles

VALIDATION_PERSONS = ("005", "016", "027", "039", "066", "090", "103", "118")  # as in the rendered faces
_FOLDERS = {"neutral_front": "neutral", "smiling_front": "happiness"}


class London(CorpusBuilder):
    """Splits `train` and `validation`, the persons whom the rendered faces hold out too.

    `landmarks` are the template's 189 points, (x, y) in pixels, None for smiling faces.
    """

    about = CorpusAbout(
        title="Face Research Lab London Set",
        licence="CC-BY-4.0",
        homepage="https://doi.org/10.6084/m9.figshare.5047666.v5",
        citation="""@misc{debruine2017london,
  title={Face Research Lab London Set}, author={DeBruine, Lisa and Jones, Benedict},
  year={2017}, doi={10.6084/m9.figshare.5047666.v5}
}""",
        layout="neutral_front/ and smiling_front/ with NNN_*.jpg (and .tem), and london_info.csv",
        access="It is published at https://doi.org/10.6084/m9.figshare.5047666.v5 and in the R package webmorphR.stim.",
    )
    splits = {"default": ("train", "validation")}

    def columns(self) -> dict:
        return {
            "age": datasets.Value("int32"),
            "gender": datasets.Value("string"),
            "ethnicity": datasets.Value("string"),
            "landmarks": POINTS,
        }

    @classmethod
    def recognises(cls, files: CorpusFiles) -> bool:
        return all(files.under(f"{folder}/") for folder in _FOLDERS)

    def rows(self, split: str, skipped: Counter) -> Iterator[dict]:
        info = self._info_of_persons()
        for folder, label in _FOLDERS.items():
            for name in self.files.under(f"{folder}/"):
                found = re.fullmatch(r"(\d{3})_\w+\.jpe?g", name.split("/")[-1], re.IGNORECASE)
                if not found:
                    skipped["files not named NNN_*.jpg"] += split == "train" and not name.lower().endswith(".tem")
                elif (found[1] in VALIDATION_PERSONS) == (split == "validation"):
                    about = {"subject": found[1], "landmarks": self._landmarks(name.rsplit(".", 1)[0] + ".tem")}
                    yield {"image": name, "label": label} | about | info.get(found[1], {})

    def _info_of_persons(self) -> dict[str, dict]:
        """Age, gender and ethnicity by person; the table may be missing."""
        if "london_info.csv" not in self.files:
            return {}
        header, *lines = self.files.lines("london_info.csv")
        table = [{key: value for key, value in zip(header, line, strict=False) if value != "NA"} for line in lines]
        return {
            row["face_id"].lstrip("X").zfill(3): {
                "age": int(float(row["face_age"])) if re.fullmatch(r"\d+(\.\d+)?", row.get("face_age", "")) else None,
                "gender": row.get("face_gender") or row.get("face_sex") or None,
                "ethnicity": row.get("face_eth") or None,
            }
            for row in table
            if row.get("face_id")
        }

    def _landmarks(self, template: str) -> list[list[float]] | None:
        """Points of a webmorph template: their number, then x TAB y on a line each, then the lines between them."""
        if template not in self.files:
            return None
        lines = self.files.read(template).decode().splitlines()
        return [[float(value) for value in line.split()[:2]] for line in lines[1 : 1 + int(lines[0])]]
