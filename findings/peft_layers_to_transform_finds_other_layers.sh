#!/usr/bin/env bash
# One would guess: LoraConfig(layers_to_transform=[0, 1]) puts the LoRA into blocks 0 and 1; what `target_modules` has
# elsewhere stays as it is; and without `layers_pattern`, as documented, the first number in a module's name counts.
# What happens (peft 0.21.2, diffusers 0.42.1): the number only counts where a name stands before the list that it is
# of. In diffusers' transformers the list of blocks comes first (`blocks.0.attn1.to_q`), so that of attention not one
# layer is found; in `blocks.7.ffn.net.0.proj` the number found is net's 0. The LoRA sits in the first half of the
# feed-forward of every block, none in attention. No error, no warning. With layers_pattern="blocks" all is as guessed.
# Why it matters here: likeness is trained in few blocks to leave style and background alone; this trains a quarter of
# the layers asked for, in all the blocks that were to be left alone, and its samples still look like something.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 peft==0.21.2 accelerate==1.15.0 transformers==5.24.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

from diffusers import WanTransformer3DModel
from peft import LoraConfig
from peft.tuners.tuners_utils import BaseTunerLayer

print(*(f"{name} {importlib.metadata.version(name)}" for name in ("peft", "diffusers", "torch")))
WANTED = ("attn1.to_q", "attn1.to_v", "ffn.net.0.proj", "ffn.net.2")


def adapted(layers_pattern):
    model = WanTransformer3DModel(
        num_layers=4, num_attention_heads=2, attention_head_dim=12, text_dim=16, freq_dim=32, ffn_dim=32, rope_max_seq_len=32
    )
    config = LoraConfig(
        r=4, target_modules=list(WANTED), layers_to_transform=[0, 1], layers_pattern=layers_pattern
    )
    model.add_adapter(config)
    return {name for name, layer in model.named_modules() if isinstance(layer, BaseTunerLayer)}


bare, named = adapted(None), adapted("blocks")
print("layers_to_transform=[0, 1]:", *sorted(bare))
print("and layers_pattern='blocks':", *sorted(named))
guessed = {f"blocks.{block}.{layer}" for block in (0, 1) for layer in WANTED}
surprise = {f"blocks.{block}.ffn.net.0.proj" for block in range(4)}
sys.exit(0 if named == guessed and bare == surprise else 1)
PYTHON
