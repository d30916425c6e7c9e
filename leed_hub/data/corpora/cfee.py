"""Compound Facial Expressions of Emotion (Du, Tao & Martinez 2014): 230 persons, neutral, 6 basic and 15 compound ones.

The release `CFEE_Database_230` holds `01-04/Images1/` .. `21-26/Images6/` with files `EE_SSS_PPPP.jpg`: category,
person, photograph (a few lack the last part). This layout is known from others' public code, not from the owners.

What is uncertain: the key from number to category. Public code agrees that 01 is neutral and 02..07 are the basic ones;
we take them in the paper's order. There are 26 numbers but 22 categories, so the numbers from 08 on are named only
where `categories.csv` in `data_dir` says so: lines "number,name", names as in `COMPOUND`, copied from the sheet
"summary" of the release's own AU_annotation_all_subjects.xls. It also overrides 01..07. `category` keeps the number.
"""

import re
from collections import Counter
from collections.abc import Iterator

import datasets

from leed_hub.data.corpora.corpus import NO_CATEGORY, CorpusAbout, CorpusBuilder, person_share
from leed_hub.data.corpora.files import CorpusFiles
from leed_hub.models.labels import UNLABELLED, expression_name

BASIC = ("neutral", "happy", "sad", "fearful", "angry", "surprised", "disgusted")
COMPOUND = (  # all 22, in the order of the paper's Fig. 1
    *BASIC,
    *("happily surprised", "happily disgusted", "sadly fearful", "sadly angry", "sadly surprised", "sadly disgusted"),
    *("fearfully angry", "fearfully surprised", "fearfully disgusted", "angrily surprised", "angrily disgusted"),
    *("disgustedly surprised", "appalled", "hatred", "awed"),
)
_TRAIN_SHARE = 0.9
_NAME = re.compile(r"(?:.*/)?(\d\d)_(\d{3})(?:_\d+)?\.jpe?g", re.IGNORECASE)


class CFEE(CorpusBuilder):
    """Splits `train` and `validation`; no person is in both.

    `label` is the basic category, unlabelled for compound ones; `compound` is one of the 22, -1 where unknown.
    """

    about = CorpusAbout(
        title="Compound Facial Expressions of Emotion",
        licence="non-commercial research, by agreement with the owners",
        homepage="https://cbcsl.ece.ohio-state.edu/compound.html",
        citation="""@article{du2014compound,
  title={Compound facial expressions of emotion},
  author={Du, Shichuan and Tao, Yong and Martinez, Aleix M.},
  journal={Proceedings of the National Academy of Sciences}, volume={111}, number={15}, pages={E1454--E1462},
  year={2014}, doi={10.1073/pnas.1322355111}
}""",
        layout="01-04/Images1/ .. 21-26/Images6/ with files named as 02_339_3470.jpg (category, person, photograph)",
        access="Ask its owners at https://cbcsl.ece.ohio-state.edu/compound.html.",
        weights_terms="cfee-research-use",
    )
    splits = {"default": ("train", "validation")}

    def columns(self) -> dict:
        return {"compound": datasets.ClassLabel(names=list(COMPOUND)), "category": datasets.Value("int32")}

    @classmethod
    def recognises(cls, files: CorpusFiles) -> bool:
        return any(_NAME.fullmatch(name) for name in files.names)

    def rows(self, split: str, skipped: Counter) -> Iterator[dict]:
        key = self._key()
        for name in self.files.names:
            found = _NAME.fullmatch(name)
            if not found:
                skipped["pictures with other names"] += split == "train" and name.lower().endswith((".jpg", ".jpeg"))
                continue
            category, person = int(found[1]), found[2]
            if (person_share(person) < _TRAIN_SHARE) != (split == "train"):
                continue
            if not 1 <= category <= 26:
                skipped[NO_CATEGORY] += 1
                continue
            compound = key.get(category)
            yield {
                "image": name,
                "label": expression_name(compound) if compound in BASIC else UNLABELLED,
                "subject": person,
                "compound": UNLABELLED if compound is None else compound,
                "category": category,
            }

    def _key(self) -> dict[int, str]:
        """Category names by number."""
        key = dict(enumerate(BASIC, start=1))
        if "categories.csv" in self.files:
            for line in self.files.lines("categories.csv"):
                number, name = line[0].strip(), line[-1].strip().lower()
                if number.isdigit() and name not in COMPOUND:
                    raise self.layout_error("categories.csv", f"the name {name!r}, which is none of the 22 categories")
                if number.isdigit():
                    key[int(number)] = name
        return key
