"""Rendered people: many persons, and expressions with exact targets on photographs too.

The head model, weights and framing of the rendered faces, on the London Set's persons, on those of the set Young Adult
White Faces with Manipulated Versions (1000 + their number), and on virtual persons blended from both (2000 and more).
Labels are recipes, not perceived emotions; mixtures outside the categories ("free") are unlabelled.
"""

import datasets

from leed_hub.data.corpora.corpus import CorpusAbout
from leed_hub.data.corpora.rendered import ANGLES, RenderedCorpus, subject_of

FIRST_VIRTUAL_PERSON = 2000
FIRST_CANADIAN_PERSON = 1000


class RenderedPeople(RenderedCorpus):
    """Two configs.

    `faces`: splits `posed` (rendered heads) and `photographs` (photographs of which only the face is rendered). The
    pictures of a `setup` differ in expression only; `neutral_file` is the neutral one among them. Pictures with the
    same `expression_id` (-1: neutral) share their weights exactly, across persons and both splits. `persons` are all
    those whose photograph is in a picture: to hold a person out, leave out every row that names them there.

    `pairs`: split `validation`, triplets on photographs whose `target` is the source with the reference's expression.
    All of them are frontal, so their angles are 0; they have no identity.
    """

    about = CorpusAbout(
        title="Rendered people",
        licence="MIT (ICT-FaceKit) and CC-BY-4.0 (Face Research Lab London Set and Young Adult White Faces with "
        "Manipulated Versions, both modified)",
        homepage="https://github.com/ICT-VGL/ICT-FaceKit",
        citation="""@misc{debruine2017london,
  title={Face Research Lab London Set}, author={DeBruine, Lisa and Jones, Benedict},
  year={2017}, doi={10.6084/m9.figshare.5047666.v5}
}
@misc{debruine2017young,
  title={Young Adult White Faces with Manipulated Versions}, author={DeBruine, Lisa and Jones, Benedict},
  year={2017}, doi={10.6084/m9.figshare.4220517.v1}
}
@misc{ictfacekit, title={ICT-FaceKit}, author={{USC Institute for Creative Technologies}}, year={2020},
  howpublished={https://github.com/ICT-VGL/ICT-FaceKit}}""",
        layout="posed/ and photographs/ with metadata.parquet, and photographs_pairs_validation/ with pairs.parquet",
        access="It is made for leed_hub; ask its maintainers for a copy.",
        may_be_passed_on=True,
    )
    tables = {
        "faces": {"posed": "posed/metadata.parquet", "photographs": "photographs/metadata.parquet"},
        "pairs": {"validation": "photographs_pairs_validation/pairs.parquet"},
    }
    splits = {config: tuple(of_split) for config, of_split in tables.items()}
    suffix = ".webp"

    def columns(self) -> dict:
        return super().columns() | {
            "setup": datasets.Value("string"),
            "expression_id": datasets.Value("int32"),
            "persons": datasets.List(datasets.Value("string")),
        }

    def face(self, folder: str, record: dict) -> dict:
        return super().face(folder, record) | {
            "setup": folder + record["file_name"].rsplit("_", 1)[0],
            "expression_id": record["expression_id"],
            "persons": _persons(record),
        }

    def pair(self, folder: str, record: dict) -> dict:
        unsaid: dict = {f"{role}_identity": None for role in ("source", "reference")}
        unsaid |= {f"{role}_{angle}": 0.0 for role in ("source", "reference") for angle in ANGLES}
        return super().pair(folder, unsaid | record)


def _persons(record: dict) -> list[str]:
    """The real persons of whom a picture is made, each once, as `subject` writes them."""
    found = [] if record["person"] >= FIRST_VIRTUAL_PERSON else [subject_of(record["person"])]
    found += [_subject_of_photograph(record[part]) for part in ("carrier", "inner", "third") if record[part]]
    return list(dict.fromkeys(found))


def _subject_of_photograph(number: str) -> str:
    """ "004" stays as it is; "c003f" is the number of a person, who is 1003, and the gender."""
    if number.startswith("c"):
        return subject_of(FIRST_CANADIAN_PERSON + int(number.strip("cfm")))
    return subject_of(int(number))
