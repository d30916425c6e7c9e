"""What is the recogniser's own: two branches, a code that cannot hide, and a backbone that loads without a network."""

import dataclasses
import socket

import pytest
import timm
import torch

from leed_hub.errors import ConfigError
from leed_hub.models.expression_encoder import ExpressionEncoderConfig, ExpressionEncoderModel, load_backbone_weights

SMALL = ExpressionEncoderConfig(image_size=16, widths=(4, 4, 8, 8), non_expression_width=6, code_dim=8)
TIMM = dataclasses.replace(SMALL, backbone="test_efficientnet", channels=3, image_size=32)


def test_while_training_every_dimension_of_the_non_expression_code_has_unit_variance():
    torch.manual_seed(0)
    model = ExpressionEncoderModel(SMALL).train()
    images = torch.linspace(-1, 1, 64)[:, None, None, None] + 0.1 * torch.randn(64, 1, 16, 16)
    for scale in (100.0, 0.1):  # a branch that whispers is heard all the same
        with torch.no_grad():
            model.non_expression_branch[0].to_code.weight *= scale
            code = model(images).non_expression_code
        assert torch.allclose(code.mean(dim=0), torch.zeros(8), atol=1e-4)
        assert torch.allclose(code.var(dim=0, unbiased=False), torch.ones(8), atol=0.1)


def test_the_two_branches_have_widths_of_their_own():
    model = ExpressionEncoderModel(SMALL)
    assert model.expression_branch.to_code.weight.shape == (8, 8)
    assert model.non_expression_branch[0].to_code.weight.shape == (8, 6)


def test_reading_runs_what_the_whole_network_runs():
    torch.manual_seed(0)
    model = ExpressionEncoderModel(dataclasses.replace(SMALL, temperature=2.0)).eval()
    images = torch.rand(3, 1, 16, 16) * 2 - 1
    logits, code = model.recognize(images)
    assert torch.equal(logits, model(images).logits)
    assert torch.equal(code, model(images).expression_code)
    assert torch.allclose(logits, model.classifier(code) / 2)


def test_a_timm_backbone_loads_from_its_folder_without_asking_for_weights(tmp_path, monkeypatch):
    torch.manual_seed(0)
    model = ExpressionEncoderModel(TIMM).eval()
    model.save_pretrained(tmp_path)
    asked, create = [], timm.create_model

    def recorded(name, **options):
        asked.append((name, options["pretrained"]))
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", recorded)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("went to the network"))
    loaded = ExpressionEncoderModel.from_pretrained(tmp_path)
    assert set(asked) == {("test_efficientnet", False)}
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.inference_mode():
        assert torch.equal(loaded(images).logits, model(images).logits)


@pytest.mark.parametrize("channels", [3, 1])
def test_published_weights_start_the_shared_layers_and_nothing_else(channels, tmp_path):
    """timm reads the file where it would download one; for grey it sums the first layer's colours."""
    torch.manual_seed(0)
    published = timm.create_model("test_efficientnet")
    torch.save(published.state_dict(), tmp_path / "published.pth")
    model = ExpressionEncoderModel(dataclasses.replace(TIMM, channels=channels))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    load_backbone_weights(model, pretrained_cfg_overlay={"file": str(tmp_path / "published.pth")})
    after, wanted = model.state_dict(), published.state_dict()
    for name in after:
        part, _, own = name.partition(".")
        if part != "shared":
            assert torch.equal(after[name], before[name]), name
        elif own == "conv_stem.weight" and channels == 1:
            assert torch.allclose(after[name], wanted[own].sum(dim=1, keepdim=True))
        else:
            assert torch.equal(after[name], wanted[own]), name


def test_the_small_backbone_has_no_published_weights():
    with pytest.raises(ConfigError, match="name a timm model"):
        load_backbone_weights(ExpressionEncoderModel(SMALL))
