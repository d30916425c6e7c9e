"""Picture in, result out: `ExpressionEditor` and `ExpressionRecognizer`, which everything else is built on.

    editor = ExpressionEditor.from_pretrained()
    editor("me.jpg", "laughing.jpg").image.save("edited.png")

    recognizer = ExpressionRecognizer.from_pretrained()
    for face in recognizer("group.jpg"):
        print(face.label, face.scores)

Nothing leaves the machine: weights come in, pictures never go out.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from PIL import Image

from leed_hub import __version__
from leed_hub.damage import softened
from leed_hub.errors import BadImageError, ConfigError, NoFaceError
from leed_hub.faces import Face, Locator, build_locator
from leed_hub.images import load_image
from leed_hub.models.expression_encoder import ExpressionEncoderModel, ExpressionEncoderOutput
from leed_hub.models.leed import LEEDModel, LEEDOutput
from leed_hub.tracking import FaceChoice, check_face_choice, choose_faces
from leed_hub.transforms import crop_face, crop_matrix, crop_tensor, set_back, square_matrix, to_bytes

if TYPE_CHECKING:
    from leed_hub.video_editing import VideoEditResult

BUNDLED = Path(__file__).parent / "checkpoints"
Picture = str | os.PathLike | bytes | Image.Image | np.ndarray
MAX_STRENGTH = 2.0  # beyond it a displacement lies far from all the training saw


@dataclass(frozen=True, eq=False)
class EditResult:
    """An edit.

    Attributes:
        image: the photograph with the edited faces set back into it; RGB, same size as the source.
        crops: the edited faces as the network makes them, in the order of `faces`; RGB, `image_size` squares.
        faces: the faces that were edited, largest first; none where the picture was taken as one face crop.
        aligner: what found the faces: "yunet", "leed", "face-alignment" or "none".
        kept: how much of each edit is shown, in the order of `faces`: 1, or less, down to 0, where the whole looked
            broken, as it may on pictures unlike all that the network has learned from.
    """

    image: Image.Image
    crops: tuple[Image.Image, ...]
    faces: tuple[Face, ...]
    aligner: str
    kept: tuple[float, ...] = ()

    @property
    def note(self) -> str:
        """A sentence where an edit was weakened, else ""."""
        weakened = [share for share in self.kept if share < 1]
        if not weakened:
            return ""
        return f"The edit looked broken at full strength and is shown at {min(weakened):.0%} of it."


@dataclass(frozen=True, eq=False)
class FaceReading:
    """The apparent expression of one face: what it looks like, not what the person feels.

    Attributes:
        label: the likeliest category.
        scores: category -> probability; they sum to 1.
        box: (x0, y0, x1, y1) in pixels of the picture.
        expression_code: h_e, (D,) float32.
        aligner: what found the face: "yunet", "leed", "face-alignment" or "none" (the picture was a face crop).
    """

    label: str
    scores: dict[str, float]
    box: tuple[float, float, float, float]
    expression_code: np.ndarray
    aligner: str


@dataclass(frozen=True, eq=False)
class FaceCrops:
    """The faces of one picture, found and cut out; all of a photograph that the recogniser's network needs.

    Attributes:
        crops: one (image_size, image_size, 3) uint8 a face, largest face first.
        boxes: where they were, (x0, y0, x1, y1) in pixels of the picture.
        aligner: what found them.
    """

    crops: list[np.ndarray]
    boxes: list[tuple[float, float, float, float]]
    aligner: str


def check_strength(strength: float, reference: object) -> float:
    """The strength as a float; `ConfigError` if it is out of range, or needs a reference that is not there."""
    strength = float(strength)
    if not 0 <= strength <= MAX_STRENGTH:  # also refuses NaN
        raise ConfigError(f"strength must lie between 0 and {MAX_STRENGTH:g}; got {strength:g}.")
    if reference is None and strength > 0:
        raise ConfigError("A reference is needed unless strength is 0, which gives the neutral face.")
    return strength


class _Pipeline:
    """What both pipelines share: a model in eval mode on a device, and the way from a picture to aligned crops."""

    model_class: type
    bundled_name: str

    def __init__(self, model, *, aligner: str = "auto", device: str = "auto"):
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        self.model = model.eval().to(self.device, memory_format=torch.channels_last)
        self.aligner = aligner
        self.size = model.config.image_size

    @classmethod
    def from_pretrained(
        cls,
        name_or_folder: str | os.PathLike | None = None,
        *,
        aligner: str = "auto",
        device: str = "auto",
        **hub_options,
    ) -> Self:
        """Load weights.

        Args:
            name_or_folder: nothing for the checkpoint that comes with the package, a folder, or "org/name" on the Hub.
            aligner: how faces are found: "auto", "yunet", "leed", "face-alignment" or "none" (pictures are face crops).
            device: "auto", or a torch device.
            **hub_options: `revision`, `token`, `cache_dir`, `local_files_only`, `force_download`.
        Raises:
            ModelLoadError: if the weights are missing or broken.
            HubError: if the Hub has no such model or cannot be reached.
        """
        source = BUNDLED / cls.bundled_name if name_or_folder is None else name_or_folder
        return cls(cls.model_class.from_pretrained(source, **hub_options), aligner=aligner, device=device)

    @property
    def software(self) -> str:
        """Name and version, for the mark that edited pictures carry."""
        return f"leed_hub {__version__} {type(self.model).__name__}"

    def _find(self, photo: np.ndarray, aligner: str | None) -> tuple[list[Face] | None, str]:
        """The faces, largest first, and who found them; None where the picture is a face crop itself."""
        name = aligner or self.aligner
        locator: Locator | None = build_locator(name)
        if locator is None:
            return None, "none"
        return locator(photo), locator.name

    def _matrix(self, photo: np.ndarray, face: Face | None) -> np.ndarray:
        """Photograph pixels -> crop pixels, (2, 3)."""
        if face is None:
            return square_matrix(photo.shape[1], photo.shape[0], self.size)
        return crop_matrix(face.points, self.model.config.template, self.size)

    def _tensor(self, crops: list[np.ndarray], channels: int) -> torch.Tensor:
        batch = torch.cat([crop_tensor(crop, channels) for crop in crops])
        return batch.to(self.device, memory_format=torch.channels_last)


class ExpressionEditor(_Pipeline):
    """Gives a face the expression of another face and keeps the person (LEED)."""

    model_class, bundled_name = LEEDModel, "editor"
    model: LEEDModel

    @torch.inference_mode()
    def __call__(
        self,
        source: Picture,
        reference: Picture | Sequence[Picture] | None = None,
        strength: float = 1.0,
        *,
        weights: Sequence[float] | None = None,
        face: FaceChoice = "largest",
        aligner: str | None = None,
    ) -> EditResult:
        """Edit the largest face of a photograph, another one, or all.

        Args:
            source: the photograph: path, bytes, PIL image or array (H, W, 3).
            reference: whose expression it takes; several are mixed; None only with strength 0, the neutral face.
            strength: 0 neutral, 1 the reference's expression, up to 2 exaggerated.
            weights: one a reference, not all zero; equal parts by default.
            face: which of the source's faces: "largest", "all", or a number, 0 being the largest. Of a reference it is
                always the largest.
            aligner: instead of the pipeline's own.
        Raises:
            BadImageError: if a picture cannot be read.
            NoFaceError: if one shows no face; the sentence says which.
            ConfigError: if strength or weights are out of range, or the source has no face of that number.
        """
        strength = check_strength(strength, reference)
        code = None
        if reference is not None:
            several = isinstance(reference, list | tuple)
            code = self.read_expression(list(reference) if several else [reference], weights, aligner=aligner)
        return self.edit_by_code(source, code, strength, face=face, aligner=aligner)

    @torch.inference_mode()
    def edit_by_code(
        self,
        source: Picture,
        code: torch.Tensor | None,
        strength: float = 1.0,
        *,
        face: FaceChoice = "largest",
        aligner: str | None = None,
    ) -> EditResult:
        """Edit a photograph by an expression code, so that a reference is read once for many photographs.

        Args:
            source, strength, face, aligner: as in a call.
            code: (1, expression_dim), as `read_expression` gives it; None only with strength 0.
        Raises:
            BadImageError, NoFaceError, ConfigError: as a call does.
        """
        check_face_choice(face)
        strength = check_strength(strength, code)
        photo = np.asarray(load_image(source))
        faces, found_by = self._find(photo, aligner)
        if faces is not None and not faces:
            raise NoFaceError("No face was found in the source picture; use one where a face is well visible.")
        chosen = [None] if faces is None else choose_faces(faces, face)
        matrices = [self._matrix(photo, one) for one in chosen]
        crops = self._tensor([crop_face(photo, matrix, self.size) for matrix in matrices], 3)
        encoding = self.model.encode(crops)
        code = torch.zeros_like(encoding.expression_code) if code is None else code.expand(len(crops), -1)
        output, kept = softened(crops, self.model.decode(crops, encoding, code, strength))
        small = to_bytes(output.edited).permute(0, 2, 3, 1).cpu().numpy()
        return EditResult(
            image=Image.fromarray(self._set_back(photo, matrices, output)),
            crops=tuple(Image.fromarray(crop) for crop in small),
            faces=tuple(one for one in chosen if one is not None),
            aligner=found_by,
            kept=tuple(kept.tolist()),
        )

    @torch.inference_mode()
    def read_expression(
        self, references: list[Picture], weights: Sequence[float] | None = None, *, aligner: str | None = None
    ) -> torch.Tensor:
        """The mixed expression code e of the largest faces of one or more pictures, (1, expression_dim)."""
        if not references:
            raise ConfigError("At least one reference is needed.")
        shares = np.ones(len(references)) if weights is None else np.asarray(weights, dtype=np.float64)
        if shares.shape != (len(references),) or not np.isfinite(shares).all() or shares.min() < 0 or not shares.sum():
            raise ConfigError(f"weights must be one number of at least 0 a reference, not all zero; got {weights}.")
        crops = []
        for number, reference in enumerate(references, 1):
            photo = np.asarray(load_image(reference))
            faces, _ = self._find(photo, aligner)
            if faces is not None and not faces:
                which = "the reference picture" if len(references) == 1 else f"reference picture {number}"
                raise NoFaceError(f"No face was found in {which}; use one where a face is well visible.")
            crops.append(crop_face(photo, self._matrix(photo, faces[0] if faces else None), self.size))
        codes = self.model.encode(self._tensor(crops, 3)).expression_code
        shares = torch.tensor(shares / shares.sum(), dtype=codes.dtype, device=codes.device)
        return shares @ codes[None]

    def edit_video(
        self,
        source: Picture,
        reference: Picture | None,
        output: str | os.PathLike,
        *,
        strength: float = 1.0,
        face: FaceChoice = "largest",
        aligner: str | None = None,
        progress: bool = False,
    ) -> "VideoEditResult":
        """Edit a video by a picture or a video, or bring a picture to life by a video; see `video_editing.edit_video`.

        Example:
            >>> editor.edit_video("me.mp4", "laughing.jpg", "edited.mp4", strength=0.8)  # doctest: +SKIP
        """
        from leed_hub.video_editing import edit_video  # PyAV only where it is needed

        return edit_video(
            self, source, reference, output, strength=strength, face=face, aligner=aligner, progress=progress
        )

    def _set_back(
        self, photo: np.ndarray, matrices: list[np.ndarray], output: LEEDOutput, presence: Sequence[float] | None = None
    ) -> np.ndarray:
        """The photograph with every edit in it; each starts from the one before, so that none is lost where they meet.

        Args:
            photo: (H, W, 3) uint8.
            matrices: one (2, 3) a face, photograph pixels -> crop pixels.
            output: what the network made of those crops.
            presence: how much of each edit is wanted, in 0..1; all of it by default.
        """
        presence = presence or [1.0] * len(matrices)
        fields = [field.permute(0, 2, 3, 1).cpu().numpy() for field in (output.flow, output.mask, output.color)]
        for matrix, share, flow, mask, color in zip(matrices, presence, *fields, strict=True):
            photo = set_back(photo, matrix, self.size, share * flow, share * mask[..., 0], color)
        return photo


class ExpressionRecognizer(_Pipeline):
    """Reads the apparent expression of every face in a picture."""

    model_class, bundled_name = ExpressionEncoderModel, "recognizer"
    model: ExpressionEncoderModel

    @property
    def labels(self) -> tuple[str, ...]:
        """The categories it tells apart, in the order of the logits."""
        return self.model.config.labels

    def __call__(self, image: Picture, *, aligner: str | None = None) -> list[FaceReading]:
        """Read all faces, largest first; an empty list where there is none. Many pictures: `reading.read_many`.

        Args:
            image: path, bytes, PIL image or array (H, W, 3).
            aligner: instead of the pipeline's own.
        Raises:
            BadImageError: if the picture cannot be read.
        """
        (faces,) = self._read([self._cut_picture(image, aligner)])
        return faces

    def embed(self, images: Sequence[Picture], *, aligner: str | None = None) -> np.ndarray:
        """The expression code h_e of the largest face of each picture, for retrieval and clustering.

        Each code is divided by its length, so that a dot product is the cosine similarity, and the squared Euclidean
        distance, by which k-means goes, is twice what is missing to 1. `FaceReading.expression_code` has its length.

        Args:
            images: paths, bytes, PIL images or arrays (H, W, 3).
            aligner: instead of the pipeline's own.
        Returns:
            np.ndarray: (N, D) float32, each row of length 1, in the order of `images`.
        Raises:
            BadImageError: if a picture cannot be read.
            NoFaceError: if one shows no face; the sentence names it.

        Example:
            >>> import numpy as np
            >>> from scipy.cluster.vq import kmeans2
            >>> from leed_hub import ExpressionRecognizer
            >>> recognizer = ExpressionRecognizer.from_pretrained(aligner="none")
            >>> faces = list(np.random.default_rng(0).integers(0, 256, (6, 48, 48, 3), np.uint8))  # yours: paths
            >>> codes = recognizer.embed(faces)
            >>> (query,) = recognizer.embed([faces[4]])
            >>> int((codes @ query).argmax())  # retrieval: whose expression is the likest?
            4
            >>> _, cluster_of_each = kmeans2(codes, 2, minit="++", seed=0)
            >>> cluster_of_each.shape
            (6,)
        """
        from leed_hub.reading import read_many  # it is built on this module

        codes = []
        for number, reading in enumerate(read_many(self, images, aligner=aligner), 1):
            if reading.error:
                raise BadImageError(reading.error)
            if not reading.faces:
                is_path = isinstance(reading.picture, str | os.PathLike)
                name = os.fsdecode(reading.picture) if is_path else f"picture {number}"
                raise NoFaceError(f"No face was found in {name}; use one where a face is well visible.")
            codes.append(reading.faces[0].expression_code)
        codes = np.stack(codes) if codes else np.empty((0, self.model.config.code_dim), np.float32)
        return codes / np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-12)

    def _cut_picture(self, image: Picture, aligner: str | None = None) -> FaceCrops:
        """Find a picture's faces and cut them out; may run in several threads at once."""
        photo = np.asarray(load_image(image))
        return self._cut(photo, *self._find(photo, aligner))

    def _cut(self, photo: np.ndarray, faces: list[Face] | None, found_by: str) -> FaceCrops:
        """Cut faces out; `faces` None: the picture is a face crop itself."""
        places = [None] if faces is None else faces
        whole = (0.0, 0.0, float(photo.shape[1]), float(photo.shape[0]))
        return FaceCrops(
            crops=[crop_face(photo, self._matrix(photo, face), self.size) for face in places],
            boxes=[whole if face is None else face.box for face in places],
            aligner=found_by,
        )

    @torch.inference_mode()
    def _read(self, pictures: Sequence[FaceCrops], batch_size: int = 32) -> list[list[FaceReading]]:
        """What the network says of the faces of several pictures, `batch_size` faces at a time."""
        crops = [crop for picture in pictures for crop in picture.crops]
        said: list[tuple[torch.Tensor, torch.Tensor]] = []
        for start in range(0, len(crops), batch_size):
            batch = self._tensor(crops[start : start + batch_size], self.model.config.channels)
            logits, codes = self.model.recognize(batch)
            said += zip(torch.softmax(logits.float(), dim=1).cpu(), codes.float().cpu(), strict=True)
        rows = iter(said)
        return [[self._reading(*next(rows), box, picture.aligner) for box in picture.boxes] for picture in pictures]

    def _reading(self, scores: torch.Tensor, code: torch.Tensor, box: tuple, aligner: str) -> FaceReading:
        return FaceReading(
            label=self.labels[int(scores.argmax())],
            scores=dict(zip(self.labels, scores.tolist(), strict=True)),
            box=box,
            expression_code=code.numpy(),
            aligner=aligner,
        )

    @torch.inference_mode()
    def read_crops(self, images: list[Picture]) -> ExpressionEncoderOutput:
        """Everything the network says of pictures that are face crops already, in one batch."""
        crops = []
        for image in images:
            crop = np.asarray(load_image(image))
            crops.append(crop_face(crop, self._matrix(crop, None), self.size))
        return self.model(self._tensor(crops, self.model.config.channels))
