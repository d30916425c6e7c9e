"""Measure a recogniser on pictures without a face: it should not be confident, and no face should be found."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from leed_hub.errors import ConfigError
from leed_hub.evaluation.evaluation import CardRows, CorpusEvaluation, Detector
from leed_hub.evaluation.rows import SEED, batches, corpus_rows, rows_of_classes_in

PER_KIND = 120  # pictures of each kind, so that none outweighs the others
SIDE = 96  # of made-up pictures, in pixels
CONFIDENT = 0.8
# Of what skimage.data ships: no person, no animal with a face, no coin.
SCENES = (
    "brick", "cell", "checkerboard", "clock", "coffee", "colorwheel", "grass", "gravel", "horse", "hubble_deep_field",
    "immunohistochemistry", "moon", "page", "retina", "rocket", "text",
)  # fmt: skip
CORNER, HAIR = 0.28, 0.14  # sides of what is cut from a portrait, as shares of its width


@dataclass(frozen=True, kw_only=True)
class NonFaces(CorpusEvaluation):
    """Feed pictures without faces as if they were face crops, beside a corpus' real ones, and look for faces in them.

    The recogniser is one that `CorpusReader` takes; it is also called with a PIL picture and gives predictions with
    `.detector`, found by a detector. The corpus' pictures are face crops.

    Results: `mean_score_faces`, `mean_score_non_faces`: mean highest score; `confident_share_...`: share of pictures
            with a highest score of 0.8 or more; `entropy_...`: mean entropy of the scores in nats, at most
            `entropy_limit` = ln K; `auroc` of the highest score as a test for faces (0.5: no better than chance;
            Hendrycks & Gimpel 2017, arXiv:1610.02136); `face_found_share`: share of non-faces in which the recogniser,
            called as on any photograph, finds a face; `n_faces`, `n_non_faces`.
        `kinds`: for each kind of `non_faces` the same.

    Raises:
        ConfigError: if the recogniser looks for no faces.
    """

    name, kind, finds_faces = "non_faces", "recognizer", True
    card = tuple(
        CardRows(names, protocol, ("Pictures without faces", "beside {corpus} {split}"))
        for names, protocol in (
            (
                ("mean_score_non_faces", "confident_share_non_faces"),
                "mean highest score and share of {n_non_faces} pictures with one of 0.8 or more, fed as crops; "
                "of {n_faces} faces {mean_score_faces:.3f} and {confident_share_faces:.3f}",
            ),
            (
                ("entropy_non_faces",),
                "mean entropy of the scores in nats, at most {entropy_limit:.3f}; of faces {entropy_faces:.3f}",
            ),
            (("auroc",), "how well the highest score tells {n_faces} faces from {n_non_faces} other pictures"),
            (("face_found_share",), "share of {n_non_faces} pictures in which a face is found"),
        )
    )

    london: Annotated[Path | None, "Folder of the London Set, for pieces of its portraits."] = None
    batch_size: Annotated[int, "Pictures per call of the network."] = 128
    detector: Detector = "yunet"

    def measure(self, recognizer: Any) -> dict:
        rows, _, _ = rows_of_classes_in(self.corpus, self.data_dir, self.split, recognizer.labels, self.limit)
        faces = self.logits(recognizer, rows["image"], "Predicting faces")
        pictures = non_faces(self.london)
        logits = {kind: self.logits(recognizer, some, f"Predicting {kind}") for kind, some in pictures.items()}
        found = {
            kind: [_finds_a_face(recognizer, one) for one in self.track(some, f"Detecting in {kind}")]
            for kind, some in pictures.items()
        }
        everything, everywhere = torch.cat(list(logits.values())), sum(found.values(), start=[])
        scores = torch.cat([faces, everything]).softmax(dim=1).amax(dim=1)
        is_face = torch.cat([torch.ones(len(faces)), torch.zeros(len(everything))]).long()
        return {
            "n_faces": len(faces),
            "n_non_faces": len(everything),
            **{f"{name}_faces": value for name, value in confidence(faces).items()},
            **{f"{name}_non_faces": value for name, value in confidence(everything).items()},
            "entropy_limit": float(np.log(len(recognizer.labels))),
            "auroc": float(binary_auroc(scores, is_face)),
            "face_found_share": float(np.mean(everywhere)),
            "kinds": {
                kind: {"n": len(some)} | confidence(logits[kind]) | {"face_found_share": float(np.mean(found[kind]))}
                for kind, some in pictures.items()
            },
        }

    def logits(self, recognizer: Any, crops: Any, description: str) -> Tensor:
        """(N, K) of face crops."""
        outputs = (recognizer.encode_crops(batch) for batch in batches(self, crops, description))
        return torch.cat([output.logits.detach().float().cpu() for output in outputs])


def non_faces(london_dir: Path | None = None) -> dict[str, list[Image.Image]]:
    """Pictures without a face, the same at every call: at most `PER_KIND` of each kind, RGB.

    Returns:
        dict: `noise` (of fine and coarse grain, grey and coloured), `gradients` (from one grey level to another, along
            a line or round a point), `scenes` (square pieces of scikit-image's photographs, drawings and pages), and
            with the London set's folder `portrait_pieces` (background, clothes, and hair with a bit of forehead).
    """
    generator = np.random.default_rng(SEED)
    kinds = {
        "noise": [_noise(generator) for _ in range(PER_KIND)],
        "gradients": [_gradient(generator) for _ in range(PER_KIND)],
        "scenes": _scenes(generator),
    }
    return kinds if london_dir is None else kinds | {"portrait_pieces": _portrait_pieces(london_dir, generator)}


def confidence(logits: Tensor) -> dict[str, float]:
    """How confident the scores of logits (N, K) are, on average."""
    scores = logits.softmax(dim=1)
    highest = scores.amax(dim=1)
    return {
        "mean_score": float(highest.mean()),
        "confident_share": float((highest >= CONFIDENT).float().mean()),
        "entropy": float(torch.special.entr(scores).sum(dim=1).mean()),
    }


def _finds_a_face(recognizer, picture: Image.Image) -> bool:
    predictions = recognizer(picture)
    if predictions and predictions[0].detector == "none":
        raise ConfigError("Non-faces are measured with a detector that finds faces, such as yunet.")
    return bool(predictions)


def _noise(generator: np.random.Generator) -> Image.Image:
    grains = SIDE // int(generator.choice([1, 2, 4, 8, 16]))
    channels = int(generator.choice([1, 3]))
    noise = generator.integers(0, 256, (grains, grains, channels), dtype=np.uint8)
    colours = np.broadcast_to(noise, (grains, grains, 3))
    return Image.fromarray(cv2.resize(colours, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC))


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
    from skimage import data, util

    pictures = [Image.fromarray(util.img_as_ubyte(getattr(data, name)())).convert("RGB") for name in SCENES]
    pieces = []
    for number in range(PER_KIND):
        picture = pictures[number % len(pictures)]
        side = int(generator.integers(SIDE, min(picture.size) + 1))
        left, top = (int(generator.integers(length - side + 1)) for length in picture.size)
        pieces.append(picture.crop((left, top, left + side, top + side)))
    return pieces


def _portrait_pieces(london_dir: Path, generator: np.random.Generator) -> list[Image.Image]:
    """The corners of neutral portraits and, where points say where it is, the top of the head."""
    pieces = []
    for split in ("train", "validation"):
        rows = corpus_rows("london", london_dir, split)
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
