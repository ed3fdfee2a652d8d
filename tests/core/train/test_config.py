import math

import pytest
from maskloss.core.errors import SettingError
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (LoraConfig, "rank", 0),
        (LoraConfig, "alpha", 0.0),
        (LoraConfig, "alpha", math.nan),
        (LoraConfig, "targets", "(unclosed"),
        (LoraConfig, "dropout", 1.0),
        (LoraConfig, "dropout", -0.1),
        (OptimizerConfig, "learning_rate", 0.0),
        (OptimizerConfig, "learning_rate", math.inf),
        (OptimizerConfig, "weight_decay", -0.1),
        (OptimizerConfig, "warmup_steps", -1),
        (OptimizerConfig, "max_grad_norm", math.nan),
        (OptimizerConfig, "ema_decay", 1.0),
        (OptimizerConfig, "optimizer_args", "speed=3"),
        (TrainConfig, "steps", 0),
        (TrainConfig, "batch_size", 0),
        (TrainConfig, "gradient_accumulation_steps", 0),
        (TrainConfig, "seed", -1),
        (TrainConfig, "timestep_min", -0.1),
        (TrainConfig, "timestep_min", 1.0),
        (TrainConfig, "timestep_max", 1.5),
        (TrainConfig, "timestep_max", math.nan),
        (TrainConfig, "caption_dropout", 1.1),
        (TrainConfig, "validation_split", 1.0),
        (TrainConfig, "save_every", -1),
        (TrainConfig, "min_snr_gamma", -1.0),
    ],
)
def test_values_outside_their_range_are_refused_by_name(kind: type, field: str, value: object):
    with pytest.raises(SettingError, match=field.replace("timestep_max", "timestep_")):
        kind(**{field: value})


def test_defaults_are_the_contract():
    assert LoraConfig() == LoraConfig(rank=16, alpha=16.0, targets="", dropout=0.0, conv=False)
    optimizer = OptimizerConfig()
    assert (optimizer.name.value, optimizer.learning_rate, optimizer.weight_decay) == ("adamw", 1e-4, 0.01)
    train = TrainConfig()
    assert (train.steps, train.gradient_checkpointing, train.on_existing.value) == (1000, True, "resume")
