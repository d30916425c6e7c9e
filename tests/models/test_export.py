"""What leaves as ONNX gives torch's numbers, for any architecture and any batch."""

import dataclasses
import json
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from typer.testing import CliRunner

from leed_hub.cli import app
from leed_hub.errors import ExportError, ModelLoadError
from leed_hub.models import export
from leed_hub.models.checkpoint import BUNDLED
from leed_hub.models.expression_encoder import ExpressionEncoderConfig, ExpressionEncoderModel
from leed_hub.models.leed import LEEDConfig, LEEDModel

EDITOR = LEEDConfig(image_size=32, widths=(8, 8, 8, 8), manifold_dim=16, expression_dim=4)
RECOGNIZER = ExpressionEncoderConfig(image_size=16, widths=(4, 4, 8, 8), code_dim=8, temperature=2.0)
EDITORS = {
    "64 pixels, other widths, without flow": dataclasses.replace(
        EDITOR, image_size=64, widths=(4, 8, 12, 16), expression_dim=6, uses_flow=False
    ),
    "48 pixels in cells of 2, with a coarse flow, without colour": dataclasses.replace(
        EDITOR, image_size=48, patch=2, uses_color=False, flow_cells=3
    ),
}
RECOGNIZERS = {
    "grey": RECOGNIZER,
    "colour, 24 pixels, three labels": dataclasses.replace(
        RECOGNIZER, channels=3, image_size=24, labels=("neutral", "happiness", "anger")
    ),
    "timm backbone": dataclasses.replace(RECOGNIZER, backbone="resnet10t", image_size=32),
}


def images(model, batch: int) -> torch.Tensor:
    config = model.config
    shape = (batch, getattr(config, "channels", 3), config.image_size, config.image_size)
    return torch.rand(shape, generator=torch.Generator().manual_seed(batch)) * 2 - 1


def lively(model):
    """Random weights that matter: fresh networks start with no flow, and every residual block as the identity."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            module.running_mean.normal_(std=0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            if module.affine:
                torch.nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
    for name in ("to_flow", "to_paint", "coarse_flow"):
        part = getattr(getattr(model, "decoder", None), name, None) or torch.nn.Identity()
        for parameter in part.parameters():
            torch.nn.init.normal_(parameter, std=0.2, generator=generator)
    return model.eval()


def run(path, **inputs) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    wanted = {each.name for each in session.get_inputs()}
    return dict(zip(names, session.run(None, {name: inputs[name] for name in wanted}), strict=True))


def assert_editor_agrees(model, folder, batch):
    """Sources, other faces' expressions and a strength each through both graphs, against the pipeline's own calls."""
    source, reference = images(model, batch), images(model, batch).flip(-1) * 0.5
    strength = torch.linspace(0, 2, batch + 1)[1:, None]
    with torch.inference_mode():
        code = model.encode(reference).expression_code
        edit = model.decode(source, model.encode(source), code, strength)
    encoding = run(folder / "encoder.onnx", image=source.numpy())
    encoding["expression_code"] = run(folder / "encoder.onnx", image=reference.numpy())["expression_code"]
    assert np.abs(encoding["expression_code"] - code.numpy()).max() < 1e-3
    found = run(folder / "decoder.onnx", image=source.numpy(), strength=strength.numpy(), **encoding)
    assert found.keys() == {"edited", "flow", "mask", "color"}
    for name, value in found.items():
        assert value.shape == getattr(edit, name).shape, name
        assert np.abs(value - getattr(edit, name).numpy()).max() < 1e-3, name


def assert_recognizer_agrees(model, folder, batch):
    faces = images(model, batch)
    with torch.inference_mode():
        logits, code = model.recognize(faces)
    found = run(folder / "recognizer.onnx", image=faces.numpy())
    expected = {"logits": logits, "probabilities": logits.softmax(1), "expression_code": code}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert np.abs(found[name] - value.numpy()).max() < 1e-4, name


@pytest.mark.parametrize("config", EDITORS.values(), ids=EDITORS.keys())
def test_an_editors_graphs_give_torchs_edit_for_one_face_and_for_eight(config, tmp_path):
    torch.manual_seed(0)
    model = lively(LEEDModel(config))
    with torch.inference_mode():
        moved = model.edit(images(model, 2), images(model, 2).flip(-1)).flow.abs().max()
    assert moved > 0.01 or not config.uses_flow  # else agreement would say little
    export.export_model(model, tmp_path)
    for batch in (1, 8):
        assert_editor_agrees(model, tmp_path, batch)


@pytest.mark.parametrize("config", RECOGNIZERS.values(), ids=RECOGNIZERS.keys())
def test_a_recognizers_graph_gives_torchs_reading_for_one_face_and_for_eight(config, tmp_path):
    torch.manual_seed(0)
    model = lively(ExpressionEncoderModel(config))
    export.export_model(model, tmp_path)
    for batch in (1, 8):
        assert_recognizer_agrees(model, tmp_path, batch)


@pytest.mark.parametrize("name", ["editor", "recognizer"])
def test_the_bundled_models_export_from_the_command_line_with_config_and_card(name, tmp_path):
    done = CliRunner().invoke(app, ["export", name, str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    graphs = {"editor": {"encoder.onnx", "decoder.onnx"}, "recognizer": {"recognizer.onnx"}}[name]
    assert {path.name for path in (tmp_path / "out").iterdir()} == graphs | {"config.json", "README.md"}
    assert (tmp_path / "out" / "README.md").read_text() == (BUNDLED / name / "README.md").read_text()
    model = (LEEDModel if name == "editor" else ExpressionEncoderModel).from_pretrained(BUNDLED / name)
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert type(model.config)(**written) == model.config
    for batch in (1, 8):
        (assert_editor_agrees if name == "editor" else assert_recognizer_agrees)(model, tmp_path / "out", batch)


def test_a_graph_is_one_file_that_holds_its_weights(tmp_path):
    torch.manual_seed(0)
    (path,) = export.export_model(ExpressionEncoderModel(RECOGNIZER).eval(), tmp_path)
    graph = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(graph, full_check=True)
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in graph.graph.initializer)
    assert {each.name for each in tmp_path.iterdir()} == {"recognizer.onnx", "config.json"}


def test_a_licence_beside_the_weights_goes_along(tmp_path):
    torch.manual_seed(0)
    ExpressionEncoderModel(RECOGNIZER).eval().save_pretrained(tmp_path / "in")
    (tmp_path / "in" / "LICENSE").write_text("terms")
    export.export_folder(tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out" / "LICENSE").read_text() == "terms"


def test_the_model_stays_as_it_was(tmp_path):
    torch.manual_seed(0)
    model = ExpressionEncoderModel(RECOGNIZER).double().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    export.export_model(model, tmp_path)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_missing_package_is_one_sentence_that_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ExportError, match=r'^Exporting needs onnxscript: pip install "leed-hub\[export\]"\.$'):
        export.export_model(ExpressionEncoderModel(RECOGNIZER), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_graphs_that_differ_from_torch_are_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", 0.0)
    torch.manual_seed(0)
    with pytest.raises(ExportError, match="differs from torch's"):
        export.export_model(lively(ExpressionEncoderModel(RECOGNIZER)), tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_is_no_model_and_where_nothing_can_be_written_is_said(tmp_path):
    for name in ("nowhere", str(tmp_path / "nowhere"), "a/b/c"):
        with pytest.raises(ModelLoadError, match="Folder not found"):
            export.export_folder(name, tmp_path / "out")
    with pytest.raises(ModelLoadError, match=r"model\.safetensors"):
        export.export_folder(tmp_path, tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="cannot be written to"):
        export.export_model(ExpressionEncoderModel(RECOGNIZER), tmp_path / "file" / "out")
