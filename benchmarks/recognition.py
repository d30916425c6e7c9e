"""How fast the recogniser's network is beside a public one, and in ONNX Runtime beside torch.

    python benchmarks/recognition.py

Each line is a ratio of medians of interleaved repeats in one run: absolute times tell of the machine and its load, the
ratios of the networks. Yardstick: timm's `tf_efficientnet_b0` (EmotiEffLib's network), one picture at 224x224.
"""

import tempfile
from pathlib import Path
from typing import Annotated

import timm
import torch
import typer
from timing import Line, fast, medians_ms, onnx_session, report

from leed_hub import ExpressionRecognizer
from leed_hub.export import export_model

NUMBERS = Path(__file__).with_suffix(".json")
LINES = (
    Line("read one face / tf_efficientnet_b0 at 224", "read", "tf_efficientnet_b0", 1),
    Line("read 8 faces at once / read one", "read_8", "read", 8),
    Line("read one face, ONNX Runtime / torch", "read_onnx", "read", 1),
    Line("read 8 faces at once, ONNX Runtime / torch", "read_8_onnx", "read_8", 1),
)


@torch.inference_mode()
def main(
    repeats: Annotated[int, typer.Option(help="Counted rounds.")] = 25,
    threads: Annotated[int, typer.Option(help="Threads of torch and of ONNX Runtime.")] = 2,
    json_file: Annotated[Path, typer.Option("--json", help="Where the numbers go.")] = NUMBERS,
) -> None:
    """Print and save the ratios."""
    torch.set_num_threads(threads)
    model = ExpressionRecognizer.from_pretrained(aligner="none").model
    with tempfile.TemporaryDirectory() as folder:
        (graph,) = export_model(model, folder)
        session = onnx_session(graph, threads)
    efficientnet, picture = fast(timm.create_model("tf_efficientnet_b0")), torch.rand(1, 3, 224, 224)
    picture = picture.to(memory_format=torch.channels_last)
    shape = (model.config.channels, model.config.image_size, model.config.image_size)
    one, eight = (torch.rand(batch, *shape).to(memory_format=torch.channels_last) for batch in (1, 8))
    one_array, eight_arrays = one.contiguous().numpy(), eight.contiguous().numpy()
    measured = medians_ms(
        {
            "tf_efficientnet_b0": lambda: efficientnet(picture),
            "read": lambda: model.recognize(one),
            "read_8": lambda: model.recognize(eight),
            "read_onnx": lambda: session.run(None, {"image": one_array}),
            "read_8_onnx": lambda: session.run(None, {"image": eight_arrays}),
        },
        repeats,
    )
    report(LINES, measured, {"unit": "ms", "threads": threads, "repeats": repeats}, json_file)


if __name__ == "__main__":
    typer.run(main)
