"""A corpus' pictures as a recogniser reads them: whole or cut to the face, in one view or two."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageOps
from rich.progress import track
from torch import Tensor

from leed_hub.faces import build_locator
from leed_hub.images import load_image
from leed_hub.transforms import crop_face, crop_matrix, square_matrix

CODES = ("expression_code", "non_expression_code")


class CorpusReader:
    """Asks a recogniser for its logits, picture by picture as the corpus has them.

    Args:
        recognizer: has `read_crops(list of PIL pictures)`, whose result has `logits` (N, K); with an aligner also
            `size`, the side of its crops, and `model.config.template`, where they put eyes and mouth corners.
        aligner (str): a name that `build_locator` knows: the largest face is cut out as the pipeline does. "none":
            pictures are framed as the network wants them.
        mirrored (bool): read each crop and its mirror image. Their logits are averaged, not their scores: so a
            temperature, which divides logits, stays the same whether it is applied before the mean or after.
    Attributes:
        aligner (str): what finds faces, by its own name where "auto" was asked for.
        views (int): 1, or 2 if mirrored.
        n_not_found (int | None): pictures so far in which no face was found, which are taken whole; None where none is
            looked for.
    """

    def __init__(self, recognizer, *, aligner: str = "none", mirrored: bool = False):
        self.recognizer, self.locator = recognizer, build_locator(aligner)
        self.aligner = self.locator.name if self.locator else "none"
        self.views = 2 if mirrored else 1
        self.n_not_found = 0 if self.locator else None

    def cut(self, picture: Image.Image) -> Image.Image:
        """The picture's largest face as a crop of the network's side; the whole picture if there is none to cut."""
        if self.locator is None:
            return picture
        photo = np.asarray(load_image(picture))
        faces = self.locator(photo)
        if not faces:
            self.n_not_found += 1
            return picture
        size, template = self.recognizer.size, self.recognizer.model.config.template
        return Image.fromarray(crop_face(photo, crop_matrix(faces[0].points, template, size), size))

    def read(self, crops: Sequence[Image.Image]) -> dict[str, Tensor | None]:
        """Pictures that are cut already -> `logits` (N, K), the mean over views, and each of `CODES` (N, D) of the crop
        itself, None where the recogniser has none; float32 on the CPU."""
        output = self.recognizer.read_crops(list(crops))
        logits = output.logits
        if self.views == 2:
            logits = (logits + self.recognizer.read_crops([ImageOps.mirror(crop) for crop in crops]).logits) / 2
        values = {"logits": logits} | {name: getattr(output, name, None) for name in CODES}
        return {name: None if value is None else value.detach().float().cpu() for name, value in values.items()}

    def read_rows(self, rows, *, batch_size: int = 128, progress: bool = False, description: str = "Reading") -> dict:
        """All rows of a corpus, cut and read: what `read` gives, (N, ...) each."""
        parts: dict[str, list] = {name: [] for name in ("logits", *CODES)}
        batches = rows.select_columns(["image"]).iter(batch_size)
        for batch in track(batches, description, total=-(-len(rows) // batch_size), disable=not progress):
            for name, value in self.read([self.cut(picture) for picture in batch["image"]]).items():
                parts[name].append(value)
        return {name: torch.cat(part) if part and part[0] is not None else None for name, part in parts.items()}

    @property
    def protocol(self) -> dict:
        """How it read, for the numbers."""
        return {"aligner": self.aligner, "n_not_found": self.n_not_found, "views": self.views}


def whole_crop(picture: Image.Image, size: int) -> Image.Image:
    """The largest central square of a picture at a side of `size` pixels, RGB; a crop of that size stays as it is."""
    matrix = square_matrix(*picture.size, size)
    return Image.fromarray(crop_face(np.asarray(load_image(picture)), matrix, size))
