"""How far two models' logits are apart."""

import torch


def divergence(base, other):
    """Mean KL divergence of the rows of `other` from those of `base`, and the largest difference."""
    p = base.double().log_softmax(-1)
    q = other.double().log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1).mean().item(), (base - other).abs().max().item()


def same_values(ours, theirs):
    """(text, whether equal): values that two programs decoded from the same codes and scales. The
    order of two products may differ, which moves F32 by at most two units in the last place."""
    ours, theirs = ours.double(), theirs.double()
    scale = torch.maximum(ours.abs(), theirs.abs()).clamp_min(1e-300)
    worst = ((ours - theirs).abs() / scale).max().item()
    return worst, worst <= 2.0**-22
