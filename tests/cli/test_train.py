"""`maskloss train` as torchrun starts it: real processes on this machine."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import maskloss
import pytest
import torch
from maskloss.cli.run import run_file
from maskloss.cli.train import train_file
from maskloss.core.errors import PathError, PromptError
from maskloss.core.train.lora_file import load_lora

from tests.helpers.opened_files import listening, opened_by
from tests.helpers.training_prompt import NODES, api, make_prompt


@pytest.fixture
def prompt(tmp_path: Path) -> Path:
    return make_prompt(tmp_path)


def torchrun(
    size: int, prompt: Path, output: str, *settings: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(size),
        "-m", "maskloss", "train", str(prompt), "--input", str(prompt.parent / "in"),
        "--output", str(prompt.parent / output),
    ]  # fmt: skip
    given = [argument for setting in settings for argument in ("--set", setting)]
    return subprocess.run([*command, *given], capture_output=True, text=True, check=False, env=environment)


def test_two_ranks_train_the_lora_of_one_process(prompt: Path) -> None:
    done = torchrun(2, prompt, "two")
    assert done.returncode == 0, done.stderr
    # Two micro-batches in an optimizer step, one for each.
    run_file(prompt, ["train.gradient_accumulation_steps=2"], prompt.parent / "in", prompt.parent / "one")
    one, two = (load_lora(prompt.parent / folder / "lora.safetensors") for folder in ("one", "two"))
    for key, expected in one.items():
        assert float((two[key] - expected).norm()) <= 1e-6 * float(expected.norm()), key
    # Only rank 0 says what runs, and goes on behind the training.
    assert done.stderr.count("MaskLossTrainLora] 3/3") == 1
    assert done.stdout.count("Report: ") == 1
    assert (prompt.parent / "two/page/index.html").is_file()
    again = torchrun(2, prompt, "two")
    assert again.returncode == 0, again.stderr
    assert "this very run, finished after 3 steps" in again.stderr


def test_the_other_rank_opens_the_cache_and_nothing_that_made_it(prompt: Path) -> None:
    folder = prompt.parent
    done = torchrun(2, prompt, "two", environment=listening(folder))
    assert done.returncode == 0, done.stderr
    photographs = [
        {Path(line).name for line in opened_by(folder, rank).splitlines() if "/in/set/" in line} for rank in range(2)
    ]
    assert photographs == [{f"{number}.png" for number in range(4)}, set()]
    assert "two/cache/maskloss_index.json" in opened_by(folder, 1)


def test_by_its_path_as_out_of_a_folder_of_any_name(prompt: Path) -> None:
    pack = prompt.parent / "custom_nodes/Pack-1.2 (copy)"
    pack.parent.mkdir()
    pack.symlink_to(Path(maskloss.__file__).parent)
    command = [sys.executable, str(pack / "__main__.py"), "train", str(prompt), "--input", str(prompt.parent / "in")]
    done = subprocess.run([*command, "--output", "out"], cwd=prompt.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (prompt.parent / "out/lora.safetensors").is_file()


def test_an_error_before_training_ends_all_ranks(prompt: Path) -> None:
    done = torchrun(2, prompt, "two", "load.directory=nowhere")
    assert done.returncode != 0
    assert "Rank 0 stopped: " in done.stderr
    assert "nowhere" in done.stderr


def test_without_torchrun_it_is_one_process(prompt: Path) -> None:
    train_file(prompt, (), prompt.parent / "in", prompt.parent / "alone")
    run_file(prompt, (), prompt.parent / "in", prompt.parent / "one")
    one, alone = (load_lora(prompt.parent / folder / "lora.safetensors") for folder in ("one", "alone"))
    assert all(torch.equal(one[key], alone[key]) for key in one)


def test_a_prompt_without_training_is_refused(prompt: Path) -> None:
    prompt.write_text(json.dumps(api({name: NODES[name] for name in ("models", "load", "latents")})))
    with pytest.raises(PromptError, match="0 training nodes"):
        train_file(prompt, (), None, None)


def test_two_trainings_are_refused(prompt: Path) -> None:
    prompt.write_text(json.dumps(api({**NODES, "more": NODES["train"]})))
    with pytest.raises(PromptError, match="2 training nodes"):
        train_file(prompt, (), None, None)


def test_no_input_folder(prompt: Path) -> None:
    with pytest.raises(PathError, match="--input nowhere"):
        train_file(prompt, (), Path("nowhere"), None)


def test_comfyuis_nodes_without_comfyui(prompt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("comfy") is not None:
        pytest.skip("ComfyUI is there: another test has made it importable")
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    prompt.write_text(json.dumps(api({**NODES, "models": ("UNETLoader", {"unet_name": "wan.safetensors"})})))
    with pytest.raises(PathError, match="COMFYUI_PATH"):
        train_file(prompt, (), None, None)


def test_a_folder_without_a_hand_over(prompt: Path) -> None:
    with pytest.raises(PathError, match="nothing that was handed over"):
        train_file(prompt, (), prompt.parent / "in", None, waiting=prompt.parent)
