"""How fast the editor is beside a public network, in ONNX Runtime beside torch, and how much memory an edit takes.

    python benchmarks/editing.py

Each line is a ratio of medians of interleaved repeats in one run: absolute times tell of the machine and its load, the
ratios of the networks. Yardstick: torchvision's `resnet18`, one picture at 224x224, channels_last like ours. "Whole"
is what a user waits for: a 1024x1024 picture in, both faces found by YuNet, the edited picture out. Memory is the most
that a fresh process holds which imports leed_hub and makes one such edit.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torchvision
import typer
from PIL import Image
from timing import Line, fast, medians_ms, onnx_session, report

from leed_hub import ExpressionEditor
from leed_hub.models.export import export_model

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
NUMBERS = Path(__file__).with_suffix(".json")
LINES = (
    Line("network: encode source, encode reference, decode / resnet18", "network", "resnet18", 0.9),
    Line("network: encode source, decode, reference cached / resnet18", "network_cached_reference", "resnet18", 0.6),
    Line("network: decode, source and reference cached / resnet18", "decode", "resnet18", 0.6),
    Line("whole edit of 1024x1024 / resnet18", "whole", "resnet18", 5),
    Line("network, 8 faces at once / one", "network_8", "network", 6),
    Line("network, one face, ONNX Runtime / torch", "network_onnx", "network", 1),
    Line("network, 8 faces at once, ONNX Runtime / torch", "network_8_onnx", "network_8", 1),
    Line("MiB held at most during a whole edit in a fresh process", "peak_mib", None, 1228),
)
# ru_maxrss would keep the parent's peak over exec; a process' own high-water mark is in /proc (Linux).
ONE_EDIT = """
import re, sys
from leed_hub import ExpressionEditor
ExpressionEditor.from_pretrained(detector="yunet")(*sys.argv[1:])
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024)
"""


def large_photograph() -> Image.Image:
    """1024x1024 with a face of a usual size in it: an example render, enlarged onto a plain canvas."""
    photograph = Image.new("RGB", (1024, 1024), (128, 128, 128))
    photograph.paste(Image.open(EXAMPLES / "source.png").convert("RGB").resize((624, 624)), (200, 200))
    return photograph


def peak_mib(photograph: Path, reference: Path) -> float:
    """The most memory a process holds that does nothing but one edit."""
    command = [sys.executable, "-c", ONE_EDIT, str(photograph), str(reference)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@torch.inference_mode()
def main(
    repeats: Annotated[int, typer.Option(help="Counted rounds.")] = 25,
    threads: Annotated[int, typer.Option(help="Threads of torch and of ONNX Runtime.")] = 2,
    json_file: Annotated[Path, typer.Option("--json", help="Where the numbers go.")] = NUMBERS,
) -> None:
    """Print and save the ratios."""
    torch.set_num_threads(threads)
    editor = ExpressionEditor.from_pretrained(detector="yunet")
    model = editor.model
    photograph, reference = large_photograph(), EXAMPLES / "happiness.png"
    with tempfile.TemporaryDirectory() as folder:
        encoder, decoder = (onnx_session(graph, threads) for graph in export_model(model, folder))
        photograph.save(Path(folder) / "photograph.png")
        memory = peak_mib(Path(folder) / "photograph.png", reference)
    source_pixels, reference_pixels = np.asarray(photograph), np.asarray(Image.open(reference).convert("RGB"))

    resnet = fast(torchvision.models.resnet18())
    picture = torch.rand(1, 3, 224, 224).to(memory_format=torch.channels_last)
    faces, others = torch.rand(2, 8, 3, editor.cropper.size, editor.cropper.size)
    layout = torch.channels_last
    source, other = faces[:1].contiguous(memory_format=layout), others[:1].contiguous(memory_format=layout)
    sources, several = faces.contiguous(memory_format=layout), others.contiguous(memory_format=layout)
    encoding, code = model.encode(source), model.encode(other).expression_code
    face_names = [each.name for each in encoder.get_outputs()]

    def network(source, other):
        code = model.encode(other).expression_code
        model.decode(source, model.encode(source), code)

    def network_onnx(source, other):
        inputs = dict(zip(face_names, encoder.run(None, {"image": source}), strict=True))
        (inputs["expression_code"],) = encoder.run(["expression_code"], {"image": other})
        decoder.run(None, {"image": source, "strength": np.ones((len(source), 1), np.float32), **inputs})

    measured = medians_ms(
        {
            "resnet18": lambda: resnet(picture),
            "network": lambda: network(source, other),
            "network_cached_reference": lambda: model.decode(source, model.encode(source), code),
            "decode": lambda: model.decode(source, encoding, code),
            "whole": lambda: editor(source_pixels, reference_pixels),
            "network_8": lambda: network(sources, several),
            "network_onnx": lambda: network_onnx(faces[:1].numpy(), others[:1].numpy()),
            "network_8_onnx": lambda: network_onnx(faces.numpy(), others.numpy()),
        },
        repeats,
    )
    facts = {
        "unit": "ms, but MiB for peak_mib",
        "threads": threads,
        "repeats": repeats,
        "detector": editor.cropper.detector,
    }
    report(LINES, measured | {"peak_mib": memory}, facts, json_file)


if __name__ == "__main__":
    typer.run(main)
