"""What diffusers calls the layers that ComfyUI's networks have, and which rows of a fused one go to which of its own.

Read off diffusers 0.42's own converters of checkpoints. Each line of a table is `ours = theirs`: N stands for a number,
{a,b} for one name each, on both sides alike; on the right alone it splits the rows of ours, as the word after | says.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache

from ..errors import unhandled_choice
from .unet_keys import unet_kernel, unet_modules, unet_name

_FLUX_STREAMS = """
double_blocks.N.img_attn.qkv = transformer_blocks.N.attn.{to_q,to_k,to_v}
double_blocks.N.txt_attn.qkv = transformer_blocks.N.attn.{add_q_proj,add_k_proj,add_v_proj}
double_blocks.N.{img,txt}_attn.proj = transformer_blocks.N.attn.{to_out.0,to_add_out}
"""
_FLUX_BLOCKS = f"""{_FLUX_STREAMS}
double_blocks.N.img_mlp.{{0,2}} = transformer_blocks.N.ff.{{net.0.proj,net.2}}
double_blocks.N.txt_mlp.{{0,2}} = transformer_blocks.N.ff_context.{{net.0.proj,net.2}}
single_blocks.N.linear1 = single_transformer_blocks.N.{{attn.to_q,attn.to_k,attn.to_v,proj_mlp}} | stream
single_blocks.N.linear2 = single_transformer_blocks.N.proj_out
"""
_MODULATED = """
double_blocks.N.{img,txt}_mod.lin = transformer_blocks.N.{norm1,norm1_context}.linear
single_blocks.N.modulation.lin = single_transformer_blocks.N.norm.linear
"""
_FLUX_ENDS = """
{img_in,txt_in} = {x_embedder,context_embedder}
final_layer.linear = proj_out
"""
_REFINED = """
final_layer.linear = proj_out
txt_in.individual_token_refiner.blocks.N.self_attn.qkv = \
context_embedder.token_refiner.refiner_blocks.N.attn.{to_q,to_k,to_v}
txt_in.individual_token_refiner.blocks.N.{self_attn.proj,mlp.0,mlp.2,adaLN_modulation.1} = \
context_embedder.token_refiner.refiner_blocks.N.{attn.to_out.0,ff.net.0.proj,ff.net.2,norm_out.linear}
"""
_HUNYUAN = _FLUX_BLOCKS + _MODULATED + _REFINED
_COSMOS = """
blocks.N.self_attn.{q_proj,k_proj,v_proj,output_proj} = transformer_blocks.N.attn1.{to_q,to_k,to_v,to_out.0}
blocks.N.cross_attn.{q_proj,k_proj,v_proj,output_proj} = transformer_blocks.N.attn2.{to_q,to_k,to_v,to_out.0}
blocks.N.mlp.{layer1,layer2} = transformer_blocks.N.ff.{net.0.proj,net.2}
"""
_WAN = """
blocks.N.self_attn.{q,k,v,o} = blocks.N.attn1.{to_q,to_k,to_v,to_out.0}
blocks.N.cross_attn.{q,k,v,o,k_img,v_img} = blocks.N.attn2.{to_q,to_k,to_v,to_out.0,add_k_proj,add_v_proj}
blocks.N.ffn.{0,2} = blocks.N.ffn.{net.0.proj,net.2}
time_embedding.{0,2} = condition_embedder.time_embedder.{linear_1,linear_2}
text_embedding.{0,2} = condition_embedder.text_embedder.{linear_1,linear_2}
time_projection.1 = condition_embedder.time_proj
head.head = proj_out
"""
_LUMINA = """
{layers,noise_refiner,context_refiner}.N.attention.qkv = {layers,noise_refiner,context_refiner}.N.attn.\
{to_q,to_k,to_v} | grouped
{layers,noise_refiner,context_refiner}.N.attention.out = {layers,noise_refiner,context_refiner}.N.attn.to_out.0
layers.N.feed_forward.{w1,w2,w3} = layers.N.feed_forward.{linear_1,linear_2,linear_3}
noise_refiner.N.feed_forward.{w1,w2,w3} = noise_refiner.N.feed_forward.{linear_1,linear_2,linear_3}
context_refiner.N.feed_forward.{w1,w2,w3} = context_refiner.N.feed_forward.{linear_1,linear_2,linear_3}
"""
_Z_IMAGE = """
{layers,noise_refiner,context_refiner}.N.attention.qkv = {layers,noise_refiner,context_refiner}.N.attention.\
{to_q,to_k,to_v}
{layers,noise_refiner,context_refiner}.N.attention.out = {layers,noise_refiner,context_refiner}.N.attention.to_out.0
layers.N.{feed_forward.w1,feed_forward.w2,feed_forward.w3,adaLN_modulation.0} = same
noise_refiner.N.{feed_forward.w1,feed_forward.w2,feed_forward.w3,adaLN_modulation.0} = same
context_refiner.N.feed_forward.{w1,w2,w3} = same
"""
_TABLES: dict[str, str] = {
    "wan2.1": _WAN,
    "wan2.2": _WAN,
    "flux-1-dev": _FLUX_BLOCKS + _MODULATED + _FLUX_ENDS,
    "flux-1-schnell": _FLUX_BLOCKS + _MODULATED + _FLUX_ENDS,
    "longcat-image": _FLUX_BLOCKS + _MODULATED + _FLUX_ENDS,
    "chroma": _FLUX_BLOCKS + _FLUX_ENDS,
    "flux-2": f"""{_FLUX_STREAMS}{_FLUX_ENDS}
double_blocks.N.img_mlp.{{0,2}} = transformer_blocks.N.ff.{{linear_in,linear_out}}
double_blocks.N.txt_mlp.{{0,2}} = transformer_blocks.N.ff_context.{{linear_in,linear_out}}
single_blocks.N.{{linear1,linear2}} = single_transformer_blocks.N.attn.{{to_qkv_mlp_proj,to_out}}
{{double_stream_modulation_img,double_stream_modulation_txt,single_stream_modulation}}.lin = \
{{double_stream_modulation_img,double_stream_modulation_txt,single_stream_modulation}}.linear
""",
    "hunyuan-video": _HUNYUAN,
    # Without single blocks, and so is diffusers' class.
    "hunyuan-video-1.5": "\n".join(line for line in _HUNYUAN.splitlines() if not line.startswith("single_blocks")),
    "hunyuan-image-2.1": _HUNYUAN,
    "qwen-image": """
transformer_blocks.N.attn.{to_q,to_k,to_v,to_out.0,add_q_proj,add_k_proj,add_v_proj,to_add_out} = same
transformer_blocks.N.{img,txt}_mlp.net.0.proj = same
transformer_blocks.N.{img,txt}_mlp.net.2 = same
transformer_blocks.N.{img,txt}_mod.1 = same
{img_in,txt_in,proj_out} = same
""",
    "stable-diffusion-3": """
joint_blocks.N.x_block.attn.qkv = transformer_blocks.N.attn.{to_q,to_k,to_v}
joint_blocks.N.x_block.attn2.qkv = transformer_blocks.N.attn2.{to_q,to_k,to_v}
joint_blocks.N.context_block.attn.qkv = transformer_blocks.N.attn.{add_q_proj,add_k_proj,add_v_proj}
joint_blocks.N.{x_block.attn,x_block.attn2,context_block.attn}.proj = \
transformer_blocks.N.{attn.to_out.0,attn2.to_out.0,attn.to_add_out}
joint_blocks.N.x_block.mlp.{fc1,fc2} = transformer_blocks.N.ff.{net.0.proj,net.2}
joint_blocks.N.context_block.mlp.{fc1,fc2} = transformer_blocks.N.ff_context.{net.0.proj,net.2}
joint_blocks.N.x_block.adaLN_modulation.1 = transformer_blocks.N.norm1.linear
context_embedder = same
final_layer.linear = proj_out
""",
    "auraflow": """
double_layers.N.mlpX.{c_fc1,c_fc2,c_proj} = joint_transformer_blocks.N.ff.{linear_1,linear_2,out_projection}
double_layers.N.mlpC.{c_fc1,c_fc2,c_proj} = joint_transformer_blocks.N.ff_context.{linear_1,linear_2,out_projection}
double_layers.N.attn.{w2q,w2k,w2v,w2o} = joint_transformer_blocks.N.attn.{to_q,to_k,to_v,to_out.0}
double_layers.N.attn.{w1q,w1k,w1v,w1o} = joint_transformer_blocks.N.attn.{add_q_proj,add_k_proj,add_v_proj,to_add_out}
double_layers.N.{modX.1,modC.1} = joint_transformer_blocks.N.{norm1.linear,norm1_context.linear}
single_layers.N.mlp.{c_fc1,c_fc2,c_proj} = single_transformer_blocks.N.ff.{linear_1,linear_2,out_projection}
single_layers.N.attn.{w1q,w1k,w1v,w1o} = single_transformer_blocks.N.attn.{to_q,to_k,to_v,to_out.0}
single_layers.N.modCX.1 = single_transformer_blocks.N.norm1.linear
final_linear = proj_out
cond_seq_linear = context_embedder
""",
    "lumina-2": _LUMINA,
    "z-image": _Z_IMAGE,
    "anima": _COSMOS,
    "ltx-video": """
transformer_blocks.N.{attn1,attn2}.to_q = same
transformer_blocks.N.{attn1,attn2}.to_k = same
transformer_blocks.N.{attn1,attn2}.to_v = same
transformer_blocks.N.{attn1,attn2}.to_out.0 = same
transformer_blocks.N.ff.{net.0.proj,net.2} = same
patchify_proj = proj_in
proj_out = same
""",
    "mochi-1-preview": """
blocks.N.attn.qkv_x = transformer_blocks.N.attn1.{to_q,to_k,to_v}
blocks.N.attn.qkv_y = transformer_blocks.N.attn1.{add_q_proj,add_k_proj,add_v_proj}
blocks.N.attn.{proj_x,proj_y} = transformer_blocks.N.attn1.{to_out.0,to_add_out}
blocks.N.mlp_x.w1 = transformer_blocks.N.ff.net.0.proj | swapped
blocks.N.mlp_y.w1 = transformer_blocks.N.ff_context.net.0.proj | swapped
blocks.N.{mlp_x,mlp_y}.w2 = transformer_blocks.N.{ff,ff_context}.net.2
""",
    "hidream-i1": """
{double,single}_stream_blocks.N.block.attn1.to_q = same
{double,single}_stream_blocks.N.block.attn1.to_k = same
{double,single}_stream_blocks.N.block.attn1.to_v = same
{double,single}_stream_blocks.N.block.attn1.to_out = same
double_stream_blocks.N.block.attn1.{to_q_t,to_k_t,to_v_t,to_out_t} = same
double_stream_blocks.N.block.ff_t.{w1,w2,w3} = same
double_stream_blocks.N.block.ff_i.shared_experts.{w1,w2,w3} = same
single_stream_blocks.N.block.ff_i.shared_experts.{w1,w2,w3} = same
double_stream_blocks.N.block.ff_i.experts.N.{w1,w2,w3} = same
single_stream_blocks.N.block.ff_i.experts.N.{w1,w2,w3} = same
{double,single}_stream_blocks.N.block.adaLN_modulation.1 = same
caption_projection.N.linear = same
""",
    "kandinsky-5": """
{text,visual}_transformer_blocks.N.self_attention.to_query = same
{text,visual}_transformer_blocks.N.self_attention.to_key = same
{text,visual}_transformer_blocks.N.self_attention.to_value = same
{text,visual}_transformer_blocks.N.self_attention.out_layer = same
visual_transformer_blocks.N.cross_attention.{to_query,to_key,to_value,out_layer} = same
text_transformer_blocks.N.feed_forward.{in_layer,out_layer} = same
visual_transformer_blocks.N.feed_forward.{in_layer,out_layer} = same
""",
    "krea-2": """
blocks.N.attn.{wq,wk,wv,wo,gate} = transformer_blocks.N.attn.{to_q,to_k,to_v,to_out.0,to_gate}
blocks.N.mlp.{gate,up,down} = transformer_blocks.N.ff.{gate,up,down}
txtfusion.layerwise_blocks.N.attn.{wq,wk,wv,wo,gate} = \
text_fusion.layerwise_blocks.N.attn.{to_q,to_k,to_v,to_out.0,to_gate}
txtfusion.refiner_blocks.N.attn.{wq,wk,wv,wo,gate} = \
text_fusion.refiner_blocks.N.attn.{to_q,to_k,to_v,to_out.0,to_gate}
txtfusion.layerwise_blocks.N.mlp.{gate,up,down} = text_fusion.layerwise_blocks.N.ff.{gate,up,down}
txtfusion.refiner_blocks.N.mlp.{gate,up,down} = text_fusion.refiner_blocks.N.ff.{gate,up,down}
""",
    "ernie-image": """
layers.N.self_attention.{to_q,to_k,to_v,to_out.0} = same
layers.N.mlp.{gate_proj,up_proj,linear_fc2} = same
""",
}  # fmt: skip
# The UNets' names are no table: their numbers are computed.
_UNETS = (
    "stable-diffusion-v1", "stable-diffusion-v2", "stable-diffusion-xl-v1-base", "stable-diffusion-xl-v1-refiner",
)  # fmt: skip
# As many blocks as any of these networks has, and experts in one.
_MOST_BLOCKS, _MOST_EXPERTS = 100, 8


class Rows(Enum):
    """Which rows of our layer's weight go to their layers, in order.

    `EQUAL`: as many to each (all to the only one). `STREAM`: as many as the layer has inputs to each but the last.
    `GROUPED`: as many as it has inputs to the first (queries), the rest in halves. `SWAPPED`: all, second half first.
    """

    EQUAL = "equal"
    STREAM = "stream"
    GROUPED = "grouped"
    SWAPPED = "swapped"

    def sizes(self, count: int, rows: int, inputs: int) -> list[int]:
        """How many of `rows` each of `count` layers gets, [] where that cannot be."""
        if self is Rows.STREAM:
            found = [inputs] * (count - 1) + [rows - (count - 1) * inputs]
        elif self is Rows.GROUPED:
            found = [inputs] + [(rows - inputs) // (count - 1)] * (count - 1)
        elif self is Rows.EQUAL or self is Rows.SWAPPED:
            found = [rows // count] * count
        else:
            raise unhandled_choice(self)
        return found if min(found) > 0 and sum(found) == rows else []


@dataclass(frozen=True)
class Theirs:
    """What diffusers calls one of our layers: several names where it has them apart. `kernel` of a convolution."""

    names: tuple[str, ...]
    rows: Rows = Rows.EQUAL
    kernel: tuple[int, ...] = ()


def is_known(architecture: str) -> bool:
    """Whether diffusers loads LoRAs for a model of that `modelspec.architecture` (a `/lora` after it is passed by)."""
    return base_name(architecture) in (*_TABLES, *_UNETS)


def known_architectures() -> tuple[str, ...]:
    """Every architecture of which diffusers' names are known."""
    return (*_TABLES, *_UNETS)


def base_name(architecture: str) -> str:
    """`flux-2` of `flux-2/lora`."""
    return architecture.partition("/")[0]


def is_unet_architecture(architecture: str) -> bool:
    """Whether it is one of the Stable Diffusion models before the third."""
    return base_name(architecture) in _UNETS


def component(architecture: str) -> str:
    """The part of a diffusers pipeline that the LoRA is for: in front of every key."""
    return "unet" if is_unet_architecture(architecture) else "transformer"


def theirs(architecture: str, module: str, per_level: int) -> Theirs | None:
    """What diffusers calls our `module`, None where that is not known. `per_level` matters to UNets alone; see
    `unet_keys.blocks_per_level`."""
    if is_unet_architecture(architecture):
        name = unet_name(module, per_level)
        kernel = unet_kernel(module, per_level, base_name(architecture) != "stable-diffusion-v1")
        return None if name is None else Theirs((name,), kernel=kernel)
    return _names(base_name(architecture)).get(module)


def every_module(architecture: str) -> Iterator[str]:
    """Our names of all layers of which diffusers' are known."""
    yield from unet_modules() if is_unet_architecture(architecture) else _names(base_name(architecture))


@cache
def _names(architecture: str) -> Mapping[str, Theirs]:
    names: dict[str, Theirs] = {}
    for ours, found in _rules(_TABLES.get(architecture, "")):
        counts = (_MOST_BLOCKS, _MOST_EXPERTS)[: ours.count("N")]
        for numbers in itertools.product(*(range(count) for count in counts)):
            names[_fill_in_numbers(ours, numbers)] = Theirs(
                tuple(_fill_in_numbers(name, numbers) for name in found.names), found.rows
            )
    return names


def _rules(table: str) -> Iterator[tuple[str, Theirs]]:
    for line in filter(None, (line.strip() for line in table.splitlines())):
        left, _, right = line.partition(" = ")
        right, _, how = right.partition(" | ")
        rows = Rows(how or "equal")
        ours = _expand_braces(left)
        found = _expand_braces(left if right == "same" else right)
        share = len(found) // len(ours)
        for index, name in enumerate(ours):
            yield name, Theirs(tuple(found[index * share : (index + 1) * share]), rows)


def _expand_braces(text: str) -> list[str]:
    """`a.{b,c}.{d,e}` → a.b.d, a.b.e, a.c.d, a.c.e."""
    pieces = re.split(r"\{([^}]*)\}", text)
    choices = [piece.split(",") if index % 2 else [piece] for index, piece in enumerate(pieces)]
    return ["".join(choice) for choice in itertools.product(*choices)]


def _fill_in_numbers(name: str, numbers: tuple[int, ...]) -> str:
    for number in numbers:
        name = re.sub(r"(?<=\.)N(?=\.|$)", str(number), name, count=1)
    return name
