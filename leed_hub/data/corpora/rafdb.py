"""RAF-DB (Li, Deng and Du, CVPR 2017), its basic expressions: 15,339 faces found on Flickr, 7 categories.

It is read as its owners pack it, `basic/Image/aligned/train_00001_aligned.jpg` with the list of labels
`basic/EmoLabel/list_patition_label.txt` (the spelling is theirs), or as common copies have it,
`DATASET/train/1/train_00001_aligned.jpg`, where the folder is the label and tables beside it repeat that. Rows come in
the order of the pictures' names, so both forms give the same rows. The corpus names no persons.
"""

import re
from collections import Counter
from collections.abc import Iterator

from leed_hub.data.corpora.corpus import NO_CATEGORY, NO_ROW, CorpusAbout, CorpusBuilder
from leed_hub.data.corpora.files import CorpusFiles
from leed_hub.models.labels import expression_name

_CODES = {
    "1": "surprise",
    "2": "fear",
    "3": "disgust",
    "4": "happiness",
    "5": "sadness",
    "6": "anger",
    "7": "neutral",
}
_LIST = re.compile(r"(|.*/)EmoLabel/list_par?tition_label\.txt")
_IN_FOLDER = re.compile(r"(?:.*/)?(train|test)/(\d+)/[^/]+\.(?:jpe?g|png)", re.IGNORECASE)


class RAFDB(CorpusBuilder):
    """Splits `train` and `test`, the official ones."""

    about = CorpusAbout(
        title="RAF-DB",
        licence="non-commercial research, by agreement with the owners",
        homepage="https://www.whdeng.cn/RAF/model1.html",
        citation="""@inproceedings{li2017reliable,
  title={Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression Recognition in the Wild},
  author={Li, Shan and Deng, Weihong and Du, JunPing},
  booktitle={IEEE Conference on Computer Vision and Pattern Recognition}, pages={2584--2593}, year={2017}
}""",
        layout="basic/ with Image/aligned/ and EmoLabel/list_patition_label.txt, or train/<1..7>/ and test/<1..7>/",
        access="Ask its owners at https://www.whdeng.cn/RAF/model1.html (for researchers at a university).",
        weights_terms="rafdb-research-use",
    )
    splits = {"default": ("train", "test")}

    @classmethod
    def recognises(cls, files: CorpusFiles) -> bool:
        return _list(files) is not None or any(_IN_FOLDER.fullmatch(name) for name in files.names)

    def rows(self, split: str, skipped: Counter) -> Iterator[dict]:
        table = _list(self.files)
        labelled = self._from_list(table, split, skipped) if table else self._from_folders(split)
        for name, code in sorted(labelled, key=lambda row: row[0].rsplit("/", 1)[-1]):
            if code in _CODES:
                yield {"image": name, "label": expression_name(_CODES[code])}
            else:
                skipped[NO_CATEGORY] += 1

    def _from_list(self, table: str, split: str, skipped: Counter) -> Iterator[tuple[str, str]]:
        folder = _LIST.sub(r"\1Image/aligned/", table)
        named = set()
        for line in filter(None, self.files.lines(table)):
            found = re.fullmatch(r"\s*((train|test)_\w+)\.\w+\s+(\d+)\s*", line[0])
            if not found:
                skipped["broken lines"] += split == "train"
            elif found[2] == split:
                named.add(name := f"{folder}{found[1]}_aligned.jpg")
                yield name, found[3]
        skipped[NO_ROW] += sum(name not in named for name in self.files.under(f"{folder}{split}_"))

    def _from_folders(self, split: str) -> Iterator[tuple[str, str]]:
        for name in self.files.names:
            found = _IN_FOLDER.fullmatch(name)
            if found and found[1].lower() == split:
                yield name, found[2]


def _list(files: CorpusFiles) -> str | None:
    """The owners' list of labels; that of the compound expressions, packed beside it, has the same name."""
    return next((name for name in files.names if _LIST.fullmatch(name) and not _is_compound(files, name)), None)


def _is_compound(files: CorpusFiles, name: str) -> bool:
    return "compound/" in f"{files.location}/{files.below}{name}"
