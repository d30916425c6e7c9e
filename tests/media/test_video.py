"""Videos as phones, cameras and converters write them, read as players show them, and their sound carried over."""

import re
import warnings
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import EXAMPLES
from made_video import make_video
from PIL import Image

from leed_hub.errors import BadVideoError
from leed_hub.faces.yunet import YuNetDetector
from leed_hub.media.high_dynamic_range import HLG, PQ, to_bt709
from leed_hub.media.video import VideoFrames, VideoWriter, open_video

RATE = 48000


def example(side: int = 64) -> np.ndarray:
    return np.asarray(Image.open(EXAMPLES / "happiness.png").convert("RGB").resize((side, side)))


def rewritten(path: Path, output: Path) -> str | None:
    """Carry a video over frame by frame, as an edit does; gives what became of its sound."""
    video = VideoFrames(path)
    with VideoWriter(output, video, size=(video.width, video.height), matrix=video.matrix, software="test") as writer:
        for time_s, frame in video:
            writer.write(time_s, frame)
    return writer.sound


def heard(path: Path) -> tuple[np.ndarray, int, float]:
    """(channels, samples) in -1..1, samples a second, and the second at which it begins."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    waves = [frame.to_ndarray() for frame in frames]
    if not frames[0].format.is_planar:
        waves = [wave.reshape(-1, frames[0].layout.nb_channels).T for wave in waves]
    wave = np.concatenate(waves, axis=1)
    return wave, frames[0].rate, float(frames[0].pts * frames[0].time_base)


def tones(wave: np.ndarray, rate: int) -> list[int]:
    """The loudest pitch of each channel's middle second, in Hz."""
    middle = wave.shape[1] // 2
    part = wave[:, middle - rate // 2 : middle + rate // 2]
    return [int(np.abs(np.fft.rfft(one * np.hanning(len(one)))).argmax()) for one in part]


def with_sound(path: Path, codec: str, pitches: list[int], *, layout: str, seconds: int = 2, rate: int = RATE) -> Path:
    """A video with one tone a channel."""
    waves = [np.sin(2 * np.pi * pitch * np.arange(seconds * rate) / rate) * 4000 for pitch in pitches]
    with av.open(str(path), "w") as output:
        pictures = output.add_stream("mpeg4", rate=25, width=64, height=64)
        sound = output.add_stream(codec, rate=rate, layout=layout, bit_rate=128_000)
        heard = av.AudioFrame.from_ndarray(np.stack(waves, 1).reshape(1, -1).astype(np.int16), "s16", layout)
        heard.sample_rate, heard.pts = rate, 0
        packets = [*sound.encode(heard), *sound.encode(None)]
        for number in range(25 * seconds):
            frame = av.VideoFrame.from_ndarray(example())
            frame.pts = number
            packets += pictures.encode(frame)
        packets += pictures.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            output.mux(packet)
    return path


# Sound

# What a MOV's "chan" atom calls orders of channels (Core Audio's kAudioChannelLayoutTag), and which lie left and right.
ORDERS = {
    "film 5.1 (C L R Ls Rs LFE)": ("5.1", 124, {1, 3}, {2, 4}),
    "film 5.1 (L C R Ls Rs LFE)": ("5.1", 123, {0, 3}, {2, 4}),
    "5.1 (L R Ls Rs C LFE)": ("5.1", 122, {0, 2}, {1, 3}),
    "6.1": ("6.1", 125, {0, 4}, {1, 5}),
    "7.1": ("7.1", 127, {3, 1}, {4, 2}),
    "7.1, Emagic": ("7.1", 129, {0, 2}, {1, 3}),
}


@pytest.mark.parametrize("order", ORDERS)
def test_sound_in_an_order_of_channels_that_is_not_ffmpegs_own_is_mixed_down(order, tmp_path):
    layout, tag, left, right = ORDERS[order]
    count = av.AudioLayout(layout).nb_channels
    pitches = [500 + 100 * n for n in range(count)]
    path = with_sound(tmp_path / "film.mov", "pcm_s16le", pitches, layout=layout)
    data = path.read_bytes()
    place = data.index(b"chan") + 8
    path.write_bytes(data[:place] + (tag << 16 | count).to_bytes(4, "big") + data[place + 4 :])
    assert rewritten(path, tmp_path / "out.mp4") == "encoded"
    wave, rate, _ = heard(tmp_path / "out.mp4")
    assert wave.shape[0] == 2 and wave.shape[1] == pytest.approx(2 * rate, abs=3000)
    spectra = np.abs(np.fft.rfft(wave[:, rate // 2 : rate // 2 + rate], axis=1))
    for mine, other, channels in ((0, 1, left), (1, 0, right)):
        for pitch in (pitches[n] for n in channels):
            assert spectra[mine, pitch] > 5 * spectra[other, pitch]


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("a.avi", "libmp3lame", 44100),
        ("a.avi", "wmav2", 44100),
        ("a.avi", "libmp3lame", 22050),
        ("a.wmv", "wmav2", 48000),
        ("a.mkv", "pcm_s16le", 96000),
        ("a.avi", "ac3", 48000),
        ("a.mpg", "mp2", 48000),
        ("a.ts", "aac", 44100),
        ("a.ts", "mp2", 48000),
    ],
)
def test_sound_by_a_coarse_clock_keeps_its_pitch_and_its_times(name, codec, rate, tmp_path):
    path = with_sound(tmp_path / name, codec, [700, 1100], layout="stereo", rate=rate, seconds=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rewritten(path, tmp_path / "out.mp4")
    wave, played, start_s = heard(tmp_path / "out.mp4")
    assert tones(wave, played) == pytest.approx([700, 1100], abs=1)
    before, _, began_s = heard(path)
    with av.open(str(path)) as container:
        began_s -= container.start_time / av.time_base
    assert start_s == pytest.approx(began_s, abs=0.03)
    assert wave.shape[1] / played == pytest.approx(before.shape[1] / rate, abs=0.06)


def test_sound_that_begins_late_and_has_a_hole_keeps_its_times(tmp_path):
    path = tmp_path / "late.mkv"
    make_video(tmp_path / "pictures.mp4", [example()] * 75)
    tone = (np.sin(2 * np.pi * 500 * np.arange(RATE // 2) / RATE) * 8000).astype(np.int16)[None]
    with av.open(str(tmp_path / "pictures.mp4")) as pictures, av.open(str(path), "w") as output:
        copied = output.add_stream_from_template(pictures.streams.video[0])
        sound = output.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for packet in pictures.demux(video=0):
            if packet.dts is not None:
                packet.stream = copied
                output.mux(packet)
        for second in (0.5, 2.0):
            frame = av.AudioFrame.from_ndarray(tone, "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, int(second * RATE), Fraction(1, RATE)
            output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    assert rewritten(path, tmp_path / "out.mp4") == "encoded"
    wave, rate, start_s = heard(tmp_path / "out.mp4")
    loud = [np.abs(wave[0, int((at - start_s) * rate) :][: rate // 10]).max() > 0.1 for at in (0.6, 0.8, 1.5, 2.1, 2.3)]
    assert loud == [True, True, False, True, True]


def test_sound_of_a_kind_nobody_knows_is_left_out_with_a_note(tmp_path):
    path = with_sound(tmp_path / "odd.mov", "pcm_s16le", [500], layout="mono")
    path.write_bytes(path.read_bytes().replace(b"sowt", b"zzzz"))
    with pytest.warns(UserWarning, match="sound of odd.mov cannot be read and is left out"):
        assert rewritten(path, tmp_path / "out.mp4") is None
    assert VideoFrames(tmp_path / "out.mp4").n_frames == 50


# Colours


def hdr_video(path: Path, picture: np.ndarray, transfer: str, *, white: float = 203) -> Path:
    """A picture as a ten-bit HEVC film in BT.2020 that a screen shows as it is, its white at `white` cd/m2."""
    to_bt2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    light = (picture / 255) ** 2.4 @ to_bt2020.T * white
    weights = np.array([0.2627, 0.6780, 0.0593])
    if transfer == "smpte2084":
        power = (light / 10_000) ** 0.1593017578125
        code = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    else:
        scene = light / 1000 * np.maximum(light / 1000 @ weights, 1e-9)[..., None] ** (1 / 1.2 - 1)
        high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
        code = np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)
    luma = code @ weights
    planes = [64 + 876 * luma, 512 + 896 * (code[..., 2] - luma) / 1.8814, 512 + 896 * (code[..., 0] - luma) / 1.4746]
    height, width = luma.shape
    frame = av.VideoFrame(width, height, "yuv444p10le")
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((height, plane.line_size // 2), np.uint16)
        rows[:, :width] = np.rint(values)
        plane.update(rows.tobytes())
    frame = frame.reformat(format="yuv420p10le")
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx265", rate=25, width=width, height=height)
        stream.pix_fmt, stream.options = "yuv420p10le", {"x265-params": "log-level=none", "crf": "8"}
        context = stream.codec_context
        context.color_trc = {"smpte2084": 16, "arib-std-b67": 18}[transfer]
        context.color_primaries = context.colorspace = 9
        context.color_range = 1
        for number in range(3):
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_high_dynamic_range_is_read_and_written_as_an_ordinary_screen_shows_it(transfer, tmp_path):
    picture = np.asarray(Image.open(EXAMPLES / "happiness.png").convert("RGB").resize((128, 128))).copy()
    picture[:32, :32], picture[:32, 32:64], picture[:32, 64:96] = 255, 128, (180, 120, 100)
    path = hdr_video(tmp_path / "phone.mp4", picture, transfer)
    rewritten(path, tmp_path / "out.mp4")
    for read in (VideoFrames(path), VideoFrames(tmp_path / "out.mp4")):
        _, shown = next(iter(read))
        assert shown.dtype == np.uint8
        assert np.abs(shown.astype(int) - picture)[picture.max(axis=2) < 200].mean() < 3.5  # as coded: 20 and 28
        assert shown[8:24, 8:24].min() > 235  # white, with a little left for highlights
        assert np.abs(shown[8:24, 40:56].astype(int) - 128).max() <= 4
        assert np.abs(shown[8:24, 72:88].astype(int) - (180, 120, 100)).max() <= 6
    with av.open(str(tmp_path / "out.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.color_primaries, context.color_trc, context.colorspace) == (1, 1, 1)
        assert context.pix_fmt == "yuv420p"


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_highlights_keep_their_order_and_greys_stay_grey(transfer):
    ramp = np.linspace(0, 65535, 1024).astype(np.uint16)[None, :, None].repeat(3, 2)
    shown = to_bt709(ramp, transfer, 9).astype(int)[0]
    assert (np.diff(shown, axis=0) >= 0).all() and shown[0].max() == 0 and shown[-1].min() == 255
    assert np.ptp(shown, axis=1).max() <= 1
    at_203, at_1000 = {PQ: (0.5807, 0.7518), HLG: (0.75, 1.0)}[transfer]
    assert 238 <= shown[round(at_203 * 1023), 0] <= 244 and shown[round(at_1000 * 1023), 0] >= 254


def test_colours_of_a_video_that_is_not_hdr_stay_as_they_are(tmp_path):
    path = make_video(tmp_path / "plain.mp4", [example()] * 2)
    assert np.abs(next(iter(VideoFrames(path)))[1].astype(int) - example()).mean() < 2.5


def dolby_vision_unit() -> bytes:
    """The least data of a picture that FFmpeg takes for Dolby Vision's, as a NAL unit of HEVC."""
    header = f"{2:06b}{18:011b}{0:08b}1001011"  # type, format, profile and level; floats, full range
    header += "011" + "011" + "00101" + "00000" + "1" + "00" + "111"  # of 10, 10 and 12 bits; no residual
    pivots = ("1" + f"{0:010b}{1023:010b}") * 3 + "11"
    lines = ("110" + f"{0x3F555555:032b}" * 2) * 3
    bits = header + pivots + lines
    bits += "0" * (-len(bits) % 8)
    data = b"\x19" + int(bits, 2).to_bytes(len(bits) // 8, "big") + b"\xaa" * 4 + b"\x80"
    return b"\0\0\0\1\x7c\1" + re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", data)


@pytest.mark.parametrize(
    ("tags", "opens"),
    [
        ("range=full", False),  # profile 5
        ("range=limited:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc", True),  # 8.1
        ("range=limited", True),  # 8.2
    ],
)
def test_colours_that_dolby_vision_alone_shows_are_refused_by_name(tags, opens, tmp_path):
    path = tmp_path / "phone.hevc"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx265", rate=25, width=64, height=64)
        stream.pix_fmt, stream.options = "yuv420p10le", {"x265-params": f"log-level=none:aud=1:{tags}"}
        output.mux(stream.encode(av.VideoFrame.from_ndarray(example()).reformat(format="yuv420p10le")))
        output.mux(stream.encode(None))
    path.write_bytes(path.read_bytes() + dolby_vision_unit())
    if opens:
        assert VideoFrames(path).width == 64
    else:
        with pytest.raises(
            BadVideoError, match=r"phone\.hevc is Dolby Vision of profile 5, .* export it as HDR10 or SDR"
        ):
            VideoFrames(path)


# Shape and orientation

CORNERS = np.zeros((48, 64, 3), np.uint8)
CORNERS[:24, :32], CORNERS[:24, 32:], CORNERS[24:, :32] = (230, 30, 30), (30, 230, 30), (30, 30, 230)


def coded(path: Path, pixels: np.ndarray, aspect: Fraction | None = None, **display) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, width=pixels.shape[1], height=pixels.shape[0])
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "10"}
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if display:
            stream.set_display_rotation(**display)
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(pixels)
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("hflip", [False, True])
@pytest.mark.parametrize("vflip", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_mirrored_and_turned_frames_come_as_players_show_them(degrees, hflip, vflip, tmp_path):
    path = coded(tmp_path / "front.mp4", CORNERS, degrees=degrees, hflip=hflip, vflip=vflip)
    with av.open(str(path)) as container:
        matrix = next(container.decode(video=0)).side_data.get("DISPLAYMATRIX")
    matrix = np.int32(np.eye(3) * 65536) if matrix is None else np.frombuffer(bytes(matrix), np.int32).reshape(3, 3)
    (a, b, _), (c, d, _), _ = matrix / 65536
    video = VideoFrames(path)
    _, shown = next(iter(video))
    assert shown.shape == (video.height, video.width, 3) == ((48, 64, 3) if degrees % 180 == 0 else (64, 48, 3))
    for x, y in [(16, 12), (48, 12), (16, 36), (48, 36)]:  # a player lays (x, y) to (a x + c y, b x + d y)
        at_x, at_y = (round(a * (x - 32) + c * (y - 24)), round(b * (x - 32) + d * (y - 24)))
        pixel = shown[shown.shape[0] // 2 + at_y, shown.shape[1] // 2 + at_x]
        assert np.abs(pixel.astype(int) - CORNERS[y, x]).max() < 30


@pytest.mark.parametrize(
    ("aspect", "display", "size"),
    [
        (Fraction(4, 3), {}, (86, 48)),  # 85.3, made even
        (Fraction(16, 15), {}, (68, 48)),
        (Fraction(8, 9), {}, (64, 54)),
        (Fraction(4, 3), {"degrees": 90}, (48, 85)),
    ],
)
def test_pixels_that_are_not_square_keep_the_shape_a_player_shows(aspect, display, size, tmp_path):
    path = coded(tmp_path / "dvd.mp4", CORNERS, aspect, **display)
    video = VideoFrames(path)
    assert (video.width, video.height) == pytest.approx(size, abs=1)
    _, shown = next(iter(video))
    assert shown.shape == (video.height, video.width, 3)
    rewritten(path, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.sample_aspect_ratio in (None, 1)
        assert stream.width / stream.height == pytest.approx(size[0] / size[1], rel=0.03)


TAPES = {
    "PAL, mpeg2": ("tv.mpg", "mpeg2video", (720, 576), Fraction(16, 15), 25),
    "PAL, raw DV": ("tape.dv", "dvvideo", (720, 576), Fraction(16, 15), 25),
    "NTSC, raw DV": ("tape.dv", "dvvideo", (720, 480), Fraction(8, 9), Fraction(30000, 1001)),
    "NTSC, DV": ("tape.avi", "dvvideo", (720, 480), Fraction(8, 9), Fraction(30000, 1001)),
    "anamorphic": ("film.mp4", "libx264", (576, 576), Fraction(4, 3), 25),
}


@pytest.mark.parametrize("kind", TAPES)
def test_a_face_in_a_film_of_other_pixels_is_found_as_in_the_square_one(kind, tmp_path):
    name, codec, size, aspect, rate = TAPES[kind]
    square = Image.new("RGB", (768, 576), (128, 128, 128))
    square.paste(Image.fromarray(example(400)), (200, 100))
    path = tmp_path / name
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=rate, width=size[0], height=size[1])
        stream.pix_fmt = "yuv411p" if codec == "dvvideo" and size[1] == 480 else "yuv420p"
        stream.bit_rate, stream.codec_context.sample_aspect_ratio = 8_000_000, aspect
        packets = []
        if name.endswith(".dv"):  # FFmpeg writes none without sound
            sound = output.add_stream("pcm_s16le", rate=RATE, layout="stereo")
            quiet = av.AudioFrame.from_ndarray(np.zeros((1, RATE), np.int16), "s16", "stereo")
            quiet.sample_rate, quiet.pts = RATE, 0
            packets += sound.encode(quiet)
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(np.asarray(square.resize(size)))
            frame.pts = number
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            output.mux(packet)
    video = VideoFrames(path)
    times, frames = zip(*video, strict=True)
    assert (video.rate, video.n_frames) == (rate, 5)
    assert [float(time_s) for time_s in times] == pytest.approx([n / rate for n in range(5)], abs=1e-3)
    find = YuNetDetector()
    (expected,), (found,) = find(np.asarray(square)), find(frames[2])
    stretch = np.float32([video.width / 768, video.height / 576])
    assert stretch[0] == pytest.approx(stretch[1], rel=0.01)
    assert np.abs(found.points - expected.points * stretch).max() < 3
    assert np.abs(np.reshape(found.box, (2, 2)) - np.reshape(expected.box, (2, 2)) * stretch).max() < 5


# Damage


def moving(count: int, side: int = 96) -> list[np.ndarray]:
    noise = np.random.default_rng(0).integers(0, 256, (side, side + count, 3), np.uint8)
    return [noise[:, n : n + side] for n in range(count)]


def test_noise_in_the_middle_costs_some_frames_and_is_told(tmp_path):
    path = make_video(tmp_path / "noise.mp4", moving(100), rate=25, sound="aac")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 5000] = np.random.default_rng(1).bytes(5000)
    path.write_bytes(data)
    with pytest.warns(UserWarning, match=r"noise\.mp4 is damaged; \d+ of its frames are missing"):
        rewritten(path, tmp_path / "out.mp4")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        times = list(VideoFrames(path).times())
    assert 50 <= len(times) <= 100 and times[-1] == Fraction(99, 25)
    assert list(VideoFrames(tmp_path / "out.mp4").times()) == times


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv", "cut.avi"])
def test_a_video_that_is_cut_off_gives_what_is_there_and_says_so(name, tmp_path):
    whole = tmp_path / f"whole{name[3:]}"
    frames = moving(100)
    with av.open(str(whole), "w", options={"movflags": "faststart"} if name.endswith("mp4") else {}) as output:
        stream = output.add_stream("mpeg4", rate=25, width=96, height=96)
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame)
            picture.pts = number
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(VideoFrames(whole).times())) == 100
    path = tmp_path / name
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.warns(UserWarning, match=rf"{name} is cut off: it ends after [12]\.\d of [24]\.0 s"):
        times = list(VideoFrames(path).times())
    assert 20 < len(times) < 75


STREAMS = {"cut.ts": ("libx264", "aac"), "cut.mpg": ("mpeg2video", None), "cut.h264": ("libx264", None)}


@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_without_a_length_says_if_it_ends_within_a_frame_and_claims_nothing_between_two(
    name, b_frames, tmp_path
):
    path, (codec, sound) = tmp_path / name, STREAMS[name]
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25, width=96, height=96, options={"bf": str(b_frames)})
        stream.pix_fmt, stream.bit_rate = "yuv420p", 8_000_000
        packets = []
        if sound:
            heard = output.add_stream(sound, rate=44100, layout="mono")
            quiet = av.AudioFrame.from_ndarray(np.zeros((1, 22050), np.int16), "s16", "mono")
            quiet.sample_rate, quiet.pts = 44100, 0
            packets += [*heard.encode(quiet), *heard.encode(None)]
        for number, frame in enumerate(moving(25)):
            picture = av.VideoFrame.from_ndarray(frame)
            picture.pts = number
            packets += stream.encode(picture)
        packets += stream.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base)[:-5]:
            output.mux(packet)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nobody can tell that five more frames were to come
        assert len(list(VideoFrames(path).times())) == 20
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.warns(UserWarning, match=rf"{name} is cut off within a frame, after 0\.[789] s"):
        assert 18 <= len(list(VideoFrames(path).times())) <= 20


@pytest.mark.parametrize(
    ("name", "codec", "how"),
    [
        ("tv.ts", "aac", "copied"),
        ("tv.ts", "mp2", "encoded"),
        ("tv.mpg", "mp2", "encoded"),
        ("tv.mkv", "libmp3lame", "encoded"),
    ],
)
def test_damaged_sound_costs_a_part_of_itself_and_no_picture(name, codec, how, tmp_path):
    path = make_video(tmp_path / name, moving(100, 64), rate=25, sound=codec)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(audio=0) if packet.pos is not None]
    damage = np.random.default_rng(2)
    for place in places[len(places) // 3 : len(places) // 2]:
        data[place + 20 : place + 180] = damage.bytes(160)
    path.write_bytes(data)
    with pytest.warns(UserWarning, match=f"sound of {name} is damaged; parts are missing"):
        assert rewritten(path, tmp_path / "out.mp4") == how
    assert VideoFrames(tmp_path / "out.mp4").n_frames == 100
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert float(container.streams.audio[0].duration * container.streams.audio[0].time_base) > 3
    if how == "encoded":
        wave, rate, _ = heard(tmp_path / "out.mp4")
        assert tones(wave[:, -2 * rate :], rate) == pytest.approx([440], abs=1)  # it goes on after the damage


# Pictures that move, and those that do not


def animation(path: Path, transparent: bool = False) -> Path:
    frames = []
    for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255)):
        frame = Image.new("RGBA", (32, 24), (*colour, 255))
        if transparent:
            frame.paste((0, 0, 0, 0), (0, 0, 16, 24))
            frame.putpixel((16, 0), (0, 0, 0, 128))  # else WebP's encoder forgets that there is transparency
        frames.append(frame)
    options = {".webp": {"quality": 100}, ".gif": {"disposal": 2}}.get(path.suffix, {})
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[100, 300, 200], loop=0, **options)
    return path


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.avif"])
def test_an_animated_picture_is_read_as_a_video(name, transparent, tmp_path):
    video = open_video(animation(tmp_path / name, transparent))
    assert (video.width, video.height, video.n_frames, video.rate, video.sound) == (32, 24, 3, 5, None)
    times, frames = zip(*video, strict=True)
    assert times == tuple(video.times()) == (0, Fraction(1, 10), Fraction(2, 5))
    tolerance = 40 if name in ("a.avif", "a.webp") else 0
    for frame, colour in zip(frames, np.eye(3) * 255, strict=True):
        assert np.abs(frame[12, 28].astype(int) - colour).max() <= tolerance
        assert np.abs(frame[12, 4].astype(int) - (255 if transparent else colour)).max() <= tolerance


@pytest.mark.parametrize("url", ["https://example.org/film.mp4", "rtsp://a/b", "data:video/mp4;base64,AAAA" * 99])
def test_urls_are_not_read_and_are_told_so(url):
    for source in (url, Path(url)):
        with pytest.raises(BadVideoError, match="^URLs are not read; download the file"):
            open_video(source)


def test_a_file_that_is_named_as_a_url_opens(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "https:").mkdir()
    make_video(tmp_path / "https:/film.mp4", [example()])
    assert open_video("https://film.mp4").n_frames == 1


@pytest.mark.parametrize("name", ["still.gif", "still.png", "still.jpg", "still.heic"])
def test_a_still_picture_is_no_video(name, tmp_path):
    if name.endswith("heic"):
        pytest.importorskip("pillow_heif")
    Image.fromarray(example()).save(tmp_path / name)
    with pytest.raises(BadVideoError, match=f"{name} is a picture that does not move"):
        open_video(tmp_path / name)


def test_the_picture_on_a_records_cover_is_no_film(tmp_path):
    with av.open(str(tmp_path / "song.m4a"), "w", format="mp4") as output:
        cover = output.add_stream("mjpeg", rate=1, width=64, height=64)
        cover.pix_fmt, cover.disposition = "yuvj420p", av.stream.Disposition.attached_pic
        sound = output.add_stream("aac", rate=RATE, layout="mono")
        output.mux(cover.encode(av.VideoFrame.from_ndarray(example())))
        output.mux(cover.encode(None))
        quiet = av.AudioFrame.from_ndarray(np.zeros((1, RATE), np.int16), "s16", "mono")
        quiet.sample_rate = RATE
        output.mux([*sound.encode(quiet), *sound.encode(None)])
    with pytest.raises(BadVideoError, match="song.m4a has no moving picture in it"):
        VideoFrames(tmp_path / "song.m4a")
