"""Keys that dataset files of other trainers have and ours has not: whose they are, and what to do instead.

After the dataset documentation of musubi-tuner, sd-scripts, diffusion-pipe, AI Toolkit and OneTrainer as of 2026.
"""

from __future__ import annotations

import difflib

_MUSUBI, _SD, _PIPE, _AI = "musubi-tuner", "sd-scripts", "diffusion-pipe", "AI Toolkit"
_ONE = "OneTrainer"

_NO_CONTROL_SIZE = "control images come to the photograph's area here, with their own aspect; leave it out"
_ONE_FRAME = "one_frame and its indices are inputs of Cache Latents here; leave it out"
_AUGMENTATION = "pictures are cached once and are not augmented; leave it out, and turn or crop copies of the files"
_DROPOUT = "caption_dropout of Train LoRA decides; leave it out"
_TAGS = "captions are cached as they are written; leave it out, and write the captions as they are to be"
_REGULARISATION = (
    "give these pictures a [[datasets]] of their own with regularisation = 0.5, for half of each epoch; leave it out"
)
_BUCKETS = "enable_bucket, resolution, min_bucket_reso and max_bucket_reso decide the buckets here"
_VALIDATION = "validation is an input of Train LoRA; leave it out"
_MASKS = "Mask Loss Settings decides how masks act; leave it out"
_SHARE = "num_repeats decides how often a dataset's pictures come; leave it out"
_CACHE = "Cache Latents decides how latents are cached; leave it out"

# How alike two keys are, of 1, for one to be a slip for the other.
_LIKE_OURS, _LIKE_THEIRS = 0.65, 0.85

# Key: whose it is, and what to do.
FOREIGN_KEYS: dict[str, tuple[str, str]] = {
    "control_resolution": (_MUSUBI, _NO_CONTROL_SIZE),
    "no_resize_control": (_MUSUBI, _NO_CONTROL_SIZE),
    "flux_kontext_no_resize_control": (_MUSUBI, _NO_CONTROL_SIZE),
    "qwen_image_edit_no_resize_control": (_MUSUBI, _NO_CONTROL_SIZE),
    "qwen_image_edit_control_resolution": (_MUSUBI, _NO_CONTROL_SIZE),
    "multiple_target": (_MUSUBI, "each photograph is one target here; leave it out"),
    "fp_latent_window_size": (_MUSUBI, "FramePack's windows are not trained here; leave it out"),
    "fp_1f_clean_indices": (_MUSUBI, _ONE_FRAME),
    "fp_1f_target_index": (_MUSUBI, _ONE_FRAME),
    "fp_1f_no_post": (_MUSUBI, _ONE_FRAME),
    "num_timestep_buckets": (_MUSUBI, "timestep sampling is an input of Train LoRA; leave it out"),
    "subsets": (_SD, "write each [[datasets.subsets]] as a [[datasets]] with an image_directory"),
    "train_data_dir": (_SD, "write image_directory instead"),
    "reg_data_dir": (_SD, _REGULARISATION),
    "in_json": (_SD, "write each caption into a text file beside its picture; leave it out"),
    "masked_loss": (_SD, "give mask_directory or alpha_mask, and Mask Loss Settings to Train LoRA; leave it out"),
    "image_dir": (_SD, "write image_directory instead"),
    "conditioning_data_dir": (
        _SD,
        "write mask_directory for masks (white is full weight) or control_directory for control images",
    ),
    "metadata_file": (_SD, "write each caption into a text file beside its picture; leave it out"),
    "class_tokens": (_SD, "write each caption into a text file beside its picture; leave it out"),
    "is_reg": (f"{_SD} and {_AI}", _REGULARISATION),
    "cache_info": (_SD, _CACHE),
    "color_aug": (_SD, _AUGMENTATION),
    "flip_aug": (_SD, _AUGMENTATION),
    "random_crop": (_SD, _AUGMENTATION),
    "face_crop_aug_range": (_SD, _AUGMENTATION),
    "caption_dropout_rate": (f"{_SD} and {_AI}", _DROPOUT),
    "caption_dropout_every_n_epochs": (_SD, _DROPOUT),
    "caption_tag_dropout_rate": (_SD, _TAGS),
    "keep_tokens_separator": (_SD, _TAGS),
    "secondary_separator": (_SD, _TAGS),
    "enable_wildcard": (_SD, _TAGS),
    "token_warmup_min": (_SD, _TAGS),
    "token_warmup_step": (_SD, _TAGS),
    "caption_prefix": (f"{_SD} and {_PIPE}", _TAGS),
    "caption_suffix": (_SD, _TAGS),
    "caption_separator": (_SD, _TAGS),
    "custom_attributes": (_SD, "it has no meaning here; leave it out"),
    "validation_split": (_SD, _VALIDATION),
    "validation_seed": (_SD, _VALIDATION),
    "network_multiplier": (_SD, "adapters are trained with strength 1; leave it out"),
    "skip_image_resolution": (_SD, "take small pictures out of the folder; leave it out"),
    "resize_interpolation": (_SD, "pictures are shrunk by area and enlarged by Lanczos; leave it out"),
    "directory": (_PIPE, "write each [[directory]] as a [[datasets]] with an image_directory"),
    "path": (_PIPE, "write image_directory or video_directory instead"),
    "mask_path": (f"{_PIPE} and {_AI}", "write mask_directory instead"),
    "control_path": (f"{_PIPE} and {_AI}", "write control_directory instead"),
    "resolutions": (_PIPE, "write resolution, and one [[datasets]] for each size"),
    "enable_ar_bucket": (_PIPE, "write enable_bucket instead"),
    "min_ar": (_PIPE, _BUCKETS),
    "max_ar": (_PIPE, _BUCKETS),
    "num_ar_buckets": (_PIPE, _BUCKETS),
    "ar_buckets": (_PIPE, _BUCKETS),
    "size_buckets": (_PIPE, _BUCKETS),
    "frame_buckets": (_PIPE, "write target_frames instead"),
    "cache_shuffle_num": (_PIPE, _TAGS),
    "cache_shuffle_delimiter": (_PIPE, _TAGS),
    "shuffle_tags": (_PIPE, _TAGS),
    "video_clip_mode": (_PIPE, "write frame_extraction instead"),
    "folder_path": (_AI, "write image_directory instead"),
    "dataset_path": (_AI, "write image_directory instead"),
    "caption_ext": (_AI, "write caption_extension instead"),
    "default_caption": (_AI, "write each caption into a text file beside its picture; leave it out"),
    "trigger_word": (_AI, "write the word into the captions; leave it out"),
    "shuffle_tokens": (_AI, _TAGS),
    "token_dropout_rate": (_AI, _TAGS),
    "num_frames": (_AI, "write target_frames instead"),
    "shrink_video_to_frames": (_AI, "write target_frames and frame_extraction instead"),
    "mask_min_value": (_AI, "min_weight of Mask Loss Settings decides; leave it out"),
    "invert_mask": (_AI, "invert of Mask Loss Settings decides; leave it out"),
    "cache_latents": (f"{_SD} and {_AI}", _CACHE),
    "cache_latents_to_disk": (f"{_SD} and {_AI}", _CACHE),
    "control_path_1": (_AI, "write control_directory instead, which takes one control image each"),
    "control_path_2": (_AI, "one control image each is used here; leave it out"),
    "control_path_3": (_AI, "one control image each is used here; leave it out"),
    "inpaint_path": (_AI, "pictures are not inpainted here; leave it out"),
    "unconditional_path": (_AI, "each photograph is one target here; leave it out"),
    "clip_image_path": (_AI, "pictures are not given as conditions here; leave it out"),
    "fps": (_AI, "write target_fps instead"),
    "do_i2v": (_AI, "an image-to-video model gets its first frames in Cache Latents; leave it out"),
    "auto_frame_count": (_AI, "write target_frames and frame_extraction instead"),
    "network_weight": (_AI, _SHARE),
    "lora_weight": (_AI, _SHARE),
    "prior_reg": (_AI, "prior preservation is set at Train LoRA; leave it out"),
    "augments": (_AI, _AUGMENTATION),
    "augmentations": (_AI, _AUGMENTATION),
    "buckets": (_AI, _BUCKETS),
    "bucket_tolerance": (_AI, _BUCKETS),
    "flip_x": (_AI, _AUGMENTATION),
    "flip_y": (_AI, _AUGMENTATION),
    "random_scale": (_AI, _AUGMENTATION),
    "concepts": (_ONE, "write each concept as a [[datasets]] with an image_directory"),
    "include_subdirectories": (_ONE, "write recursive instead"),
    "image_variations": (_ONE, _AUGMENTATION),
    "text_variations": (_ONE, _TAGS),
    "balancing": (_ONE, "write num_repeats instead"),
    "balancing_strategy": (_ONE, _SHARE),
    "loss_weight": (_ONE, _SHARE),
    "prompt_source": (_ONE, "write each caption into a text file beside its picture; leave it out"),
    "prompt_path": (_ONE, "write each caption into a text file beside its picture; leave it out"),
    "enable_crop_jitter": (_ONE, _AUGMENTATION),
    "enable_random_flip": (_ONE, _AUGMENTATION),
    "enable_tag_shuffling": (_ONE, _TAGS),
    "masked_training": (_ONE, "give mask_directory, and Mask Loss Settings to Train LoRA; leave it out"),
    "unmasked_weight": (_ONE, "min_weight of Mask Loss Settings decides; leave it out"),
    "unmasked_probability": (_ONE, "probability of Mask Loss Settings decides; leave it out"),
    "normalize_masked_area_loss": (_ONE, _MASKS),
}


def about_unknown_key(name: str, known: tuple[str, ...]) -> str:
    """What a message says of a key that is not among `known`: whose it is and what to do, or which one is near."""
    if name in FOREIGN_KEYS:
        program, advice = FOREIGN_KEYS[name]
        return f"{name}, a key of {program}: {advice}."
    # Of others' keys only what is a slip of the pen: a key that is merely alike means something else.
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=_LIKE_OURS)
    foreign = difflib.get_close_matches(name.lower(), FOREIGN_KEYS, n=1, cutoff=_LIKE_THEIRS)
    if foreign and (not near or _likeness(name, foreign[0]) > _likeness(name, near[0])):
        program, advice = FOREIGN_KEYS[foreign[0]]
        return f"the unknown key {name}; {foreign[0]} is a key of {program}: {advice}."
    said = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."
    return f"the unknown key {name}; {said}"


def _likeness(name: str, key: str) -> float:
    return difflib.SequenceMatcher(None, key, name.lower()).ratio()
