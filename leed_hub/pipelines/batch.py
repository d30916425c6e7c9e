"""Many pictures one after another, read or edited; one that cannot be read does not stop the others.

    for prediction in classify_many(recognizer, find_pictures(["holiday/"])):
        print(prediction.picture, [face.label for face in prediction.faces], prediction.error)

Pictures are decoded ahead by threads, and their faces go through the recogniser in batches. However many pictures there
are, memory holds a few photographs and a few batches of small face crops.
"""

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from leed_hub.errors import BadImageError, ConfigError, NoFaceError
from leed_hub.faces.tracking import FaceChoice, check_face_choice
from leed_hub.media.images import ENDINGS, NO_URLS, is_url
from leed_hub.pipelines.arguments import known_arguments, several, whole_number
from leed_hub.pipelines.cropper import FaceCrops, Picture
from leed_hub.pipelines.editor import EditResult, ExpressionEditor, check_strength
from leed_hub.pipelines.expressions import Expression
from leed_hub.pipelines.recognizer import ExpressionRecognizer, FacePrediction

AHEAD_BATCHES = 2  # so far the threads run ahead of the network


@dataclass(frozen=True, eq=False)
class PicturePrediction:
    """What was read of one picture.

    Attributes:
        picture: as it was given.
        faces: largest first; empty where there is none, or the picture cannot be read.
        error: why it cannot be read, one sentence; None if it can.
    """

    picture: Picture
    faces: list[FacePrediction]
    error: str | None = None


@known_arguments
def classify_many(
    recognizer: ExpressionRecognizer,
    images: Iterable[Picture],
    *,
    batch_size: int = 32,
    workers: int = 2,
    detector: str | None = None,
) -> Iterator[PicturePrediction]:
    """Read the faces of any number of pictures, in their order.

    Threads open the pictures, find the faces and cut them out; a photograph is let go as soon as that is done. They run
    about `AHEAD_BATCHES` batches ahead of the network, and as many of `images` are held: give paths rather than arrays.

    Args:
        recognizer: the pipeline.
        images: paths, bytes, PIL images or arrays; may be a generator.
        batch_size: faces that go through the network at once, and pictures after which it runs at the latest.
        workers: threads.
        detector: instead of the pipeline's own.
    Returns:
        Iterator[PicturePrediction]: one a picture, with the numbers of `recognizer(picture)` up to float rounding. A
            picture that cannot be read does not stop it.
    Raises:
        ConfigError: if `batch_size` or `workers` is below 1, or `images` is one picture.
        ModelLoadError, HubError: while reading, if faces cannot be looked for.
    """
    batch_size, workers = whole_number("batch_size", batch_size, 1), whole_number("workers", workers, 1)
    _check_several(images)
    return _predictions(recognizer, images, batch_size, workers, detector)


@dataclass(frozen=True, eq=False)
class PictureEdit:
    """What became of one picture.

    Attributes:
        picture: as it was given.
        result: the edit; None where there is no face, or the picture cannot be read.
        error: why there is none, one sentence; None if there is one.
    """

    picture: Picture
    result: EditResult | None
    error: str | None = None


@known_arguments
def edit_many(
    editor: ExpressionEditor,
    sources: Iterable[Picture],
    reference: Picture | list[Picture] | Expression | None,
    strength: float = 1.0,
    *,
    weights: Sequence[float] | None = None,
    face: FaceChoice = "largest",
    detector: str | None = None,
) -> Iterator[PictureEdit]:
    """Give the faces of any number of photographs one expression, which is read once.

    Args:
        editor: the pipeline.
        sources: paths, bytes, PIL images or arrays; may be a generator.
        reference, strength, weights, face, detector: as in a call of the editor.
    Returns:
        Iterator[PictureEdit]: one a source, in their order.
    Raises:
        BadImageError, NoFaceError, ConfigError: at once, if the reference or an option is no good.
    """
    _check_several(sources)
    strength = check_strength(strength, reference)
    check_face_choice(face)
    expression = None if reference is None else editor.expression(reference, weights, detector=detector)
    return _edits(editor, sources, expression, strength, face, detector)


def _edits(
    editor: ExpressionEditor,
    sources: Iterable[Picture],
    expression: Expression | None,
    strength: float,
    face: FaceChoice,
    detector: str | None,
) -> Iterator[PictureEdit]:
    for source in sources:
        try:
            session = editor.session(source, face=face, detector=detector)
            yield PictureEdit(source, session.render(expression, strength))
        except (BadImageError, NoFaceError) as error:
            yield PictureEdit(source, None, str(error))


def _check_several(pictures: Iterable[Picture]) -> None:
    if isinstance(pictures, str | bytes | os.PathLike | Image.Image):
        raise ConfigError("Several pictures are expected, such as a list of paths; got one picture.")
    several("images", pictures)


def find_pictures(paths: Iterable[str | os.PathLike]) -> Iterator[Path]:
    """Files as they are given, and of folders all picture files below them, sorted by name.

    In folders the ending tells what is a picture (`leed_hub.media.images.ENDINGS`). Links are followed, each folder is
    entered once. A folder that cannot be opened is left out with a warning.

    Raises:
        BadImageError: if there is no such file or folder, a URL is given, or a folder holds no picture.
    """
    for path in map(Path, paths):
        if os.path.isdir(path):
            pictures = _below(path)
            first = next(pictures, None)
            if first is None:
                raise BadImageError(f"The folder {path} holds no picture ({', '.join(ENDINGS)}).")
            yield first
            yield from pictures
        elif os.path.lexists(path):
            yield path
        elif is_url(path):
            raise BadImageError(NO_URLS)
        else:
            raise BadImageError(f"{path}: there is no such file or folder.")


def _below(folder: Path) -> Iterator[Path]:
    """The picture files below a folder, each folder's own first."""
    visited = set()  # a link may lead back to where we came from
    for parent, folders, files in os.walk(folder, onerror=_warn_of_folder, followlinks=True):
        identity = os.path.realpath(parent)
        if identity in visited:
            folders.clear()
            continue
        visited.add(identity)
        folders[:] = sorted(set(folders) - {"__MACOSX"})
        for name in sorted(files):
            if name.lower().endswith(ENDINGS) and not name.startswith("._"):  # macOS keeps no pixels in those
                yield Path(parent, name)


def _warn_of_folder(error: OSError) -> None:
    warnings.warn(f"The folder {error.filename} cannot be opened: {error.strerror}.", stacklevel=2)


def _predictions(
    recognizer: ExpressionRecognizer, images: Iterable[Picture], batch_size: int, workers: int, detector: str | None
) -> Iterator[PicturePrediction]:
    batch: list[tuple[Picture, FaceCrops | str]] = []
    n_faces = 0
    pool = ThreadPoolExecutor(workers, thread_name_prefix="leed-hub-classify")
    try:
        prepare = partial(_prepared, recognizer, detector=detector)
        for picture, prepared in _ahead(pool, prepare, images, AHEAD_BATCHES * batch_size + workers):
            batch.append((picture, prepared))
            n_faces += 0 if isinstance(prepared, str) else len(prepared.crops)
            # Pictures without a face must not wait for a full batch either.
            if max(n_faces, len(batch)) >= batch_size:
                yield from _classify_batch(recognizer, batch, batch_size)
                batch, n_faces = [], 0
        yield from _classify_batch(recognizer, batch, batch_size)
    finally:
        pool.shutdown(cancel_futures=True)


def _prepared(recognizer: ExpressionRecognizer, picture: Picture, detector: str | None) -> FaceCrops | str:
    """The picture's faces, or the sentence why it cannot be read."""
    try:
        return recognizer.cropper(picture, detector)
    except BadImageError as error:
        return str(error)


def _ahead(pool: ThreadPoolExecutor, work: Callable, items: Iterable, n_ahead: int) -> Iterator[tuple]:
    """(item, work(item)) in order, with at most `n_ahead` of them begun and not yet taken."""
    begun: deque = deque()
    for item in items:
        begun.append((item, pool.submit(work, item)))
        if len(begun) >= n_ahead:
            item, future = begun.popleft()
            yield item, future.result()
    while begun:
        item, future = begun.popleft()
        yield item, future.result()


def _classify_batch(
    recognizer: ExpressionRecognizer, batch: list[tuple[Picture, FaceCrops | str]], batch_size: int
) -> Iterator[PicturePrediction]:
    readable = [prepared for _, prepared in batch if not isinstance(prepared, str)]
    faces = iter(recognizer.classify_crops(readable, batch_size))
    for picture, prepared in batch:
        if isinstance(prepared, str):
            yield PicturePrediction(picture, [], prepared)
        else:
            yield PicturePrediction(picture, next(faces))
