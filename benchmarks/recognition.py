"""How fast the recogniser's network is beside a public one, and in ONNX Runtime beside torch.

    python benchmarks/recognition.py

Each line is a ratio of medians of interleaved repeats in one run: absolute times tell of the machine and its load, the
ratios of the networks. Yardstick: timm's `tf_efficientnet_b0` (EmotiEffLib's network), at 224x224 and at equal batches.
"""

import tempfile
from pathlib import Path
from typing import Annotated

import timm
import torch
import typer
from timing import Line, fast, medians_ms, onnx_session, report

from leed_hub import ExpressionRecognizer
from leed_hub.models.export import export_model

NUMBERS = Path(__file__).with_suffix(".json")
LINES = (
    Line("read one face / tf_efficientnet_b0 at 224", "read", "tf_efficientnet_b0", 0.33),
    Line("read 32 faces at once / tf_efficientnet_b0 at 224, as many", "read_32", "tf_efficientnet_b0_32", 0.15),
    Line("read one face, ONNX Runtime / torch", "read_onnx", "read", 1),
    Line("read 32 faces at once, ONNX Runtime / torch", "read_32_onnx", "read_32", 1),
)


@torch.inference_mode()
def main(
    repeats: Annotated[int, typer.Option(help="Counted rounds.")] = 25,
    threads: Annotated[int, typer.Option(help="Threads of torch and of ONNX Runtime.")] = 2,
    json_file: Annotated[Path, typer.Option("--json", help="Where the numbers go.")] = NUMBERS,
) -> None:
    """Print and save the ratios."""
    torch.set_num_threads(threads)
    model = ExpressionRecognizer.from_pretrained(detector="none").model
    with tempfile.TemporaryDirectory() as folder:
        (graph,) = export_model(model, folder)
        session = onnx_session(graph, threads)
    efficientnet = fast(timm.create_model("tf_efficientnet_b0"))
    shape = (model.config.channels, model.config.image_size, model.config.image_size)
    faces = {count: torch.rand(count, *shape).to(memory_format=torch.channels_last) for count in (1, 32)}
    pictures = {count: torch.rand(count, 3, 224, 224).to(memory_format=torch.channels_last) for count in (1, 32)}
    arrays = {count: batch.contiguous().numpy() for count, batch in faces.items()}
    measured = medians_ms(
        {
            "tf_efficientnet_b0": lambda: efficientnet(pictures[1]),
            "tf_efficientnet_b0_32": lambda: efficientnet(pictures[32]),
            "read": lambda: model.recognize(faces[1]),
            "read_32": lambda: model.recognize(faces[32]),
            "read_onnx": lambda: session.run(None, {"image": arrays[1]}),
            "read_32_onnx": lambda: session.run(None, {"image": arrays[32]}),
        },
        repeats,
    )
    report(LINES, measured, {"unit": "ms", "threads": threads, "repeats": repeats}, json_file)


if __name__ == "__main__":
    typer.run(main)
