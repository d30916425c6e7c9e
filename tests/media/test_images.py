"""Odd and broken pictures through the loader, and the AI-edited mark through the saver."""

import io
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import EXAMPLES
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from leed_hub.errors import BadImageError
from leed_hub.media import images
from leed_hub.media.images import MAX_PIXELS, is_animated, is_picture, load_image
from leed_hub.media.provenance import edited_bytes, is_marked_edited, save_edited

DEEP = np.array([[0, 128, 129, 257, 386, 32896, 65407, 65535]] * 8, dtype=np.uint16)
DEEP_GOLDEN = [0, 0, 1, 1, 2, 128, 255, 255]  # value / 257, to nearest: 128 / 257 = 0.498, 129 / 257 = 0.502


def gradient(width=24, height=16):
    """A picture no symmetry leaves unchanged: red grows to the right, green downwards."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 10, y * 15, np.full_like(x, 40)], axis=2).astype(np.uint8))


def pixels(image):
    return np.asarray(image).astype(int)


def saved(image, path, **options):
    image.save(path, **options)
    return path


def png_header_of(width, height):
    """A PNG that claims a size and carries next to no pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def red_green_swapped_profile():
    """A minimal ICC v2 profile: sRGB's primaries at gamma 1, with red and green exchanged."""

    def xyz(*values):
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))

    linear = b"curv" + struct.pack(">II", 0, 0)
    name = b"desc\0\0\0\0" + struct.pack(">I", 8) + b"swapped\0" + b"\0" * 78
    tags = {
        b"desc": name,
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.3851, 0.7169, 0.0971),
        b"gXYZ": xyz(0.4361, 0.2225, 0.0139),
        b"bXYZ": xyz(0.1431, 0.0606, 0.7141),
        b"rTRC": linear,
        b"gTRC": linear,
        b"bTRC": linear,
    }
    table, body, offset = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        table += tag + struct.pack(">II", offset + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    illuminant = struct.pack(">3i", 63190, 65536, 54061)
    header = struct.pack(">I4sI4s4s4s", offset + len(body), b"none", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    header += b"\0" * 12 + b"acsp" + b"\0" * 28 + illuminant
    return header.ljust(128, b"\0") + table + body


# I4: colour modes


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "gif", "webp"])
def test_lossless_formats_keep_every_pixel(tmp_path, suffix):
    path = saved(gradient(), tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    loaded = load_image(path)
    assert (loaded.mode, loaded.info) == ("RGB", {})
    assert np.abs(pixels(loaded) - pixels(gradient())).max() <= (8 if suffix == "gif" else 0)  # GIF has a palette


@pytest.mark.parametrize(
    ("mode", "suffix", "tolerance"),
    [("CMYK", "tiff", 1), ("CMYK", "jpg", 8), ("YCbCr", "jpg", 16), ("P", "png", 60), ("L", "png", 0), ("1", "png", 0)],
)
def test_any_colour_mode_becomes_rgb(tmp_path, mode, suffix, tolerance):
    original = gradient().convert(mode)
    loaded = load_image(saved(original, tmp_path / f"a.{suffix}"))
    assert loaded.mode == "RGB"
    assert np.abs(pixels(loaded) - pixels(original.convert("RGB"))).max() <= tolerance


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_transparency_is_composited_on_white(mode):
    picture = Image.new("RGBA", (16, 16), (0, 0, 0, 0))  # black under a clear left half, opaque black on the right
    picture.paste((0, 0, 0, 255), (8, 0, 16, 16))
    if mode == "P":
        picture = picture.quantize(4)
    elif mode == "PA":
        picture = picture.convert("RGBA").convert("PA")
    loaded = load_image(picture.convert(mode))
    assert loaded.getpixel((0, 0)) == (255, 255, 255)
    assert loaded.getpixel((12, 0)) == (0, 0, 0)


def test_half_transparency_is_half_white(tmp_path):
    path = saved(Image.new("RGBA", (8, 8), (255, 0, 0, 128)), tmp_path / "a.png")
    assert load_image(path).getpixel((0, 0)) == (255, 127, 127)  # 255 * (1 - 128 / 255)


# I5: deep pixels


@pytest.mark.parametrize("name", ["little.png", "little.tiff", "big.tiff", "int32.tiff", "float.tiff"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, name):
    image = {
        "little": lambda: Image.fromarray(DEEP),
        "big": lambda: Image.frombytes("I;16B", (8, 8), DEEP.astype(">u2").tobytes()),
        "int32": lambda: Image.fromarray(DEEP.astype(np.int32)),
        "float": lambda: Image.fromarray(DEEP.astype(np.float32)),
    }[name.split(".")[0]]()
    assert np.asarray(load_image(saved(image, tmp_path / name)))[3, :, 1].tolist() == DEEP_GOLDEN
    assert np.asarray(load_image(image))[3, :, 1].tolist() == DEEP_GOLDEN


def test_float_pixels_take_the_range_that_holds_them():
    unit = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    for values in (unit, unit * 255, unit * 65535, unit * 7e6 - 3e6):
        assert np.ptp(pixels(load_image(Image.fromarray(values.astype(np.float32))))) == 255
    with pytest.raises(BadImageError, match="finite"):
        load_image(Image.fromarray(np.full((8, 8), np.nan, np.float32)))


# I6: orientation


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(tmp_path, orientation, suffix):
    upright = gradient()
    stored = {  # what a camera held that way stores: the inverse of what a viewer does
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation](np.asarray(upright))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"webp": {"lossless": True}, "jpg": {"quality": 98, "subsampling": 0}}.get(suffix, {})
    path = saved(Image.fromarray(np.ascontiguousarray(stored)), tmp_path / f"a.{suffix}", exif=exif, **options)
    loaded = load_image(path)
    assert loaded.size == upright.size
    assert np.abs(pixels(loaded) - pixels(upright)).max() <= (8 if suffix == "jpg" else 0)
    assert loaded.getexif().get(0x0112) is None


def test_metadata_of_the_input_is_dropped(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    exif.get_ifd(0x8825)[1] = "N"  # GPS
    path = saved(gradient(), tmp_path / "a.jpg", exif=exif, comment=b"mine", xmp=b"<x/>", dpi=(72, 72))
    loaded = load_image(path)
    assert loaded.info == {}
    assert dict(loaded.getexif()) == {}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_costs_nothing(tmp_path):
    path = saved(gradient(), tmp_path / "a.png", exif=b"Exif\0\0MM\0*\0\0\xff\xff garbage")
    assert load_image(path).size == (24, 16)


# I7: animations


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tiff"])
def test_an_animation_gives_its_first_frame(tmp_path, suffix):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime")]
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(frames[0], tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], **options)
    assert load_image(path).getpixel((8, 8)) == (255, 0, 0)


# I8, I11: no picture at all

BROKEN = {
    "empty.jpg": (b"", "empty"),
    "text.jpg": (b"just a few words, nothing else" * 9, "not a JPEG"),
    "page.png": (b"<!DOCTYPE html><html><body>Sign in to the network</body></html>", "not a JPEG"),
    "drawing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "not a JPEG"),
    "paper.pdf": (b"%PDF-1.7\n1 0 obj\n", "not a JPEG"),
    "page.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\n", "not a JPEG"),
    "magic_only.png": (b"\x89PNG\r\n\x1a\n", "picture"),
    "magic_only.jpg": (b"\xff\xd8\xff\xe0", "picture"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_picture_is_named_in_one_sentence(tmp_path, name):
    content, words = BROKEN[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadImageError, match=words) as caught:
        load_image(path)
    assert name in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(BadImageError, match=words):
        load_image(content)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "gif", "tiff"])
def test_a_truncated_file_is_refused(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = saved(Image.fromarray(noise), tmp_path / f"whole.{suffix}")
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadImageError, match=rf"cut\.{suffix}"):
        load_image(cut)


def test_a_format_outside_the_list_is_refused_though_pillow_opens_it(tmp_path):
    path = saved(gradient(), tmp_path / "a.ppm")
    with pytest.raises(BadImageError, match="not a JPEG"):
        load_image(path)


def test_paths_that_are_no_files_are_refused(tmp_path):
    (tmp_path / "folder.png").mkdir()
    for path, words in [
        (tmp_path / "folder.png", "folder"),
        (tmp_path / "missing.png", "no such file"),
        (tmp_path / ("long" * 100 + ".png"), "cannot be opened"),
        ("null\0.png", "not valid"),
    ]:
        with pytest.raises(BadImageError, match=words) as caught:
            load_image(path)
        assert len(str(caught.value)) < 200
    with pytest.raises(BadImageError, match="this is a int"):
        load_image(7)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_fifo_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    caught = []

    def attempt():
        try:
            load_image(tmp_path / "pipe.png")
        except BadImageError as error:
            caught.append(str(error))

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(5)
    assert caught == ["pipe.png is not a regular file."]


def test_odd_names_and_links_open(tmp_path):
    for name in ["mein Gesicht ü 顔.png", "no_suffix", "new\nline.png"]:
        path = saved(gradient(), tmp_path / name, format="PNG")
        assert load_image(str(path)).size == (24, 16)
    (tmp_path / "link.png").symlink_to(tmp_path / "no_suffix")
    assert load_image(tmp_path / "link.png").size == (24, 16)
    with pytest.raises(BadImageError) as caught:
        load_image(tmp_path / "absent\nline.png")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_no_file_stays_open(tmp_path):
    good = saved(gradient(), tmp_path / "a.png")
    bad = tmp_path / "b.png"
    bad.write_bytes(good.read_bytes()[:60])
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        load_image(good)
        is_marked_edited(good)
        with pytest.raises(BadImageError):
            load_image(bad)
    assert len(os.listdir("/proc/self/fd")) == before


# I9, I10: sizes


@pytest.mark.parametrize("size", [(20000, 10000), (10000, 10000), (8000, 5001)])
def test_a_bomb_is_refused_from_its_header(size):
    with warnings.catch_warnings(), pytest.raises(BadImageError, match="megapixels"):
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        load_image(png_header_of(*size))


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (7, 64)])
def test_a_sliver_is_refused_and_eight_pixels_are_not(size):
    with pytest.raises(BadImageError, match=f"{size[0]}x{size[1]}"):
        load_image(Image.new("RGB", size))
    assert load_image(Image.new("RGB", (8, 8))).size == (8, 8)


def test_the_size_limit_holds_for_arrays_too():
    flat = np.broadcast_to(np.uint8(0), (8000, MAX_PIXELS // 8000 + 1))
    with pytest.raises(BadImageError, match="megapixels"):
        load_image(flat)


# I12: colour profiles


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
def test_an_embedded_profile_is_converted_to_srgb(tmp_path, suffix):
    picture = Image.new("RGB", (16, 16), (255, 0, 0))
    picture.paste((0, 255, 0), (8, 0, 16, 16))
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(picture, tmp_path / f"a.{suffix}", icc_profile=red_green_swapped_profile(), **options)
    loaded = pixels(load_image(path))
    assert np.abs(loaded[0, 0] - [0, 255, 0]).max() <= 3
    assert np.abs(loaded[0, 12] - [255, 0, 0]).max() <= 3


def test_a_profile_with_gamma_one_brightens_greys_by_the_srgb_curve():
    path = io.BytesIO()
    Image.new("RGBA", (8, 8), (128, 128, 128, 255)).save(path, "PNG", icc_profile=red_green_swapped_profile())
    assert np.abs(pixels(load_image(path.getvalue()))[0, 0] - 188).max() <= 2  # 1.055 * 0.50196 ** (1 / 2.4) - 0.055


def test_an_srgb_profile_changes_no_pixel_and_a_broken_one_is_ignored(tmp_path):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"no profile at all", red_green_swapped_profile()[:200]):
        path = saved(gradient(), tmp_path / "a.png", icc_profile=profile)
        assert np.array_equal(pixels(load_image(path)), pixels(gradient()))


# Arrays


def test_arrays_of_every_accepted_kind_give_the_same_picture():
    rgb = np.asarray(gradient())
    opaque = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    for array in (
        rgb,
        rgb[:, ::-1][:, ::-1],
        opaque,
        rgb / 255,
        (rgb / 255).astype(np.float32),
        rgb.astype("u2") * 257,
    ):
        assert np.array_equal(np.asarray(load_image(array)), rgb)
    for array in (rgb[:, :, 0], rgb[:, :, :1]):
        assert np.array_equal(np.asarray(load_image(array))[:, :, 2], rgb[:, :, 0])
    clear = np.dstack([rgb, np.zeros(rgb.shape[:2], np.uint8)])
    assert np.asarray(load_image(clear)).min() == 255


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((16, 16, 2), np.uint8), r"uint8 of shape \(16, 16, 2\)"),
        (np.zeros((3, 16, 16), np.uint8), r"\(3, 16, 16\)"),
        (np.zeros(16, np.uint8), r"\(16,\)"),
        (np.zeros((16, 16), np.int64), "int64"),
        (np.zeros((16, 16), bool), "bool"),
        (np.full((16, 16, 3), 200.0), "from 200 to 200"),
        (np.full((16, 16, 3), -1.0), "from -1 to -1"),
        (np.full((16, 16, 3), np.nan), "nan"),
        (np.zeros((0, 16, 3), np.uint8), "16x0"),
    ],
)
def test_other_arrays_are_refused_with_what_came(array, words):
    with pytest.raises(BadImageError, match=words):
        load_image(array)


def test_the_input_image_is_left_as_it_was():
    image = Image.new("LA", (16, 16), (7, 100))
    image.info["comment"] = "kept"
    load_image(image)
    assert (image.mode, image.info) == ("LA", {"comment": "kept"})


# The mark


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".JPG", ".webp"])
def test_a_saved_edit_is_marked_and_carries_nothing_else(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    original = Image.open(saved(gradient(), tmp_path / "in.png", exif=exif, dpi=(72, 72)))
    path = tmp_path / f"out{suffix}"
    save_edited(original, path, software='LEED "lfw" & <friends> 1a2b3c4')
    assert is_marked_edited(path)
    assert is_marked_edited(path.read_bytes())
    with Image.open(path) as image:
        xmp = image.info["xmp"].decode()
        assert dict(image.getexif()) == {}
    assert "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia" in xmp
    assert 'CreatorTool>LEED "lfw" &amp; &lt;friends&gt; 1a2b3c4</' in xmp
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []
    reloaded = load_image(path)
    assert np.abs(pixels(reloaded) - pixels(gradient())).max() <= (0 if suffix == ".png" else 16)
    save_edited(reloaded, tmp_path / "again.png", software="LEED")
    assert is_marked_edited(tmp_path / "again.png")


def test_unmarked_pictures_are_told_apart(tmp_path):
    assert not is_marked_edited(saved(gradient(), tmp_path / "a.jpg"))
    assert not is_marked_edited(saved(gradient(), tmp_path / "b.jpg", xmp=b"<x:xmpmeta/>"))
    info = PngInfo()
    info.add_text("Title", "compositeWithTrainedAlgorithmicMedia")
    assert not is_marked_edited(saved(gradient(), tmp_path / "c.png", pnginfo=info))
    with pytest.raises(BadImageError, match="no such file"):
        is_marked_edited(tmp_path / "none.png")


def test_jpeg_keeps_full_colour_resolution():
    with Image.open(io.BytesIO(edited_bytes(gradient(), "JPEG", software="LEED"))) as image:
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3


def test_an_unknown_ending_names_the_allowed_ones(tmp_path):
    for name in ("a.gif", "a", "a.png.txt"):
        with pytest.raises(BadImageError, match=r"\.png, \.jpg, \.jpeg, \.webp"):
            save_edited(gradient(), tmp_path / name, software="LEED")
    with pytest.raises(BadImageError, match="'GIF'"):
        edited_bytes(gradient(), "GIF", software="LEED")


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.webp"
    path.write_bytes(b"old")
    with pytest.raises(BadImageError, match="20000x8"):
        save_edited(Image.new("RGB", (20000, 8)), path, software="LEED")  # WebP ends at 16383 pixels
    assert path.read_bytes() == b"old"
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(BadImageError, match="could not be written"):
        save_edited(gradient(), tmp_path / "folder.png", software="LEED")
    with pytest.raises(BadImageError, match="could not be written"):
        save_edited(gradient(), tmp_path / "absent" / "a.png", software="LEED")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.webp", "folder.png"]


@pytest.mark.skipif(os.name != "posix", reason="needs a umask")
def test_a_saved_file_follows_the_umask(tmp_path):
    mask = os.umask(0o022)
    try:
        save_edited(gradient(), tmp_path / "a.png", software="LEED")
    finally:
        os.umask(mask)
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o644


# What Pillow would misread


def tiff(
    samples,
    *,
    bits=None,
    kind=1,
    photometric=None,
    order="<",
    planar=False,
    tiled=False,
    reverses_bits=False,
    predictor=None,
    fields=(),
):
    """A TIFF of (H, W, C) samples, which are of one of NumPy's whole types.

    Args:
        bits: so many are kept of each sample, the lowest; all where None.
        kind: SampleFormat.
        order: "<" or ">".
        planar, tiled: a strip, or tiles of 16 x 16, a plane instead of one strip.
        reverses_bits: FillOrder 2.
        predictor: packed by deflate, as they are (1) or each as its difference to the one on its left (2).
        fields: more of them, or others, as a dictionary.
    """
    height, width, count = samples.shape
    bits = bits or samples.dtype.itemsize * 8
    blocks = [samples[:, :, n : n + 1] for n in range(count)] if planar else [samples]
    if tiled:
        room = ((0, -height % 16), (0, -width % 16), (0, 0))
        blocks = [
            block[y : y + 16, x : x + 16]
            for block in (np.pad(block, room) for block in blocks)
            for y in range(0, height, 16)
            for x in range(0, width, 16)
        ]
    blocks = [_packed(block, bits, order, reverses_bits, predictor) for block in blocks]
    places = [8 + sum(map(len, blocks[:n])) for n in range(len(blocks))]
    sizes = [len(block) for block in blocks]
    fields = {
        256: [width], 257: [height], 258: [bits] * count, 259: [8 if predictor else 1],
        262: [(2 if count >= 3 else 1) if photometric is None else photometric], 266: [2 if reverses_bits else 1],
        277: [count], 284: [2 if planar else 1], 317: [predictor or 1], 339: [kind] * count,
        **({322: [16], 323: [16], 324: places, 325: sizes} if tiled else {273: places, 278: [height], 279: sizes}),
        **dict(fields),
    }  # fmt: skip
    data = b"".join(blocks)
    data += bytes(len(data) % 2)
    start = 8 + len(data)
    entries, overflow = b"", b""
    for tag, values in sorted(fields.items()):
        form, number = ("I", 4) if tag in (273, 279, 324, 325) else ("H", 3)
        packed = struct.pack(f"{order}{len(values)}{form}", *values).ljust(4, b"\0")
        if len(packed) > 4:
            place = start + 6 + 12 * len(fields) + len(overflow)
            packed, overflow = struct.pack(f"{order}I", place), overflow + packed + bytes(len(packed) % 2)
        entries += struct.pack(f"{order}HHI", tag, number, len(values)) + packed
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, start)
    return head + data + struct.pack(f"{order}H", len(fields)) + entries + bytes(4) + overflow


def _packed(block, bits, order, reverses_bits, predictor):
    if predictor == 2:
        block = np.diff(block, axis=1, prepend=np.zeros_like(block[:, :1]))
    if bits < 8:
        single = np.unpackbits(block[..., None], axis=-1)[..., 8 - bits :]
        data = np.packbits(single.reshape(len(block), -1), axis=1).tobytes()
    else:
        data = block.astype(block.dtype.newbyteorder(order)).tobytes()
    if predictor:
        data = zlib.compress(data)
    return (
        np.packbits(np.unpackbits(np.frombuffer(data, np.uint8)), bitorder="little").tobytes()
        if reverses_bits
        else data
    )


SHADES = np.stack([np.mgrid[:16, :24][1] / 23, np.mgrid[:16, :24][0] / 15, np.full((16, 24), 0.3)], axis=2)


@pytest.mark.parametrize(
    ("photometric", "planar"),
    [(0, False), (1, False), (2, False), (2, True), (5, False), (5, True), (8, False), (8, True)],
)
@pytest.mark.parametrize("kind", ["uint8", "uint16", "uint32", "int8", "int16", "int32", "float32"])
def test_samples_in_any_layout_are_read_right_or_refused_by_name(kind, planar, photometric):
    count = {0: 1, 1: 1, 5: 4}.get(photometric, 3)
    colours = SHADES[:, :, :1].repeat(3, 2) if count == 1 else SHADES
    shades = {
        0: 1 - SHADES[:, :, :1],
        1: SHADES[:, :, :1],
        5: np.concatenate([1 - SHADES, np.zeros((16, 24, 1))], 2),
    }.get(photometric, SHADES)
    top = 1 if kind == "float32" else np.iinfo(kind).max
    numbers = np.rint(shades * top) if top > 1 else shades
    code = {"u": 1, "i": 2, "f": 3}[np.dtype(kind).kind]
    data = tiff(numbers.astype(kind), planar=planar, photometric=photometric, kind=code)
    try:
        loaded = load_image(data)
    except BadImageError as error:
        assert "TIFF whose samples lie in an unusual way" in str(error)
        assert kind != "uint8" or photometric == 8
    else:
        assert np.abs(pixels(loaded) - 255 * colours).max() <= 2
        assert photometric != 8


WAYS = {
    "as usual": {},
    "big-endian": {"order": ">"},
    "planes": {"planar": True},
    "tiles": {"tiled": True, "order": ">"},
    "tiles of planes": {"tiled": True, "planar": True},
    "lowest bit first": {"reverses_bits": True},
    "deflate": {"predictor": 1},
    "deflate, lowest bit first": {"predictor": 1, "reverses_bits": True},
    "deflate, planes": {"predictor": 1, "planar": True},
    "differences": {"predictor": 2},
    "differences, tiles of planes": {"predictor": 2, "tiled": True, "planar": True},
}
GREY, ALPHA, INK = SHADES[:, :, :1], SHADES[:, :, 1:2].clip(0.2), np.concatenate([1 - SHADES, 0 * SHADES[:, :, :1]], 2)
LAYOUTS = {  # PhotometricInterpretation, ExtraSamples, the samples, and the colours they stand for in front of white
    "white is 0": (0, [], [1 - GREY], lambda s: 1 - s),
    "grey": (1, [], [GREY], lambda s: s),
    "grey and something": (1, [0], [GREY, ALPHA], lambda s: s[..., :1]),
    "grey, premultiplied": (1, [1], [GREY * ALPHA, ALPHA], lambda s: s[..., :1] + 1 - s[..., 1:]),
    "grey, transparent": (1, [2], [GREY, ALPHA], lambda s: s[..., :1] * s[..., 1:] + 1 - s[..., 1:]),
    "RGB": (2, [], [SHADES], lambda s: s),
    "RGB and something": (2, [0], [SHADES, ALPHA], lambda s: s[..., :3]),
    "RGB, premultiplied": (2, [1], [SHADES * ALPHA, ALPHA], lambda s: s[..., :3] + 1 - s[..., 3:]),
    "RGB, transparent": (2, [2], [SHADES, ALPHA], lambda s: s[..., :3] * s[..., 3:] + 1 - s[..., 3:]),
    "RGB, transparent, and something": (
        *(2, [2, 0], [SHADES, ALPHA, GREY]),
        lambda s: s[..., :3] * s[..., 3:4] + 1 - s[..., 3:4],
    ),
    "CMYK": (5, [], [INK], lambda s: (1 - s[..., :3]) * (1 - s[..., 3:])),
    "CMYK and something": (5, [0], [INK, ALPHA], lambda s: (1 - s[..., :3]) * (1 - s[..., 3:4])),
}


def opens_right(data, colours) -> bool:
    """Whether a picture opens, with these colours in 0..1; what does not must be told to lie in an unusual way."""
    try:
        loaded = load_image(data)
    except BadImageError as error:
        assert "unusual way" in str(error)
        return False
    assert np.abs(pixels(loaded) - 255 * colours).max() <= 3
    return True


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_tiffs_of_any_layout_are_read_right_or_refused_by_name(layout, way):
    photometric, extra, samples, colours = LAYOUTS[layout]
    opened = set()
    for bits in (1, 2, 4, 8, 16):
        top = 2**bits - 1
        numbers = np.rint(np.concatenate(samples, 2) * top).astype(np.uint16 if bits == 16 else np.uint8)
        fields = {338: extra} if extra else {}
        data = tiff(numbers, bits=bits, photometric=photometric, fields=fields, **WAYS[way])
        if opens_right(data, colours(numbers / top)):
            opened.add(bits)
    if layout in ("white is 0", "grey") and way == "as usual":
        assert opened >= {1, 2, 4, 8}
    if layout in ("grey", "RGB", "RGB, transparent", "CMYK") and way in ("as usual", "big-endian", "differences"):
        assert opened >= {8, 16}
    if layout in ("grey", "RGB", "CMYK") and way in ("planes", "tiles of planes"):
        assert 8 in opened


@pytest.mark.parametrize("extra", [[], [0], [2]])
@pytest.mark.parametrize("way", WAYS)
def test_tiffs_with_a_palette_are_read_right_or_refused_by_name(way, extra):
    opened = set()
    for bits in (1, 2, 4, 8):
        top = 2**bits - 1
        palette = np.random.default_rng(bits).integers(0, 256, (top + 1, 3))
        numbers, alpha = (np.rint(samples * top).astype(np.uint8) for samples in (GREY, ALPHA))
        fields = {320: (257 * palette).T.ravel().tolist()} | ({338: extra} if extra else {})
        samples = np.concatenate([numbers, alpha], 2) if extra else numbers
        data = tiff(samples, bits=bits, photometric=3, fields=fields, **WAYS[way])
        colours, share = palette[numbers[..., 0]] / 255, alpha / top if extra == [2] else 1
        if opens_right(data, colours * share + 1 - share):
            opened.add(bits)
    if way == "as usual":
        assert opened == ({8} if extra else {1, 2, 4, 8})


@pytest.mark.parametrize("way", WAYS)
def test_tiffs_of_ycbcr_are_read_right_or_refused_by_name(way):
    """With a chroma sample a pixel, and, where they lie together, one for two by two pixels."""
    flat = np.broadcast_to(np.uint8([200, 90, 40]), (16, 24, 3))
    numbers = np.asarray(Image.fromarray(flat).convert("YCbCr"))
    opens = opens_right(tiff(numbers, photometric=6, fields={530: [1, 1]}, **WAYS[way]), flat / 255)
    if "plane" not in way and "tile" not in way:
        blocks = numbers[::2, ::2][..., [0, 0, 0, 0, 1, 2]]
        fields = {256: [24], 257: [16], 258: [8] * 3, 277: [3], 278: [16], 339: [1] * 3}
        if way != "differences":  # which are not defined there
            assert opens_right(tiff(blocks, photometric=6, fields=fields, **WAYS[way]), flat / 255) == opens
    assert opens == (way in ("deflate", "differences"))


@pytest.mark.parametrize(("depth", "colour_type"), [(2, 0), (4, 0), (16, 0), (16, 2)])
def test_a_transparent_shade_that_pillow_mistakes_is_refused(depth, colour_type):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    channels = 3 if colour_type == 2 else 1
    rows = (b"\0" + bytes(8 * depth * channels // 8)) * 8
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, depth, colour_type, 0, 0, 0))
    whole = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert load_image(data + whole).getpixel((0, 0)) == (0, 0, 0)
    with pytest.raises(BadImageError, match="PNG whose samples"):
        load_image(data + chunk(b"tRNS", struct.pack(f">{channels}H", *[1] * channels)) + whole)


def photograph(size=128):
    return Image.open(EXAMPLES / "source.png").convert("RGB").resize((size, size))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"optimize": True}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("share", [0.4, 0.7, 0.95])
def test_a_jpeg_that_ends_early_is_refused_in_spite_of_its_end_marker(share, options, mode, progressive, tmp_path):
    path = saved(photograph().convert(mode), tmp_path / "whole.jpg", progressive=progressive, **options)
    assert load_image(path).size == (128, 128)
    data = path.read_bytes()
    start = data.index(b"\xff\xda")
    cut = data[: start + int(share * (len(data) - start))].rstrip(b"\xff")
    (tmp_path / "cut.jpg").write_bytes(cut + b"\xff\xd9")
    with pytest.raises(BadImageError, match=r"cut\.jpg is (incomplete|damaged)"):
        load_image(tmp_path / "cut.jpg")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_progressive_jpeg_that_ends_between_two_scans_is_refused_in_spite_of_its_end_marker(mode, tmp_path):
    data = saved(photograph().convert(mode), tmp_path / "whole.jpg", progressive=True).read_bytes()
    assert np.abs(pixels(load_image(data)) - pixels(photograph().convert(mode).convert("RGB"))).mean() < 6
    scans = [place for place in range(len(data)) if data[place : place + 2] == b"\xff\xda"]
    assert len(scans) > 5
    for place in scans[1:]:
        with pytest.raises(BadImageError, match="the image is incomplete: its end is missing"):
            load_image(data[:place] + b"\xff\xd9")


def test_a_jpeg_whose_colours_never_came_is_refused(tmp_path):
    """A scan a component, as some cameras write it."""
    data = saved(photograph(), tmp_path / "one.jpg", subsampling=0).read_bytes()
    start = data.index(b"\xff\xda")
    only_luma = data[:start] + bytes.fromhex("ffda0008010100003f00") + data[start + 14 :]
    with pytest.raises(BadImageError, match="incomplete"):
        load_image(only_luma)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_whole_jpeg_with_a_grey_lower_half_opens(progressive, tmp_path):
    picture = photograph()
    picture.paste((128, 128, 128), (0, 64, 128, 128))
    thumbnail = io.BytesIO()
    picture.resize((16, 16)).save(thumbnail, "JPEG")
    exif = b"Exif\0\0" + thumbnail.getvalue()  # an end marker of its own
    path = saved(picture, tmp_path / "grey.jpg", progressive=progressive, exif=exif)
    assert np.abs(pixels(load_image(path)) - pixels(picture)).mean() < 8


# More kinds


@pytest.mark.parametrize("kind", ["zTXt", "iTXt", "iCCP"])
def test_a_png_with_megabytes_of_text_or_profile_opens(kind, tmp_path):
    info = PngInfo()
    if kind == "iCCP":
        profile = red_green_swapped_profile()
        size = len(profile) + 2_000_000
        options = {"icc_profile": size.to_bytes(4, "big") + profile[4:] + bytes(2_000_000)}
        expected = (0, 255, 0)
    else:
        add = info.add_text if kind == "zTXt" else info.add_itxt
        add("workflow", "{}" * 1_500_000, zip=True)
        options, expected = {"pnginfo": info}, (255, 0, 0)
    path = saved(Image.new("RGB", (16, 16), (255, 0, 0)), tmp_path / "comfy.png", **options)
    assert np.abs(pixels(load_image(path))[0, 0] - expected).max() <= 3


def test_text_that_unpacks_without_end_is_still_refused(tmp_path):
    info = PngInfo()
    for number in range(3):
        info.add_text(f"bomb{number}", "a" * 30_000_000, zip=True)
    with pytest.raises(BadImageError, match=r"bomb\.png"):
        load_image(saved(gradient(), tmp_path / "bomb.png", pnginfo=info))


def test_avif_opens_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(photograph().crop((0, 0, 128, 64)), tmp_path / "a.avif", quality=90, exif=exif)
    expected = photograph().crop((0, 0, 128, 64)).transpose(Image.Transpose.ROTATE_270)
    assert load_image(path).size == (64, 128)
    assert np.abs(pixels(load_image(path)) - pixels(expected)).mean() < 6


def test_heic_opens_where_pillow_heif_is_installed(tmp_path):
    pytest.importorskip("pillow_heif")
    path = saved(photograph(), tmp_path / "a.heic", quality=90)
    assert is_picture(path) and not is_animated(path)
    assert np.abs(pixels(load_image(path)) - pixels(photograph())).mean() < 6


def test_heic_is_refused_by_name_where_pillow_heif_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "FORMATS", [kind for kind in images.FORMATS if kind != "HEIF"])
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    with pytest.raises(BadImageError, match=r'a\.heic is a HEIC picture.*pip install "leed-hub\[heif\]"'):
        load_image(path)
    assert is_picture(path)


@pytest.mark.parametrize(
    "url", ["https://example.org/face.png", "ftp://a/b.png", "s3://a/b", "data:image/png;base64,iVBORw0KGgo" * 99]
)
def test_urls_are_not_read_and_are_told_so(url):
    for source in (url, Path(url)):
        with pytest.raises(BadImageError, match="^URLs are not read"):
            load_image(source)
