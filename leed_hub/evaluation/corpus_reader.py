"""A corpus' pictures as a recogniser sees them: whole or cropped to the face, in one view or two."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from leed_hub.evaluation.evaluation import CorpusEvaluation, CropDetector
from leed_hub.evaluation.rows import batches, rows_of_classes_in
from leed_hub.faces.alignment import crop_face, crop_matrix, square_matrix
from leed_hub.faces.detectors import build_detector
from leed_hub.media.images import load_image

OPTIONAL = ("expression_code", "non_expression_code", "valence_arousal")  # what a recogniser may say besides


class CorpusReader:
    """Asks a recogniser for its logits, picture by picture as the corpus has them.

    Args:
        recognizer: has `encode_crops(list of PIL pictures)`, whose result has `logits` (N, K); with a detector also
            `cropper.size`, the side of its crops, and `model.config.template`, where eyes and mouth corners lie there.
        detector: a name that `build_detector` knows: the largest face is cropped as the pipeline does. "none":
            pictures are face crops.
        mirrored: also see each crop's mirror image. Logits are averaged, not scores, so that a temperature, which
            divides logits, may be applied before or after the mean.
    Attributes:
        detector: the detector's own name, or "none".
        views: 1, or 2 if mirrored.
        n_not_found: pictures so far without a detected face, which are taken whole; None without a detector.
    """

    def __init__(self, recognizer: Any, *, detector: str = "none", mirrored: bool = False):
        self.recognizer, self._detect = recognizer, build_detector(detector)
        self.detector = self._detect.name if self._detect else "none"
        self.views = 2 if mirrored else 1
        self.n_not_found = 0 if self._detect else None

    def crop(self, picture: Image.Image) -> Image.Image:
        """The picture's largest face at the network's size; the whole picture if there is none."""
        if self._detect is None:
            return picture
        photo = np.asarray(load_image(picture))
        faces = self._detect(photo)
        if not faces:
            self.n_not_found = (self.n_not_found or 0) + 1
            return picture
        size, template = self.recognizer.cropper.size, self.recognizer.model.config.template
        return Image.fromarray(crop_face(photo, crop_matrix(faces[0].points, template, size), size))

    def predict(self, crops: Sequence[Image.Image]) -> dict[str, Any]:
        """`logits` (N, K), the mean over views, and each of `OPTIONAL` (N, D) of the crop itself, None where the
        recogniser has none; float32 on the CPU."""
        output = self.recognizer.encode_crops(list(crops))
        logits = output.logits
        if self.views == 2:
            logits = (logits + self.recognizer.encode_crops([ImageOps.mirror(crop) for crop in crops]).logits) / 2
        values = {"logits": logits} | {name: getattr(output, name, None) for name in OPTIONAL}
        return {name: None if value is None else value.detach().float().cpu() for name, value in values.items()}

    @property
    def protocol(self) -> dict:
        """How the pictures were seen, for the results."""
        return {"detector": self.detector, "n_not_found": self.n_not_found, "views": self.views}


@dataclass(frozen=True, kw_only=True)
class RecognizerEvaluation(CorpusEvaluation):
    """A measurement of a recogniser on a corpus' labels.

    The recogniser has `labels` (K names from `EXPRESSIONS`) and what `CorpusReader` asks for.

    Results: `corpus`, `split`, `n`; `views`, `detector`, `n_not_found` of `CorpusReader`; `n_skipped`,
        `n_unlabelled`, `classes_lacking` of `rows_of_classes`.
    """

    kind = "recognizer"

    batch_size: Annotated[int, "Pictures per call of the network."] = 128
    detector: CropDetector = "none"
    mirrored: Annotated[bool, "Average the logits of each crop and its mirror image."] = False

    def scored_rows(self, recognizer: Any) -> tuple[CorpusReader, Any, Tensor, dict]:
        """What reads the split, and `rows_of_classes_in` of it and the recogniser's classes."""
        reader = CorpusReader(recognizer, detector=self.detector, mirrored=self.mirrored)
        return reader, *rows_of_classes_in(self.corpus, self.data_dir, self.split, recognizer.labels, self.limit)

    def predict(self, reader: CorpusReader, rows: Any, description: str = "Predicting") -> dict[str, Any]:
        """All rows cropped and seen: what `CorpusReader.predict` gives, (N, ...) each."""
        parts: dict[str, list] = {name: [] for name in ("logits", *OPTIONAL)}
        for pictures in batches(self, rows["image"], description):
            for name, value in reader.predict([reader.crop(picture) for picture in pictures]).items():
                parts[name].append(value)
        return {name: torch.cat(part) if part and part[0] is not None else None for name, part in parts.items()}

    @classmethod
    def card_rows(cls, numbers: dict) -> list[dict]:
        views = "logits averaged over the crop and its mirror image" if numbers.get("views") == 2 else "one view each"
        if numbers.get("detector", "none") != "none":
            views += f", faces found by {numbers['detector']} (none in {numbers['n_not_found']}, taken whole)"
        lacking = ", ".join(numbers.get("classes_lacking", ())) or "none"
        rows = super().card_rows(numbers | {"reading": views, "lacking": lacking})
        if numbers.get("views") != 2:
            return rows
        # Beside the numbers of one view, not in their place; codes are read from one view in any case.
        mirrored = {name for entry in cls.card if "{reading}" in entry.protocol for name in entry.names}
        return [row | {"name": f"{row['name']}, mirrored"} if row["name"] in mirrored else row for row in rows]


def whole_crop(picture: Image.Image, size: int) -> Image.Image:
    """The largest central square of a picture at a side of `size` pixels, RGB; a crop of that size stays as it is."""
    matrix = square_matrix(*picture.size, size)
    return Image.fromarray(crop_face(np.asarray(load_image(picture)), matrix, size))
