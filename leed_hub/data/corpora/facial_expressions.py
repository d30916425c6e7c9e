"""The facial_expressions repository: faces in the wild with a person's name in most file names, up to 8 categories.

Labels were given by students and are noisy and very unbalanced; their spelling varies in case. A few file names hold
no person, those pictures have `subject` None. 80 % of the persons train, 20 % test.
"""

import re
from collections import Counter
from collections.abc import Iterator

from leed_hub.data.corpora.corpus import NO_CATEGORY, NO_ROW, CorpusAbout, CorpusBuilder, person_share
from leed_hub.data.corpora.files import CorpusFiles
from leed_hub.models.labels import expression_name

_TRAIN_SHARE = 0.8


class FacialExpressions(CorpusBuilder):
    """Splits `train` and `test`; no person is in both."""

    about = CorpusAbout(
        title="facial_expressions",
        licence="Apache-2.0",
        homepage="https://github.com/muxspace/facial_expressions",
        citation="""@misc{rowe2016facial,
  title={facial\\_expressions: a set of images for classifying facial expressions},
  author={Rowe, Brian Lee Yung and students}, howpublished={https://github.com/muxspace/facial\\_expressions}
}""",
        layout="images/ and data/legend.csv (a folder or a zip)",
        access="It is published at https://github.com/muxspace/facial_expressions.",
    )
    splits = {"default": ("train", "test")}

    @classmethod
    def recognises(cls, files: CorpusFiles) -> bool:
        return "data/legend.csv" in files and bool(files.under("images/"))

    def rows(self, split: str, skipped: Counter) -> Iterator[dict]:
        lines = self.files.lines("data/legend.csv")
        header = next(lines)
        if not {"image", "emotion"} <= set(header):
            raise self.layout_error("data/legend.csv", f"the columns {', '.join(header)} instead of image, emotion")
        image, emotion = header.index("image"), header.index("emotion")
        said: dict[str, list[str]] = {}  # what the rows say of each picture
        for line in lines:
            if len(line) == len(header) and _is_in(split, line[image]):
                said.setdefault(line[image], []).append(line[emotion].strip().lower())
        for file, emotions in said.items():
            if len(set(emotions)) > 1:
                skipped["rows that contradict each other"] += len(emotions)
                continue
            skipped["rows said twice"] += len(emotions) - 1
            try:
                yield {"image": f"images/{file}", "label": expression_name(emotions[0]), "subject": person_of(file)}
            except KeyError:
                skipped[NO_CATEGORY] += 1
        pictures = (name.removeprefix("images/") for name in self.files.under("images/"))
        skipped[NO_ROW] += sum(file not in said and _is_in(split, file) for file in pictures)


def person_of(file: str) -> str | None:
    """The person in a file name: `Aaron_Sorkin_0002.jpg` -> `Aaron_Sorkin`."""
    found = re.fullmatch(r"(.+)_\d+", file.rsplit(".", 1)[0])
    return found[1] if found else None


def _is_in(split: str, file: str) -> bool:
    return (person_share(person_of(file) or file) < _TRAIN_SHARE) == (split == "train")
