"""How steady an edited video is, and how fast, on a video whose motion is known.

    .venv/bin/python benchmarks/video.py --json benchmarks/video.json

An example render stays, moves slowly (less than a pixel a frame) or quickly over a canvas, and every frame gets fresh
sensor noise. Points are told in shares of the eye distance. The unedited video flickers by its noise alone.
"""

import json
import statistics
import time
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import torchvision
import typer
from PIL import Image

from leed_hub import ExpressionEditor
from leed_hub.faces.detectors import build_detector
from leed_hub.faces.tracking import FaceTracker, OneEuroFilter
from leed_hub.pipelines.video_editing import SourcePicture, SourceVideo

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
WIDTH, HEIGHT, SIDE, RATE = 640, 480, 420, 30
NOISE = 3.0  # standard deviation, of 255: a phone indoors


def motion(time_s: float, speed: float) -> np.ndarray:
    """Picture of side `SIDE` -> canvas, (2, 3): a drift and a nod, as a head held still (speed 1) or talking makes."""
    x = 110 + 12 * np.sin(2 * np.pi * 0.13 * speed * time_s)
    y = 30 + 8 * np.sin(2 * np.pi * 0.21 * speed * time_s + 1)
    turn = np.radians(2 * np.sin(2 * np.pi * 0.17 * speed * time_s))
    cos, sin, middle = np.cos(turn), np.sin(turn), SIDE / 2
    shift = np.array([x, y]) + middle - np.array([cos * middle - sin * middle, sin * middle + cos * middle])
    return np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]])


def video(frames: int, speed: float) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """Time, frame and motion of each."""
    picture = Image.open(EXAMPLES / "source.png").convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    random = np.random.default_rng(0)
    made = []
    for number in range(frames):
        matrix = motion(number / RATE, speed)
        clean = cv2.warpAffine(
            np.asarray(picture), matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        noisy = clean + random.normal(0, NOISE, clean.shape)
        made.append((number / RATE, np.rint(noisy).clip(0, 255).astype(np.uint8), matrix))
    return made


def raw_filter() -> OneEuroFilter:
    """One that lets everything through."""
    return OneEuroFilter(min_cutoff_hz=1e9)


def followed(frames, faces, make_filter) -> np.ndarray:
    """The points of each frame in the still picture, (N, 5, 2)."""
    tracker, still = FaceTracker("largest", make_filter), []
    for (time_s, photo, matrix), found in zip(frames, faces, strict=True):
        points = tracker(found, time_s, photo)[0].face.points
        still.append((points - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T)
    return np.array(still)


def jitter(still: np.ndarray, eye_distance: float) -> float:
    """Standard deviation of the points about their own mean, once the motion is undone."""
    return float(np.sqrt(((still - still.mean(axis=0)) ** 2).mean()) / eye_distance)


def shake(still: np.ndarray, eye_distance: float) -> float:
    """Root mean square step of the points from frame to frame, once the motion is undone."""
    return float(np.sqrt((np.diff(still, axis=0) ** 2).mean()) / eye_distance)


def lag_ms(frames, raw: np.ndarray, smoothed: np.ndarray) -> float:
    """How long ago the face was where the smoothed points say: their error along the motion, over its speed."""
    behind = np.array(
        [(s - r).mean(axis=0) @ m[:, :2].T for s, r, (_, _, m) in zip(smoothed, raw, frames, strict=True)]
    )
    true = np.array([m[:, :2] @ raw.mean(axis=(0, 1)) + m[:, 2] for _, _, m in frames])
    speed = np.gradient(true, 1 / RATE, axis=0)
    return float(-1000 * (behind * speed).sum() / (speed**2).sum())


def flicker(frames, pictures: list[np.ndarray], box: tuple[int, ...], blur: float = 0.0) -> float:
    """Mean change from frame to frame inside the face, of 255, once the motion is undone.

    A blur (in pixels) takes the sensor noise away, and leaves what wavers as a whole.
    """
    x0, y0, x1, y1 = box
    still = []
    for picture, (_, _, matrix) in zip(pictures, frames, strict=True):
        picture = cv2.warpAffine(
            picture.astype(np.float32), matrix, (SIDE, SIDE), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        )
        still.append((cv2.GaussianBlur(picture, (0, 0), blur) if blur else picture)[y0:y1, x0:x1])
    return float(np.mean([np.abs(a - b).mean() for a, b in zip(still[1:], still, strict=False)]))


def edited(editor, frames, code, make_filter) -> list[np.ndarray]:
    """Every frame as the video would hold it before it is encoded."""
    edit = SourceVideo(editor, FaceTracker("largest", make_filter), 1.0, None)
    return [edit(photo, time_s, code) for time_s, photo, _ in frames]


def code_flicker(editor, frames, faces, make_filter) -> float:
    """Mean change from frame to frame, of 255, of a picture's face brought to life by a face that does not stir."""
    tracker, source = FaceTracker("largest", make_filter), frames[0][1]
    still, before, changes = SourcePicture(editor.session(source), 1.0), None, []
    for (time_s, photo, _), found in zip(frames, faces, strict=True):
        crops = editor.cropper.cut(photo, [tracker(found, time_s, photo)[0].face], "yunet").crops
        code = editor.model.encode(editor.cropper.tensor(crops)).expression_code
        now = still(source, time_s, code).astype(np.float32)
        x0, y0, x1, y1 = (int(edge) for edge in faces[0][0].box)
        if before is not None:
            changes.append(np.abs(now - before)[y0:y1, x0:x1].mean())
        before = now
    return float(np.mean(changes))


def median_ms(functions: dict, repeats: int) -> dict[str, float]:
    """Median milliseconds of each; round after round, after three that do not count."""
    seconds = {name: [] for name in functions}
    for number in range(repeats + 3):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            if number >= 3:
                seconds[name].append(time.perf_counter() - started)
    return {name: 1000 * statistics.median(values) for name, values in seconds.items()}


@torch.inference_mode()
def main(
    frames: Annotated[int, typer.Option(help="Length of the video.")] = 60,
    threads: Annotated[int, typer.Option(help="Torch threads.")] = 2,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where the numbers go.")] = None,
) -> None:
    """Print and save the numbers."""
    torch.set_num_threads(threads)
    editor, detector = ExpressionEditor.from_pretrained(detector="yunet"), build_detector("yunet")
    code = editor.encode_expression([EXAMPLES / "happiness.png"])
    numbers: dict = {"frames": frames, "noise": NOISE, "detector": editor.cropper.detector}
    for name, speed in (("still", 0.0), ("slow", 1.0), ("quick", 6.0)):
        made = video(frames, speed)
        faces = [detector(photo) for _, photo, _ in made]
        raw, smoothed = followed(made, faces, raw_filter), followed(made, faces, OneEuroFilter)
        eyes = float(np.linalg.norm(raw.mean(axis=0)[0] - raw.mean(axis=0)[1]))
        settled = slice(frames // 4, None)  # the filter starts on one noisy reading
        numbers[name] = {
            "jitter_raw": jitter(raw[settled], eyes),
            "jitter_smoothed": jitter(smoothed[settled], eyes),
            "shake_raw": shake(raw[settled], eyes),
            "shake_smoothed": shake(smoothed[settled], eyes),
            "lag_ms": lag_ms(made[settled], raw[settled], smoothed[settled]) if speed else 0.0,
        }
        (x0, y0), (x1, y1) = raw.mean(axis=0).min(axis=0) - 0.5 * eyes, raw.mean(axis=0).max(axis=0) + 0.5 * eyes
        box = tuple(int(edge) for edge in (x0, y0, x1, y1))
        unedited = [photo for _, photo, _ in made]
        for kind, make_filter in (("raw", raw_filter), ("smoothed", OneEuroFilter)):
            pictures = edited(editor, made, code, make_filter)
            for what, blur in (("flicker", 0.0), ("coarse_flicker", 4.0)):
                ratio = flicker(made, pictures, box, blur) / flicker(made, unedited, box, blur)
                numbers[name][f"{what}_{kind} / unedited"] = ratio
            numbers[name][f"code_flicker_{kind}"] = code_flicker(editor, made, faces, make_filter)

    resnet = torchvision.models.resnet18().eval().to(memory_format=torch.channels_last)
    picture = torch.rand(1, 3, 224, 224).to(memory_format=torch.channels_last)
    photo = made[0][1]
    moving, still = SourceVideo(editor, FaceTracker(), 1.0, None), SourcePicture(editor.session(photo), 1.0)
    found = median_ms(
        {
            "resnet18": lambda: resnet(picture),
            "frame_of_a_video": lambda: moving(photo, 0.0, code),
            "frame_of_a_picture": lambda: still(photo, 0.0, code),
        },
        25,
    )
    numbers["ratios"] = {
        f"{name}_{WIDTH}x{HEIGHT} / resnet18": found[name] / found["resnet18"]
        for name in ("frame_of_a_video", "frame_of_a_picture")
    }
    numbers["median_ms"] = found
    print(json.dumps(numbers, indent=2))
    if json_file:
        json_file.write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
