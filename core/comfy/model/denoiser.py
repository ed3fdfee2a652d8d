"""A ComfyUI MODEL behind the `Denoiser` protocol.

Shapes: B batch, C channels, T latent frames, h, w latent grid. `t` is in [0, 1]: 0 is the clean latent, 1 is noise.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch

from ...autograd.checkpointing import BlockCheckpointing, mutation_allowed
from ...autograd.compiled_blocks import CompiledBlocks
from ...autograd.compiler import check_compiling
from ...autograd.gradient_check import check_gradients
from ...autograd.inference_parameters import DifferentiableParameters
from ...errors import TrainingError
from ...frozen.config import BaseConfig
from ...train.config import TrainingDtype
from ...train.denoiser import Family, Needed
from ..backward.attention import OVERRIDE, differentiable_attention
from ..backward.fused_backward import use_fused_backward
from ..backward.kernels import use_plain_kernels
from ..backward.recast import is_casting_layer, recast_layers
from ..text.collapsed_padding import TextAttention, watch_text_attention
from ..text.conditioning import condition, effective_guidance
from .architectures import TextRule, architecture_of, repeated_blocks
from .compiled_model import compile_from_now, compiled_blocks
from .held_model import HeldModel
from .identity import model_identity
from .image_to_video import can_place, position_options, training_notes
from .last_block import FOREIGN, ROWS, LastBlock, TokenRows, find_last_block
from .loading import disable_dynamic_memory, lend_model, load, set_compute_dtype, transformer_options
from .predictions import prediction_family, supported_image_channels
from .references import ReferenceMethod, check_method, effective_method, placing, small_example, takes_references
from .small_pass import check_saving, small_pass
from .sound import latent_shapes, makes_sound, pack_with_noise, packing, picture_channels, unpack_picture
from .token_routing import TokenRouter

# Dividing the error of the clean estimate by a smaller sigma would amplify rounding.
_MIN_SIGMA = 1e-3


class ComfyDenoiser:
    """A loaded ComfyUI model that predicts with a graph. `open_denoiser` makes one, valid inside its context.

    The error is (x0 − x0_pred)/sigma, for v-prediction (x0 − x0_pred)·√(sigma²+1)/sigma: the difference of velocities
    (flow), of noises (eps) or of v. Inside `lend()` the model is ComfyUI's again, to be sampled from: it yields
    the ModelPatcher.
    """

    def __init__(
        self,
        patcher: Any,
        checkpointing: BlockCheckpointing,
        guidance: float | None,
        identity: str,
        lend: Callable[[], AbstractContextManager[Any]],
        image_channels: int = 0,
        counting: TextAttention | None = None,
        last_block: LastBlock | None = None,
        compiled: CompiledBlocks | None = None,
        method: ReferenceMethod = ReferenceMethod.AUTO,
    ) -> None:
        self.lend, self._compiled = lend, compiled
        self._model = patcher.model
        self._checkpointing = checkpointing
        self._needed: Needed | None = None
        self._last_block, self.saving_note = last_block, ""
        self.guidance = guidance
        self._sampling = patcher.get_model_object("model_sampling")
        self._architecture = architecture_of(self._model)
        self._options = transformer_options(patcher)
        if any(self._options.get(name) for name in FOREIGN):
            self.stop_saving("a node has put patches on the MODEL")
        own = self._options.get(OVERRIDE)
        self._options[OVERRIDE] = differentiable_attention(own)
        rule = self._architecture.text
        # Hiding padding needs the attention override, and text ahead of the picture needs the default positions.
        taken = rule.hides_padding and own is not None
        moved = rule is TextRule.HIDDEN_AHEAD and "rope_options" in self._options
        self._text_rule = TextRule.APART if taken or moved else rule
        self._counting = counting if own is None else None
        self.family = prediction_family(self._sampling, makes_sound(self._model))
        self.kind = type(self._model).__name__
        self.module: torch.nn.Module = self._model.diffusion_model
        self._router = TokenRouter(self.module, self.kind)
        self.routed_blocks, self.route = self._router.blocks, self._router.keep
        self.device = torch.device(patcher.load_device)
        self.latent_channels = picture_channels(self._model)
        self.image_channels = image_channels
        self.takes_references = takes_references(self._model, method)
        self.reference_method = effective_method(self._model, method)
        self.notes, self.weights_note = training_notes(self._model), ""
        self.default_targets = self._architecture.targets
        self.lora_architecture = self._architecture.name
        self.min_latent_size = self._architecture.min_latent_size
        self.identity = identity

    def normalise(self, latents_BCThw: torch.Tensor) -> torch.Tensor:
        """`process_latent_in`, once. TrainingError when channels or frames do not fit the model."""
        return self._five_axes(self._model.process_latent_in(self._own_axes(latents_BCThw)))

    def shift(self, t_B: torch.Tensor) -> torch.Tensor:
        """The schedule's own shift of a flow model; eps and v models have none."""
        if self.family is not Family.FLOW:
            return t_B
        return self._sampling.sigma(t_B.double() * getattr(self._sampling, "multiplier", 1.0)).to(t_B.dtype)

    def snr(self, t_B: torch.Tensor) -> torch.Tensor:
        """((1−t)/t)² for flow, 1/sigma² otherwise."""
        if self.family is Family.FLOW:
            return ((1 - t_B) / t_B) ** 2
        return 1 / self._sigma(t_B) ** 2

    def can_place(self, indices: Sequence[int]) -> bool:
        """Whether the indices are evenly spaced and this is an image-to-video model."""
        return self.image_channels > 0 and can_place(self.module, indices)

    def places_by(self, method: str) -> str:
        """The name of the method by which it places references that are given `method` in a CONDITIONING."""
        return placing(self._model, method)

    @property
    def compiled_note(self) -> str:
        """What has been compiled so far, in a sentence."""
        return self._compiled.note if self._compiled else ""

    def saves(self, needed: Needed) -> bool:
        """Where the last block computes those tokens alone that count."""
        return self._rows(needed) is not None

    @contextmanager
    def count_only(self, needed: Needed) -> Generator[None]:
        """Inside, `predict` leaves the tokens that do not count out of the last block, but for keys and values."""
        self._needed = needed
        try:
            yield
        finally:
            self._needed = None

    def stop_saving(self, reason: str) -> None:
        """From now on every token is computed, and `saving_note` says why."""
        self._last_block, self.saving_note = None, reason

    def autograd_context(self, checkpoint: bool) -> AbstractContextManager[object]:
        """A context for `predict` and for the `backward` of its result."""
        if checkpoint or not self._checkpointing.mutating or self._checkpointing.functional():
            return nullcontext()
        return mutation_allowed()

    def predict(
        self,
        clean_BCThw: torch.Tensor,
        noise_BCThw: torch.Tensor,
        t_B: torch.Tensor,
        text: Sequence[Mapping[str, torch.Tensor]],
        checkpoint: bool,
    ) -> torch.Tensor:
        """Prediction minus target, (B,C,T,h,w) float32. TrainingError when there are no blocks to checkpoint.

        All frames of a one-frame entry are noised alike and predicted, as in musubi-tuner: the control frames stand
        clean beside the noise, as an image-to-video model's first frame does.
        """
        if checkpoint and not self._checkpointing.blocks:
            raise TrainingError(
                f"{self.kind} has no repeated blocks, so gradient checkpointing is not possible; "
                "switch gradient_checkpointing off."
            )
        clean = self._own_axes(clean_BCThw).float()
        noise = self._own_axes(noise_BCThw).float()
        sigma_B = self._sigma(t_B)
        noised = self._sampling.noise_scaling(sigma_B, noise, clean)
        with self._checkpointing.set_active(checkpoint):
            denoised = self._denoise(noised, sigma_B, text)
        sigma = sigma_B.reshape(-1, *(1 for _ in clean.shape[1:]))
        scaled = {Family.V: (sigma**2 + 1).sqrt(), Family.EPS: 1.0, Family.FLOW: 1.0}
        unit = scaled[self.family] / sigma
        return self._five_axes((clean - denoised.float()) * unit)

    def _denoise(
        self, noised: torch.Tensor, sigma_B: torch.Tensor, text: Sequence[Mapping[str, torch.Tensor]]
    ) -> torch.Tensor:
        rows: list[torch.Tensor] = [noised] * len(noised)
        token_rows = None if self._needed is None else self._rows(self._needed)
        shapes = latent_shapes(self._model, noised[:1])
        how = self.guidance, self._text_rule, self._counting, self.reference_method
        with packing(self._model, shapes):
            groups = condition(self._model, text, noised.detach(), *how)
        for group in groups:
            where = torch.tensor(group.positions, device=noised.device)
            sigmas = sigma_B[where]
            options = {
                **self._options,
                "sigmas": sigmas,
                "sample_sigmas": sigmas[:0],
                "cond_or_uncond": [0] * len(where),
                "uuids": [None] * len(where),
                **({} if group.padding is None else {OVERRIDE: differentiable_attention(group.padding.attention)}),
                **position_options(self._options, group.frames),
                **({} if token_rows is None else {ROWS: token_rows.of(where)}),
            }
            padded = nullcontext() if group.padding is None else group.padding.apply_to(self.module)
            with padded, self._router.forward_pass(group.positions, noised, group.padding):
                shown = pack_with_noise(noised[where], sigmas, shapes, self._sampling)
                results = self._model.apply_model(shown, sigmas, transformer_options=options, **group.arguments)
            for position, result in zip(group.positions, unpack_picture(results, shapes), strict=True):
                rows[position] = result
        return torch.stack(rows)

    def _rows(self, needed: Needed) -> TokenRows | None:
        return self._last_block and self._last_block.rows(needed.cells_B1Thw, needed.others, self.device)

    def _sigma(self, t_B: torch.Tensor) -> torch.Tensor:
        if self.family is Family.FLOW:
            return t_B.float().clamp(min=_MIN_SIGMA)
        # Eps and v models are trained on integer timesteps.
        sigmas = self._sampling.sigmas
        index = (t_B.double() * len(sigmas)).floor().long().clamp(0, len(sigmas) - 1)
        return sigmas.to(t_B.device)[index].float()

    def _own_axes(self, latents_BCThw: torch.Tensor) -> torch.Tensor:
        channels, frames = latents_BCThw.shape[1:3]
        if channels != self.latent_channels:
            raise TrainingError(
                f"{self.kind} takes latents of {self.latent_channels} channels, found {channels}; "
                "cache the dataset with this model's VAE."
            )
        if self._model.latent_format.latent_dimensions == 3:
            return latents_BCThw
        if frames != 1:
            raise TrainingError(
                f"{self.kind} is a model of pictures, found latents of {frames} frames; train it on "
                "pictures, or a video model on these."
            )
        return latents_BCThw[:, :, 0]

    def _five_axes(self, latents: torch.Tensor) -> torch.Tensor:
        return latents if latents.ndim == 5 else latents[:, :, None]


@contextmanager
def open_denoiser(
    model: Any,
    example: Mapping[str, torch.Tensor],
    guidance: float | None = None,
    dtype: TrainingDtype | None = None,
    dropout: bool = False,
    base: BaseConfig | None = None,
    method: ReferenceMethod = ReferenceMethod.AUTO,
) -> Generator[ComfyDenoiser]:
    """Load a ComfyUI MODEL for training; on exit, also after an exception, it is restored and samples the same.

    `example` (such as `cache.example_text()`) is what the gradients are checked with. `guidance` conditions a
    guidance-distilled model where the embeddings bring none; None = ComfyUI's default. Other models have a `guidance`
    of None whatever is given. A model that samples in a 16-bit dtype other than `dtype` computes in fp32 (under
    autocast where `dtype` is one); None = as in sampling. With `dropout` in the adapters padding tokens are not
    collapsed, because each is dropped independently. `base`: how the frozen weights are kept and run. `method`: how
    references are placed, where the model heeds it. TrainingError, by name, for a prediction type or input that is not
    supported, wrong gradients, and weights that cannot be kept so.
    """
    base, example = base or BaseConfig(), small_example(model.model, example, method)
    management: Any = importlib.import_module("comfy.model_management")
    image_channels = supported_image_channels(model)
    check_method(model.model, method)
    check_compiling(base.compile_blocks, torch.device(model.load_device), dropout)
    with ExitStack() as stack:
        patcher = set_compute_dtype(dtype, disable_dynamic_memory(model, management, stack), management, stack)
        load(patcher, management, base.holds_weights)
        patcher.pre_run()
        stack.callback(patcher.cleanup)
        stack.callback(setattr, management, "in_training", getattr(management, "in_training", False))
        # Makes ComfyUI avoid some kernels that have no backward pass.
        management.in_training = True
        stack.enter_context(use_plain_kernels())
        stack.enter_context(use_fused_backward())
        stack.enter_context(torch.inference_mode(False))
        weights = stack.enter_context(DifferentiableParameters(patcher.model, is_casting_layer))
        network: torch.nn.Module = patcher.model.diffusion_model
        stack.enter_context(recast_layers(network))
        held = stack.enter_context(HeldModel(patcher.model, torch.device(patcher.load_device), base))
        compiled = stack.enter_context(compiled_blocks(network, base.compile_blocks))
        last_block = find_last_block(network)
        if last_block is not None:
            stack.enter_context(last_block.install())
        checkpointing = BlockCheckpointing(repeated_blocks(network))
        stack.enter_context(checkpointing.install())
        effective, identity = effective_guidance(patcher.model, guidance), model_identity(model, guidance, base, method)
        lend = lambda: lend_model(patcher, weights, held, compiled, management)  # noqa: E731
        counting = stack.enter_context(watch_text_attention(network))
        rest = image_channels, None if dropout else counting, last_block, compiled, method
        denoiser = ComfyDenoiser(patcher, checkpointing, effective, identity, lend, *rest)
        denoiser.weights_note = held.note
        check_gradients(checkpointing, small_pass(denoiser, example))
        denoiser.saving_note = check_saving(denoiser, example, dropout)
        with compile_from_now(compiled, checkpointing):
            yield denoiser
