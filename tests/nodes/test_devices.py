"""Train LoRA with `devices`: real processes of this machine, started by the node."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from maskloss.cli.prompt import Prompt, read_prompt
from maskloss.cli.run import REGISTRY
from maskloss.cli.runner import run_prompt
from maskloss.core.cache.store import open_cache
from maskloss.core.errors import CacheError, PromptError, TrainingError
from maskloss.core.host import LocalHost, use_host
from maskloss.core.progress import Progress
from maskloss.core.train.lora_file import load_lora
from maskloss.core.train.state import load_state
from maskloss.nodes.training import MaskLossDemoModels, MaskLossTrainLora

from tests.helpers.training_prompt import make_prompt


@pytest.fixture
def prompt(tmp_path: Path) -> Path:
    return make_prompt(tmp_path)


def changed(path: Path, **inputs: object) -> Prompt:
    """The prompt, with other inputs of its training node."""
    content = json.loads(path.read_text())
    content["train"]["inputs"].update(inputs)
    path.write_text(json.dumps(content))
    return read_prompt(path)


def run(path: Path, output: str, host: type[LocalHost] = LocalHost, **inputs: object) -> tuple[Any, LocalHost]:
    """The training node's result, and the host it ran in."""
    there = host(path.parent / "in", path.parent / output)
    return run_prompt(changed(path, **inputs), REGISTRY, there)["train"], there


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for key, expected in one.items():
        assert float((other[key] - expected).norm()) <= 1e-6 * float(expected.norm()), key


def test_two_devices_give_what_one_gives(prompt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two, _ = run(prompt, "two", devices=2, validation_split=0.25)
    text = capsys.readouterr().err
    one, _ = run(prompt, "one", devices=1, gradient_accumulation_steps=2, validation_split=0.25)
    folder = prompt.parent
    same(load_lora(folder / "one/lora.safetensors"), load_lora(folder / "two/lora.safetensors"))
    first, second = (load_state(folder / output / "lora.state") for output in ("one", "two"))
    assert [step for step, _ in first.history.validation] == [step for step, _ in second.history.validation]
    assert [v for _, v in first.history.validation] == pytest.approx([v for _, v in second.history.validation])
    assert [point.loss for point in first.history.points] == pytest.approx([p.loss for p in second.history.points])
    # Everything that is said of the run is said here.
    assert "train MaskLossTrainLora] 3/3 loss " in text
    assert "LoRA on " in text
    assert two.ui["maskloss"][0]["path"] == str(folder / "two/lora.safetensors")
    assert two.ui["maskloss"][0]["steps"] == one.ui["maskloss"][0]["steps"] == 3
    assert any("2 processes" in line for line in two.ui["said"])
    # Nothing is left of the hand-over, and of pictures nobody asked for.
    assert not (folder / "two/previews").exists()
    again, _ = run(prompt, "two", devices=2, gradient_accumulation_steps=1)
    assert "this very run, finished after 3 steps" in " ".join(again.ui["said"])


class Stops(LocalHost):
    """Somebody presses Cancel after the first step that is told."""

    def progress(self) -> Progress:
        inner = super().progress()

        class Stopping:
            def update(self, done: int, total: int, text: str = "", preview_HWC: np.ndarray | None = None) -> None:
                inner.update(done, total, text, preview_HWC)
                if total == 100_000 and done > 0:
                    raise KeyboardInterrupt

        return Stopping()


def test_an_interrupt_leaves_lora_and_state_and_no_process(prompt: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(prompt, "out", Stops, devices=2, steps=100_000)
    state = load_state(prompt.parent / "out/lora.state")
    assert 0 < state.step < 100_000
    assert load_lora(prompt.parent / "out/lora.safetensors")
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(prompt.parent) not in processes
    # It goes on from there, whatever trains it.
    result, _ = run(prompt, "out", devices=1, gradient_accumulation_steps=2, steps=state.step + 1)
    assert any(f"Going on after step {state.step}" in line for line in result.ui["said"])


def test_an_error_of_the_processes_is_the_nodes(prompt: Path) -> None:
    with pytest.raises(PromptError, match=r"MaskLossTrainLora\): 5 devices would share 4 cached items"):
        run(prompt, "out", devices=5)


def test_a_lora_to_start_from_is_handed_over(prompt: Path) -> None:
    run(prompt, "out", steps=1, output_name="first")
    content = json.loads(prompt.read_text())
    path = str(prompt.parent / "out/first.safetensors")
    content["start"] = {"class_type": "MaskLossLoadLora", "inputs": {"path": path}}
    prompt.write_text(json.dumps(content))
    given = {"initial_lora": ["start", 0], "steps": 2}
    run(prompt, "out", output_name="two", devices=2, gradient_accumulation_steps=1, **given)
    run(prompt, "out", output_name="one", devices=1, gradient_accumulation_steps=2, **given)
    same(load_lora(prompt.parent / "out/one.safetensors"), load_lora(prompt.parent / "out/two.safetensors"))


def cached(prompt: Path) -> Any:
    run(prompt, "out", steps=1)
    return open_cache(prompt.parent / "out/cache")


def test_a_cache_that_is_no_longer_there_is_refused(prompt: Path) -> None:
    cache = cached(prompt)
    host = LocalHost(prompt.parent / "in", prompt.parent / "out")
    host.begin_prompt(json.loads(prompt.read_text()))
    host.begin_node("train", "train MaskLossTrainLora")
    other = replace(cache, entries=cache.entries[1:])
    with use_host(host), pytest.raises(CacheError, match="its own cache_directory"):
        MaskLossTrainLora().run(
            model=MaskLossDemoModels().run()[0], cache=other, steps=1, devices=2, output_name="other"
        )


def test_without_a_prompt_nothing_can_be_handed_over(prompt: Path) -> None:
    cache = cached(prompt)
    with use_host(LocalHost(prompt.parent / "in", prompt.parent / "out")), pytest.raises(TrainingError, match="prompt"):
        MaskLossTrainLora().run(
            model=MaskLossDemoModels().run()[0], cache=cache, steps=1, devices=2, output_name="other"
        )


def test_a_sharded_base_gives_the_same_lora(prompt: Path) -> None:
    run(prompt, "two", devices=2, fit="shard")
    run(prompt, "one", devices=1, fit="refuse", gradient_accumulation_steps=2)
    same(*(load_lora(prompt.parent / f"{name}/lora.safetensors") for name in ("one", "two")))


def test_one_device_has_nobody_to_shard_with(prompt: Path) -> None:
    with pytest.raises(PromptError, match="fit is shard"):
        run(prompt, "out", fit="shard")
