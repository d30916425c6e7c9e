"""Pictures that Pillow opens without a word and shows otherwise than they are: they must be refused."""

import io
import re
from typing import IO

from PIL import Image, TiffImagePlugin

_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")  # of a JPEG, but for those within its compressed data
_SCAN, _END, _FILLER = 0xDA, 0xD9, b"\x5a\xa5\x3c" * 32
_COEFFICIENTS = 64  # of a block


def has_misread_layout(image: Image.Image) -> bool:
    """Whether the samples of a picture that is not loaded yet lie in a way in which Pillow mistakes them."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return not _is_plain(image.tag_v2)
    # The transparent grey or colour is compared with samples that were scaled to eight bits.
    (*_, samples), *_ = getattr(image, "tile", None) or [("",)]
    return "transparency" in image.info and samples in ("L;2", "L;4", "I;16B", "RGB;16B")


def _is_plain(tags: TiffImagePlugin.ImageFileDirectory_v2) -> bool:
    """Of a TIFF's layouts, those of which written files were read back right."""
    bits = set(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
    kinds = set(tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,)))
    colours = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION)
    if bits == {32}:  # one plane of floats or of signed numbers
        return colours == 1 and kinds in ({2}, {3})
    if colours not in (0, 1, 2, 3, 5, 6) or kinds != {1}:
        return False
    if colours == 6 and tags.get(TiffImagePlugin.COMPRESSION, 1) == 1:  # YCbCr, whose chroma may be of fewer pixels
        return False
    is_interleaved = tags.get(TiffImagePlugin.PLANAR_CONFIGURATION, 1) == 1
    if bits == {16}:
        return colours != 0 and is_interleaved and tags.get(TiffImagePlugin.FILLORDER, 1) == 1
    is_one_grey = colours == 1 and bits in ({1}, {8}) and tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1) == 1
    return bits <= {1, 2, 4, 8} and (is_interleaved or colours in (2, 5) or is_one_grey)


def lacks_its_end(image: Image.Image, file: IO[bytes]) -> bool:
    """Whether a JPEG's compressed data ends before its last pixel, or before the last scan that refines them.

    The decoder is content with any end marker: what is missing is grey, or blurred. It is asked a second time, with
    something in front of the marker: a whole picture stays the same. Where it ends between two scans, their headers
    tell which bits of which coefficients never came; all encoders that we know send all of them.

    Args:
        image: the picture, loaded.
        file: where it was read from.
    """
    file.seek(0)
    data, place = file.read(), 2
    bits_to_come: dict[tuple[int, int], int] = {}  # of each component's coefficients
    while (marker := _MARKER.search(data, place)) and marker[0][1] != _END:
        place = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        if marker[0][1] == _SCAN:  # ITU-T T.81, B.2.3
            *components, first, last, approximation = data[marker.end() + 3 : place]
            bits_to_come |= {
                (component, number): approximation & 15
                for component in components[::2]
                for number in range(first, last + 1)
            }
    if marker is None:
        return False
    if len(bits_to_come) < _COEFFICIENTS * len(image.getbands()) or any(bits_to_come.values()):
        return True
    corner = image.crop((image.width - 4, image.height - 4, image.width, image.height))
    if corner.getcolors(1) is None and not image.info.get("progressive"):  # the grey would reach the last corner
        return False
    filled = data[: marker.start()] + _FILLER + data[marker.start() :]
    with Image.open(io.BytesIO(filled), formats=["JPEG"]) as other:
        return other.tobytes() != image.tobytes()
