"""Rendered faces made of plain colours."""

import datasets
from PIL import Image

from leed_hub.models.labels import EXPRESSIONS

SIDE = 16


LABELLED = {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(EXPRESSIONS))}


def corpus_of(columns):
    features = LABELLED | {"subject": datasets.Value("string")}
    kinds = {
        str: datasets.Value("string"),
        float: datasets.Value("float32"),
        int: datasets.Value("int64"),
        list: datasets.List(datasets.Value("float32")),
    }
    features |= {name: kinds[type(column[0])] for name, column in columns.items() if name not in features}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def rendered(n_persons, n_setups, first_person=0):
    """Setups of a neutral and three other pictures; red is 10 times the person, green 10 times the label (free: 80)."""
    names = ("image", "label", "subject", "setup", "file", "neutral_file", "yaw", "blendshapes")
    columns = {name: [] for name in names}
    for person in range(first_person, first_person + n_persons):
        for setup in range(n_setups):
            for label in (0, 1 + setup % 7, 1 + (setup + 3) % 7, -1):
                columns["image"].append(Image.new("RGB", (SIDE, SIDE), (10 * person, 10 * (label % 9), 0)))
                columns["label"].append(label)
                columns["subject"].append(f"{person:03d}")
                columns["setup"].append(f"{person}_{setup}")
                columns["file"].append(f"{person}_{setup}_{label}")
                columns["neutral_file"].append(f"{person}_{setup}_0")
                columns["yaw"].append(0.0)
                columns["blendshapes"].append([float(label == 3), float(label == 5)])
    return corpus_of(columns)
