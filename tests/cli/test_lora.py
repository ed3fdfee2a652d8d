"""`maskloss lora` as a user types it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch
from maskloss.cli.main import main
from maskloss.core.train.lora_file import KeyFormat, load_lora, save_lora
from safetensors.torch import save_file

STEM = "diffusion_model.double_blocks.0.img_attn.qkv"


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        f"{STEM}.lora_up.weight": torch.randn(12, 2, generator=generator),
        f"{STEM}.lora_down.weight": torch.randn(2, 4, generator=generator),
        f"{STEM}.alpha": torch.tensor(1.0),
    }
    metadata = {"modelspec.architecture": "flux-2/lora", "ss_output_name": "anna"}
    save_lora(tmp_path / "lora.safetensors", tensors, metadata, KeyFormat.DIFFUSION_MODEL)
    return tmp_path / "lora.safetensors"


def test_check_says_what_each_program_makes_of_it(lora: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["lora", "check", str(lora)]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert "1 layers, lora, for flux-2, keys as diffusion_model" in first
    told = {line.split()[0]: line for line in lines}
    assert told["ComfyUI"].endswith("exact")
    assert "ignored; whole with the key format kohya or diffusers" in told["diffusers"]
    assert set(told) == {"ComfyUI", "diffusers", "LyCORIS", "musubi-tuner", "to"}
    assert told["to"].startswith("to mend it: maskloss lora convert ")


def test_check_for_one_program_ends_with_two_unless_it_loads_the_file_whole(
    lora: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["lora", "check", str(lora), "--for", "comfyui"]) == 0
    assert main(["lora", "check", str(lora), "--for", "diffusers"]) == 2
    assert "does not load" in capsys.readouterr().err


def test_convert_writes_the_same_lora_for_another_program(lora: Path, capsys: pytest.CaptureFixture[str]):
    output = lora.with_name("out.safetensors")
    assert main(["lora", "convert", str(lora), str(output), "--format", "diffusers"]) == 0
    text = capsys.readouterr().out
    assert "3 layers, lora, for flux-2, keys as diffusers" in text
    assert "warning" not in text
    assert main(["lora", "check", str(output), "--for", "diffusers"]) == 0
    written, source = load_lora(output), load_lora(lora)
    assert written.metadata["ss_output_name"] == "anna"
    rows = torch.cat([written[f"transformer.transformer_blocks.0.attn.to_{part}.lora_up.weight"] for part in "qkv"])
    assert torch.equal(rows, source[f"{STEM}.lora_up.weight"] / 2)
    back = lora.with_name("back.safetensors")
    assert main(["lora", "convert", str(output), str(back), "--format", "kohya"]) == 0
    assert set(load_lora(back)) == {
        f"lora_unet_double_blocks_0_img_attn_qkv{part}" for part in (".lora_up.weight", ".lora_down.weight", ".alpha")
    }


def test_convert_warns_where_a_common_program_leaves_something_out(lora: Path, capsys: pytest.CaptureFixture[str]):
    output = lora.with_name("out.safetensors")
    assert main(["lora", "convert", str(lora), str(output), "--format", "diffusion_model"]) == 0
    assert "warning     diffusers" in capsys.readouterr().out


def test_another_programs_file_is_converted_where_its_architecture_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    stem = "base_model.model.transformer_blocks.0.attn.to_out.0"
    source = tmp_path / "peft.safetensors"
    save_file({f"{stem}.lora_A.weight": torch.ones(2, 4), f"{stem}.lora_B.weight": torch.ones(4, 2)}, source)
    output = tmp_path / "out.safetensors"
    assert main(["lora", "convert", str(source), str(output), "--format", "auto"]) == 2
    assert "--architecture" in capsys.readouterr().err
    assert not output.exists()
    arguments = ["lora", "convert", str(source), str(output), "--format", "auto", "--architecture", "flux-1-dev"]
    assert main(arguments) == 0
    assert "lora_unet_double_blocks_0_img_attn_proj.lora_up.weight" in load_lora(output)
    assert load_lora(output).metadata["modelspec.architecture"] == "flux-1-dev/lora"


@pytest.mark.parametrize("prefix", ["", "diffusion_model.", "model.diffusion_model."])
def test_a_dora_is_converted_with_its_base(lora: Path, prefix: str, capsys: pytest.CaptureFixture[str]):
    tensors = dict(load_lora(lora)) | {f"{STEM}.dora_scale": torch.linspace(1, 2, 12).reshape(-1, 1)}
    save_lora(lora, tensors, load_lora(lora).metadata, KeyFormat.DIFFUSION_MODEL)
    output, base = lora.with_name("out.safetensors"), lora.with_name("base.safetensors")
    assert main(["lora", "convert", str(lora), str(output), "--format", "diffusers"]) == 2
    assert "--base" in capsys.readouterr().err
    weight = torch.randn(12, 4, generator=torch.Generator().manual_seed(2))
    save_file({f"{prefix}double_blocks.0.img_attn.qkv.weight": weight}, base)
    assert main(["lora", "convert", str(lora), str(output), "--format", "diffusers", "--base", str(base)]) == 0
    merged = (
        weight.double() + tensors[f"{STEM}.lora_up.weight"].double() @ tensors[f"{STEM}.lora_down.weight"].double() / 2
    )
    wanted = torch.linspace(1, 2, 12).double() * merged.norm(dim=1) / weight.double().norm(dim=1)
    written = load_lora(output)
    found = torch.cat(
        [written[f"transformer.transformer_blocks.0.attn.to_{part}.lora_magnitude_vector"] for part in "qkv"]
    )
    assert torch.allclose(found.double(), wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"other.weight": torch.ones(12, 4)}, "has no weight for the layer"),
        ({"double_blocks.0.img_attn.qkv.weight": torch.ones(12, 5)}, "has the shape"),
        ({"double_blocks.0.img_attn.qkv.weight": torch.ones(12, 4).to(torch.float8_e4m3fn)}, "quantised"),
    ],
)
def test_a_base_that_does_not_fit_is_named(
    lora: Path, tensors: dict[str, torch.Tensor], says: str, capsys: pytest.CaptureFixture[str]
):
    save_lora(lora, dict(load_lora(lora)) | {f"{STEM}.dora_scale": torch.ones(12, 1)}, load_lora(lora).metadata)
    base, output = lora.with_name("base.safetensors"), lora.with_name("out.safetensors")
    save_file(tensors, base)
    assert main(["lora", "convert", str(lora), str(output), "--format", "diffusers", "--base", str(base)]) == 2
    assert says in capsys.readouterr().err
    assert not output.exists()
    base.write_bytes(b"no safetensors")
    assert main(["lora", "convert", str(lora), str(output), "--format", "diffusers", "--base", str(base)]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_nothing_is_overwritten_and_other_files_are_named(lora: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["lora", "convert", str(lora), str(lora), "--format", "kohya"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["lora", "convert", str(lora), str(lora.with_name("out.pt")), "--format", "kohya"]) == 2
    assert "ends in .safetensors" in capsys.readouterr().err
    assert main(["lora", "check", str(lora.with_name("none.safetensors"))]) == 2
    assert "no LoRA file" in capsys.readouterr().err


def _commands(text: str) -> list[list[str]]:
    """What the output says to type, as a shell would take it."""
    return [shlex.split(line.partition("maskloss ")[2]) for line in text.splitlines() if "maskloss lora" in line]


@pytest.mark.parametrize("name", ["lora.safetensors", "anna's own lora.safetensors"])
def test_what_check_says_to_type_can_be_typed(
    lora: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(lora.parent)
    lora.rename(name)
    assert main(["lora", "check", name]) == 0
    (command,) = _commands(capsys.readouterr().out)
    assert main(command) == 0
    for program in ("comfyui", "diffusers", "lycoris", "kohya"):
        assert main(["lora", "check", command[3], "--for", program]) == 0, "one file for all"


def test_a_file_of_an_unknown_kind_is_led_to_one_that_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    stem = "base_model.model.transformer_blocks.0.attn.to_out.0"
    save_file(
        {f"{stem}.lora_A.weight": torch.ones(2, 4), f"{stem}.lora_B.weight": torch.ones(4, 2)}, "peft.safetensors"
    )
    assert main(["lora", "check", "peft.safetensors"]) == 0
    told = capsys.readouterr().out
    (command,) = _commands(told)
    assert command[-1] == "NAME"
    assert "flux-1-dev" in told.splitlines()[-1]
    assert main([*command[:-1], "flux-1-dev"]) == 0
    (command,) = _commands(capsys.readouterr().out)
    assert main(command) == 0
    assert main(["lora", "check", command[3], "--for", "kohya"]) == 0


def test_a_dora_is_led_to_its_base_model(lora: Path, capsys: pytest.CaptureFixture[str]):
    tensors = dict(load_lora(lora)) | {f"{STEM}.dora_scale": torch.ones(12, 1)}
    save_lora(lora, tensors, load_lora(lora).metadata, KeyFormat.DIFFUSION_MODEL)
    assert main(["lora", "check", str(lora), "--for", "diffusers"]) == 2
    (command,) = _commands(capsys.readouterr().out)
    assert command[-2:] == ["--base", "MODEL.safetensors"]
    save_file({"double_blocks.0.img_attn.qkv.weight": torch.ones(12, 4)}, lora.with_name("base.safetensors"))
    assert main([*command[:-1], str(lora.with_name("base.safetensors"))]) == 0


@pytest.mark.parametrize("action", ["check", "convert"])
@pytest.mark.parametrize("missing", [".lora_up.weight", ".lora_down.weight"])
def test_half_a_lora_is_refused(lora: Path, action: str, missing: str, capsys: pytest.CaptureFixture[str]):
    other = "diffusion_model.double_blocks.1.img_attn.qkv"
    tensors = dict(load_lora(lora)) | {other + key.removeprefix(STEM): value for key, value in load_lora(lora).items()}
    del tensors[other + missing]
    source, output = lora.with_name("half.safetensors"), lora.with_name("out.safetensors")
    save_file(tensors, source, load_lora(lora).metadata)
    more = [str(output), "--format", "auto"] if action == "convert" else []
    assert main(["lora", action, str(source), *more]) == 2
    said = capsys.readouterr().err
    assert "1 of the LoRA's 2 layers are incomplete" in said
    assert other in said
    assert not output.exists()


@pytest.mark.parametrize("action", ["check", "convert"])
@pytest.mark.parametrize(("name", "said"), [("flux2", "did you mean flux-2?"), ("x", "it is one of anima, ")])
def test_an_architecture_that_nobody_knows_is_refused(
    lora: Path, action: str, name: str, said: str, capsys: pytest.CaptureFixture[str]
):
    more = [str(lora.with_name("out.safetensors")), "--format", "auto"] if action == "convert" else []
    assert main(["lora", action, str(lora), *more, "--architecture", name]) == 2
    assert said in capsys.readouterr().err
    assert main(["lora", action, str(lora), *more, "--architecture", "flux-2/lora"]) == 0, "as the metadata have it"


def test_check_shows_what_is_no_product_of_low_rank(lora: Path, capsys: pytest.CaptureFixture[str]):
    mixed = lora.with_name("mixed.safetensors")
    save_file({**load_lora(lora), f"{STEM}.diff_b": torch.zeros(12)}, mixed, {"modelspec.architecture": "flux-2/lora"})
    assert main(["lora", "check", str(mixed)]) == 0
    text = capsys.readouterr().out
    assert "1 layers, lora, for flux-2" in text
    assert "whole differences of 1 layers (.diff_b; such as diffusion_model.double_blocks.0.img_attn.qkv)" in text
    assert "exact" not in text
    assert main(["lora", "check", str(mixed), "--for", "comfyui"]) == 2
    assert main(["lora", "convert", str(mixed), str(lora.with_name("o.safetensors")), "--format", "kohya"]) == 2
    assert "can neither be trained on from here nor be converted" in capsys.readouterr().err
