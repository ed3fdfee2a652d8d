"""Why settings of other trainers' dataset files have no effect here, or are refused; shared by several of them."""

from __future__ import annotations

AUGMENTATION = "pictures are cached once and are not augmented"
TAGS = "captions are cached as they are written"
DROPOUT = "caption_dropout of Train LoRA decides"
BATCH = "the batch_size of Train LoRA decides"
CACHE = "Cache Latents decides how latents are cached"
VALIDATION = "validation_split of Train LoRA decides"
ONE_STRENGTH = "every dataset counts alike; give it another number of repeats"
WORKERS = "it only says how that trainer works"


def all_of(names: str, reason: str) -> dict[str, str]:
    """The same reason for several names, with spaces between them."""
    return dict.fromkeys(names.split(), reason)
