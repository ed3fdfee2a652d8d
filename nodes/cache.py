"""Cache Latents, Cache Text, Load Cache, Preview Cache."""

from __future__ import annotations

import re
from typing import Any

from ..core.cache.entry_file import MaskStorage
from ..core.cache.latents import cache_latents
from ..core.cache.plan import CacheSettings, OneFrame
from ..core.cache.store import LatentCache, open_cache
from ..core.cache.text import cache_text
from ..core.comfy.text.shown import EditModel
from ..core.dataset.items import Dataset
from ..core.errors import SettingError
from ..core.host import current_host
from ..core.mask_weights import MaskLossSettings
from ..core.paths import PathKind, resolve_read, resolve_write
from ..core.report.previews import cache_sheet
from ..core.warning import warn
from .checks import verdict
from .models import ARCHITECTURES, AUTO, latent_encoder, text_encoder
from .node import Node
from .results import as_json, digest_folders, with_pictures, with_report
from .sockets import (
    ANY_CLIP,
    ANY_VAE,
    BOOLEAN,
    CACHE,
    COMBO,
    DATASET,
    INT,
    LOSS_SETTINGS,
    RARE,
    SOCKET,
    STRING,
    image_from_pictures,
)
from .written import CACHES

DEFAULT_DIRECTORY = "maskloss/cache"


class MaskLossCacheLatents(Node):
    TITLE = "Cache Latents"
    CATEGORY = "MaskLoss/Cache"
    DESCRIPTION = "Encodes every photograph once and stores its weights beside. Only what changed is done again."
    SEARCH_ALIASES = ("encode dataset", "latent cache", "vae encode")
    RETURN_TYPES = (CACHE, "STRING")
    RETURN_NAMES = ("cache", "report")
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "dataset": SOCKET(DATASET, "Photographs with their masks."),
                "vae": SOCKET(ANY_VAE, "The model's autoencoder."),
                "cache_directory": STRING(DEFAULT_DIRECTORY, "Under output."),
            },
            "optional": {
                "mask_storage": RARE(COMBO(MaskStorage, "Precision of stored weights.")),
                "one_frame": RARE(BOOLEAN(False, "Control image and photograph as frames of one video latent.")),
                "target_index": RARE(INT(1, 0, 1000, "Frame index of the photograph, with one_frame.")),
                "control_indices": RARE(STRING("0", "Frame indices of the control image, with one_frame.")),
                "batch_size": INT(1, 1, 64, "Photographs, or clips, encoded at a time."),
                "architecture": RARE(COMBO(ARCHITECTURES, "Which model, where several share a VAE; names the files.")),
                "image_conditioning": RARE(
                    BOOLEAN(False, "For image-to-video models (first frames) and inpainting ones (a hole by the mask).")
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, control_indices: str | None = None) -> bool | str:
        return verdict(lambda: parse_indices(control_indices or ""))

    @classmethod
    def IS_CHANGED(cls, **_: object) -> str:
        return CACHES.is_changed()

    def run(
        self,
        dataset: Dataset,
        vae: Any,
        cache_directory: str,
        mask_storage: str = "float16",
        one_frame: bool = False,
        target_index: int = 1,
        control_indices: str = "0",
        batch_size: int = 1,
        architecture: str = AUTO,
        image_conditioning: bool = False,
    ) -> dict[str, Any]:
        host = current_host()
        directory = resolve_write(host.folders(), cache_directory, "cache_directory")
        frames = OneFrame(target_index, parse_indices(control_indices)) if one_frame else None
        settings = CacheSettings(MaskStorage(mask_storage), frames, image_conditioning)
        encoder = latent_encoder(vae, architecture)
        processes = host.shard(), host.spread()
        cache, report = cache_latents(dataset, encoder, directory, settings, batch_size, host.progress(), *processes)
        CACHES.note(directory)
        return with_report((cache, as_json(report)), report["messages"])


class MaskLossCacheText(Node):
    TITLE = "Cache Text"
    CATEGORY = "MaskLoss/Cache"
    DESCRIPTION = "Encodes each distinct caption once, and always the empty one."
    SEARCH_ALIASES = ("encode captions", "text encoder cache")
    RETURN_TYPES = (CACHE, "STRING")
    RETURN_NAMES = ("cache", "report")
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "cache": SOCKET(CACHE, "From Cache Latents."),
                "clip": SOCKET(ANY_CLIP, "The model's text encoder."),
            },
            "optional": {
                "mask_loss": SOCKET(LOSS_SETTINGS, "Where dop_weight is set: captions with the class noun too."),
                "edit_model": RARE(COMBO(EditModel, "Which edit model, where several share a text encoder.")),
            },
        }

    def run(
        self, cache: LatentCache, clip: Any, mask_loss: MaskLossSettings | None = None, edit_model: str = "auto"
    ) -> dict[str, Any]:
        triggers = mask_loss.triggers if mask_loss else ()
        host = current_host()
        encoder = text_encoder(clip, EditModel(edit_model))
        cache, report = cache_text(cache, encoder, host.progress(), triggers, host.spread())
        CACHES.note(cache.directory)
        return with_report((cache, as_json(report)))


class MaskLossLoadCache(Node):
    TITLE = "Load Cache"
    CATEGORY = "MaskLoss/Cache"
    DESCRIPTION = "Opens a cache on disk, musubi-tuner's and blissful-tuner's too. Files that changed since are named."
    SEARCH_ALIASES = ("latent cache",)
    RETURN_TYPES = (CACHE, "STRING")
    RETURN_NAMES = ("cache", "report")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"cache_directory": STRING(DEFAULT_DIRECTORY, "Under input or output.")}}

    @classmethod
    def IS_CHANGED(cls, cache_directory: str | None = None, **_: object) -> str:
        return digest_folders((cache_directory,))

    def run(self, cache_directory: str) -> dict[str, Any]:
        folders = current_host().folders()
        cache = open_cache(resolve_read(folders, cache_directory, "cache_directory", PathKind.DIRECTORY))
        stale = [warn(f"{entry.name}: {entry.reason}; run Cache Latents again") for entry in cache.stale_entries]
        messages = [*cache.notes, *stale]
        counts = {origin.value: count for origin, count in cache.origin_counts().items()}
        report = {"counts": {"entries": len(cache.entries), **counts}, "messages": messages}
        return with_report((cache, as_json(report)), messages)


class MaskLossPreviewCache(Node):
    TITLE = "Preview Cache"
    CATEGORY = "MaskLoss/Cache"
    DESCRIPTION = "Every entry under the weights that training will use, on the latent grid."
    SEARCH_ALIASES = ("heat map", "mask preview", "contact sheet")
    RETURN_TYPES = ("IMAGE", "STRING")
    RETURN_NAMES = ("sheet", "report")
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"cache": SOCKET(CACHE, "Any cache.")},
            "optional": {
                "mask_loss": SOCKET(LOSS_SETTINGS, "Applied as in training; unconnected = the weights as they are."),
                "limit": INT(32, 1, 256, "Entries at most."),
                "offset": INT(0, 0, 1_000_000, "The first one shown."),
            },
        }

    def run(
        self, cache: LatentCache, mask_loss: MaskLossSettings | None = None, limit: int = 32, offset: int = 0
    ) -> dict[str, Any]:
        progress = current_host().progress()
        sheet_HWC, report = cache_sheet(cache, mask_loss, offset, limit, progress=progress)
        text = as_json(report)
        return with_pictures((image_from_pictures([sheet_HWC]), text), [sheet_HWC], "cache", text=[text])


def parse_indices(text: str) -> tuple[int, ...]:
    """ "0, 2" to (0, 2). SettingError for anything else."""
    pieces = [piece for piece in re.split(r"[\s,;]+", text) if piece]
    if not all(piece.isdecimal() for piece in pieces):
        raise SettingError(f"control_indices is {text!r}; write frame indices such as 0 or 0, 2")
    return tuple(int(piece) for piece in pieces)


NODES = (MaskLossCacheLatents, MaskLossCacheText, MaskLossLoadCache, MaskLossPreviewCache)
