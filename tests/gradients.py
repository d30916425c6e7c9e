"""Who got gradient."""

import torch


def touched(module: torch.nn.Module) -> set[str]:
    """Names of the child networks some of whose weights have a gradient that is not zero."""
    return {
        name.split(".")[0]
        for name, parameter in module.named_parameters()
        if parameter.grad is not None and parameter.grad.abs().sum() > 0
    }
