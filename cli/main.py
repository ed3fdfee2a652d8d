"""`maskloss`: run, cluster, train, submit, doctor, models, scores, cache, dataset, lora, corrections, plan, bench."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from ..core.errors import UserError
from ..core.warning import collect_warnings
from .cluster_parser import add_cluster
from .corrections_parser import add_corrections
from .dataset_parser import add_dataset
from .plan_parser import add_plan
from .prompt_parser import add_base_directory, add_prompt, add_run_here

EXIT_OK, EXIT_OURS, EXIT_USER, EXIT_INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, 2 for the user's mistake, 1 for ours, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    # Before torch is loaded: threads that spin while they wait make small models several times slower wherever
    # something else wants the cores too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with collect_warnings(_tell_warning):
            options.command(options)
    except UserError as error:
        print(f"maskloss: {error}", file=sys.stderr)
        return EXIT_USER
    except BrokenPipeError:
        # Whoever reads us has seen enough (`… | head`); flushing at the end would say so once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except KeyboardInterrupt:
        print("maskloss: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception:  # noqa: BLE001 - the last frame of the program: whatever comes here is ours
        traceback.print_exc()
        print("maskloss: this is an error of ours; please report it with the lines above", file=sys.stderr)
        return EXIT_OURS
    return EXIT_OK


def _tell_warning(text: str) -> None:
    print(f"maskloss: WARNING: {text}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="maskloss", description="Mask-weighted LoRA training: photographs in, a LoRA of the person out."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run an API-format prompt without ComfyUI")
    add_run_here(run)
    run.add_argument(
        "--shard", metavar="I/N", help="cache shard I of N, and stop there: one shard for each machine or process"
    )
    run.set_defaults(command=_run)

    train = commands.add_parser("train", help="run a prompt with a training node on several devices, under torchrun")
    add_run_here(train)
    add_base_directory(train)
    train.add_argument(
        "--waiting", type=Path, metavar="DIR", help="what Train LoRA hands over, which follows this run and stops it"
    )
    train.set_defaults(command=_train)

    add_cluster(commands)

    submit = commands.add_parser("submit", help="queue an API-format prompt on a ComfyUI server and follow it")
    add_prompt(submit)
    submit.add_argument("--server", default="127.0.0.1:8188", metavar="HOST:PORT", help="default: 127.0.0.1:8188")
    submit.set_defaults(command=_submit)

    doctor = commands.add_parser("doctor", help="say what is installed and what each missing part would enable")
    doctor.set_defaults(command=_doctor)

    models = commands.add_parser("models", help="list the bundled models with licence and path")
    models.add_argument("--install", action="store_true", help="fetch and check those that are missing")
    models.add_argument("--demo-photographs", type=Path, metavar="DIR", help="copy the demo's photographs under DIR")
    models.set_defaults(command=_models)

    scores = commands.add_parser("scores", help="compare sample pictures with a person and the training photographs")
    scores.add_argument("directory", type=Path, help="the pictures, by any trainer or sampler; or one picture")
    scores.add_argument(
        "--identity", type=Path, required=True, metavar="FACES", help="a picture of the person, or a folder"
    )
    scores.add_argument("--photographs", type=Path, metavar="DIR", help="the training photographs: copies are found")
    scores.add_argument("--masks", type=Path, metavar="DIR", help="their masks: backgrounds are compared as well")
    scores.add_argument("--recognizer", default="bundled", metavar="NAME", help="bundled, or a pack of insightface")
    scores.add_argument("--sheet", type=Path, metavar="FILE", help="write the pictures with their scores, as PNG")
    scores.set_defaults(command=_scores)

    cache = commands.add_parser("cache", help="look at a cache of latents, or write it for another trainer")
    actions = cache.add_subparsers(required=True, metavar="ACTION")
    inspect = actions.add_parser("inspect", help="say what a cache holds, file by file, and what is wrong with it")
    inspect.add_argument("directory", type=Path, help="the cache; musubi-tuner's and blissful-tuner's too")
    inspect.add_argument("--deep", action="store_true", help="read every tensor, not only what the files say they hold")
    inspect.set_defaults(command=_inspect_cache)
    prune = actions.add_parser("prune", help="list the files of a cache that no item and no caption uses any more")
    prune.add_argument("directory", type=Path, help="the cache")
    prune.add_argument("--remove", action="store_true", help="delete them; what this pack did not write stays")
    prune.set_defaults(command=_prune_cache)
    export = actions.add_parser("export", help="write a cache as the files that another trainer reads")
    export.add_argument("directory", type=Path, help="the cache")
    export.add_argument("output", type=Path, help="a new folder for the files")
    export.add_argument("--format", choices=["musubi"], required=True, help="musubi-tuner, and blissful-tuner alike")
    export.add_argument(
        "--architecture", default="", metavar="TAG", help="wan, qi (Qwen-Image) or hv (default: the cache's own)"
    )
    export.add_argument("--no-text", action="store_true", help="leave the captions to the other trainer")
    export.set_defaults(command=_export_cache)

    lora = commands.add_parser("lora", help="say which programs load a LoRA file whole, or write it for another one")
    actions = lora.add_subparsers(required=True, metavar="ACTION")
    check = actions.add_parser(
        "check", help="say what ComfyUI, diffusers, LyCORIS and musubi-tuner make of a LoRA file"
    )
    check.add_argument("file", type=Path, help="the LoRA, of any program")
    check.add_argument(
        "--for", dest="loader", choices=["comfyui", "diffusers", "lycoris", "kohya"],
        help="this program alone, and exit code 2 unless it loads the file whole",
    )  # fmt: skip
    check.set_defaults(command=_check_lora)
    convert = actions.add_parser("convert", help="write a LoRA file under another program's keys")
    convert.add_argument("file", type=Path, help="the LoRA, of any program")
    convert.add_argument("output", type=Path, help="a new .safetensors file")
    convert.add_argument(
        "--format", choices=["auto", "diffusion_model", "kohya", "diffusers"], required=True,
        help="the keys; auto = those that most programs load whole",
    )  # fmt: skip
    convert.add_argument("--base", type=Path, metavar="MODEL", help="the base model's file, which a DoRA needs")
    convert.set_defaults(command=_convert_lora)
    for action in (check, convert):
        action.add_argument(
            "--architecture",
            default="",
            metavar="NAME",
            help="what the LoRA is for, such as flux-2, where it does not say",
        )
    add_corrections(commands)
    add_dataset(commands)
    add_plan(commands)
    return parser


# The imports are late so that `doctor` runs where torch, or anything else that the other commands need, is missing.


def _run(options: argparse.Namespace) -> None:
    from .run import run_file

    run_file(options.file, options.set, options.input, options.output, options.shard)


def _train(options: argparse.Namespace) -> None:
    from .train import train_file

    train_file(options.file, options.set, options.input, options.output, options.base_directory, options.waiting)


def _submit(options: argparse.Namespace) -> None:
    from .submit import submit_file

    submit_file(options.file, options.set, options.server)


def _doctor(options: argparse.Namespace) -> None:
    from .doctor import report_lines

    print("\n".join(report_lines()))


def _models(options: argparse.Namespace) -> None:
    from .models import models

    models(options.install, options.demo_photographs)


def _scores(options: argparse.Namespace) -> None:
    from .scores import print_scores

    print_scores(
        options.directory,
        options.identity,
        options.photographs,
        options.masks,
        options.recognizer,
        options.sheet,
    )


def _inspect_cache(options: argparse.Namespace) -> None:
    from .cache import inspect

    inspect(options.directory, options.deep)


def _prune_cache(options: argparse.Namespace) -> None:
    from .cache import prune

    prune(options.directory, options.remove)


def _export_cache(options: argparse.Namespace) -> None:
    from .cache import export

    export(options.directory, options.output, options.architecture, not options.no_text)


def _check_lora(options: argparse.Namespace) -> None:
    from .lora import check

    check(options.file, options.loader, options.architecture)


def _convert_lora(options: argparse.Namespace) -> None:
    from .lora import convert

    convert(options.file, options.output, options.format, options.architecture, options.base)
