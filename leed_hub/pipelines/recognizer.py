"""`ExpressionRecognizer`: the apparent expression of every face in a picture.

recognizer = ExpressionRecognizer.from_pretrained()
for face in recognizer("group.jpg"):
    print(face.label, face.scores)
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from torch import Tensor

from leed_hub.errors import BadImageError, ConfigError, NoFaceError
from leed_hub.faces.face import Face
from leed_hub.models.expression_encoder import ExpressionEncoderModel, ExpressionEncoderOutput
from leed_hub.pipelines.arguments import known_arguments
from leed_hub.pipelines.cropper import Box, FaceCrops, Picture
from leed_hub.pipelines.pipeline import Pipeline, renamed


@dataclass(frozen=True, eq=False)
class FacePrediction:
    """The apparent expression of one face: what it looks like, not what the person feels.

    Attributes:
        label: the likeliest category.
        scores: category -> probability; they sum to 1.
        box: (x0, y0, x1, y1) in pixels of the picture.
        expression_code: h_e, (D,) float32.
        detector: what found the face: "yunet", "face-alignment" or "none" (the picture was a face crop).
        face: the detector's confidence (`face.score`) and five points (`face.points`); None for a face crop.
        origin: whose weights read it, see `Pipeline.origin`.
        valence, arousal: in [-1, 1], unpleasant to pleasant and calm to excited; None from a network without that head.
    """

    label: str
    scores: dict[str, float]
    box: Box
    expression_code: np.ndarray
    detector: str
    face: Face | None = None
    origin: str = ""
    valence: float | None = None
    arousal: float | None = None

    def top(self, k: int = 3) -> list[tuple[str, float]]:
        """The k likeliest categories and their probabilities, the likeliest first."""
        return sorted(self.scores.items(), key=lambda item: -item[1])[:k]

    def to_dict(self) -> dict:
        """Everything but the code as `json` takes it."""
        return {
            "label": self.label,
            "scores": self.scores,
            "box": [float(edge) for edge in self.box],
            "detector": self.detector,
            "face_score": self.face and float(self.face.score),
            "points": self.face and self.face.points.tolist(),
            "valence": self.valence,
            "arousal": self.arousal,
            "origin": self.origin,
        }

    @property
    def aligner(self) -> str:
        """The former name of `detector`."""
        return renamed(None, self.detector) or ""


class ExpressionRecognizer(Pipeline[ExpressionEncoderModel]):
    """Reads the apparent expression of every face in a picture.

    Args:
        model: the network.
        engine: what computes it: "torch", or "onnx" for ONNX Runtime on the CPU.
        **options: those of `Pipeline`.
    Raises:
        ConfigError: if there is no such engine.
        ExportError: if the network cannot be written for ONNX Runtime, or its packages are missing.
    """

    model_class, bundled_name = ExpressionEncoderModel, "recognizer"
    _onnx: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None

    def __init__(self, model: ExpressionEncoderModel, *, engine: str = "torch", **options):
        super().__init__(model, **options)
        if engine not in ("torch", "onnx"):
            raise ConfigError(f"engine is 'torch' or 'onnx'; got {engine!r}.")
        if engine == "onnx":
            from leed_hub.models.export import onnx_recognize  # it needs packages of its own

            self._onnx = onnx_recognize(model)

    @property
    def labels(self) -> tuple[str, ...]:
        """The categories it tells apart, in the order of the logits."""
        return self.model.config.labels

    @overload
    def __call__(
        self, image: Picture, *, detector: str | None = None, aligner: str | None = None
    ) -> list[FacePrediction]: ...

    @overload
    def __call__(
        self, image: list[Picture], *, detector: str | None = None, aligner: str | None = None
    ) -> list[list[FacePrediction]]: ...

    @known_arguments
    def __call__(
        self, image: Picture | list[Picture], *, detector: str | None = None, aligner: str | None = None
    ) -> list[FacePrediction] | list[list[FacePrediction]]:
        """Read all faces, largest first; an empty list where there is none.

        Args:
            image: path, bytes, PIL image or RGB array (H, W, 3) uint8; of a list of them a list of answers comes back.
                For more than memory holds, or where some may be broken: `classify_many`.
            detector: instead of the pipeline's own.
            aligner: the former name of `detector`.
        Raises:
            BadImageError: if a picture cannot be read.
        """
        detector = renamed(detector, aligner)
        if isinstance(image, list):
            return [faces for _, faces in self._each(image, detector)]
        (faces,) = self.classify_crops([self.cropper(image, detector)])
        return faces

    def _each(self, images: Sequence[Picture], detector: str | None) -> Iterator[tuple[str, list[FacePrediction]]]:
        """Name and faces of each picture; `BadImageError` at the first that cannot be read."""
        from leed_hub.pipelines.batch import classify_many  # it is built on this module

        for number, picture in enumerate(classify_many(self, images, detector=detector), 1):
            if picture.error:
                raise BadImageError(picture.error)
            is_path = isinstance(picture.picture, str | os.PathLike)
            yield os.fsdecode(picture.picture) if is_path else f"picture {number}", picture.faces  # type: ignore[arg-type]

    def classify_crops(self, pictures: Sequence[FaceCrops], batch_size: int = 32) -> list[list[FacePrediction]]:
        """What the network says of the faces of several pictures, cut out by `cropper`, `batch_size` at a time."""
        crops = [crop for picture in pictures for crop in picture.crops]
        answers: list[tuple[Tensor, Tensor, list[float]]] = []
        for start in range(0, len(crops), batch_size):
            with self.inference():
                logits, codes = (self._onnx or self.model.recognize)(
                    self.cropper.tensor(crops[start : start + batch_size])
                )
                affect = self.model.affect
                affects = affect(codes.to(self.device)).tolist() if affect else [[]] * len(codes)
            answers += zip(torch.softmax(logits.float(), dim=1).cpu(), codes.float().cpu(), affects, strict=True)
        rows = iter(answers)
        return [
            [
                self._prediction(*next(rows), box, picture.detector, face)
                for box, face in zip(picture.boxes, picture.faces, strict=True)
            ]
            for picture in pictures
        ]

    @torch.inference_mode()
    def encode_crops(self, images: Sequence[Picture]) -> ExpressionEncoderOutput:
        """Everything the network says of pictures that are face crops already, in one batch."""
        crops = [self.cropper(image, "none").crops[0] for image in images]
        return self.model(self.cropper.tensor(crops))

    def _prediction(
        self, scores: Tensor, code: Tensor, affect: list[float], box: Box, detector: str, face: Face | None
    ) -> FacePrediction:
        valence, arousal = affect or (None, None)
        return FacePrediction(
            label=self.labels[int(scores.argmax())],
            scores=dict(zip(self.labels, scores.tolist(), strict=True)),
            box=box,
            expression_code=code.numpy(),
            detector=detector,
            face=face,
            origin=self.origin,
            valence=valence,
            arousal=arousal,
        )

    @known_arguments
    def embed(
        self, images: Sequence[Picture], *, detector: str | None = None, aligner: str | None = None
    ) -> np.ndarray:
        """The expression code h_e of the largest face of each picture, for retrieval and clustering.

        Each code is divided by its length, so the dot product of two is their cosine similarity s, and their squared
        Euclidean distance, which k-means uses, is 2 - 2 s.

        Args:
            images: paths, bytes, PIL images or arrays (H, W, 3).
            detector: instead of the pipeline's own.
            aligner: the former name of `detector`.
        Returns:
            np.ndarray: (N, D) float32, each row of length 1, in the order of `images`.
        Raises:
            BadImageError: if a picture cannot be read.
            NoFaceError: if one shows no face; the sentence names it.

        Examples:
            >>> import numpy as np
            >>> from scipy.cluster.vq import kmeans2
            >>> from leed_hub import ExpressionRecognizer
            >>> recognizer = ExpressionRecognizer.from_pretrained(detector="none")
            >>> faces = list(np.random.default_rng(0).integers(0, 256, (6, 48, 48, 3), np.uint8))  # yours: paths
            >>> codes = recognizer.embed(faces)
            >>> (query,) = recognizer.embed([faces[4]])
            >>> int((codes @ query).argmax())  # retrieval: whose expression is most like it?
            4
            >>> _, cluster_of_each = kmeans2(codes, 2, minit="++", seed=0)
            >>> cluster_of_each.shape
            (6,)
        """
        codes: list[np.ndarray] = []
        for name, faces in self._each(images, renamed(detector, aligner)):
            if not faces:
                raise NoFaceError(f"No face was found in {name}; use one where a face is well visible.")
            codes.append(faces[0].expression_code)
        if not codes:
            return np.empty((0, self.model.config.code_dim), np.float32)
        stacked = np.stack(codes)
        return stacked / np.maximum(np.linalg.norm(stacked, axis=1, keepdims=True), 1e-12)
