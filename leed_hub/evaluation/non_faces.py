"""Measure what a recogniser says of pictures that show no face: it should not be sure, and none should be found."""

import os

import cv2
import numpy as np
import torch
from PIL import Image
from rich.progress import track
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from leed_hub.errors import ConfigError
from leed_hub.evaluation.corpus_reader import CorpusReader
from leed_hub.evaluation.rows import SEED, scored_rows

PER_KIND = 120  # pictures of each kind, so that none outweighs the others
SIDE = 96  # of made-up pictures, in pixels
CONFIDENT = 0.8
# Of what skimage.data ships: no person, no animal with a face, no coin.
SCENES = (
    "brick", "cell", "checkerboard", "clock", "coffee", "colorwheel", "grass", "gravel", "horse", "hubble_deep_field",
    "immunohistochemistry", "moon", "page", "retina", "rocket", "text",
)  # fmt: skip
CORNER, HAIR = 0.28, 0.14  # sides of what is cut from a portrait, as shares of its width


def evaluate_non_faces(
    recognizer,
    corpus: str,
    data_dir: str | os.PathLike | None,
    split: str,
    *,
    london_dir: str | os.PathLike | None = None,
    limit: int | None = None,
    batch_size: int = 128,
    progress: bool = False,
) -> dict:
    """Feed pictures without faces as if they were face crops, beside a corpus' real ones, and look for faces in them.

    Args:
        recognizer: as in `evaluate_recognition`; also called with a PIL picture for its readings, by an aligner that
            finds faces.
        corpus, data_dir, split, limit, batch_size, progress: as in `evaluate_recognition`; the corpus' pictures are
            face crops.
        london_dir (str | os.PathLike | None): the London set's folder, for pieces of real portraits.
    Returns:
        dict: `mean_score_faces`, `mean_score_non_faces`: mean highest score; `confident_share_...`: share of pictures
            with a highest score of 0.8 or more; `entropy_...`: mean entropy of the scores in nats, at most
            `entropy_limit` = ln K; `auroc`: share of pairs of a face and a non-face in which the face has the higher
            score (0.5: the score cannot tell them apart; Hendrycks & Gimpel 2017, arXiv:1610.02136);
            `face_found_share`: share of non-faces in which the recogniser, called as on any photograph, finds a face;
            `n_faces`, `n_non_faces`. `kinds`: for each kind of `non_faces` the same.
    Raises:
        CorpusError: if a corpus is not laid out as expected, or has no row of the recogniser's classes.
        ConfigError: if the recogniser looks for no faces.
    """
    reader = CorpusReader(recognizer)
    rows, _, _ = scored_rows(corpus, data_dir, split, recognizer.labels, limit)
    faces = reader.read_rows(rows, batch_size=batch_size, progress=progress, description="Reading faces")["logits"]
    pictures = non_faces(london_dir)
    logits = {
        kind: torch.cat([reader.read(some[i : i + batch_size])["logits"] for i in range(0, len(some), batch_size)])
        for kind, some in pictures.items()
    }
    found = {
        kind: [_finds_a_face(recognizer, one) for one in track(some, f"Looking at {kind}", disable=not progress)]
        for kind, some in pictures.items()
    }
    everything, everywhere = torch.cat(list(logits.values())), sum(found.values(), start=[])
    scores = torch.cat([faces, everything]).softmax(dim=1).amax(dim=1)
    is_face = torch.cat([torch.ones(len(faces)), torch.zeros(len(everything))]).long()
    return {
        "measured": "non_faces",
        "corpus": corpus,
        "split": split,
        "n_faces": len(faces),
        "n_non_faces": len(everything),
        **{f"{name}_faces": value for name, value in _sureness(faces).items()},
        **{f"{name}_non_faces": value for name, value in _sureness(everything).items()},
        "entropy_limit": float(np.log(len(recognizer.labels))),
        "auroc": float(binary_auroc(scores, is_face)),
        "face_found_share": float(np.mean(everywhere)),
        "kinds": {
            kind: {"n": len(some)} | _sureness(logits[kind]) | {"face_found_share": float(np.mean(found[kind]))}
            for kind, some in pictures.items()
        },
    }


def non_faces(london_dir: str | os.PathLike | None = None) -> dict[str, list[Image.Image]]:
    """Pictures without a face, the same at every call: at most `PER_KIND` of each kind, RGB.

    Args:
        london_dir (str | os.PathLike | None): the London set's folder; None leaves `portrait_pieces` out.
    Returns:
        dict: `noise` (of fine and coarse grain, grey and coloured), `gradients` (from one grey level to another, along
            a line or round a point), `scenes` (square pieces of scikit-image's photographs, drawings and pages), and
            `portrait_pieces` (background, clothes, and hair with a bit of forehead).
    Raises:
        CorpusError: if the London set is not laid out as expected.
    """
    generator = np.random.default_rng(SEED)
    kinds = {
        "noise": [_noise(generator) for _ in range(PER_KIND)],
        "gradients": [_gradient(generator) for _ in range(PER_KIND)],
        "scenes": _scenes(generator),
    }
    return kinds if london_dir is None else kinds | {"portrait_pieces": _portrait_pieces(london_dir, generator)}


def _sureness(logits: Tensor) -> dict[str, float]:
    """How sure the scores (N, K) are, on average."""
    scores = logits.softmax(dim=1)
    highest = scores.amax(dim=1)
    return {
        "mean_score": float(highest.mean()),
        "confident_share": float((highest >= CONFIDENT).float().mean()),
        "entropy": float(torch.special.entr(scores).sum(dim=1).mean()),
    }


def _finds_a_face(recognizer, picture: Image.Image) -> bool:
    readings = recognizer(picture)
    if readings and readings[0].aligner == "none":
        raise ConfigError("Non-faces are measured with an aligner that finds faces, such as yunet.")
    return bool(readings)


def _noise(generator: np.random.Generator) -> Image.Image:
    grains = SIDE // int(generator.choice([1, 2, 4, 8, 16]))
    channels = int(generator.choice([1, 3]))
    noise = generator.integers(0, 256, (grains, grains, channels), dtype=np.uint8)
    noise = cv2.resize(np.broadcast_to(noise, (grains, grains, 3)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return Image.fromarray(noise)


def _gradient(generator: np.random.Generator) -> Image.Image:
    place = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE
    if generator.random() < 0.5:
        angle = generator.uniform(0, 2 * np.pi)
        ramp = np.cos(angle) * place[0] + np.sin(angle) * place[1]
    else:
        ramp = np.hypot(*(place - generator.random((2, 1, 1))))
    ramp = (ramp - ramp.min()) / (ramp.max() - ramp.min())
    first, last = generator.uniform(0, 255, 2)
    return Image.fromarray(np.rint(first + (last - first) * ramp).astype(np.uint8)).convert("RGB")


def _scenes(generator: np.random.Generator) -> list[Image.Image]:
    """Squares of many sizes, from every picture in turn."""
    from skimage import data, img_as_ubyte

    pictures = [Image.fromarray(img_as_ubyte(getattr(data, name)())).convert("RGB") for name in SCENES]
    pieces = []
    for number in range(PER_KIND):
        picture = pictures[number % len(pictures)]
        side = int(generator.integers(SIDE, min(picture.size) + 1))
        left, top = (int(generator.integers(length - side + 1)) for length in picture.size)
        pieces.append(picture.crop((left, top, left + side, top + side)))
    return pieces


def _portrait_pieces(london_dir: str | os.PathLike, generator: np.random.Generator) -> list[Image.Image]:
    """The corners of neutral portraits and, where points say where it is, the top of the head."""
    from leed_hub.data import load_corpus  # here, for `datasets` is slow to import and editing needs none of it

    pieces = []
    for split in ("train", "validation"):
        rows = load_corpus("london", london_dir, split)
        for row in rows.select_columns(["image", "landmarks", "label"]):
            if rows.features["label"].int2str(row["label"]) != "neutral":
                continue
            picture = row["image"].convert("RGB")
            width, height = picture.size
            side = round(CORNER * width)
            places = [(x, y) for x in (0, width - side) for y in (0, height - side)]
            pieces += [picture.crop((x, y, x + side, y + side)) for x, y in places]
            if row["landmarks"]:
                x, y = min(row["landmarks"], key=lambda point: point[1])
                half = round(HAIR * width / 2)
                pieces.append(picture.crop((round(x) - half, round(y) - half, round(x) + half, round(y) + half)))
    chosen = generator.permutation(len(pieces))[:PER_KIND]
    return [pieces[place] for place in sorted(chosen)]
