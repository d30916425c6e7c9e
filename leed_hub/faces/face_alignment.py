"""Faces by face-alignment: 68 precise points, slow on a CPU, with weights that it downloads itself."""

import threading
import warnings
from typing import Any

import numpy as np

from leed_hub.errors import HubError, ModelLoadError, needs_extra
from leed_hub.faces.face import Face, check_picture
from leed_hub.faces.yunet import MODEL

WEIGHTS = "2DFAN4-11f355bf06.pth.tar"
PLACES = "https://www.adrianbulat.com/downloads/python-fan/ into hub/checkpoints of TORCH_HOME (~/.cache/torch)"


class FaceAlignmentDetector:
    """Faces by face-alignment (Bulat and Tzimiropoulos 2017, arXiv:1703.07332): 68 points reduced to five.

    The boxes come from the bundled YuNet, the points from face-alignment's network. Far slower than YuNet alone on a
    CPU, and in whole pixels, so enlarge a small picture first. The weights come from the authors' site at the first
    call and stay in `TORCH_HOME/hub/checkpoints`.

    Args:
        device: torch device of the network.
    Raises:
        HubError: at the first call, if the weights cannot be downloaded.
        MissingExtraError: at the first call, if the package is missing.
        ModelLoadError: at the first call, if the weight file is broken.
    """

    name = "face-alignment"

    def __init__(self, device: str = "cpu"):
        self._device = device
        self._network: Any = None
        self._lock = threading.Lock()

    def __call__(self, image: np.ndarray) -> list[Face]:
        check_picture(image)
        with self._lock:
            if self._network is None:
                self._network = self._build()
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="No faces were detected")
                landmarks, _, boxes = self._network.get_landmarks_from_image(image, return_bboxes=True)
        faces = [
            Face((float(box[0]), float(box[1]), float(box[2]), float(box[3])), float(box[4]), five_points(points))
            for points, box in zip(landmarks or (), boxes if boxes is not None else (), strict=True)
        ]
        return sorted(faces, key=lambda face: face.area, reverse=True)

    def _build(self) -> Any:
        with needs_extra("face-alignment", 'The detector "face-alignment"'):
            import face_alignment
        import torch

        torch.empty(0, device=self._device)  # a device that does not exist fails here, in torch's own words
        try:
            return face_alignment.FaceAlignment(
                face_alignment.LandmarksType.TWO_D,
                device=self._device,
                compile=False,  # compiling takes 25 s and writes under the home directory
                flip_input=False,
                face_detector="yunet",
                face_detector_kwargs={"path_to_detector": str(MODEL)},
            )
        except OSError as error:  # urllib's errors among them
            raise HubError(f"face-alignment's weights could not be downloaded: put {WEIGHTS} from {PLACES}.") from error
        except Exception as error:  # an HTML page saved under the weights' name, for one, ends in an UnpicklingError
            raise ModelLoadError(
                f"face-alignment's weight file is broken: delete it, then put {WEIGHTS} from {PLACES}."
            ) from error


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """(68, 2) Multi-PIE landmarks -> (5, 2) float32 in the order of `Face.points`; an eye is the mean of its six."""
    landmarks = np.asarray(landmarks, dtype=np.float32)[:, :2]
    eyes = [landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)]
    return np.stack([*eyes, landmarks[30], landmarks[48], landmarks[54]])
