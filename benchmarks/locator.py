"""How the bundled face locator does beside YuNet: points, faces found, false alarms, time.

    python benchmarks/locator.py --json benchmarks/locator.json --card

Pictures: the London set against its hand-placed templates (half of its persons were in no training), the test split of
facial_expressions, and pictures without a face, none of them in any training scene. The corpora lie where
`LEED_HUB_CORPORA` says. Errors are in per cent of the eye distance, a mean over the five points of a face.
"""

import dataclasses
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import skimage.data
import torch
import typer
import yaml

from leed_hub.data import load_corpus
from leed_hub.data.london import VALIDATION_PERSONS
from leed_hub.faces import Face, Locator, build_locator
from leed_hub.hub import CARD
from leed_hub.models.card import CardFacts
from leed_hub.models.face_locator import FaceLocatorModel
from leed_hub.recipes import corpus_folder

ROOT = Path(__file__).parents[1]
BUNDLED = ROOT / "leed_hub" / "checkpoints" / "locator"
HELD_OUT = set(yaml.safe_load((ROOT / "configs" / "locator.yaml").read_text())["data"]["held_out"])
# Rows of the London templates: pupils, lower edge of the nose tip (both locators' nose tip lies higher), mouth corners.
PLACED = [0, 1, 55, 87, 93]
SCENERY = [
    "brick",
    "cell",
    "chelsea",
    "clock",
    "coffee",
    "colorwheel",
    "grass",
    "gravel",
    "horse",
    "hubble_deep_field",
    "immunohistochemistry",
    "logo",
    "microaneurysms",
    "moon",
    "page",
    "retina",
    "rocket",
    "text",
]  # of scikit-image: nobody is on them (on its coins are heads)


def eye_distance(points: np.ndarray) -> float:
    return float(np.linalg.norm(points[1] - points[0]))


def error(face: Face, points: np.ndarray) -> float:
    """Mean distance to the points placed (5, 2), in per cent of their eye distance."""
    return 100 * float(np.linalg.norm(face.points - points, axis=1).mean()) / eye_distance(points)


def shows(face: Face, points: np.ndarray) -> bool:
    """Whether a find is that face at all; a smiling person may sit elsewhere than in the neutral picture's template."""
    return error(face, points) < 100


def pictures(corpus: str, folder: str, split: str) -> Iterator[dict]:
    for row in load_corpus(corpus, corpus_folder(folder), split):
        yield row | {"image": np.asarray(row["image"].convert("RGB"))}


def hidden(image: np.ndarray, points: np.ndarray, kind: str) -> np.ndarray:
    """A portrait without its face: covered by the wall behind, by a piece of the clothes, or cut away."""
    middle, reach = points[[0, 1, 3, 4]].mean(axis=0), 1.9 * eye_distance(points)
    left, top, right, bottom = (int(v) for v in (*np.maximum(middle - reach, 0), *(middle + reach)))
    if kind == "shoulders":
        return np.ascontiguousarray(image[min(bottom, image.shape[0] - 90) :])
    if kind == "hair":
        return np.ascontiguousarray(image[: max(int(points[:2, 1].min() - 0.7 * eye_distance(points)), 64)])
    patch = image[:60, :60] if kind == "wall" else image[-60:, 226:286]
    covered = image.copy()
    size = (min(right, image.shape[1]) - left, min(bottom, image.shape[0]) - top)
    covered[top:bottom, left:right] = cv2.resize(patch, size)
    return covered


def scenery() -> Iterator[np.ndarray]:
    """Whole pictures of scikit-image, and their quarters."""
    for name in SCENERY:
        image = np.asarray(getattr(skimage.data, name)())
        image = (255 * (image / image.max())).astype(np.uint8) if image.dtype != np.uint8 else image
        image = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image[..., :3]
        height, width = image.shape[0] // 2, image.shape[1] // 2
        for part in (image, *(image[y : y + height, x : x + width] for y in (0, height) for x in (0, width))):
            yield np.ascontiguousarray(part)


def noises() -> Iterator[np.ndarray]:
    """Blank, white noise, and noise blurred to blobs of several sizes."""
    generator = np.random.default_rng(0)
    for index in range(30):
        noise = generator.integers(0, 256, (240, 320, 3)).astype(np.uint8)
        if index % 3 == 0:
            yield noise
        elif index % 3 == 1:
            blurred = cv2.GaussianBlur(noise.astype(np.float32), (0, 0), 2.0 + index)
            yield (255 * (blurred - blurred.min()) / np.ptp(blurred)).astype(np.uint8)
        else:
            yield np.full_like(noise, 8 * index)


def write_card(numbers: dict) -> None:
    """The main numbers into the bundled model's card."""
    london, wild, faceless = (numbers[key] for key in ("london", "facial_expressions_test", "without_a_face"))
    held_out = london["held_out"]
    yunet = f"YuNet: {held_out['yunet']['median_error']:.1f}"
    people = {"dataset": "London Set", "split": f"{held_out['persons']} persons in no training"}
    metrics = [
        people | {"name": "found", "value": round(held_out["leed"]["found"], 3), "protocol": "neutral and smiling"},
        people
        | {
            "name": "median point error",
            "value": round(held_out["leed"]["median_error"], 1),
            "protocol": f"% of the eye distance, five points, hand-placed templates; {yunet}",
        },
        {
            "name": "found",
            "value": round(wild["found"], 3),
            "dataset": "facial_expressions",
            "split": "test",
            "protocol": f"{wild['pictures']} pictures; YuNet: {wild['found_by_yunet']:.3f}",
        },
        {
            "name": "pictures left alone",
            "value": round(faceless["leed"]["all"], 3),
            "dataset": "pictures without a face",
            "split": f"{sum(faceless['pictures'].values())} pictures",
            "protocol": f"covered portraits, things, noise; YuNet: {faceless['yunet']['all']:.3f}",
        },
    ]
    facts = dataclasses.replace(CardFacts.read(BUNDLED), metrics=metrics)
    text = str(FaceLocatorModel.from_pretrained(BUNDLED).generate_model_card(facts))
    (BUNDLED / CARD).write_text(text, encoding="utf-8")


def main(
    repeats: Annotated[int, typer.Option(help="Counted rounds of the timing.")] = 15,
    every: Annotated[int, typer.Option(help="Take each such picture of facial_expressions.")] = 4,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where the numbers go.")] = None,
    card: Annotated[
        bool, typer.Option("--card", help="Also write the main ones into the bundled model's card.")
    ] = False,
) -> None:
    """Print and save the numbers."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    locators: dict[str, Locator] = {name: build_locator(name) for name in ("leed", "yunet")}
    london = list(pictures("london", "london", "train+validation"))
    groups = {
        "all": lambda person: True,
        "held_out": lambda person: person in HELD_OUT,
        "validation": lambda person: person in VALIDATION_PERSONS,
        "trained_on": lambda person: person not in HELD_OUT,
    }
    numbers: dict = {"london": {}}
    templates = {row["subject"]: np.array(row["landmarks"])[PLACED] for row in london if row["landmarks"]}
    found = {name: [locate(row["image"]) for row in london] for name, locate in locators.items()}
    for group, wanted in groups.items():
        numbers["london"][group] = {"persons": sum(map(wanted, templates))}
        for name in locators:
            errors, hits, extra = [], [], 0
            for row, faces in zip(london, found[name], strict=True):
                if not wanted(row["subject"]):
                    continue
                right = [face for face in faces if shows(face, templates[row["subject"]])]
                hits.append(bool(right))
                extra += len(faces) > len(right[:1])
                if right and row["landmarks"]:
                    errors.append(error(right[0], templates[row["subject"]]))
            numbers["london"][group][name] = {
                "found": float(np.mean(hits)),
                "pictures_with_more_finds": extra,
                "median_error": float(np.median(errors)),
                "error_95": float(np.percentile(errors, 95)),
            }

    wild = list(pictures("facial_expressions", "facial_expressions.zip", "test"))[::every]
    seen = {name: [locate(row["image"]) for row in wild] for name, locate in locators.items()}
    both = [(ours, theirs[0]) for ours, theirs in zip(seen["leed"], seen["yunet"], strict=True) if theirs]
    agreed = [min(error(face, theirs.points) for face in ours) for ours, theirs in both if ours]
    numbers["facial_expressions_test"] = {
        "pictures": len(wild),
        "found": float(np.mean([bool(faces) for faces in seen["leed"]])),
        "found_by_yunet": len(both) / len(wild),
        "found_where_yunet_finds": sum(value < 50 for value in agreed) / len(both),
        "median_distance_to_yunet": float(np.median(agreed)),
    }

    portraits = [row for row in london if row["landmarks"] and row["subject"] in HELD_OUT]
    faceless = {
        f"london_{kind}": [hidden(row["image"], templates[row["subject"]], kind) for row in portraits]
        for kind in ("wall", "clothes", "shoulders", "hair")
    }
    faceless |= {"scenery": list(scenery()), "noise": list(noises())}
    numbers["without_a_face"] = {
        name: {kind: float(np.mean([not locate(image) for image in images])) for kind, images in faceless.items()}
        for name, locate in locators.items()
    }
    counts = {kind: len(images) for kind, images in faceless.items()}
    for shares in numbers["without_a_face"].values():
        shares["all"] = sum(shares[kind] * count for kind, count in counts.items()) / sum(counts.values())
    numbers["without_a_face"]["pictures"] = counts

    seconds: dict[str, list[float]] = {name: [] for name in locators}
    for round_number in range(repeats + 2):
        for name, locate in locators.items():
            started = time.perf_counter()
            locate(portraits[round_number % len(portraits)]["image"])
            if round_number >= 2:
                seconds[name].append(time.perf_counter() - started)
    numbers["time_of_leed / time_of_yunet"] = statistics.median(seconds["leed"]) / statistics.median(seconds["yunet"])
    print(json.dumps(numbers, indent=2))
    if json_file:
        json_file.write_text(json.dumps(numbers, indent=2) + "\n")
    if card:
        write_card(numbers)


if __name__ == "__main__":
    typer.run(main)
