#!/usr/bin/env bash
# One would guess: `F.l1_loss(prediction, target, weight=mask)` is Σ(w·|err|)/Σw wherever it is called, like `F.mse_loss`.
# What happens (torch 2.11.0 and 2.13.0): where any torch function mode is on, l1_loss hands itself on without its
# weight, and gives the plain mean. `torch.set_default_device(...)` is such a mode, and so is `with torch.device(...)`; a
# subclass of Tensor as prediction does the same. No error, no warning; mse_loss and huber_loss keep theirs.
# pytorch/pytorch #193003, open when this was written, is about it.
# Why it matters here: one line at the top of a training script, and the background behind the mask is trained in full;
# the loss even goes down as it should.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
import torch.nn.functional as F


class Image(torch.Tensor):
    """What libraries wrap pictures in: a Tensor by another name."""


print("torch", torch.__version__)
prediction = torch.zeros(1, 4, 8, 8)
prediction[..., 2:, :] = 5.0  # wrong behind the person only
prediction[..., :2, :] = 1.0
target, mask = torch.zeros_like(prediction), torch.zeros_like(prediction)
mask[..., :2, :] = 1.0


def losses(prediction):
    return [loss(prediction, target, weight=mask).item() for loss in (F.l1_loss, F.mse_loss)]


def outside():
    """The largest gradient where the mask is 0."""
    leaf = prediction.clone().requires_grad_()
    F.l1_loss(leaf, target, weight=mask).backward()
    return leaf.grad[mask == 0].abs().max().item()


plain, clean = losses(prediction), outside()
print("as it is:                     l1 {:.2f}, mse {:.2f}, gradient outside the mask {:.5f}".format(*plain, clean))
torch.set_default_device("cpu")
moded, leaking = losses(prediction), outside()
torch.set_default_device(None)
print("after set_default_device:     l1 {:.2f}, mse {:.2f}, gradient outside the mask {:.5f}".format(*moded, leaking))
image = losses(prediction.as_subclass(Image))
print("of a subclass of Tensor:      l1 {:.2f}, mse {:.2f}".format(*image))
unmasked = prediction.abs().mean().item()
guessed = plain == [1.0, 1.0] and clean == 0.0
surprise = moded == [unmasked, 1.0] and leaking > 0.0 and image == [unmasked, 1.0]
sys.exit(0 if guessed and surprise else 1)
PYTHON
