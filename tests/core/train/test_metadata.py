"""What a LoRA file says of itself, as web UIs and LoRA managers read it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TimestepSampling, TrainConfig, TrainingDtype
from maskloss.core.train.denoiser import Family
from maskloss.core.train.metadata import lora_metadata
from maskloss.core.train.recipe import TrainingRecipe


def metadata(
    cache: Any, architecture: str = "wan2.1", family: Family = Family.FLOW, guidance: float | None = None, **config: Any
) -> dict[str, str]:
    denoiser = DemoDenoiser()
    denoiser.lora_architecture, denoiser.family, denoiser.guidance = architecture, family, guidance
    recipe = TrainingRecipe(cache, None, LoraConfig(), OptimizerConfig(), TrainConfig(**config))
    return lora_metadata(denoiser, recipe, cache.entries, step=7, name="anna")


@pytest.mark.parametrize(
    ("architecture", "version", "second"),
    [
        ("stable-diffusion-v1", "sd_v1", "False"),
        ("stable-diffusion-v2", "sd_v2", "True"),
        ("stable-diffusion-xl-v1-base", "sdxl_base_v1-0", "False"),
        ("flux-1-dev", "flux1", "False"),
        ("wan2.2", "wan", "False"),
        ("hunyuan-video", "hunyuan_video", "False"),
        ("hunyuan-video-1.5", "hunyuan_video_1_5", "False"),
        ("qwen-image", "qwen_image", "False"),
        ("z-image", "z_image", "False"),
    ],
)
def test_the_base_model_is_named_as_kohyas_trainers_name_it(cache, architecture, version, second):
    """Web UIs list a LoRA under the models that these two say it is for."""
    written = metadata(cache, architecture)
    assert written["ss_base_model_version"] == version
    assert written["ss_v2"] == second
    assert written["modelspec.architecture"] == f"{architecture}/lora"


def test_names_tags_and_buckets_are_there(make_cache):
    items = [("a", (6, 4), None), ("b", (4, 6), None), ("c", (4, 6), None)]
    cache = make_cache(items, repeats=2, caption="anna,  smiling , anna, {name}")
    written = metadata(cache)
    assert written["ss_output_name"] == written["modelspec.title"] == "anna"
    assert json.loads(written["ss_tag_frequency"]) == {"anna": {"anna": 3, "smiling": 3, "a": 1, "b": 1, "c": 1}}
    assert json.loads(written["ss_bucket_info"]) == {
        "buckets": {"0": {"resolution": [32, 48], "count": 4}, "1": {"resolution": [48, 32], "count": 2}}
    }
    assert written["modelspec.resolution"] == "32x48"
    assert written["ss_num_train_images"] == "6"
    assert metadata(cache) == written


def test_epochs_are_counted_in_the_batches_that_the_buckets_make(make_cache):
    """Three items once wide and twice tall, in batches of two: one of the wide alone, one of the tall."""
    cache = make_cache([("a", (6, 4), None), ("b", (4, 6), None), ("c", (4, 6), None)])
    written = metadata(cache, batch_size=2, gradient_accumulation_steps=3, steps=10)
    assert written["ss_num_batches_per_epoch"] == "2"
    assert written["ss_epoch"] == "10", "7 steps of 3 batches"
    assert written["ss_num_epochs"] == "15"
    assert metadata(cache, batch_size=1, steps=10)["ss_num_epochs"] == "4", "the last one is not finished"


def test_of_many_tags_the_most_frequent_are_kept(make_cache):
    rare = ", ".join(f"{{name}}{index}" for index in range(150))
    cache = make_cache([("a", (6, 4), None), ("b", (6, 4), None)], caption=f"{rare}, anna")
    tags = json.loads(metadata(cache)["ss_tag_frequency"])["anna"]
    assert tags["anna"] == 2
    assert len(tags) == 200


def test_what_was_not_used_is_not_there(cache):
    plain = metadata(cache)
    absent = {"modelspec.timestep_range", "modelspec.prediction_type", "ss_min_snr_gamma", "ss_guidance_scale"}
    assert not absent & plain.keys()
    expert = metadata(cache, guidance=1.0, timestep_min=0.875, training_dtype=TrainingDtype.BF16)
    assert expert["modelspec.timestep_range"] == "875,1000"
    assert expert["ss_guidance_scale"] == "1.0"
    assert expert["ss_mixed_precision"] == "bf16"
    assert plain["ss_mixed_precision"] == "no"
    noise = metadata(cache, family=Family.EPS, min_snr_gamma=5.0, timestep_sampling=TimestepSampling.LOGIT_NORMAL)
    assert noise["modelspec.prediction_type"] == "epsilon"
    assert noise["ss_min_snr_gamma"] == "5.0"
    assert noise["ss_timestep_sampling"] == "logit_normal"
    assert metadata(cache, family=Family.V)["modelspec.prediction_type"] == "v"


def test_a_validation_split_does_not_count(cache):
    denoiser = DemoDenoiser()
    recipe = TrainingRecipe(cache, None, LoraConfig(), OptimizerConfig(), TrainConfig())
    trained = [dataclasses.replace(entry, caption="anna") for entry in cache.entries[:2]]
    written = lora_metadata(denoiser, recipe, trained, 1, "x")
    assert written["ss_num_train_images"] == "2"
    assert json.loads(written["ss_tag_frequency"]) == {"x": {"anna": 2}}
