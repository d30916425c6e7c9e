"""Provenance: edited pictures and videos say inside that they are AI-edited, as EU AI Act Art. 50(2) asks for."""

import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from PIL import Image

from leed_hub.errors import BadImageError
from leed_hub.media.files import atomic_path
from leed_hub.media.images import on_white, opened_image, printable_name, without_metadata

SAVE_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
ANIMATION_FORMATS = {".gif": "GIF", ".webp": "WEBP"}

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
<xmp:CreatorTool>{software}</xmp:CreatorTool>
<Iptc4xmpExt:DigitalSourceType>{source_type}</Iptc4xmpExt:DigitalSourceType>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


def edited_xmp(software: str) -> str:
    """The XMP packet that declares an AI edit and names what made it."""
    printable = "".join(c if c.isprintable() else " " for c in software)  # XML has no control characters
    return _XMP.format(software=escape(printable), source_type=DIGITAL_SOURCE_TYPE)


def edited_comment(software: str) -> str:
    """The same in one line, for formats that have room for a comment only."""
    return f"AI-edited with {software}: {DIGITAL_SOURCE_TYPE}"


def edited_bytes(image: Image.Image, image_format: str, *, software: str) -> bytes:
    """Encode an edited picture with XMP metadata that declares the AI edit, as EU AI Act Art. 50(2) asks for.

    Source of the vocabulary: IPTC digital source types, https://cv.iptc.org/newscodes/digitalsourcetype.

    Args:
        image: the edited picture; none of its own metadata is kept. Transparency stays, in a JPEG it becomes white.
        image_format (str): "PNG" (lossless), "JPEG" (quality 95, no chroma subsampling) or "WEBP" (quality 95).
        software (str): what made the edit, model name and revision, such as "leed_hub LEED 1a2b3c4".
    Raises:
        BadImageError: if the format is another one or cannot hold this picture.
    """
    if image_format not in SAVE_FORMATS.values():
        raise BadImageError(f"An edited picture is saved as PNG, JPEG or WEBP, not as {image_format!r}.")
    xmp = edited_xmp(software)
    options: dict[str, Any]
    if image_format == "PNG":
        from PIL.PngImagePlugin import PngInfo

        information = PngInfo()
        information.add_itxt("XML:com.adobe.xmp", xmp)
        options = {"pnginfo": information, "compress_level": 1}  # 6, the default, takes 24 MP 2.7 times as long
    elif image_format == "JPEG":
        options = {"xmp": xmp.encode(), "quality": 95, "subsampling": "4:4:4"}
    else:
        options = {"xmp": xmp.encode(), "quality": 95}
    encoded = io.BytesIO()
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    try:
        without_metadata(on_white(image) if image_format == "JPEG" else image).save(encoded, image_format, **options)
    except (OSError, ValueError) as error:  # e.g. a WebP beyond 16383 pixels
        raise BadImageError(f"This {image.width}x{image.height} picture cannot be saved as {image_format}.") from error
    return encoded.getvalue()


def save_edited(image: Image.Image, path: str | os.PathLike, *, software: str) -> None:
    """Write an edited picture, marked as in `edited_bytes`; a file already there is replaced only by a whole one.

    Args:
        path: ends in .png, .jpg, .jpeg or .webp, which chooses the format.
        software (str): model name and revision.
    Raises:
        BadImageError: if the ending is another one or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in SAVE_FORMATS:
        allowed = ", ".join(SAVE_FORMATS)
        raise BadImageError(f"{printable_name(path.name)}: an edited picture is saved as one of {allowed}.")
    _write(path, edited_bytes(image, SAVE_FORMATS[path.suffix.lower()], software=software))


def save_edited_animation(
    images: Iterable[Image.Image], path: str | os.PathLike, *, ms_a_frame: int, software: str
) -> None:
    """Write edited pictures, RGB and of one size, as one that moves, again and again; marked as `save_edited` does.

    Args:
        path: ends in .gif or .webp.
        ms_a_frame: how long each is shown.
        software (str): model name and revision.
    Raises:
        BadImageError: if the file cannot be written.
    """
    image_format = ANIMATION_FORMATS[Path(path).suffix.lower()]
    first, *others = images
    encoded = io.BytesIO()
    options: dict[str, Any] = {"comment": edited_comment(software)}  # in a GIF, for which Pillow writes no XMP
    if image_format == "WEBP":
        options = {"xmp": edited_xmp(software).encode(), "quality": 90}
    first.save(encoded, image_format, save_all=True, append_images=others, duration=ms_a_frame, loop=0, **options)
    _write(Path(path), encoded.getvalue())


def _write(path: Path, data: bytes) -> None:
    try:
        with atomic_path(path) as unfinished, open(unfinished, "xb") as file:  # "x" and the umask, not tempfile's 0600
            file.write(data)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the path is not valid"
        raise BadImageError(f"{printable_name(path.name)} could not be written: {reason}.") from error


def is_marked_edited(source: str | os.PathLike | bytes) -> bool:
    """Whether a picture's XMP metadata, or a GIF's comment, declares it edited with a trained algorithm.

    Raises:
        BadImageError: as `load_image` does, when the picture cannot be opened.
    """
    with opened_image(source) as (image, _):
        if image.format == "PNG":
            image.load()  # a PNG may carry its text after the pixels
        told = image.info.get("comment" if image.format == "GIF" else "xmp", b"")
    return DIGITAL_SOURCE_TYPE in (told.decode("utf-8", "replace") if isinstance(told, bytes) else told)
