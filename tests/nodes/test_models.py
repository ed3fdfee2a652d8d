"""The built-in models go through as they are, and are not taken for what they are not."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from maskloss.core.cache.entries import CacheEntry
from maskloss.core.cache.store import LatentCache
from maskloss.core.comfy.model.references import ReferenceMethod
from maskloss.core.dataset.items import MaskOrigin
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.demo.encoders import DemoLatentEncoder, DemoTextEncoder
from maskloss.core.errors import CacheError, TrainingError
from maskloss.core.frozen.config import BaseConfig, BasePrecision
from maskloss.core.plan.fit import Fit
from maskloss.core.plan.plan import COMPILED
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig, TrainingDtype
from maskloss.core.train.recipe import TrainingRecipe
from maskloss.core.warning import collect_warnings
from maskloss.nodes.models import (
    ARCHITECTURES,
    AUTO,
    Beginning,
    check_fit,
    identity_of,
    latent_encoder,
    open_model,
    text_encoder,
    warn_of_method,
)


class NoPictures:
    """A VAE in form alone, such as an audio one."""

    latent_dim = 1
    first_stage_model = object()


def test_the_demo_vae_goes_by_no_other_name() -> None:
    vae = DemoLatentEncoder()
    assert latent_encoder(vae) is vae
    with pytest.raises(CacheError, match="The demo VAE is not wan's; set architecture to auto"):
        latent_encoder(vae, "wan")


def test_a_vae_that_encodes_no_pictures_is_refused() -> None:
    with pytest.raises(CacheError, match="encodes no pictures"):
        latent_encoder(NoPictures())


def test_names_that_can_be_told_are_each_there_once_and_auto_comes_first() -> None:
    assert ARCHITECTURES[0] == AUTO
    assert {"sd", "sdxl", "flux", "sd3", "wan", "qi", "vace", "flf2v"} < set(ARCHITECTURES)
    assert len(set(ARCHITECTURES)) == len(ARCHITECTURES)


def test_the_demo_models_go_through_as_they_are(tmp_path) -> None:
    clip, model = DemoTextEncoder(), DemoDenoiser(3)
    assert text_encoder(clip) is clip
    assert identity_of(model, None) == model.identity == identity_of(model, 3.5), "it takes no guidance"
    assert identity_of(DemoDenoiser(4), None) != model.identity
    cache = LatentCache(tmp_path, "demo", "demo", ())
    with open_model(model, cache, TrainingDtype.AUTO, None) as opened:
        assert opened.module is model.module
        assert opened.identity == model.identity
    int8 = BaseConfig(BasePrecision.INT8)
    with open_model(model, cache, TrainingDtype.AUTO, None, base=int8) as opened:
        assert opened.identity == identity_of(model, None, int8) == f"{model.identity}-int8"
    four = BaseConfig(BasePrecision.NVFP4)
    with pytest.raises(TrainingError, match="nvfp4, a format of ComfyUI's own models, and the demo model is none"):
        open_model(model, cache, TrainingDtype.AUTO, None, base=four).__enter__()


def test_a_method_that_nothing_heeds_is_warned_of() -> None:
    cache = LatentCache(Path(), "demo", "demo", ())
    with collect_warnings() as given:
        warn_of_method(DemoDenoiser(), ReferenceMethod.AUTO, cache)
        assert not given.texts
        warn_of_method(DemoDenoiser(), ReferenceMethod.INDEX, cache)
    assert given.texts == ["reference_method is index, but the demo model takes none and ignores it."]


def recipe_of(name: str, side: int = 8) -> TrainingRecipe:
    """Of a cache in memory with one latent, made for the tiny network of that name."""
    tiny = pytest.importorskip("tiny_comfy.tiny_models")
    shape = tiny.latent_shape(name, 1, side, side)
    entry = CacheEntry("a", "", MaskOrigin.NONE, 1.0, 1, (64, 64), (64, 64), shape, "a caption", "", "", 0)

    class OneLatent(LatentCache):
        def text(self, entry: CacheEntry) -> dict[str, torch.Tensor]:
            return tiny.text_for(name)

    cache = OneLatent(Path(), name, "encoder", (entry,))
    return TrainingRecipe(cache, None, LoraConfig(rank=4), OptimizerConfig(), TrainConfig(gradient_checkpointing=False))


@pytest.mark.comfy
def test_a_model_that_ignores_control_images_until_it_is_told_how_is_warned_of() -> None:
    tiny = pytest.importorskip("tiny_comfy.tiny_models")
    cache = recipe_of("krea2").cache
    shown = replace(cache, entries=tuple(replace(entry, references=1) for entry in cache.entries))
    with collect_warnings() as given:
        warn_of_method(tiny.load_model("krea2"), ReferenceMethod.AUTO, cache)
        warn_of_method(tiny.load_model("krea2"), ReferenceMethod.INDEX, shown)
        warn_of_method(tiny.load_model("flux"), ReferenceMethod.AUTO, shown)
        assert not given.texts
        warn_of_method(tiny.load_model("krea2"), ReferenceMethod.AUTO, shown)
    assert given.texts == ["reference_method is auto, with which Krea2 ignores control images; set it to index."]


@pytest.mark.comfy
def test_what_cannot_fit_is_refused_and_may_be_insisted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_of("wan", 64)
    tiny = pytest.importorskip("tiny_comfy.tiny_models")
    model, base = tiny.load_model("wan"), BaseConfig()
    begins = check_fit(model, recipe, base, Fit.REFUSE)
    assert not begins.checkpoint
    assert begins.said[0].startswith("Planned memory: ")
    assert COMPILED not in begins.said[0]
    compiled = BaseConfig(compile_blocks=True)
    assert check_fit(model, recipe, compiled, Fit.REFUSE).said == (f"{begins.said[0]} {COMPILED}",)
    monkeypatch.setattr(tiny.management, "get_total_memory", lambda _: 28 * 2**20)
    with pytest.raises(TrainingError, match=r"It fits with gradient_checkpointing on\. Set fit to insist"):
        check_fit(model, recipe, base, Fit.REFUSE)
    assert check_fit(model, recipe, base, Fit.INSIST) == Beginning(False)


@pytest.mark.comfy
def test_checkpointing_comes_on_where_the_free_memory_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_of("wan", 64)
    tiny = pytest.importorskip("tiny_comfy.tiny_models")
    model, base = tiny.load_model("wan"), BaseConfig()
    begins = check_fit(model, recipe, base, Fit.CHECKPOINT)
    assert not begins.checkpoint
    assert "gradient_checkpointing stays off: without it the run needs 0.0 GiB of the " in begins.said[0]
    monkeypatch.setattr(tiny.management, "get_free_memory", lambda _: 28 * 2**20)
    begins = check_fit(model, recipe, base, Fit.CHECKPOINT)
    assert begins.checkpoint
    assert begins.said[0].startswith(
        "gradient_checkpointing is on: without it the run would need 0.0 GiB of the 0.0 GiB"
    )
    assert begins.said[1].startswith("Planned memory: ")
    assert not check_fit(model, recipe, base, Fit.REFUSE).checkpoint
    asked = replace(recipe, config=TrainConfig())
    assert check_fit(model, asked, base, Fit.CHECKPOINT).checkpoint
    monkeypatch.setattr(tiny.management, "get_total_memory", lambda _: 2**20)
    with pytest.raises(TrainingError, match="checkpointing on, adamw"):
        check_fit(model, recipe, base, Fit.CHECKPOINT)


@pytest.mark.comfy
def test_what_cannot_be_planned_is_trained_with_a_warning() -> None:
    recipe = recipe_of("wan")
    tiny = pytest.importorskip("tiny_comfy.tiny_models")
    with collect_warnings() as warnings:
        assert check_fit(tiny.load_model("sd3"), replace(recipe), BaseConfig(), Fit.REFUSE) == Beginning(False)
        assert check_fit(tiny.load_model("sd3"), replace(recipe), BaseConfig(), Fit.CHECKPOINT) == Beginning(True)
    text, other = warnings.texts
    assert "cannot be planned" in text
    assert text.endswith("Training begins without knowing whether it fits.")
    assert other.endswith("Training begins with gradient_checkpointing on, without knowing whether it fits.")


def test_the_demo_model_fits_everywhere(tmp_path: Path) -> None:
    cache = LatentCache(tmp_path, "demo", "encoder", ())
    for config in (TrainConfig(), TrainConfig(gradient_checkpointing=False)):
        recipe = TrainingRecipe(cache, None, LoraConfig(), OptimizerConfig(), config)
        for fit in Fit:
            begins = check_fit(DemoDenoiser(), recipe, BaseConfig(), fit)
            assert begins == Beginning(config.gradient_checkpointing)
