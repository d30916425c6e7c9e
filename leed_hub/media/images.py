"""Pictures in: one tolerant, bounded loader for files, PIL images and arrays."""

import io
import os
import re
import stat
from contextlib import contextmanager

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin

from leed_hub.errors import BadImageError
from leed_hub.media.misread import has_misread_layout, lacks_its_end

MAX_PIXELS = 40_000_000  # a 40-megapixel photograph is 120 MB of RGB; Pillow alone would allow 179 million
MIN_SIDE = 8
FORMATS = ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"]  # told apart by their first bytes; no others are parsed
# How names of picture files end, in lower case; what else lies in a folder is passed over.
ENDINGS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif",
    ".heic", ".heif", ".hif",
)  # fmt: skip
ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")  # others hold several pictures, too, which are no film
NO_URLS = "URLs are not read; download the file and give its path."
_HEIC = re.compile(rb"....ftyp(hei|hev|mif|msf)", re.DOTALL)
_TIFF = re.compile(rb"II[*+]\0|MM\0[*+]")
_URL = re.compile(r"([a-z][a-z0-9+.-]+:/|data:)", re.IGNORECASE)  # pathlib makes one slash of two
_DAMAGED = "{name} is damaged, incomplete or written in an unusual way, and cannot be read as a picture."
_UNUSUAL = "{name} is a {kind} whose samples lie in an unusual way; save it anew with 8 bits a sample."
# ComfyUI's pictures hold their whole workflow, and printers' profiles are as large; 64 MB in all stay the limit.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY

try:  # the extra `heif`
    from pillow_heif import register_heif_opener
except ModuleNotFoundError:
    pass
else:
    register_heif_opener()
    FORMATS.append("HEIF")


def load_image(
    source: str | os.PathLike | Image.Image | np.ndarray | bytes, *, keeps_transparency: bool = False
) -> Image.Image:
    """Open any picture as upright 8-bit sRGB without metadata.

    Transparent pixels are composited on white, 16-bit and float pixels are scaled rather than clipped, an embedded
    ICC profile is converted to sRGB (a broken one is ignored), and of an animation the first frame is taken.
    A PNG's gAMA chunk is not applied.

    Args:
        source: a path; the bytes of a picture file; a PIL image; or an array, (H, W), (H, W, 1), (H, W, 3) or
            (H, W, 4), of uint8, uint16, or floats in [0, 1].
        keeps_transparency: give what is transparent as "RGBA" instead.
    Returns:
        Image.Image: mode "RGB", with empty `.info`.
    Raises:
        BadImageError: if it is no JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF or HEIC picture, is damaged, or is too large or
            small; or if it is a HEIC picture, and pillow-heif is not installed.
    """
    if isinstance(source, np.ndarray):
        picture = _upright(_from_array(source), "the array")
    elif isinstance(source, Image.Image):
        picture = _upright(source, printable_name(os.path.basename(getattr(source, "filename", "") or "the image")))
    else:
        with opened_image(source) as (image, name):
            is_jpeg, file = image.format in ("JPEG", "MPO"), image.fp
            picture = _upright(image, name)
            if is_jpeg and lacks_its_end(image, file):
                raise BadImageError(f"{name} is incomplete: its end is missing.")
    return picture if keeps_transparency else on_white(picture)


def on_white(picture: Image.Image) -> Image.Image:
    """An "RGBA" picture in front of white; any other as it is."""
    if picture.mode != "RGBA":
        return picture
    return Image.composite(picture.convert("RGB"), Image.new("RGB", picture.size, "white"), picture.getchannel("A"))


def with_transparency(edited: np.ndarray, original: Image.Image) -> Image.Image:
    """An edit of a picture on white, as transparent as the "RGBA" picture was; what was not edited is as it was."""
    before, alpha = np.asarray(on_white(original)), np.asarray(original.getchannel("A"))
    colours = np.array(original)
    is_changed = (edited != before).any(axis=2) & (alpha > 0)
    share = alpha[is_changed, None] / 255
    colours[is_changed, :3] = np.rint((edited[is_changed] - 255 * (1 - share)) / share).clip(0, 255)
    return Image.fromarray(colours)


def is_picture(path: str | os.PathLike) -> bool:
    """Whether a file begins as a picture does, of a kind that we open or know by name."""
    if not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            if _HEIC.match(file.read(12)):
                return True
        Image.open(path, formats=FORMATS).close()
    except OSError:  # among them: no kind of picture fits
        return False
    except Exception:  # one fits, but it is damaged, or too large
        return True
    return True


def is_animated(path: str | os.PathLike) -> bool:
    """Whether a file is a picture that moves."""
    try:
        with opened_image(path) as (image, _):
            return image.format in ANIMATED and getattr(image, "n_frames", 1) > 1
    except BadImageError:
        return False


@contextmanager
def opened_image(source: str | os.PathLike | bytes):
    """(image, name) with only the header read, its size checked, and any trouble turned into a `BadImageError`."""
    if isinstance(source, bytes):
        file, name = io.BytesIO(source), "the image"
    elif isinstance(source, str | os.PathLike):
        file, name = _regular_file(source)
    else:
        raise BadImageError(
            f"A picture is a path, bytes, a PIL image or a NumPy array; this is a {type(source).__name__}."
        )
    with file:
        try:
            if not (head := file.read(12)):
                raise BadImageError(f"{name} is empty (0 bytes).")
            file.seek(0)
            with Image.open(file, formats=FORMATS) as image:
                _check_size(image.size, name)
                yield image, name
        except BadImageError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise BadImageError(f"{name} is larger than the {MAX_PIXELS // 10**6} megapixels allowed.") from error
        except Image.UnidentifiedImageError as error:
            if _HEIC.match(head) and "HEIF" not in FORMATS:
                said = f'{name} is a HEIC picture, which needs pillow-heif: pip install "leed-hub[heif]".'
            elif _TIFF.match(head):
                said = _UNUSUAL.format(name=name, kind="TIFF")
            else:
                said = f"{name} is not a JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF or HEIC picture."
            raise BadImageError(said) from error
        except (
            Exception
        ) as error:  # Pillow's parsers meet damage with many types: OSError, SyntaxError, struct.error...
            raise BadImageError(_DAMAGED.format(name=name)) from error


def _regular_file(path: str | os.PathLike):
    """(open file, printable base name); asks what the path is before opening, since opening a FIFO would wait."""
    path = os.fsdecode(path)
    name = printable_name(os.path.basename(path.rstrip(os.sep)) or path)
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise BadImageError(f"{name} is a folder, not a picture.")
        if not stat.S_ISREG(mode):
            raise BadImageError(f"{name} is not a regular file.")
        return open(path, "rb"), name
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        if is_url(path):
            raise BadImageError(NO_URLS) from error
        if isinstance(error, FileNotFoundError):
            raise BadImageError(f"{name}: there is no such file.") from error
        reason = getattr(error, "strerror", None) or "the path is not valid"
        raise BadImageError(f"{name} cannot be opened: {reason}.") from error


def is_url(path: str | os.PathLike) -> bool:
    """Whether a path is a URL, for `NO_URLS` in place of a file that is missing; a file may have such a name."""
    return _URL.match(os.fsdecode(path)) is not None


def printable(text: str) -> str:
    """A text that is safe to show: without control characters, which a terminal obeys, and undecodable bytes."""
    return "".join(c if c.isprintable() else "?" for c in text)


def printable_name(name: str) -> str:
    """A file name that is safe to show: short, and printable."""
    shown = printable(name)
    return shown if len(shown) <= 80 else f"{shown[:60]}...{shown[-16:]}"


def _check_size(size: tuple[int, int], name: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise BadImageError(
            f"{name} has {width}x{height} pixels; at most {MAX_PIXELS // 10**6} megapixels are allowed."
        )
    if min(size) < MIN_SIDE:
        raise BadImageError(f"{name} has {width}x{height} pixels; each side needs at least {MIN_SIDE}.")


def _from_array(array: np.ndarray) -> Image.Image:
    """An 8-bit PIL image of a (H, W[, 1|3|4]) array."""
    kind = f"{array.dtype} of shape {tuple(array.shape)}"
    expected = "An array is expected as (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, uint16 or floats in [0, 1]"
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise BadImageError(f"{expected}; this is {kind}.")
    _check_size((array.shape[1], array.shape[0]), "the array")
    if array.dtype == np.uint16:
        array = _to_uint8(array, 0, 65535)
    elif array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        if not (low >= -1e-3 and high <= 1 + 1e-3):  # written so that NaN fails; interpolation may overshoot a little
            raise BadImageError(f"{expected}; this is {kind} with values from {low:g} to {high:g}.")
        array = _to_uint8(array, 0.0, 1.0)
    elif array.dtype != np.uint8:
        raise BadImageError(f"{expected}; this is {kind}.")
    return Image.fromarray(np.ascontiguousarray(array[:, :, 0] if array.shape[2:] == (1,) else array))


def _upright(image: Image.Image, name: str) -> Image.Image:
    """Decode, then depth, colour space, orientation, in that order; a new "RGB" or "RGBA" image without metadata."""
    _check_size(image.size, name)
    if has_misread_layout(image):
        raise BadImageError(_UNUSUAL.format(name=name, kind=image.format))
    try:
        image.load()
        try:
            orientation = image.getexif().get(ExifTags.Base.Orientation)
        except Exception:  # broken EXIF must not cost the user the picture
            orientation = None
        icc_profile = image.info.get("icc_profile")
        if image.mode.startswith("I") or image.mode == "F":
            image = _deep_to_grey(image, name)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            colours = _to_srgb(image.convert("RGB"), icc_profile)
            colours.putalpha(image.getchannel("A"))
            image = colours
        else:
            image = _to_srgb(image, icc_profile)
        upright = without_metadata(image)
        if orientation is not None:
            upright.getexif()[ExifTags.Base.Orientation] = orientation
            upright = without_metadata(ImageOps.exif_transpose(upright))
        return upright
    except BadImageError:
        raise
    except Exception as error:  # as in `opened_image`: also for a PIL image whose file is closed or damaged
        raise BadImageError(_DAMAGED.format(name=name)) from error


def _deep_to_grey(image: Image.Image, name: str) -> Image.Image:
    """8-bit grey from modes I;16*, I and F, which Pillow's own `convert` clips at 255 to an almost white picture.

    I;16 spans 0..65535 by its file formats. I and F say nothing about their range: we take the first of 0..1 (F),
    0..255, 0..65535 that holds every value, and the picture's own range where none does.
    """
    values = np.asarray(image)
    if not np.isfinite(values).all():
        raise BadImageError(f"{name} has pixels that are not finite numbers.")
    low, high = values.min(), values.max()
    if image.mode.startswith("I;16"):
        low, high = 0, 65535
    elif low >= 0 and high <= 65535:
        tops = (1, 255, 65535) if image.mode == "F" else (255, 65535)
        low, high = 0, next(top for top in tops if high <= top)
    return Image.fromarray(_to_uint8(values, low, high))


def _to_uint8(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map [low, high] linearly to 0..255, rounded to nearest."""
    scaled = (values.astype(np.float64) - low) * (255.0 / max(high - low, 1e-12))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _to_srgb(image: Image.Image, icc_profile: bytes | None) -> Image.Image:
    """RGB through the embedded profile where it is usable, else by Pillow's plain conversion."""
    if icc_profile:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
            space = profile.profile.xcolor_space.strip()
            if space == "RGB" and image.mode != "RGB":
                image = image.convert("RGB")
            elif space == "GRAY" and image.mode != "L":
                image = image.convert("L")
            # sRGB to sRGB would only add rounding.
            if "sRGB" not in ImageCms.getProfileDescription(profile):
                converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
                image = converted or image
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass  # broken, or made for another colour space than the pixels
    return image.convert("RGB")


def without_metadata(image: Image.Image) -> Image.Image:
    """The pixels alone: EXIF (with GPS), XMP and profiles stay behind."""
    clean = Image.new(image.mode, image.size)
    clean.paste(image)
    return clean
