"""How fast we are beside public networks, in one run on the same threads.

    python benchmarks/speed.py --json benchmarks/speed.json

Each line is a ratio of medians; the repeats are interleaved, so that a machine that slows down slows all of them.
Yardsticks: torchvision's `resnet18` and timm's `tf_efficientnet_b0` (EmotiEffLib's network), one picture at 224x224,
channels_last like ours. The whole edit is what a user waits for: a 1024x1024 picture in, both faces found, result out.
"""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import timm
import torch
import torchvision
import typer
from PIL import Image

from leed_hub import ExpressionEditor, ExpressionRecognizer

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


def medians_ms(timed: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median milliseconds of each function; round after round, each once, after three rounds that do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for round_number in range(repeats + 3):
        for name, function in timed.items():
            started = time.perf_counter()
            function()
            if round_number >= 3:
                seconds[name].append(time.perf_counter() - started)
    return {name: 1000 * statistics.median(values) for name, values in seconds.items()}


@torch.inference_mode()
def main(
    repeats: Annotated[int, typer.Option(help="Counted rounds.")] = 25,
    threads: Annotated[int, typer.Option(help="Torch threads.")] = 2,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where the numbers go.")] = None,
) -> None:
    """Print and save the ratios."""
    torch.set_num_threads(threads)
    editor, recognizer = ExpressionEditor.from_pretrained(aligner="yunet"), ExpressionRecognizer.from_pretrained()
    resnet = torchvision.models.resnet18().eval().to(memory_format=torch.channels_last)
    efficientnet = timm.create_model("tf_efficientnet_b0").eval().to(memory_format=torch.channels_last)
    picture = torch.rand(1, 3, 224, 224).to(memory_format=torch.channels_last)

    face = torch.rand(1, 3, editor.size, editor.size).to(memory_format=torch.channels_last)
    code = editor.model.encode(face).expression_code
    config = recognizer.model.config
    crop = torch.rand(1, config.channels, config.image_size, config.image_size)

    # A large photograph with a face of a usual size in it: an example render, enlarged onto a plain canvas.
    source = np.full((1024, 1024, 3), 128, np.uint8)
    source[200:824, 200:824] = np.asarray(Image.open(EXAMPLES / "source.png").convert("RGB").resize((624, 624)))
    reference = np.asarray(Image.open(EXAMPLES / "happiness.png").convert("RGB"))

    def edit_network():
        encoding = editor.model.encode(face)
        editor.model.decode(face, encoding, editor.model.encode(face).expression_code)

    def edit_with_cached_reference():
        editor.model.decode(face, editor.model.encode(face), code)

    found = medians_ms(
        {
            "resnet18": lambda: resnet(picture),
            "tf_efficientnet_b0": lambda: efficientnet(picture),
            "edit_network": edit_network,
            "edit_network_reference_cached": edit_with_cached_reference,
            "edit_1024": lambda: editor(source, reference),
            "recognize_network": lambda: recognizer.model.recognize(crop),
        },
        repeats,
    )
    ratios = {
        "edit_network / resnet18": found["edit_network"] / found["resnet18"],
        "edit_network_reference_cached / resnet18": found["edit_network_reference_cached"] / found["resnet18"],
        "edit_1024 / resnet18": found["edit_1024"] / found["resnet18"],
        "recognize_network / tf_efficientnet_b0": found["recognize_network"] / found["tf_efficientnet_b0"],
    }
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.2f}")
    if json_file:
        numbers = {"threads": threads, "repeats": repeats, "aligner": editor.aligner}
        json_file.write_text(json.dumps(numbers | {"ratios": ratios, "median_ms": found}, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
