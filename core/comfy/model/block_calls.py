"""How ComfyUI's networks call their last block: which argument holds the picture's tokens, the text, the positions.

By the name of the network's class; the nearest class in the order of resolution counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class BlockCall:
    """The last block of a network, which is the last of the last of `lists` that is not empty, and its arguments.

    picture: the picture's tokens; with `joint` in one sequence with the text's. text: the text's own stream, attended
    to jointly. positions: rotary values, one for each token, of the text's stream too where `over_text`. result: which
    of the returned values is the picture's. masks: of attention, by keys. uniform: what may differ from token to token,
    along the second of so many axes, and must not. single: None, unless tokens of the picture are told apart by their
    place. shared: positions have no batch axis, so that all samples must keep the same tokens. names: of the positional
    arguments, where the block does not name them.

    queries: layers that only make what belongs to the queries' rows; keys: those that only make keys and values.
    """

    lists: tuple[str, ...]
    picture: str
    text: str = ""
    joint: bool = False
    positions: tuple[str, ...] = ()
    over_text: bool = True
    result: int = 0
    masks: tuple[str, ...] = ()
    uniform: tuple[tuple[str, int], ...] = ()
    single: tuple[str, ...] = ()
    shared: bool = False
    names: tuple[str, ...] = ()
    queries: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


_QWEN = BlockCall(
    ("transformer_blocks",), "hidden_states", "encoder_hidden_states", positions=("image_rotary_emb",), result=1,
    masks=("encoder_hidden_states_mask",), single=("timestep_zero_index",),
    queries=("attn.to_q", "attn.add_q_proj"), keys=("attn.to_k", "attn.to_v", "attn.add_k_proj", "attn.add_v_proj"),
)  # fmt: skip
_SINGLE_STREAM = BlockCall(
    ("single_blocks",), "x", joint=True, positions=("pe",), masks=("attn_mask",), single=("modulation_dims",),
)  # fmt: skip
_BY_CLASS = {
    "WanModel": BlockCall(
        ("blocks",), "x", positions=("freqs",), uniform=(("e", 4),), queries=("self_attn.q",),
        keys=("self_attn.k", "self_attn.v"),
    ),
    "QwenImageTransformer2DModel": _QWEN,
    "MageFlowTransformer2DModel": _QWEN,
    "Flux": _SINGLE_STREAM,
    "HunyuanVideo": _SINGLE_STREAM,
    "Chroma": _SINGLE_STREAM,
    "NextDiT": BlockCall(
        ("layers",), "x", joint=True, positions=("freqs_cis",), masks=("x_mask",), single=("timestep_zero_index",),
    ),
    "SingleStreamDiT": BlockCall(
        ("blocks",), "x", joint=True, positions=("freqs",), masks=("mask",), single=("timestep_zero_index",),
        queries=("attn.wq", "attn.gate"), keys=("attn.wk", "attn.wv"),
    ),
    "MMDiT": BlockCall(
        ("joint_blocks",), "x", "context", result=1, names=("context", "x"),
    ),
    "JoyImageTransformer3DModel": BlockCall(
        ("double_blocks",), "hidden_states", "encoder_hidden_states", positions=("image_rotary_emb",), over_text=False,
    ),
    "LensTransformer2DModel": BlockCall(
        ("transformer_blocks",), "hidden_states", "encoder_hidden_states", positions=("freqs_cis",), result=1,
        masks=("attention_mask",),
    ),
    "Kandinsky5": BlockCall(
        ("visual_transformer_blocks",), "visual_embed", positions=("freqs",), queries=("self_attention.to_query",),
        keys=("self_attention.to_key", "self_attention.to_value"),
    ),
    "OmniGen2Transformer2DModel": BlockCall(
        ("layers",), "hidden_states", joint=True, positions=("image_rotary_emb",), masks=("attention_mask",),
        queries=("attn.to_q",), keys=("attn.to_k", "attn.to_v"),
    ),
    "BooguTransformer2DModel": BlockCall(
        ("single_stream_layers",), "hidden_states", joint=True, positions=("image_rotary_emb",),
        masks=("attention_mask",), queries=("attn.to_q",), keys=("attn.to_k", "attn.to_v"),
    ),
    "MiniTrainDIT": BlockCall(
        ("blocks",), "x_B_T_H_W_D", positions=("rope_emb_L_1_1_D",), uniform=(("emb_B_T_D", 3),),
        single=("extra_per_block_pos_emb",), queries=("self_attn.q_proj",),
        keys=("self_attn.k_proj", "self_attn.v_proj"),
    ),
    "HiDreamImageTransformer2DModel": BlockCall(
        ("single_stream_blocks",), "image_tokens", joint=True, positions=("rope",), masks=("image_tokens_masks",),
        queries=("block.attn1.to_q",), keys=("block.attn1.to_k", "block.attn1.to_v"),
    ),
    "AsymmDiTJoint": BlockCall(
        ("blocks",), "x", "y", positions=("rope_cos", "rope_sin"), over_text=False, shared=True,
        names=("x", "c", "y"),
    ),
    "LTXVModel": BlockCall(
        ("transformer_blocks",), "x", positions=("pe",), masks=("self_attention_mask",), uniform=(("timestep", 3),),
        queries=("attn1.to_q",), keys=("attn1.to_k", "attn1.to_v"),
    ),
}  # fmt: skip
# AuraFlow's single layers are of another class of the same name as SD3's network.
_AURA = BlockCall(("single_layers",), "cx", joint=True, queries=("attn.w1q",), keys=("attn.w1k", "attn.w1v"))
# What they make of the last block's tokens mixes these with their neighbours'.
_MIXED_AFTERWARDS = ("ChromaRadiance", "PixDiT_T2I")


def last_block_call(network: nn.Module) -> tuple[nn.Module, BlockCall] | None:
    """The last block of a ComfyUI network and how it is called; None where that is not known."""
    kinds = [kind.__name__ for kind in type(network).__mro__]
    if any(kind in _MIXED_AFTERWARDS for kind in kinds):
        return None
    call = next((_BY_CLASS[kind] for kind in kinds if kind in _BY_CLASS), None)
    if hasattr(network, "single_layers"):
        call = _AURA
    if call is None:
        return None
    blocks = [block for name in call.lists for block in getattr(network, name, ())]
    return (blocks[-1], call) if blocks else None
