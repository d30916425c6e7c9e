"""What every model of ours promises, whichever it is."""

import dataclasses

import pytest
import torch

from leed_hub.errors import ConfigError
from leed_hub.models.expression_encoder import ExpressionEncoderConfig, ExpressionEncoderModel
from leed_hub.models.leed import LEEDConfig, LEEDModel

EDITOR = LEEDConfig(image_size=32, widths=(8, 8, 8, 8), manifold_dim=16, expression_dim=4)
SMALL = ExpressionEncoderConfig(image_size=16, widths=(4, 4, 8, 8), code_dim=8)
CASES = {
    "editor": (LEEDModel, EDITOR, (3, 32, 32)),
    "editor without flow": (LEEDModel, dataclasses.replace(EDITOR, uses_flow=False), (3, 32, 32)),
    "recognizer": (ExpressionEncoderModel, SMALL, (1, 16, 16)),
    "recognizer with reconstruction": (
        ExpressionEncoderModel,
        dataclasses.replace(SMALL, reconstructs=True, channels=3),
        (3, 16, 16),
    ),
    "recognizer on a timm backbone": (
        ExpressionEncoderModel,
        dataclasses.replace(SMALL, backbone="resnet10t", image_size=32),
        (1, 32, 32),
    ),
}


@pytest.fixture(params=CASES, ids=CASES.keys())
def case(request):
    model_class, config, shape = CASES[request.param]
    torch.manual_seed(0)
    return model_class(config).eval(), torch.rand(2, *shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def outputs(model, images) -> dict[str, torch.Tensor]:
    """All tensors a forward pass gives, by name."""
    output = model.edit(images, images.flip(-1)) if isinstance(model, LEEDModel) else model(images)
    return {name: value for name, value in vars(output).items() if isinstance(value, torch.Tensor)}


def test_a_model_loaded_from_its_folder_alone_equals_the_saved_one_exactly(case, tmp_path):
    model, images = case
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path)
    assert loaded.config == model.config
    assert not loaded.training
    with torch.inference_mode():
        before, after = outputs(model, images), outputs(loaded, images)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_half_precision_files_are_half_as_large_and_give_nearly_the_same(case, tmp_path):
    model, images = case
    model.save_pretrained(tmp_path / "whole")
    model.save_pretrained(tmp_path / "half", half=True)
    whole, half = ((tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half"))
    assert half < 0.65 * whole
    loaded = type(model).from_pretrained(tmp_path / "half")
    assert next(loaded.parameters()).dtype == next(model.parameters()).dtype == torch.float32
    with torch.inference_mode():
        before, after = outputs(model, images), outputs(loaded, images)
    assert all(torch.allclose(before[name], after[name], atol=0.02) for name in before)


def test_one_picture_gives_the_same_alone_as_in_a_batch(case):
    model, images = case
    with torch.inference_mode():
        together, alone = outputs(model, images), outputs(model, images[:1])
    for name in together:
        assert torch.allclose(together[name][:1], alone[name], atol=1e-5), name


def test_images_leave_in_the_range_they_came_in(case):
    model, images = case
    with torch.inference_mode():
        for name, value in outputs(model, images).items():
            if value.ndim == 4 and name in ("edited", "color", "reconstruction"):
                assert value.abs().max() <= 1, name


@pytest.mark.parametrize(
    ("config", "field", "value"),
    [
        (LEEDConfig, "image_size", 100),
        (LEEDConfig, "widths", (1, 2)),
        (LEEDConfig, "depths", (1, 2, 2)),
        (LEEDConfig, "depths", (1, 2, -1, 2)),
        (LEEDConfig, "refinements", -1),
        (LEEDConfig, "max_flow", 0.0),
        (LEEDConfig, "pairs", "some"),
        (LEEDConfig, "template", (0.5,) * 7),
        (ExpressionEncoderConfig, "labels", ("neutral", "bored")),
        (ExpressionEncoderConfig, "channels", 2),
        (ExpressionEncoderConfig, "temperature", 0.0),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(config, field, value):
    with pytest.raises(ConfigError, match=field):
        config(**{field: value})


@pytest.mark.parametrize("config", [LEEDConfig, ExpressionEncoderConfig])
def test_a_config_is_frozen_and_refuses_names_and_types_that_do_not_fit(config):
    with pytest.raises(ConfigError, match=f"{config.__name__} does not know 'image_sise'; did you mean 'image_size'?"):
        config(image_sise=64)
    with pytest.raises(ConfigError, match="image_size should be a valid integer; got '64'"):
        config(image_size="64")
    with pytest.raises(dataclasses.FrozenInstanceError):
        config().image_size = 64
    assert config(widths=[1, 2, 3, 4]) == dataclasses.replace(config(), widths=(1, 2, 3, 4))  # a list, as from YAML
