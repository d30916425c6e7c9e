"""Pictures in: one tolerant, bounded loader for files, PIL images and arrays."""

import io
import os
import stat
from contextlib import contextmanager

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps

from leed_hub.errors import BadImageError

MAX_PIXELS = 40_000_000  # a 40-megapixel photograph is 120 MB of RGB; Pillow alone would allow 179 million
MIN_SIDE = 8
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")  # told apart by their first bytes; no other parser is run


def load_image(source: str | os.PathLike | Image.Image | np.ndarray | bytes) -> Image.Image:
    """Open any picture as upright 8-bit sRGB without metadata.

    Transparent pixels are composited on white, 16-bit and float pixels are scaled rather than clipped, an embedded
    ICC profile is converted to sRGB (a broken one is ignored), and of an animation the first frame is taken.
    A PNG's gAMA chunk is not applied.

    Args:
        source: a path; the bytes of a picture file; a PIL image; or an array, (H, W), (H, W, 1), (H, W, 3) or
            (H, W, 4), of uint8, uint16, or floats in [0, 1].
    Returns:
        Image.Image: mode "RGB", with empty `.info`.
    Raises:
        BadImageError: if it is no JPEG, PNG, WebP, BMP, GIF or TIFF picture, is damaged, or is too large or small.
    """
    if isinstance(source, np.ndarray):
        return _upright_rgb(_from_array(source), "the array")
    if isinstance(source, Image.Image):
        return _upright_rgb(source, printable_name(os.path.basename(getattr(source, "filename", "") or "the image")))
    with opened_image(source) as (image, name):
        return _upright_rgb(image, name)


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
            if not file.read(1):
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
            raise BadImageError(f"{name} is not a JPEG, PNG, WebP, BMP, GIF or TIFF picture.") from error
        except (
            Exception
        ) as error:  # Pillow's parsers meet damage with many types: OSError, SyntaxError, struct.error...
            raise BadImageError(f"{name} is damaged or incomplete and cannot be read as a picture.") from error


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
    except FileNotFoundError as error:
        raise BadImageError(f"{name}: there is no such file.") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        reason = getattr(error, "strerror", None) or "the path is not valid"
        raise BadImageError(f"{name} cannot be opened: {reason}.") from error


def printable_name(name: str) -> str:
    """A file name that is safe to show: short, and free of control characters and undecodable bytes."""
    shown = "".join(c if c.isprintable() else "?" for c in name)
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


def _upright_rgb(image: Image.Image, name: str) -> Image.Image:
    """Decode, then depth, colour space, transparency, orientation, in that order; a new image without metadata."""
    _check_size(image.size, name)
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
            image = Image.composite(colours, Image.new("RGB", image.size, "white"), image.getchannel("A"))
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
        raise BadImageError(f"{name} is damaged or incomplete and cannot be read as a picture.") from error


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
