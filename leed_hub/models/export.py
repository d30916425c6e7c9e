"""Networks as ONNX graphs: the same numbers where there is no torch.

An editor becomes two graphs, cut where an application keeps things: a face is encoded once and edited many times, and
a reference is only its expression code, read once for a whole video. All have a free batch size B.

    encoder.onnx     image -> feature_0, feature_1, ..., point, neutral_point, expression_code
    decoder.onnx     image, feature_0, ..., point, neutral_point, expression_code, strength -> edited, flow, mask, color
    recognizer.onnx  image -> logits, probabilities, expression_code

Images are aligned crops (B, C, S, S) in [-1, 1], RGB, or ITU-R 601 luma where C is 1. `config.json` beside the graphs
says S (`image_size`), where eyes and mouth corners lie in a crop (`template`), and what each logit stands for
(`labels`). The decoder takes all but the expression code from the source's encoding; `strength` is (B, 1),
best 0 or 1: for another, mix flow and paint of both, as `LEEDModel.decode` does. The other shapes are those of
`FaceEncoding` and `LEEDOutput`.
"""

import copy
import dataclasses
import importlib.util
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from leed_hub.errors import ExportError, ModelLoadError
from leed_hub.hub import CARD, CONFIG, WEIGHTS, download_files, first_line, read_json_object
from leed_hub.models.checkpoint import BUNDLED, kind_of
from leed_hub.models.expression_encoder import ExpressionEncoderModel
from leed_hub.models.leed import FaceEncoding, LEEDModel

Model = LEEDModel | ExpressionEncoderModel
TOLERANCE = 1e-4  # how far ONNX Runtime may be from torch, in units of the tensor's largest number or 1
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def export_folder(name_or_folder: str | os.PathLike, out_folder: str | os.PathLike) -> list[Path]:
    """Export a saved network with its config and, where there are, its card and licence.

    Args:
        name_or_folder: a folder, "org/name" on the Hub, or "editor" or "recognizer" for those that come with the
            package.
        out_folder: made if need be.
    Returns:
        The graphs written.
    Raises:
        ModelLoadError, HubError: if there is no whole network of ours.
        ExportError: as `export_model` does.
    """
    folder = _local_folder(name_or_folder)
    graphs = export_model(_load(folder), out_folder)
    with _writing_to(out_folder):
        for path in [folder / CARD, *sorted(folder.glob("LICENSE*"))]:
            if path.is_file():
                shutil.copyfile(path, Path(out_folder) / path.name)
    return graphs


def export_model(model: Model, out_folder: str | os.PathLike) -> list[Path]:
    """Write a network's graphs and `config.json`, each whole or not at all, once ONNX Runtime agrees with torch.

    Args:
        model: on any device; it stays as it is.
        out_folder: made if need be.
    Returns:
        The graphs written.
    Raises:
        ExportError: if a package is missing, the network cannot be written as ONNX, its graphs give other numbers
            than torch (beyond `TOLERANCE`), or the folder cannot be written to.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(f'Exporting needs {", ".join(missing)}: pip install "leed-hub[export]".')
    out_folder = Path(out_folder)
    model = copy.deepcopy(model).eval().to("cpu", torch.float32).to(memory_format=torch.contiguous_format)
    with _writing_to(out_folder):
        out_folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out_folder, prefix=".exporting-") as name:
            unfinished = Path(name)
            names = []
            for graph in _graphs(model):
                graph.write(unfinished)
                graph.check(unfinished)
                names.append(graph.file_name)
            (unfinished / CONFIG).write_text(json.dumps(dataclasses.asdict(model.config), indent=2) + "\n")
            for file_name in [*names, CONFIG]:
                os.replace(unfinished / file_name, out_folder / file_name)
    return [out_folder / file_name for file_name in names]


def onnx_recognize(model: ExpressionEncoderModel) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """`model.recognize` computed by ONNX Runtime on the CPU: images (B, C, S, S) -> logits (B, K), codes (B, D).

    Raises:
        ExportError: as `export_model` does.
    """
    with tempfile.TemporaryDirectory() as folder:
        (graph,) = export_model(model, folder)
        import onnxruntime

        session = onnxruntime.InferenceSession(graph.read_bytes(), providers=["CPUExecutionProvider"])

    def recognize(images: Tensor) -> tuple[Tensor, Tensor]:
        feed = {"image": images.float().cpu().contiguous().numpy()}
        logits, codes = session.run(["logits", "expression_code"], feed)
        return torch.from_numpy(logits), torch.from_numpy(codes)

    return recognize


class _Part(nn.Module):
    """What a graph computes with a network."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model


class _EditorEncoder(_Part):
    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        encoding = self.model.encode(image)
        return *encoding.features, encoding.point, encoding.neutral_point, encoding.expression_code


class _EditorDecoder(_Part):
    def forward(
        self,
        image: Tensor,
        features: list[Tensor],
        point: Tensor,
        neutral_point: Tensor,
        expression_code: Tensor,
        strength: Tensor,
    ) -> tuple[Tensor, ...]:
        source = FaceEncoding(features, point, neutral_point, expression_code)  # its own code plays no part
        edit = self.model.decode(image, source, expression_code, strength)
        return edit.edited, edit.flow, edit.mask, edit.color


class _Recognizer(_Part):
    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        logits, expression_code = self.model.recognize(image)
        return logits, torch.softmax(logits, dim=1), expression_code


@dataclasses.dataclass(frozen=True)
class _Graph:
    """One file: a network whose arguments are tensors or lists of tensors, and the names of all that goes in and out.

    The example has two faces, as the exporter takes a batch of one for a fixed size.
    """

    file_name: str
    network: nn.Module
    example: tuple[Tensor | list[Tensor], ...]
    input_names: list[str]
    output_names: list[str]

    def write(self, folder: Path) -> None:
        batch = torch.export.Dim("batch")
        shapes = tuple([{0: batch}] * len(item) if isinstance(item, list) else {0: batch} for item in self.example)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.filterwarnings("ignore", message="# The axis name")  # every input has the same batch size
            try:
                program = torch.onnx.export(
                    self.network.eval(),
                    self.example,
                    input_names=self.input_names,
                    output_names=self.output_names,
                    dynamic_shapes=shapes,
                    dynamo=True,
                    verbose=False,
                )
            except torch.onnx.OnnxExporterError as error:
                raise ExportError(
                    f"torch cannot write {self.file_name} for this network: {first_line(error)}"
                ) from error
        if program is None:  # only torch's former exporter returns none
            raise ExportError(f"torch wrote no {self.file_name} for this network.")
        program.save(folder / self.file_name, external_data=False)

    def check(self, folder: Path) -> None:
        """Run the graph on two faces and on one: each output must be torch's."""
        import onnxruntime

        session = onnxruntime.InferenceSession(folder / self.file_name, providers=["CPUExecutionProvider"])
        for faces in (2, 1):
            arguments = [
                [part[:faces] for part in item] if isinstance(item, list) else item[:faces] for item in self.example
            ]
            tensors = [part for item in arguments for part in (item if isinstance(item, list) else [item])]
            feed = {name: value.numpy() for name, value in zip(self.input_names, tensors, strict=True)}
            with torch.no_grad():
                expected = self.network(*arguments)
            for name, ours, theirs in zip(self.output_names, expected, session.run(None, feed), strict=True):
                difference = np.abs(ours.numpy() - theirs).max() / max(1.0, float(ours.abs().max()))
                if not difference <= TOLERANCE:  # also refuses NaN
                    raise ExportError(
                        f"{name} of {self.file_name} differs from torch's by {difference:.1e}, more than {TOLERANCE}."
                    )


def _graphs(model: Model) -> Iterator[_Graph]:
    noise = torch.Generator().manual_seed(0)
    if isinstance(model, ExpressionEncoderModel):
        config = model.config
        image = torch.rand(2, config.channels, config.image_size, config.image_size, generator=noise) * 2 - 1
        outputs = ["logits", "probabilities", "expression_code"]
        yield _Graph("recognizer.onnx", _Recognizer(model), (image,), ["image"], outputs)
        return
    side = model.config.image_size
    image = torch.rand(2, 3, side, side, generator=noise) * 2 - 1
    with torch.no_grad():
        face = model.encode(image)
    encoding = [*(f"feature_{i}" for i in range(len(face.features))), "point", "neutral_point", "expression_code"]
    yield _Graph("encoder.onnx", _EditorEncoder(model), (image,), ["image"], encoding)
    yield _Graph(
        "decoder.onnx",
        _EditorDecoder(model),
        (image, list(face.features), face.point, face.neutral_point, face.expression_code.flip(0), torch.ones(2, 1)),
        ["image", *encoding, "strength"],
        ["edited", "flow", "mask", "color"],
    )


def _local_folder(name_or_folder: str | os.PathLike) -> Path:
    """The folder a saved network lies in, downloaded first if need be."""
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        return folder
    if (bundled := BUNDLED / name_or_folder).is_dir() and name_or_folder in ("editor", "recognizer"):
        return bundled
    if not isinstance(name_or_folder, str) or name_or_folder.count("/") != 1 or folder.exists():
        raise ModelLoadError(f"Folder not found: {name_or_folder} (a model on the Hub is written org/name).")
    try:
        files = download_files(name_or_folder, [CONFIG, WEIGHTS, CARD])
    except ModelLoadError:  # it may have no card; if it lacks more, this says so
        files = download_files(name_or_folder, [CONFIG, WEIGHTS])
    return files[0].parent


def _load(folder: Path) -> Model:
    """The network a folder holds, told by its config: each class loads no other's."""
    try:
        kind = kind_of(read_json_object(folder / CONFIG))
    except ModelLoadError:
        kind = None  # the editor's own loading says what is wrong
    return (ExpressionEncoderModel if kind == ExpressionEncoderModel.model_type else LEEDModel).from_pretrained(folder)


@contextmanager
def _writing_to(folder: str | os.PathLike) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExportError(f"{folder} cannot be written to: {error.strerror or error}.") from error
