"""`FaceCropper`: a picture's faces, found, cut out and made a tensor. Editor, recogniser and videos all start here."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from leed_hub.faces.alignment import crop_face, crop_matrix, crop_tensor, square_matrix
from leed_hub.faces.detectors import build_detector
from leed_hub.faces.face import Face
from leed_hub.media.images import load_image

Picture = str | os.PathLike | bytes | Image.Image | np.ndarray
Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class FaceCrops:
    """The faces of one picture, cut out: all of a photograph that a network needs.

    Attributes:
        faces: largest first; one None where the picture was taken as a face crop itself.
        boxes: where they are, (x0, y0, x1, y1) in pixels of the picture.
        matrices: photograph pixels -> crop pixels, one (2, 3) a face.
        crops: one (size, size, 3) uint8 RGB a face.
        detector: what found them: its name, or "none".
    """

    faces: list[Face | None]
    boxes: list[Box]
    matrices: list[np.ndarray]
    crops: list[np.ndarray]
    detector: str


class FaceCropper:
    """Finds faces and cuts them out as a network wants them.

    Args:
        size: side of a crop in pixels.
        template: where eyes and mouth corners lie in it, see the models' configs.
        channels: 3 for RGB, 1 for grey.
        detector: one of `DETECTORS`; "none" where pictures are face crops already.
        device: where tensors go.
    Raises:
        ConfigError: at the first picture, if there is no detector of that name.
    """

    def __init__(
        self,
        size: int,
        template: tuple[float, ...],
        channels: int = 3,
        *,
        detector: str = "yunet",
        device: torch.device | str = "cpu",
    ):
        self.size, self.template, self.channels = size, template, channels
        self.detector, self.device = detector, torch.device(device)

    def __call__(self, image: Picture, detector: str | None = None) -> FaceCrops:
        """Open a picture, find its faces and cut them out; may run in several threads at once.

        Raises:
            BadImageError: if the picture cannot be read.
        """
        photo = np.asarray(load_image(image))
        faces, found_by = self.find(photo, detector)
        return self.cut(photo, faces, found_by)

    def find(self, photo: np.ndarray, detector: str | None = None) -> tuple[list[Face] | None, str]:
        """The faces of a photograph (H, W, 3) uint8, largest first, and what found them.

        None in place of the faces where the picture is a face crop itself.
        """
        finds = build_detector(detector or self.detector)
        return (None, "none") if finds is None else (finds(photo), finds.name)

    def cut(self, photo: np.ndarray, faces: Sequence[Face] | None, found_by: str) -> FaceCrops:
        """Cut faces out of a photograph (H, W, 3) uint8; with None the picture is a face crop itself."""
        if faces is None:
            height, width = photo.shape[:2]
            places: list[Face | None] = [None]
            boxes = [(0.0, 0.0, float(width), float(height))]
            matrices = [square_matrix(width, height, self.size)]
        else:
            places, boxes = list(faces), [face.box for face in faces]
            matrices = [crop_matrix(face.points, self.template, self.size) for face in faces]
        crops = [crop_face(photo, matrix, self.size) for matrix in matrices]
        return FaceCrops(places, boxes, matrices, crops, found_by)

    def tensor(self, crops: Sequence[np.ndarray]) -> Tensor:
        """Crops as a batch (B, channels, size, size) in [-1, 1] on the device."""
        batch = torch.cat([crop_tensor(crop, self.channels) for crop in crops])
        return batch.to(self.device, memory_format=torch.channels_last)
