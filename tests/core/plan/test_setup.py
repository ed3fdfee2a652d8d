"""What a plan is asked for, and what would need less."""

from __future__ import annotations

from dataclasses import replace

import pytest
from maskloss.core.errors import SettingError
from maskloss.core.frozen.config import BaseConfig, BasePrecision
from maskloss.core.plan.setup import Setup, Weights, single_changes
from maskloss.core.plan.trial import RunSettings
from maskloss.core.train.config import LoraConfig, LoraDtype, OptimizerConfig, TrainConfig


def setup(lora: LoraConfig | None = None, size: tuple[int, int] = (1024, 1024), frames: int = 1, **config: object):
    made = TrainConfig(**config)  # pyright: ignore[reportArgumentType]
    return Setup(RunSettings(lora or LoraConfig(), OptimizerConfig(), made), size, frames)


def test_each_change_is_one_setting():
    asked = setup(LoraConfig(rank=64), (1280, 768), 21, gradient_checkpointing=False, batch_size=4)
    changes = {change.words: change.setup for change in single_changes(asked)}
    assert list(changes) == [
        "gradient_checkpointing on",
        "batch_size 1, gradient_accumulation_steps 4",
        "base_precision int8",
        "base_precision nvfp4",
        "lora_dtype bf16",
        "rank 16",
        "9 frames",
        "pictures of 992x592",
        "pictures of 656x400",
    ]
    assert [change.setting for change in single_changes(asked)] == [
        "gradient_checkpointing", "batch_size", "base_precision", "base_precision", "lora_dtype", "rank", "frames",
        "pictures", "pictures",
    ]  # fmt: skip
    assert changes["gradient_checkpointing on"].run.config.gradient_checkpointing
    assert changes["rank 16"].run.lora.rank == 16
    assert changes["lora_dtype bf16"].run.config.lora_dtype is LoraDtype.BF16
    assert changes["base_precision int8"].base.precision is BasePrecision.INT8
    assert changes["9 frames"].frames == 9
    assert changes["pictures of 656x400"].size == (656, 400)


def test_what_is_set_already_is_no_change():
    words = [change.words for change in single_changes(setup(size=(512, 512)), precisions=())]
    assert words == ["lora_dtype bf16"]
    kept = replace(setup(size=(512, 512)), weights=Weights.FP8)
    assert [change.words for change in single_changes(kept)] == ["lora_dtype bf16"]


def test_half_of_the_blocks_and_all_of_them_come_before_what_changes_the_result():
    words = [change.words for change in single_changes(setup(size=(512, 512)), blocks=40)]
    assert words[:3] == ["blocks_in_main_memory 20", "blocks_in_main_memory 40", "base_precision int8"]
    some = replace(setup(size=(512, 512)), base=BaseConfig(BasePrecision.INT8, 30))
    made = list(single_changes(some, blocks=40))
    assert made[0].words == "blocks_in_main_memory 40"
    assert made[0].setup.base == BaseConfig(BasePrecision.INT8, 40)
    assert made[1].words == "base_precision nvfp4"
    assert made[1].setup.base == BaseConfig(BasePrecision.NVFP4, 30)
    least = replace(some, base=BaseConfig(BasePrecision.NVFP4, 30))
    assert [change.words for change in single_changes(least)] == ["lora_dtype bf16"]
    two = single_changes(setup(size=(512, 512)), blocks=2)
    assert next(two).words == "base_precision int8", "two are on the device anyway"


def test_the_settings_in_words():
    words = setup(frames=5).words
    assert words == "1024x1024, 5 frames, batch 1, rank 16 lora, checkpointing on, adamw"
    compiled = replace(setup(), base=BaseConfig(BasePrecision.NVFP4, 3, compile_blocks=True)).words
    assert compiled.endswith(
        "adamw, base_precision nvfp4, 3 blocks in main memory, compiled, planned as if it were not"
    )


@pytest.mark.parametrize(("size", "frames"), [((8, 512), 1), ((512, 512), 0)])
def test_nothing_smaller_than_a_picture(size: tuple[int, int], frames: int):
    with pytest.raises(SettingError, match="at least 16x16"):
        setup(size=size, frames=frames)
