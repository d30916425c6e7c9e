"""Rendered faces with exact ground truth: photo-textured 3D heads whose expression weights are known.

Affine from ICT-FaceKit, textures from the Face Research Lab London Set. Labels are recipes, not perceived emotions;
mixtures outside the categories ("free") are unlabelled.
"""

import datasets

from leed_hub.data.corpora.corpus import CorpusAbout
from leed_hub.data.corpora.rendered import RenderedCorpus


class RenderedFaces(RenderedCorpus):
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
        may_be_passed_on=True,
    )
    tables = {
        "faces": {
            "train": "train/metadata.parquet",
            "validation": "validation/metadata.parquet",
            "twins": "train_twins/metadata.parquet",
        },
        "pairs": {"validation": "pairs_validation/pairs.parquet"},
    }
    splits = {config: tuple(of_split) for config, of_split in tables.items()}
    suffix = ".jpg"

    def columns(self) -> dict:
        return super().columns() | {"twin_of": datasets.Value("string"), "setup": datasets.Value("string")}

    def face(self, folder: str, record: dict) -> dict:
        twin_of = record.get("twin_of")
        return super().face(folder, record) | {
            "twin_of": twin_of and f"train/{twin_of}",
            "setup": None if twin_of else record["file_name"].rsplit("_", 1)[0],
        }
