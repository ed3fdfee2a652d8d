"""The built-in models go through as they are, and are not taken for what they are not."""

import pytest
from maskloss.core.cache.store import LatentCache
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.demo.encoders import DemoLatentEncoder, DemoTextEncoder
from maskloss.core.errors import CacheError
from maskloss.core.frozen.config import BaseConfig, BasePrecision
from maskloss.core.train.config import TrainingDtype
from maskloss.nodes.models import ARCHITECTURES, AUTO, identity_of, latent_encoder, open_model, text_encoder


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
    assert {"sd", "sdxl", "flux", "sd3", "wan", "qi"} < set(ARCHITECTURES)
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
