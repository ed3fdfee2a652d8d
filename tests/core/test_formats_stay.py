"""A cache, a state and a LoRA in the layout of 2026-11-29, put together by hand: they are opened, kept and continued,
and what is written today has that layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.store import LatentCache, open_cache
from maskloss.core.cache.text import cache_text
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.demo.encoders import DemoLatentEncoder, DemoTextEncoder
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig
from maskloss.core.train.loop import train
from maskloss.core.train.lora_file import load_lora
from maskloss.core.train.recipe import TrainingRecipe
from safetensors import safe_open
from safetensors.torch import save_file

PHOTOGRAPH = b"P6 16 16 255\n" + bytes([128]) * 768
MASK = b"P5 16 16 255\n" + bytes([255]) * 128 + bytes(128)
HASHES = (
    "e07c1e116ded19dc2e91c07dc012f92c95bcc42110005fb020bb630831130a3b",
    "c331d514cab13f20d3eaa432be47344ca4fba0341145c38398a9c59bf5dacc7d",
)
LATENT_FINGERPRINT = "3ace870b77261675d3244e48ecf71baec830e379ba7c8b237f7fe88a5bfd4ebd"
MASK_FINGERPRINT = "0b9ee284d92ecb68983e6fa2f94c8793041224f76ba614f59926691e18ce8f57"
CACHE_FINGERPRINT = "c54876018d290753377a5d426ec10a5f55ee2d57aeab09190601174ec9d7b59a"
ENTRY = "anna_0016x0016_demo.safetensors"
ENTRY_BYTES = 1368
TEXTS = {
    "": "652ea051520dcd283a9399d7499b90202ab33db8f47f618f81c9aff5ad40e4e1",
    "a woman": "b69ce255990f056b0379459e2fb92f781ead83d1d3781ee4d08fcd302638b49b",
}
METADATA = {
    "architecture": "demo", "format_version": "1.0.1", "frame_count": "1", "height": "16", "width": "16",
    "latent_size": "2x2", "maskloss_bucket": "16x16", "maskloss_coverage": "0.5",
    "maskloss_encoder": "maskloss-demo-dct-1", "maskloss_latent_fingerprint": LATENT_FINGERPRINT,
    "maskloss_latents": "raw", "maskloss_mask_fingerprint": MASK_FINGERPRINT,
    "maskloss_mask_read": f"{HASHES[1]} auto ", "maskloss_origin": "file", "maskloss_source": "anna.ppm",
    "maskloss_version": "1",
}  # fmt: skip
IDENTITY = {
    "model": "maskloss-demo-flow-1-seed0", "cache": CACHE_FINGERPRINT, "validation_cache": "none",
    "initial_lora": "none", "mask_loss": "on", "mask_loss.gamma": 1.0, "mask_loss.min_weight": 0.0,
    "mask_loss.blur": 0, "mask_loss.invert": False, "mask_loss.probability": 1.0,
    "mask_loss.normalization": "per_sample", "mask_loss.loss": "mse", "mask_loss.huber_delta": 1.0,
    "mask_loss.area_beta": 0.0, "mask_loss.prior_weight": 0.0, "mask_loss.prior_threshold": 0.0,
    "mask_loss.strict": False, "mask_loss.prior_teacher": "base", "mask_loss.prior_schedule": "constant",
    "mask_loss.prior_ema_decay": 0.999, "lora.rank": 1, "lora.alpha": 1, "lora.targets": "blocks.0.modulation",
    "lora.dropout": 0.0, "lora.algorithm": "lora", "lora.conv": False, "optimizer.name": "adamw",
    "optimizer.learning_rate": 0.0001, "optimizer.weight_decay": 0.01, "optimizer.lr_scheduler": "constant",
    "optimizer.warmup_steps": 0, "optimizer.max_grad_norm": 1.0, "optimizer.ema_decay": 0.0,
    "optimizer.optimizer_args": "", "train.batch_size": 1, "train.gradient_accumulation_steps": 1, "train.seed": 0,
    "train.timestep_sampling": "uniform", "train.timestep_min": 0.0, "train.timestep_max": 1.0,
    "train.gradient_checkpointing": True, "train.caption_dropout": 0.0, "train.validation_split": 0.0,
    "train.save_every": 0, "train.training_dtype": "auto", "train.lora_dtype": "fp32", "train.min_snr_gamma": 0.0,
}  # fmt: skip
POINT = {
    "step": 1, "loss": 0.25, "inside": 0.25, "outside": 0.125, "coverage": 0.5, "learning_rate": 0.0001,
    "grad_norm": 0.5, "near_zero": [], "prior": None,
}  # fmt: skip
LAYER = "blocks.0.modulation"
SHAPES = ((1, 128), (768, 1))


@pytest.fixture
def item(tmp_path: Path) -> DatasetItem:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/anna.ppm").write_bytes(PHOTOGRAPH)
    (tmp_path / "set/anna.pgm").write_bytes(MASK)
    settings = LoadSettings(resolution=(16, 16))
    return DatasetItem("anna", tmp_path / "set/anna.ppm", settings, tmp_path / "set/anna.pgm", "a woman")


def sources(item: DatasetItem) -> list[list[Any]]:
    """Role, name, size, time of change (ns), and the hash of each file that the entry is made from."""
    assert item.mask_path is not None
    files = (("image", item.media_path), ("mask", item.mask_path))
    return [
        [role, path.name, path.stat().st_size, path.stat().st_mtime_ns, sha256]
        for (role, path), sha256 in zip(files, HASHES, strict=True)
    ]


def index_text(item: DatasetItem) -> str:
    (_, _, size, time_ns, _), (_, _, mask_size, mask_time_ns, _) = sources(item)
    return f"""{{
"format": 2,
"architecture": "demo",
"encoder": "maskloss-demo-dct-1",
"text_encoder": "maskloss-demo-words-1",
"complete": true,
"entries": {{
"name": ["anna"],
"file": ["_0016x0016_demo.safetensors"],
"origin": ["file"],
"coverage": [0.5],
"repeats": [1],
"image_size": [[16, 16]],
"bucket": [[16, 16]],
"latent_shape": [[16, 1, 2, 2]],
"caption": ["a woman"],
"latent_fingerprint": {{"width": 64, "text": "{LATENT_FINGERPRINT}"}},
"mask_fingerprint": {{"width": 64, "text": "{MASK_FINGERPRINT}"}},
"file_bytes": [{ENTRY_BYTES}],
"sources": [2],
"target_index": [null],
"control_indices": [[]],
"image_channels": [0]
}},
"sources": {{
"role": ["image", "mask"],
"folder": {{"values": [{json.dumps(str(item.media_path.parent))}], "count": 2}},
"file": [".ppm", ".pgm"],
"size": [{size}, {mask_size}],
"mtime_ns": [{time_ns}, {mask_time_ns}],
"sha256": {{"width": 64, "text": "{"".join(HASHES)}"}}
}}
}}
"""


def latent() -> torch.Tensor:
    """No photograph has such a one, so that it is seen where it was encoded again."""
    return torch.linspace(-1, 1, 64).view(16, 1, 2, 2)


@pytest.fixture
def cache_then(tmp_path: Path, item: DatasetItem) -> Path:
    directory = tmp_path / "cache"
    (directory / "text").mkdir(parents=True)
    noted = [[role, name, size, time_ns, time_ns, sha256] for role, name, size, time_ns, sha256 in sources(item)]
    weights = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]]).half()
    tensors = {"latents_1x2x2_float32": latent(), "mask_weights_1x2x2_float16": weights}
    save_file(tensors, directory / ENTRY, {**METADATA, "maskloss_sources": json.dumps(noted)})
    for caption, sha256 in TEXTS.items():
        tokens = {"tokens": torch.full((1 + 2 * bool(caption), 64), 0.5)}
        metadata = {"maskloss_text_encoder": "maskloss-demo-words-1", "maskloss_caption": caption}
        save_file(tokens, directory / "text" / f"{sha256}.safetensors", metadata)
    text = index_text(item).replace(f"[{ENTRY_BYTES}]", f"[{(directory / ENTRY).stat().st_size}]")
    (directory / "maskloss_index.json").write_text(text)
    return directory


def recipe(cache: LatentCache, steps: int) -> TrainingRecipe:
    lora = LoraConfig(rank=1, alpha=1, targets=LAYER)
    return TrainingRecipe(cache, MaskLossSettings(), lora, OptimizerConfig(), TrainConfig(steps=steps))


def test_the_cache_is_opened_and_nothing_in_it_made_again(cache_then: Path, item: DatasetItem) -> None:
    before = {path: path.read_bytes() for path in cache_then.rglob("*") if path.is_file()}
    cache, report = cache_latents(Dataset((item,)), DemoLatentEncoder(), cache_then)
    assert [row["state"] for row in report["items"]] == ["unchanged"]
    cache, _ = cache_text(cache, DemoTextEncoder())
    assert {path: path.read_bytes() for path in cache_then.rglob("*") if path.is_file()} == before
    opened = open_cache(cache_then)
    assert opened.fingerprint == CACHE_FINGERPRINT
    assert torch.equal(opened.latent(opened.entries[0]), latent())
    assert torch.equal(opened.text(opened.entries[0])["tokens"], torch.full((3, 64), 0.5))


def test_a_cache_of_today_has_that_layout(tmp_path: Path, item: DatasetItem) -> None:
    cache, _ = cache_latents(Dataset((item,)), DemoLatentEncoder(), tmp_path / "cache")
    cache_text(cache, DemoTextEncoder())
    assert (tmp_path / "cache/maskloss_index.json").read_text() == index_text(item)
    with safe_open(tmp_path / "cache" / ENTRY, "pt") as file:
        noted = json.loads(file.metadata()["maskloss_sources"])
        assert {**METADATA, "maskloss_sources": file.metadata()["maskloss_sources"]} == file.metadata()
        assert set(file.keys()) == {"latents_1x2x2_float32", "mask_weights_1x2x2_float16"}
    assert [[*row[:4], row[5]] for row in noted] == sources(item)
    assert {path.stem for path in (tmp_path / "cache/text").iterdir()} == set(TEXTS.values())


def state_then() -> dict[str, Any]:
    adapter = [torch.linspace(-0.1, 0.1, shape[0] * shape[1]).view(shape) for shape in SHAPES]
    moments = [{"step": torch.tensor(1.0), "exp_avg": a * 0.1, "exp_avg_sq": a**2 * 0.001} for a in adapter]
    plain = torch.optim.AdamW([torch.nn.Parameter(a) for a in adapter], lr=1e-4, weight_decay=0.01, fused=True)
    return {
        "format": "maskloss-state-2",
        "identity": json.dumps(IDENTITY),
        "step": 1,
        "adapter": adapter,
        "optimizer": {"state": dict(enumerate(moments)), "param_groups": plain.state_dict()["param_groups"]},
        "average": [],
        "teacher": [],
        "loss_scale": (1.0, 0),
        "course": json.dumps({"points": [POINT], "validation": [], "warnings": [], "scores": []}),
    }


def test_the_state_is_resumed_from(tmp_path: Path, cache_then: Path) -> None:
    torch.save(state_then(), tmp_path / "lora.state")
    (tmp_path / "lora.jsonl").write_text(json.dumps(POINT) + "\n")
    result = train(DemoDenoiser(), recipe(open_cache(cache_then), 2), tmp_path / "lora")
    assert [point.step for point in result.points] == [1, 2]
    assert (result.points[0].loss, result.points[0].grad_norm) == (0.25, 0.5)
    assert (tmp_path / "lora.jsonl").read_text().splitlines()[0] == json.dumps(POINT)
    down = result.lora[f"diffusion_model.{LAYER}.lora_down.weight"]
    torch.testing.assert_close(down, state_then()["adapter"][0], atol=2e-4, rtol=0)
    assert not torch.equal(down, state_then()["adapter"][0])


def test_a_state_of_today_has_that_layout(tmp_path: Path, cache_then: Path) -> None:
    train(DemoDenoiser(), recipe(open_cache(cache_then), 1), tmp_path / "lora")
    today, then = torch.load(tmp_path / "lora.state", weights_only=True), state_then()
    assert list(today) == list(then)
    assert json.loads(today["identity"]) == IDENTITY
    course, course_then = json.loads(today["course"]), json.loads(then["course"])
    assert list(course) == list(course_then)
    assert [list(point) for point in course["points"]] == [list(POINT)]
    assert [tensor.shape for tensor in today["adapter"]] == [tensor.shape for tensor in then["adapter"]]
    assert today["optimizer"]["param_groups"] == then["optimizer"]["param_groups"]
    (line,) = (tmp_path / "lora.jsonl").read_text().splitlines()
    assert list(json.loads(line)) == list(POINT)


def test_a_lora_is_read_and_written_under_the_same_keys(tmp_path: Path, cache_then: Path) -> None:
    names = ("alpha", "lora_down.weight", "lora_up.weight")
    tensors = dict(zip(names, (torch.tensor(1.0), *state_then()["adapter"]), strict=True))
    then = {f"diffusion_model.{LAYER}.{name}": tensor for name, tensor in tensors.items()}
    save_file(then, tmp_path / "then.safetensors", {"ss_network_module": "networks.lora"})
    read = load_lora(tmp_path / "then.safetensors")
    assert {key: tensor.tolist() for key, tensor in read.items()} == {key: t.tolist() for key, t in then.items()}
    train(DemoDenoiser(), recipe(open_cache(cache_then), 1), tmp_path / "lora")
    with safe_open(tmp_path / "lora.safetensors", "pt") as file:
        metadata = file.metadata()
    read = load_lora(tmp_path / "lora.safetensors")
    assert {key: tensor.shape for key, tensor in read.items()} == {key: tensor.shape for key, tensor in then.items()}
    assert metadata["ss_network_module"] == "networks.lora"
    assert metadata["maskloss.cache"] == CACHE_FINGERPRINT
    assert json.loads(metadata["maskloss.mask_loss"])["normalization"] == "per_sample"
