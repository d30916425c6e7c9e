"""`ExpressionEditor`: a face takes the expression of another face and stays the same person.

    editor = ExpressionEditor.from_pretrained()
    editor("me.jpg", "laughing.jpg").image.save("edited.png")
    editor("me.jpg", "smile")  # one of editor.presets

Nothing leaves the machine: weights come in, pictures never go out.
"""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from leed_hub.errors import ConfigError, ModelLoadError, NoFaceError
from leed_hub.faces.alignment import crop_face
from leed_hub.faces.face import Face
from leed_hub.faces.tracking import FaceChoice, check_face_choice, choose_faces
from leed_hub.hub import CONTROLS, download_files
from leed_hub.media.images import load_image, on_white, with_transparency
from leed_hub.media.paste_back import paste_back
from leed_hub.models.leed import LEEDModel, LEEDOutput, between
from leed_hub.pipelines.arguments import known_arguments, number, several
from leed_hub.pipelines.cropper import FaceCrops, Picture
from leed_hub.pipelines.damage import softened
from leed_hub.pipelines.expressions import NEUTRAL, Controls, Expression, eyes_share, joined_halves
from leed_hub.pipelines.pipeline import Pipeline, renamed

if TYPE_CHECKING:
    from leed_hub.pipelines.video_editing import VideoEditResult

BATCH_SIZE, THREADS = 32, 2  # of many references
MAX_STRENGTH = 2.0  # beyond it a displacement lies far from all that the training saw


@dataclass(frozen=True, eq=False)
class EditResult:
    """An edit.

    Attributes:
        image: the photograph with the edited faces in it, same size as the source; RGB, or RGBA where that has
            transparency.
        faces: the faces that were edited, largest first; none where the picture was taken as one face crop.
        crops: the edited faces cut out of `image`, one a face; RGB, `image_size` squares.
        detector: what found the faces: "yunet", "face-alignment" or "none".
        kept: how much of each edit is shown, one a face: 1, or less, down to 0, where the whole looked broken, as it
            may on pictures unlike all that the network has learned from.
    """

    image: Image.Image
    faces: tuple[Face, ...]
    crops: tuple[Image.Image, ...]
    detector: str
    kept: tuple[float, ...] = ()

    @property
    def aligner(self) -> str:
        """The former name of `detector`."""
        return renamed(None, self.detector) or ""

    @property
    def note(self) -> str:
        """A sentence where an edit was weakened, else ""."""
        weakened = [share for share in self.kept if share < 1]
        if not weakened:
            return ""
        return f"The edit looked broken at full strength and is shown at {min(weakened):.0%} of it."


class EditSession:
    """The chosen faces of one photograph, encoded once and drawn with any expression as often as wanted.

    Attributes:
        photo: (H, W, 3) uint8, what is transparent in front of white.
        faces: the faces' places, crops and matrices.
        original: the picture, where it has transparency.
        software: what draws, as files are marked with it.
    """

    def __init__(
        self, editor: "ExpressionEditor", photo: np.ndarray, faces: FaceCrops, original: Image.Image | None = None
    ):
        self.photo, self.faces, self.original = photo, faces, original
        self._editor, self._model, self._size = editor, editor.model, editor.cropper.size
        self._inference, self.software = editor.inference, editor.software
        with self._inference():
            self._crops = editor.cropper.tensor(faces.crops)
            self._encoding = self._model.encode(self._crops)
        self._edits: dict[bytes | None, LEEDOutput] = {}

    @known_arguments
    def draw(
        self, expression: Tensor | Expression | None, strength: float = 1.0, presence: Sequence[float] | None = None
    ) -> tuple[np.ndarray, tuple[float, ...]]:
        """The photograph with its faces edited.

        Args:
            expression: an `Expression`, or a code e, (1, expression_dim), as `ExpressionEditor.encode_expression` gives
                it; None only with strength 0.
            strength: 0 neutral, 1 the code's expression, up to 2 exaggerated.
            presence: how much of each edit is wanted, in 0..1; all of it by default.
        Returns:
            (H, W, 3) uint8, and how much of each edit is shown, see `EditResult.kept`.
        Raises:
            ConfigError: if the strength is out of range.
        """
        strength = check_strength(strength, expression)
        with self._inference():
            output, kept = softened(self._crops, self._output(expression, strength))
        fields = [field.permute(0, 2, 3, 1).float().cpu().numpy() for field in (output.flow, output.mask, output.color)]
        photo = self.photo
        # Each edit starts from the one before, so that none is lost where two meet.
        shares = presence or [1.0] * len(self._crops)
        for matrix, share, flow, mask, color in zip(self.faces.matrices, shares, *fields, strict=True):
            photo = paste_back(photo, matrix, self._size, share * flow, share * mask[..., 0], color)
        return photo, tuple(kept.tolist())

    def _output(self, expression: Tensor | Expression | None, strength: float) -> LEEDOutput:
        if not isinstance(expression, Expression):
            return self._decoded(expression, strength)
        self._editor.check_own(expression)
        mouth_strength = min(strength * expression.mouth_strength, MAX_STRENGTH)
        eyes_strength = min(strength * expression.eyes_strength, MAX_STRENGTH)
        mouth = self._decoded(expression.mouth, mouth_strength)
        if mouth_strength == eyes_strength and torch.equal(expression.mouth, expression.eyes):
            return mouth
        eyes = self._decoded(expression.eyes, eyes_strength)
        return joined_halves(self._crops, mouth, eyes, eyes_share(self._model.config))

    def _decoded(self, code: Tensor | None, strength: float) -> LEEDOutput:
        if code is None or strength == 0:
            return self._edit(None)
        full = self._edit(code)
        return full if strength == 1 else between(self._crops, self._edit(None), full, strength)

    def _edit(self, code: Tensor | None) -> LEEDOutput:
        """The neutral faces, or those of a code at strength 1; kept, so that a slider's next step only mixes them."""
        key = None if code is None else code.float().cpu().numpy().tobytes()
        if key not in self._edits:
            own = self._encoding.expression_code
            codes = torch.zeros_like(own) if code is None else code.to(own).expand(len(own), -1)
            self._edits[key] = self._model.decode(self._crops, self._encoding, codes, float(code is not None))
            for old in [other for other in self._edits if other is not None][:-2]:  # mouth and eyes have one each
                del self._edits[old]
        return self._edits[key]

    @known_arguments
    def render(self, expression: Tensor | Expression | None, strength: float = 1.0) -> EditResult:
        """Like `draw`, as an `EditResult`."""
        photo, kept = self.draw(expression, strength)
        crops = (crop_face(photo, matrix, self._size) for matrix in self.faces.matrices)
        return EditResult(
            image=Image.fromarray(photo) if self.original is None else with_transparency(photo, self.original),
            faces=tuple(face for face in self.faces.faces if face is not None),
            crops=tuple(map(Image.fromarray, crops)),
            detector=self.faces.detector,
            kept=kept,
        )


class ExpressionEditor(Pipeline[LEEDModel]):
    """Gives a face the expression of another face and keeps the person (LEED).

    Attributes:
        controls: the named expressions and sliders that come with the weights, if any.
    """

    model_class, bundled_name = LEEDModel, "editor"
    controls = Controls()

    def _load_extras(self, source: str | os.PathLike, hub_options: dict[str, Any]) -> None:
        file = Path(source).expanduser() / CONTROLS
        if self.model.revision:
            try:
                (file,) = download_files(str(source), [CONTROLS], **hub_options | {"revision": self.model.revision})
            except ModelLoadError:  # the repository has none
                return
        if file.is_file():
            self.controls = Controls.load(file, self.model.config.expression_dim)

    @known_arguments
    def save_pretrained(self, folder: str | os.PathLike, **options) -> None:
        """Write the network, see `HubModel.save_pretrained`, and its controls."""
        super().save_pretrained(folder, **options)
        if self.controls.presets or self.controls.sliders:
            self.controls.save(folder)

    @property
    def presets(self) -> tuple[str, ...]:
        """The expressions that may be given by name."""
        return (NEUTRAL, *self.controls.presets)

    @property
    def sliders(self) -> tuple[str, ...]:
        """What `slide` moves."""
        return tuple(self.controls.sliders)

    @known_arguments
    def __call__(
        self,
        source: Picture,
        reference: Picture | Sequence[Picture] | Expression | None = None,
        strength: float = 1.0,
        *,
        weights: Sequence[float] | None = None,
        face: FaceChoice = "largest",
        detector: str | None = None,
        aligner: str | None = None,
    ) -> EditResult:
        """Edit the largest face of a photograph, another one, or all.

        Args:
            source: the photograph: path, bytes, PIL image or array (H, W, 3).
            reference: whose expression it takes; several are mixed. Also what `expression` takes, such as the name of
                a preset, or an `Expression`. None only with strength 0, the neutral face.
            strength: 0 neutral, 1 the reference's expression, up to 2 exaggerated.
            weights: one a reference, not all zero; equal parts by default.
            face: which of the source's faces: "largest", "all", or a number, 0 being the largest. Of a reference it is
                always the largest.
            detector: instead of the pipeline's own.
            aligner: the former name of `detector`.
        Raises:
            BadImageError: if a picture cannot be read.
            NoFaceError: if one shows no face; the sentence says which.
            ConfigError: if strength or weights are out of range, or the source has no face of that number.
        """
        detector = renamed(detector, aligner)
        strength = check_strength(strength, reference)
        expression = None if reference is None else self.expression(reference, weights, detector=detector)
        return self.session(source, face=face, detector=detector).render(expression, strength)

    @known_arguments
    def expression(
        self,
        reference: Picture | Sequence[Picture] | Expression,
        weights: Sequence[float] | None = None,
        *,
        detector: str | None = None,
    ) -> Expression:
        """An expression to wear, to change and to keep.

        Args:
            reference: the name of a preset, a saved expression (`.json`), a picture, or several, which are mixed. A
                picture that is named as a preset is given with its folder: "./smile".
            weights: of several pictures, as in a call.
            detector: instead of the pipeline's own.
        Raises:
            BadImageError, NoFaceError, ConfigError: as a call does.
        """
        known = self.known_expression(reference)
        if known is not None:
            return known
        references: list = list(reference) if isinstance(reference, list | tuple) else [reference]
        code = self.encode_expression(references, weights, detector=detector)
        return Expression(code, code, editor=self.fingerprint)

    def known_expression(self, reference: object) -> Expression | None:
        """What is an expression already: itself, a preset's by its name, or a saved one (`.json`); None for the rest.

        Raises:
            ConfigError: if it was saved by another editor, or is no expression.
        """
        if isinstance(reference, Expression):
            return reference
        if isinstance(reference, str) and reference in self.presets:
            code = self.controls.presets.get(reference, torch.zeros(self.model.config.expression_dim))[None]
            return Expression(code, code, editor=self.fingerprint)
        if isinstance(reference, str | os.PathLike) and Path(reference).suffix.lower() == ".json":
            loaded = Expression.load(reference)
            self.check_own(loaded)
            return loaded
        return None

    @known_arguments
    def slide(self, expression: Expression, values: Mapping[str, float]) -> Expression:
        """An expression moved by some of `sliders`, each from -1 to 1; 0 leaves it as it is.

        Raises:
            ConfigError: if there is no such slider, or a value is out of range.
        """
        if not isinstance(expression, Expression):
            raise ConfigError(f"expression must be one that `editor.expression` gives; got {expression!r:.80}.")
        mouth = self.controls.slid(expression.mouth, values)
        same = torch.equal(expression.mouth, expression.eyes)
        eyes = mouth if same else self.controls.slid(expression.eyes, values)
        return dataclasses.replace(expression, mouth=mouth, eyes=eyes)

    @cached_property
    def fingerprint(self) -> str:
        """Tells codes of different editors apart: of the weights that codes come from."""
        digest = hashlib.sha256()
        for tensor in self.model.extractor.state_dict().values():
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def check_own(self, expression: Expression) -> None:
        """Raise `ConfigError` where an expression was saved by another editor."""
        if expression.editor != self.fingerprint:
            raise ConfigError("This expression is another editor's, with other weights; take it from its picture anew.")

    @known_arguments
    def session(self, source: Picture, *, face: FaceChoice = "largest", detector: str | None = None) -> EditSession:
        """Find and encode a photograph's faces once, to edit them many times.

        Args:
            source, face, detector: as in a call.
        Raises:
            BadImageError, NoFaceError, ConfigError: as a call does.
        """
        check_face_choice(face)
        picture = load_image(source, keeps_transparency=True)
        photo = np.asarray(on_white(picture))
        faces, found_by = self.cropper.find(photo, detector)
        if faces is not None and not faces:
            raise NoFaceError("No face was found in the source picture; use one where a face is well visible.")
        chosen = None if faces is None else choose_faces(faces, face)
        original = picture if picture.mode == "RGBA" else None
        return EditSession(self, photo, self.cropper.cut(photo, chosen, found_by), original)

    @known_arguments
    def encode_expression(
        self, references: Sequence[Picture], weights: Sequence[float] | None = None, *, detector: str | None = None
    ) -> Tensor:
        """The expression code e of the largest face of a picture, or a mixture of several, (1, expression_dim).

        Raises:
            BadImageError, NoFaceError, ConfigError: as a call does.
        """
        several("references", references)
        references = list(references)
        if not references:
            raise ConfigError("At least one reference is needed.")
        shares = _shares(weights, len(references))
        crops = []
        with ThreadPoolExecutor(THREADS) as pool:
            for number, found in enumerate(pool.map(lambda one: self.cropper(one, detector), references), 1):
                if not found.crops:
                    which = "the reference picture" if len(references) == 1 else f"reference picture {number}"
                    raise NoFaceError(f"No face was found in {which}; use one where a face is well visible.")
                crops.append(found.crops[0])
        batches = (self.cropper.tensor(crops[start : start + BATCH_SIZE]) for start in range(0, len(crops), BATCH_SIZE))
        with self.inference():
            codes = torch.cat([self.model.encode(batch).expression_code for batch in batches])
        return torch.as_tensor(shares, dtype=codes.dtype, device=codes.device) @ codes[None]

    @known_arguments
    def edit_video(
        self,
        source: Picture,
        reference: Picture | Sequence[Picture] | Expression | None,
        output: str | os.PathLike,
        *,
        strength: float = 1.0,
        mouth: float = 1.0,
        eyes: float = 1.0,
        seconds: float | None = None,
        face: FaceChoice = "largest",
        detector: str | None = None,
        on_progress: Callable[[int, int | None], None] | None = None,
        aligner: str | None = None,
    ) -> "VideoEditResult":
        """Edit a video by an expression, a picture or a video, or bring a picture to life by a video.

        The arguments are those of `video_editing.edit_video`.

        Examples:
            >>> editor.edit_video("me.mp4", "laughing.jpg", "edited.mp4", strength=0.8)  # doctest: +SKIP
            >>> editor.edit_video("me.mp4", "smile", "trial.mp4", seconds=2)  # doctest: +SKIP
        """
        from leed_hub.pipelines.video_editing import edit_video  # PyAV only where it is needed

        return edit_video(
            self,
            source,
            reference,
            output,
            strength=strength,
            mouth=mouth,
            eyes=eyes,
            seconds=seconds,
            face=face,
            detector=renamed(detector, aligner),
            on_progress=on_progress,
        )


def _shares(weights: Sequence[float] | None, count: int) -> np.ndarray:
    """How much each of so many references counts, (count,), summing to 1."""
    try:
        shares = np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError):
        shares = np.empty(0)
    if shares.shape != (count,) or not np.isfinite(shares).all() or shares.min() < 0 or not shares.any():
        raise ConfigError(f"weights must be one number of at least 0 a reference, not all zero; got {weights!r:.80}.")
    shares = shares / shares.max()  # the sum of large ones would be infinite
    return shares / shares.sum()


def check_strength(strength: float, reference: object) -> float:
    """The strength as a float; `ConfigError` if it is out of range, or needs a reference that is not there."""
    strength = number("strength", strength)
    if not 0 <= strength <= MAX_STRENGTH:  # also refuses NaN
        raise ConfigError(f"strength must lie between 0 and {MAX_STRENGTH:g}; got {strength:g}.")
    if reference is None and strength > 0:
        raise ConfigError("A reference is needed unless strength is 0, which gives the neutral face.")
    return strength
