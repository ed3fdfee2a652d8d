"""Model conditioning of each sample, in ComfyUI's form, and which samples share a forward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F

from ..encoders import embeddings_to_cond
from ..model.architectures import TextRule, is_unet
from ..model.image_to_video import frame_indices, to_conditioning
from ..model.references import ReferenceMethod, check_number, shares_pass, to_reference_latents
from ..model.sound import latent_shapes, makes_sound
from .collapsed_padding import CollapsedPadding, TextAttention, collapse_padding
from .padding import HiddenPadding, pad_together

Conds = dict[str, Any]

_TEXT, _TOKENS, _MASK, _REFERENCES = "c_crossattn", "num_tokens", "attention_mask", "ref_latents"
# Anima's network has an adapter that turns its embeddings into those of another tokenizer's tokens.
_OTHER_TOKENS, _OTHER_WEIGHTS = "t5xxl_ids", "t5xxl_weights"
# With other conditions besides the text, such as a mask or a second text, padding with zeros is not enough.
_PADDABLE = {_TEXT, _TOKENS, "y", "c_concat", "guidance", _REFERENCES, "ref_latents_method"}
# Flux's and HunyuanVideo's, and Chroma's.
_GUIDANCE_LAYERS = ("guidance_in.", "distilled_guidance_layer.")


@dataclass(frozen=True, eq=False)
class Rows:
    """Samples that share a forward pass, by position, with the model's keyword arguments for all of them.

    `padding` is None where their texts are as the encoder gave them. `frames` are the indices of their latent frames
    where these are not 0, 1, 2…
    """

    positions: tuple[int, ...]
    arguments: Mapping[str, Any]
    padding: HiddenPadding | CollapsedPadding | None = None
    frames: tuple[int, ...] = ()


def condition(
    model: Any,
    text: Sequence[Mapping[str, torch.Tensor]],
    noise: torch.Tensor,
    guidance: float | None,
    rule: TextRule,
    counting: TextAttention | None = None,
    method: ReferenceMethod = ReferenceMethod.AUTO,
) -> list[Rows]:
    """One row per sample. Rows that would change each other's result are split into separate batches.

    `noise` has the model's own axes, (B,C,h,w) or (B,C,T,h,w). `guidance` replaces the model's default where the
    embeddings bring none; references are placed by `method`. With `counting`, the zeros at the ends of full-length
    texts are collapsed.
    """
    for each in text:
        check_number(model, each)
    shown = [to_reference_latents(to_conditioning(each), noise.ndim - 2, method) for each in text]
    embeddings = [embeddings_to_cond(each) for each in shown]
    frames = [frame_indices(each) for each in text]
    if rule is TextRule.MASKED:
        embeddings = _pad_captions(embeddings)
    elif rule is TextRule.FULL_LENGTH:
        embeddings = [_fill_to_length(each, getattr(model.diffusion_model, "text_len", 0)) for each in embeddings]
    conds = [_build_conds(model, each, noise[i : i + 1], guidance) for i, each in enumerate(embeddings)]
    if _OTHER_TOKENS in conds[0]:
        conds = [_translate_text(model, each, noise.device) for each in conds]
    if rule.hides_padding:
        conds = [_drop_full_mask(each) for each in conds]
    if alone := makes_sound(model):
        conds = [_keep_raw_text(cond, each, noise.device) for cond, each in zip(conds, embeddings, strict=True)]
    repeats = is_unet(model.diffusion_model)
    groups: list[list[int]] = []
    shares = shares_pass(model, method)
    for i, own in enumerate(conds):
        alike = (group for group in groups if not alone and frames[group[0]] == frames[i])
        fitting = next((group for group in alike if _can_share_pass(conds[group[0]], own, rule, repeats)), None)
        if fitting is None or (not shares and _REFERENCES in own):
            groups.append([i])
        else:
            fitting.append(i)
    rows = [_concat_rows(model, group, [conds[i] for i in group], noise, rule) for group in groups]
    if rule is TextRule.FULL_LENGTH and counting is not None:
        rows = [_collapse_padding(each, counting, noise.device) for each in rows]
    return [replace(each, frames=frames[each.positions[0]]) for each in rows]


def effective_guidance(model: Any, guidance: float | None) -> float | None:
    """`guidance`, or None where a BaseModel's network has no layer that would take it."""
    layers = (name for name, _ in model.diffusion_model.named_modules())
    return guidance if any(name.startswith(_GUIDANCE_LAYERS) for name in layers) else None


def _concat_rows(
    model: Any, positions: Sequence[int], conds: Sequence[Conds], noise: torch.Tensor, rule: TextRule
) -> Rows:
    arguments = {
        name: cond.concat([each[name] for each in conds[1:]]) for name, cond in conds[0].items() if name != _TEXT
    }
    if _TEXT not in conds[0]:
        return Rows(tuple(positions), arguments)
    texts = [each[_TEXT] for each in conds]
    if not rule.hides_padding or len({each.cond.shape for each in texts}) == 1:
        # A copy, also of a single one, because some networks write into their text.
        return Rows(tuple(positions), {**arguments, _TEXT: texts[0].concat(texts[1:])})
    text, padding = pad_together([each.cond for each in texts], model.diffusion_model, noise, rule)
    if _TOKENS in arguments:
        arguments[_TOKENS] = text.shape[1]
    return Rows(tuple(positions), {**arguments, _TEXT: text}, padding)


def _collapse_padding(rows: Rows, where: TextAttention, device: torch.device) -> Rows:
    text, padding = collapse_padding(rows.arguments[_TEXT], where, device)
    return replace(rows, arguments={**rows.arguments, _TEXT: text}, padding=padding)


def _build_conds(model: Any, embeddings: Conds, noise: torch.Tensor, guidance: float | None) -> Conds:
    given: dict[str, Any] = {
        "noise": noise,
        "device": noise.device,
        "latent_image": torch.zeros_like(noise),
        "denoise_mask": None,
        "latent_shapes": latent_shapes(model, noise),
        "seed": 0,
        # As ComfyUI's sampler has them, in its own axes.
        "width": noise.shape[3] * 8,
        "height": noise.shape[2] * 8,
        "prompt_type": "positive",
        **({} if guidance is None else {"guidance": guidance}),
        **embeddings,
    }
    with torch.no_grad():
        conds: Conds = model.extra_conds(**given)
        return {name: cond.process_cond(batch_size=1, area=None) for name, cond in conds.items()}


def _translate_text(model: Any, conds: Conds, device: torch.device) -> Conds:
    """Run the network's text adapter now, whose result has the same length for every caption."""
    kept = {name: cond for name, cond in conds.items() if name not in (_OTHER_TOKENS, _OTHER_WEIGHTS)}
    dtype = model.get_dtype_inference()
    text = model.diffusion_model.preprocess_text_embeds(
        conds[_TEXT].cond.to(device, dtype),
        conds[_OTHER_TOKENS].cond.to(device),
        t5xxl_weights=conds[_OTHER_WEIGHTS].cond.to(device, dtype),
    )
    return {**kept, _TEXT: type(conds[_TEXT])(text)}


def _keep_raw_text(conds: Conds, embeddings: Conds, device: torch.device) -> Conds:
    """Text that the network itself refines in the pass, where adapters in its refiner get a gradient."""
    return {**conds, _TEXT: type(conds[_TEXT])(embeddings["cross_attn"].to(device))}


def _can_share_pass(first: Conds, second: Conds, rule: TextRule, repeats: bool) -> bool:
    # Masks of several rows are not for every model.
    if first.keys() != second.keys() or (rule.hides_padding and _MASK in first):
        return False
    padded = rule.hides_padding and first.keys() <= _PADDABLE
    beside = {_TEXT, _TOKENS} if padded else {_TEXT}
    if not all(first[name].can_concat(second[name]) for name in first if name not in beside):
        return False
    return padded or _TEXT not in first or _has_same_text_length(first[_TEXT], second[_TEXT], repeats)


def _has_same_text_length(first: Any, second: Any, repeats: bool) -> bool:
    """Whether texts are of one length, with `repeats` also by repeating: right only where text is cross-attended."""
    return first.can_concat(second) if repeats else first.cond.shape == second.cond.shape


def _drop_full_mask(conds: Conds) -> Conds:
    mask = conds.get(_MASK)
    return {name: cond for name, cond in conds.items() if name != _MASK} if mask and bool(mask.cond.all()) else conds


def _fill_to_length(embeddings: Conds, tokens: int) -> Conds:
    """Pad with zeros to the number of tokens that the model was trained with, as its own encoder does."""
    text = embeddings["cross_attn"]
    room = tokens - text.shape[1]
    return {**embeddings, "cross_attn": F.pad(text, (0, 0, 0, room))} if room > 0 else embeddings


def _pad_captions(embeddings: Sequence[Conds]) -> list[Conds]:
    """Pad captions to one length, with masks that say which tokens are real."""
    lengths = [each["cross_attn"].shape[1] for each in embeddings]
    longest = max(lengths)
    if min(lengths) == longest and all("attention_mask" not in each for each in embeddings):
        return list(embeddings)
    padded: list[Conds] = []
    for each, length in zip(embeddings, lengths, strict=True):
        text = each["cross_attn"]
        mask = each.get("attention_mask")
        if mask is None:
            mask = torch.ones(1, length, dtype=torch.long)
        room = longest - length
        padded.append(
            {**each, "cross_attn": F.pad(text, (0, 0, 0, room)), "attention_mask": F.pad(mask.long(), (0, room))}
        )
    return padded
