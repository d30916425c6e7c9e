"""Where the faces are: five points per face from YuNet, our own network or face-alignment, behind one small type."""

import os
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from leed_hub.errors import ConfigError, HubError, ModelLoadError

ALIGNERS = ("auto", "yunet", "leed", "face-alignment", "none")
YUNET_REPO = "opencv/face_detection_yunet"
YUNET_FILE = "face_detection_yunet_2023mar.onnx"
YUNET_ENV = "LEED_HUB_YUNET"
# For 230 kB. Left alone, huggingface_hub retries for 23 s without a network, and for minutes with a bad one.
HUB_BUDGET_S = 10.0
HUB_REQUEST_S = 3.0

_GREY = (127, 127, 127)  # beyond a picture's edge
_MIRRORED = [1, 0, 2, 4, 3]  # the five points change places in a mirror
# A picture needs no look from another side if a face has this score in a crop turned upright by its points, and needed
# no more turning than this.
_SURE = 0.89
_MOST_TILT = np.deg2rad(45)


@dataclass(frozen=True, eq=False)
class Face:
    """One face. Pixel coordinates put (0, 0) at the centre of the first pixel; they may lie outside the picture.

    Attributes:
        box: (x0, y0, x1, y1) in pixels.
        score (float): the detector's confidence, in 0..1.
        points (np.ndarray): (5, 2) float32 pixels (x, y): left eye, right eye, nose tip, left mouth corner, right
            mouth corner. "Left" is the left of the image once the face stands upright in it, so the person's right
            when facing the camera.
    """

    box: tuple[float, float, float, float]
    score: float
    points: np.ndarray


class Locator(Protocol):
    """What finds faces; `name` is the aligner it goes by."""

    name: str

    def __call__(self, image: np.ndarray) -> list[Face]:
        """(H, W, 3) RGB uint8 -> its faces, largest box first."""


class YuNetLocator:
    """Faces by YuNet (Wu et al. 2023, doi 10.1007/s11633-023-1423-y) through OpenCV, at any picture size.

    YuNet is a detector first: the five points of one pass scatter by about 6 to 7 % of the eye distance, and more where
    a face falls between two of its strides. So each face found is looked at again, cut out at two sizes and mirrored,
    and the points averaged, which takes a third of the scatter away and makes them follow a mirrored picture. Heads
    may be turned any way up, all those of a picture about alike.

    Args:
        model_path: the `.onnx` file. By default the environment variable LEED_HUB_YUNET names it, else it comes from
            the Hub's `opencv/face_detection_yunet` and stays in the Hub's cache.
        score_threshold (float): the confidence a face needs, in (0, 1).
    Raises:
        ModelLoadError: if the file is absent or no YuNet.
        HubError: if it has to be downloaded and cannot be.
    """

    name = "yunet"

    # (long side, border as a share of the long side), tried until a face is found. `None` keeps a picture between 320
    # and 640: smaller is enlarged, larger reduced. The border serves tight crops, the last pass small faces.
    _PASSES = ((None, 0.0), (320, 0.25), (160, 0.0), (640, 0.5), (1600, 0.0))
    _CROP_SIDES = (128, 192)
    _CROP_SCALE = 2.0  # side of the crop over the longer side of the face's box
    _TURNS = 5
    _LEAST_TURN = np.deg2rad(4)
    _LEAST_SCORE = 0.8  # of a turned picture: what is no face has been seen with 0.79

    def __init__(self, model_path: str | os.PathLike | None = None, score_threshold: float = 0.7):
        if not 0 < score_threshold < 1:
            raise ConfigError(f"score_threshold lies between 0 and 1; got {score_threshold!r}.")
        self._detector = _load_yunet(
            Path(model_path or os.environ.get(YUNET_ENV) or _yunet_from_hub()), score_threshold
        )
        self._lock = threading.Lock()  # the detector keeps its input size and buffers between calls

    def __call__(self, image: np.ndarray) -> list[Face]:
        return _at_any_roll(self._look, image, self._LEAST_SCORE)

    def _look(self, image: np.ndarray) -> list[tuple[Face, float]]:
        """The faces, each with the score of its upright crops."""
        long_side = max(image.shape[:2])
        for side, border in self._PASSES:
            if side == 1600 and long_side <= 640:
                continue  # enlarging shows no face that the earlier passes missed
            found = self._detect_resized(image, side or min(max(long_side, 320), 640), border)
            if found:
                return [self._refined(image, face) for face in found]
        return []

    def _detect_resized(self, image: np.ndarray, side: int, border: float) -> list[Face]:
        """The faces seen with the long side (border included) resized to `side`."""
        height, width = image.shape[:2]
        margin = border * max(height, width)
        scale = side / (max(height, width) + 2 * margin)
        shift = scale * (margin + 0.5) - 0.5  # corners map to corners, while coordinates name pixel centres
        size = tuple(max(1, round((length + 2 * margin) * scale)) for length in (width, height))
        found = self._detect(_cut(image, scale, (shift, shift), size))
        return [_moved_back(face, scale, (shift, shift)) for face in found]

    def _refined(self, image: np.ndarray, face: Face) -> tuple[Face, float]:
        """The face with mean points, and the mean score, of crops of two sizes, each also mirrored; as it is, and 0, if
        no crop shows it.

        YuNet draws tilted points too upright, so the crops are turned by the tilt found and looked at again until the
        face stands upright in them.
        """
        x0, y0, x1, y1 = face.box
        middle, half = np.array([x0 + x1, y0 + y1]) / 2, self._CROP_SCALE / 2 * max(x1 - x0, y1 - y0)
        points, score = face.points, 0.0
        for _ in range(self._TURNS):
            tilt = _tilt(points)
            axis = half * np.array([np.cos(tilt), np.sin(tilt)])
            seen, scores = [], []
            for side in self._CROP_SIDES:
                crop = _upright(image, middle, axis, side)
                for other in self._detect(crop) + [_mirrored(other, side) for other in self._detect(crop[:, ::-1])]:
                    centre = np.array([other.box[0] + other.box[2], other.box[1] + other.box[3]]) / 2
                    if np.abs(centre - (side - 1) / 2).max() < side / 8:  # the face itself and no neighbour
                        seen.append(_placed(other.points, middle, axis, side))
                        scores.append(other.score)
            if not seen:
                break
            points, score = np.mean(seen, axis=0, dtype=np.float32), float(np.mean(scores))
            if abs(_tilt(points) - tilt) < self._LEAST_TURN:
                break
        return replace(face, points=points), score

    def _detect(self, pixels: np.ndarray) -> list[Face]:
        """One run at the size given, in coordinates of `pixels`."""
        with self._lock:
            self._detector.setInputSize((pixels.shape[1], pixels.shape[0]))
            _, rows = self._detector.detect(np.ascontiguousarray(pixels[:, :, ::-1]))  # OpenCV wants BGR
        faces = []
        for row in rows if rows is not None else ():  # x, y, width, height, five (x, y), score
            x, y, width, height = (float(value) for value in row[:4])
            faces.append(Face((x, y, x + width, y + height), float(row[14]), row[4:14].reshape(5, 2).copy()))
        return faces


class BundledLocator:
    """Faces by the small network that comes with the package, see `leed_hub.models.face_locator`.

    Its detector runs over a pyramid of the picture; its refiner looks twice at each find in an upright crop, as it is
    and mirrored, confirms it or not, and places the points. Heads may be turned any way up, all those of a picture
    about alike.

    Args:
        folder: a saved `FaceLocatorModel`; the bundled one by default.
    Raises:
        ModelLoadError: if its files are missing or broken.
    """

    name = "leed"

    # Long sides of the pyramid's levels, tried until a face is found; together they hold faces of 1/18 of the picture
    # up to all of it, then smaller ones.
    _PASSES = ((320, 160, 80, 40), (640,), (1280,))
    _BORDER = 12  # pixels of grey around each level: a face may reach beyond the picture
    _LOOKS = 2  # what is no face rarely passes the second, whose crop is framed by the first one's points
    _MOST_FINDS = 24  # the refiner looks at the likeliest ones only
    _LEAST_SCORE = _SURE  # of a turned picture: pages of text on their side have been seen with 0.87

    def __init__(self, folder: str | os.PathLike | None = None):
        from leed_hub.models.face_locator import FaceLocatorModel  # torch comes with it: only when a locator is built

        self._model = FaceLocatorModel.from_pretrained(folder or Path(__file__).parent / "checkpoints" / "locator")

    def __call__(self, image: np.ndarray) -> list[Face]:
        return _at_any_roll(self._look, image, self._LEAST_SCORE)

    def _look(self, image: np.ndarray) -> list[tuple[Face, float]]:
        """The faces, each with its score, which comes from an upright crop already."""
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        for sides in self._PASSES:
            # Enlarging shows no face that the other levels miss, except in a small picture.
            most = max(grey.shape) * (2 if sides is self._PASSES[0] else 1)
            usable = [side for side in sides if side <= most or side == 40]
            faces = [face for side in usable for face in self._detected(grey, side)]
            faces = _without_overlaps(faces)[: self._MOST_FINDS]
            for _ in range(self._LOOKS):
                faces = _without_overlaps(self._refined(grey, faces)) if faces else []
            if faces:
                return [(face, face.score) for face in faces]
        return []

    def _detected(self, grey: np.ndarray, side: int) -> list[Face]:
        """The detector's finds with the long side resized to `side`."""
        import torch

        scale = side / max(grey.shape)
        shift = scale * 0.5 - 0.5 + self._BORDER  # corners map to corners, while coordinates name pixel centres
        size = tuple(8 * -(-round(length * scale + 2 * self._BORDER) // 8) for length in grey.shape[::-1])
        level = _cut(grey, scale, (shift, shift), size)
        with torch.inference_mode():
            scores, points = self._model.detect(_unit(level)[None, None])
        return [_moved_back(face, scale, (shift, shift)) for face in _faces(scores, points)]

    def _refined(self, grey: np.ndarray, finds: list[Face]) -> list[Face]:
        """The finds that the refiner takes for faces, with its points."""
        import torch

        from leed_hub.models.face_locator import face_frames, placed

        size = self._model.config.crop_size
        middles, axes = face_frames(torch.from_numpy(np.stack([face.points for face in finds])))
        crops = [_upright(grey, *frame, size) for frame in zip(middles.numpy(), self._half(axes).numpy(), strict=True)]
        crops = _unit(np.stack(crops))[:, None]
        with torch.inference_mode():
            logits, points = self._model.refiner(torch.cat([crops, crops.flip(-1)]))
        logits, mirrored_logits = logits.chunk(2)
        points, mirrored = points.chunk(2)
        scores = torch.sigmoid((logits + mirrored_logits) / 2)
        points = (points + mirrored[:, _MIRRORED] * torch.tensor([-1.0, 1.0])) / 2
        kept = scores > self._model.config.score_threshold
        return _faces(scores[kept], placed(points[kept], middles[kept], self._half(axes)[kept]))

    def _half(self, axes):
        """A face's axis as that of half its crop."""
        return axes * self._model.config.crop_scale / 2


class FaceAlignmentLocator:
    """Faces by face-alignment (Bulat and Tzimiropoulos 2017, arXiv:1703.07332): 68 points reduced to five.

    Far slower than YuNet on a CPU, and in whole pixels, so enlarge a small picture first. The weights come from the
    authors' site at the first call and stay in `TORCH_HOME/hub/checkpoints`.

    Args:
        device (str): torch device of the networks.
        face_detector (str): face-alignment's name of the detector, such as "sfd" or "blazeface"; "yunet" runs on the
            file that `YuNetLocator` would use.
    Raises:
        HubError: at the first call, if the weights cannot be downloaded.
        ModelLoadError: at the first call, if a weight file is broken.
    """

    name = "face-alignment"

    def __init__(self, device: str = "cpu", face_detector: str = "sfd"):
        self._device, self._face_detector = device, face_detector
        self._network = None
        self._lock = threading.Lock()

    def __call__(self, image: np.ndarray) -> list[Face]:
        _check_image(image)
        with self._lock:
            if self._network is None:
                self._network = self._build()
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="No faces were detected")
                landmarks, _, boxes = self._network.get_landmarks_from_image(image, return_bboxes=True)
        faces = [
            Face(tuple(float(v) for v in box[:4]), float(box[4]), five_points(points))
            for points, box in zip(landmarks or (), boxes if boxes is not None else (), strict=True)
        ]
        return sorted(faces, key=_area, reverse=True)

    def _build(self):
        try:
            import face_alignment
        except ImportError as error:
            raise ModelLoadError(
                'The aligner "face-alignment" needs its package: pip install face-alignment.'
            ) from error
        import torch

        torch.empty(0, device=self._device)  # a device that is not there shows here, in torch's own words
        options = {}
        if self._face_detector == "yunet":
            options = {"path_to_detector": str(os.environ.get(YUNET_ENV) or _yunet_from_hub())}
        files = "2DFAN4-11f355bf06.pth.tar" + (" and s3fd-619a316812.pth" if self._face_detector == "sfd" else "")
        places = "https://www.adrianbulat.com/downloads/python-fan/ into hub/checkpoints of TORCH_HOME (~/.cache/torch)"
        try:
            return face_alignment.FaceAlignment(
                face_alignment.LandmarksType.TWO_D,
                device=self._device,
                compile=False,  # compiling takes 25 s and writes under the home directory
                flip_input=False,
                face_detector=self._face_detector,
                face_detector_kwargs=options,
            )
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"face-alignment has no detector {self._face_detector!r}, or it lacks a package."
            ) from error
        except OSError as error:  # urllib's errors among them
            raise HubError(f"The face-alignment weights could not be downloaded: put {files} from {places}.") from error
        except Exception as error:  # an HTML page saved under the weights' name, for one, ends in an UnpicklingError
            raise ModelLoadError(
                f"A face-alignment weight file is broken: delete it, then put {files} from {places}."
            ) from error


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """(68, 2) Multi-PIE landmarks -> (5, 2) float32 in the order of `Face.points`; an eye is the mean of its six."""
    landmarks = np.asarray(landmarks, dtype=np.float32)[:, :2]
    eyes = [landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)]
    return np.stack([*eyes, landmarks[30], landmarks[48], landmarks[54]])


_locators: dict[tuple[str, str | None], Locator | None] = {}
_locators_lock = threading.Lock()


def build_locator(aligner: str) -> Locator | None:
    """The locator of that name, built once per process; `None` means that pictures are face crops already.

    Args:
        aligner (str): "yunet", "leed" (the bundled network), "face-alignment", "none", or "auto": YuNet where its file
            is at hand or can be fetched; otherwise one warning per process, and the bundled network.
    Raises:
        ConfigError: if the name is another one.
        ModelLoadError, HubError: as the locators do.
    """
    if aligner not in ALIGNERS:
        raise ConfigError(f"aligner is one of {', '.join(ALIGNERS)}; got {aligner!r}.")
    if aligner == "none":
        return None
    with _locators_lock:
        if aligner != "auto":
            return _built(aligner)
        key = ("yunet", os.environ.get(YUNET_ENV))
        if _locators.get(key, True) is not None:  # None: the Hub could not be reached before, and the user knows
            try:
                return _built("yunet")
            except HubError as error:
                _locators[key] = None
                warnings.warn(f"Faces are looked for by the small bundled network: {error}", stacklevel=2)
        return _built("leed")


def _built(name: str) -> Locator:
    key = (name, os.environ.get(YUNET_ENV) if name == "yunet" else None)
    if _locators.get(key) is None:
        classes = {each.name: each for each in (YuNetLocator, BundledLocator, FaceAlignmentLocator)}
        _locators[key] = classes[name]()
    return _locators[key]


def _load_yunet(path: Path, score_threshold: float):
    """OpenCV's detector from the file's bytes, tried once on a blank picture so that a wrong network shows here."""
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise ModelLoadError(f"The YuNet model {path.name} cannot be read: {error.strerror}.") from error
    log_level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(
        cv2.utils.logging.LOG_LEVEL_ERROR
    )  # OpenCV 5 warns at each load that targets are unset
    try:
        detector = cv2.FaceDetectorYN.create("onnx", content, np.empty(0, np.uint8), (64, 64), score_threshold)
        detector.detect(np.zeros((64, 64, 3), np.uint8))
    except cv2.error as error:
        raise ModelLoadError(
            f"{path.name} ({content.size} bytes) is broken or no YuNet model in ONNX format."
        ) from error
    finally:
        cv2.utils.logging.setLogLevel(log_level)
    return detector


def _yunet_from_hub() -> str:
    """Path in the Hub's cache, downloading the file if need be, within `HUB_BUDGET_S`."""
    import huggingface_hub
    from huggingface_hub import constants

    cached = huggingface_hub.try_to_load_from_cache(YUNET_REPO, YUNET_FILE)
    if isinstance(cached, str):
        return cached
    remedy = f"download {YUNET_FILE} from {YUNET_REPO} once, or set {YUNET_ENV} to its path"
    if constants.HF_HUB_OFFLINE:
        raise HubError(f"The face detector YuNet is not in the Hub's cache and HF_HUB_OFFLINE is set: {remedy}.")
    outcome = []

    def download():
        try:
            # One plain request first: hf_hub_download would meet a dead network with its long retries.
            huggingface_hub.get_hf_file_metadata(
                huggingface_hub.hf_hub_url(YUNET_REPO, YUNET_FILE), timeout=HUB_REQUEST_S
            )
            outcome.append(huggingface_hub.hf_hub_download(YUNET_REPO, YUNET_FILE, etag_timeout=HUB_REQUEST_S))
        except Exception as error:
            outcome.append(error)

    # A thread, as no timeout of the HTTP client covers a name look-up that hangs; daemon, so that it never blocks exit.
    worker = threading.Thread(target=download, daemon=True)
    worker.start()
    worker.join(HUB_BUDGET_S)
    if outcome and isinstance(outcome[0], str):
        return outcome[0]
    cause = outcome[0] if outcome else None
    reason = type(cause).__name__ if cause else f"no answer in {HUB_BUDGET_S:g} s"
    raise HubError(f"The face detector YuNet could not be fetched from the Hub ({reason}): {remedy}.") from cause


def _check_image(image: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image is (H, W, 3) RGB uint8; got {image.dtype} of shape {image.shape}.")


def _at_any_roll(
    look: Callable[[np.ndarray], list[tuple[Face, float]]], image: np.ndarray, least_score: float
) -> list[Face]:
    """The faces of a picture that may lie on its side or upside down, largest box first.

    Networks that learned upright heads miss lying ones or give them upright points, whose proportions are those of any
    face. What betrays them is the score of a crop turned upright by such points: it shows a head that still lies. So
    unless a face has a high one, the picture is looked at from its other three sides too, and the highest wins.

    Args:
        look: a picture -> its faces, each with the score of such a crop, in 0..1.
        least_score: what it takes to turn the picture, so that more looks do not show more faces where there are none.
    """
    _check_image(image)
    found = look(image)
    if not any(score >= _SURE and abs(_tilt(face.points)) <= _MOST_TILT for face, score in found):
        best = max((score for _, score in found), default=0.0)
        for quarters in (1, 2, 3):
            turned = look(np.ascontiguousarray(np.rot90(image, quarters)))
            score = max((score for _, score in turned), default=0.0)
            if score > max(best, least_score):
                best, found = score, [(_turned_back(face, image.shape, quarters), score) for face, score in turned]
    return sorted((face for face, _ in found), key=_area, reverse=True)


def _cut(image: np.ndarray, scale: float, shift: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
    """`size` (width, height) pixels with point p of the picture at scale * p + shift; grey where the picture ends."""
    shift, size = np.asarray(shift, np.float64), np.asarray(size)
    length = np.array(image.shape[1::-1])
    # Only the part that shows, with two pixels to spare for the interpolation.
    start = np.clip(np.floor(-shift / scale - 2), 0, length - 1).astype(int)
    stop = np.clip(np.ceil((size - shift) / scale + 2), start + 1, length).astype(int)
    part = image[start[1] : stop[1], start[0] : stop[0]]
    # Reduced by area first, as the bilinear step below looks at 2x2 pixels only.
    reduced = np.maximum(1, np.rint((stop - start) * min(1.0, scale * 2 if scale < 0.5 else 1.0))).astype(int)
    ratio = reduced / (stop - start)
    if (ratio < 1).any():
        part = cv2.resize(part, reduced.tolist(), interpolation=cv2.INTER_AREA)
    # part's pixel q shows the point p with q = ratio * (p - start + 0.5) - 0.5
    gain = scale / ratio
    offset = scale * (start - 0.5) + shift + gain * 0.5
    matrix = np.array([[gain[0], 0, offset[0]], [0, gain[1], offset[1]]])
    return cv2.warpAffine(part, matrix, size.tolist(), flags=cv2.INTER_LINEAR, borderValue=_GREY)


def _upright(image: np.ndarray, middle: np.ndarray, half: np.ndarray, size: int) -> np.ndarray:
    """A crop of `size` pixels a side around `middle`; `half` (2,) points from there to the middle of its right edge."""
    length = float(np.hypot(*half))
    wide = 3 * size // 2  # room to turn in
    scale = size / (2 * length)
    reduced = _cut(image, scale, (wide - 1) / 2 - scale * middle, (wide, wide))
    cos, sin = half / length
    turn = np.array([[cos, sin], [-sin, cos]])
    shift = (size - 1) / 2 - turn @ np.full(2, (wide - 1) / 2)
    return cv2.warpAffine(reduced, np.column_stack([turn, shift]), (size, size), borderValue=_GREY)


def _placed(points: np.ndarray, middle: np.ndarray, half: np.ndarray, size: int) -> np.ndarray:
    """Points (N, 2) of an `_upright` crop in coordinates of its picture."""
    along = (points - (size - 1) / 2) / (size / 2)
    return middle + along @ np.array([half, [-half[1], half[0]]])


def _tilt(points: np.ndarray) -> float:
    """How far a face is turned clockwise in its picture, in radians: the way from its mouth to its eyes."""
    x, y = points[:2].mean(axis=0) - points[3:].mean(axis=0)
    return float(np.arctan2(x, -y))


def _unit(pixels: np.ndarray):
    """uint8 -> float tensor in [-1, 1]."""
    import torch

    return torch.from_numpy(pixels).float() / 127.5 - 1


def _faces(scores, points) -> list[Face]:
    """Faces of scores (N,) and points (N, 5, 2), both tensors; the box follows from the points."""
    import torch

    from leed_hub.models.face_locator import MEAN_BOX, face_frames, placed

    middles, axes = face_frames(points)
    corners = torch.tensor(MEAN_BOX).view(2, 2)
    centres = placed(corners.mean(dim=0, keepdim=True), middles, axes)[:, 0]
    reach = (corners[1] - corners[0]) / 2 * axes.norm(dim=1, keepdim=True)  # a turned face keeps an upright box
    boxes = torch.cat([centres - reach, centres + reach], dim=1)
    rows = (boxes.tolist(), scores.tolist(), points.numpy())
    return [Face(tuple(box), score, five) for box, score, five in zip(*rows, strict=True)]


def _without_overlaps(faces: list[Face], most: float = 0.35) -> list[Face]:
    """The likeliest first; of several that overlap by more than `most`, the likeliest only."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: face.score, reverse=True):
        if all(_overlap(face.box, other.box) <= most for other in kept):
            kept.append(face)
    return kept


def _moved_back(face: Face, scale: float, shift: tuple[float, float]) -> Face:
    """A face of a `_cut`, in coordinates of the picture it was cut from."""
    x0, y0, x1, y1 = face.box
    (x0, y0), (x1, y1) = ((np.array([[x0, y0], [x1, y1]]) - shift) / scale).tolist()
    return replace(face, box=(x0, y0, x1, y1), points=((face.points - shift) / scale).astype(np.float32))


def _turned_back(face: Face, shape: tuple[int, ...], quarters: int) -> Face:
    """A face of `np.rot90(picture, quarters)`, in coordinates of the picture, which has that shape."""
    middle = (np.array(shape[1::-1]) - 1) / 2
    turned_middle = middle[::-1] if quarters % 2 else middle
    turn = np.linalg.matrix_power([[0, 1], [-1, 0]], quarters)  # of row vectors (x, y), y downwards

    def back(points: np.ndarray) -> np.ndarray:
        return (points - turned_middle) @ turn + middle

    corners = back(np.reshape(face.box, (2, 2)))
    box = (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
    return replace(face, box=box, points=back(face.points).astype(np.float32))


def _mirrored(face: Face, width: int) -> Face:
    """A face of the mirrored picture, `width` pixels wide, as the picture itself shows it."""
    x0, y0, x1, y1 = face.box
    points = face.points[_MIRRORED] * np.float32([-1, 1]) + np.float32([width - 1, 0])
    return replace(face, box=(width - 1 - x1, y0, width - 1 - x0, y1), points=points)


def _area(face: Face) -> float:
    x0, y0, x1, y1 = face.box
    return (x1 - x0) * (y1 - y0)


def _overlap(first: tuple[float, float, float, float], second: tuple[float, float, float, float]) -> float:
    """Intersection over union of two boxes."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    common = max(width, 0.0) * max(height, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return common / (sum(areas) - common) if common else 0.0
