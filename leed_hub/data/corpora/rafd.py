"""The Radboud Faces Database (Langner et al. 2010): 67 models, 8 categories, 3 gaze directions, 5 cameras.

All facts are in the file name, such as `Rafd090_01_Caucasian_female_angry_frontal.jpg`: camera in degrees, model,
group, gender, expression, gaze. About 90 % of the models train. The pictures may lie in any folders below `data_dir`.
"""

import re
from collections import Counter
from collections.abc import Iterator

import datasets

from leed_hub.data.corpora.corpus import NO_CATEGORY, CorpusAbout, CorpusBuilder, person_share
from leed_hub.data.corpora.files import CorpusFiles
from leed_hub.models.labels import expression_name

_TRAIN_SHARE = 0.9
_NAME = re.compile(
    r"(?:.*/)?Rafd(000|045|090|135|180)_(\d\d)_([a-z]+)_(female|male)_([a-z]+)_(frontal|left|right)\.jpe?g",
    re.IGNORECASE,
)


class RaFD(CorpusBuilder):
    """Splits `train` and `validation`; no model is in both.

    `yaw` is 90 minus the camera's angle: 0 is frontal, and above 0 the face is turned to the right of the image. The
    size is documented by the owners; the sign follows others' descriptions of camera 045, check it on your copy.
    """

    about = CorpusAbout(
        title="Radboud Faces Database",
        licence="non-commercial scientific research, by agreement with the owners",
        homepage="https://rafd.socsci.ru.nl",
        citation="""@article{langner2010rafd,
  title={Presentation and validation of the Radboud Faces Database},
  author={Langner, Oliver and Dotsch, Ron and Bijlstra, Gijsbert and Wigboldus, Daniel H. J. and others},
  journal={Cognition and Emotion}, volume={24}, number={8}, pages={1377--1388}, year={2010}
}""",
        layout="files named as Rafd090_01_Caucasian_female_angry_frontal.jpg",
        access="Ask its owners at https://rafd.socsci.ru.nl (for researchers at a university).",
        weights_terms="rafd-research-use",
    )
    splits = {"default": ("train", "validation")}

    def columns(self) -> dict:
        return {
            "yaw": datasets.Value("float32"),
            "ethnicity": datasets.Value("string"),
            "gender": datasets.Value("string"),
            "gaze": datasets.Value("string"),
        }

    @classmethod
    def recognises(cls, files: CorpusFiles) -> bool:
        return any(_NAME.fullmatch(name) for name in files.names)

    def rows(self, split: str, skipped: Counter) -> Iterator[dict]:
        for name in self.files.names:
            found = _NAME.fullmatch(name)
            if not found:
                skipped["pictures with other names"] += split == "train" and name.lower().endswith((".jpg", ".jpeg"))
                continue
            camera, model, ethnicity, gender, emotion, gaze = found.groups()
            if (person_share(model) < _TRAIN_SHARE) != (split == "train"):
                continue
            try:
                label = expression_name(emotion)
            except KeyError:
                skipped[NO_CATEGORY] += 1
                continue
            about = {"ethnicity": ethnicity.lower(), "gender": gender.lower(), "gaze": gaze.lower()}
            yield {"image": name, "label": label, "subject": model, "yaw": 90 - int(camera)} | about
