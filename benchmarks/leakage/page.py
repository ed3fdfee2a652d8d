"""What is written: the raw scores, the table, and the figure, all under `docs/`."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from maskloss.core.errors import SettingError
from maskloss.core.files import write_text
from maskloss.core.images import save_image

from .contenders import MASKED, REFERENCE, Contender
from .dataset import draw_training_scenes
from .figure import draw_figure
from .runs import PICTURED_SEED, Plan, Results, load_pictures, open_laboratory
from .statistics import Difference, common_seeds, paired_difference
from .world import render_scene

SCORES = ("fit", "leak", "bleed", "drift", "watermark", "hair", "setting")
SHOWN = (
    REFERENCE,
    "binary",
    "tiers",
    "preset person",
    "tiers, prior 1",
    "tiers, whole and face, captioned",
    "routed 0.1, scattered",
)
_AGAINST = "The same scores as paired differences from the contender beside it, which differs in one thing:\n"
_BEGIN, _END = "<!-- table: written by python -m benchmarks.leakage -->", "<!-- end of the table -->"


def differences_of(results: Results) -> dict[str, dict[str, Difference]]:
    """By contender and score, without the reference; over the seeds that both have."""
    return {
        name: difference_of(results, name, REFERENCE)
        for name, values in results.items()
        if name != REFERENCE and common_seeds([values, results[REFERENCE]])
    }


def difference_of(results: Results, name: str, reference: str) -> dict[str, Difference]:
    """By score, over the seeds that both have."""
    return {
        score: paired_difference(
            {seed: each[score] for seed, each in results[name].items()},
            {seed: each[score] for seed, each in results[reference].items()},
        )
        for score in SCORES
    }


def table_of(contenders: Sequence[Contender], results: Results) -> str:
    """Markdown: a row for each contender, in bold where the interval does not contain 0."""
    differences = differences_of(results)
    lines = [
        "| contender | " + " | ".join(SCORES) + " |",
        "|---" * (1 + len(SCORES)) + "|",
    ]
    group = ""
    for contender in contenders:
        values = results.get(contender.name)
        if not values:
            continue
        if contender.group != group:
            group = contender.group
            lines.append(f"| *{group}* |" + " |" * len(SCORES))
        cells = [
            _cell(statistics.median(each[score] for each in values.values()), differences.get(contender.name), score)
            for score in SCORES
        ]
        lines.append(f"| {contender.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def against_table_of(contenders: Sequence[Contender], results: Results) -> str:
    """Markdown: how each masked contender differs from the one that differs from it in one thing."""
    lines = ["| contender | against | " + " | ".join(SCORES) + " |", "|---" * (2 + len(SCORES)) + "|"]
    for contender in contenders:
        other = results.get(contender.against)
        values = results.get(contender.name)
        if contender.name in (REFERENCE, MASKED) or not other or not values or not common_seeds([values, other]):
            continue
        differences = difference_of(results, contender.name, contender.against)
        cells = [_difference(differences[score]) for score in SCORES]
        lines.append(f"| {contender.name} | {contender.against} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def csv_of(contenders: Sequence[Contender], results: Results) -> str:
    """One line for each contender and seed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("group", "contender", "seed", *SCORES))
    for contender in contenders:
        for seed, values in sorted(results.get(contender.name, {}).items()):
            row = [f"{values[score]:.4f}" for score in SCORES]
            writer.writerow((contender.group, contender.name, seed, *row))
    return text.getvalue()


def results_of(path: Path) -> Results:
    """What `csv_of` wrote."""
    results: Results = {}
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            scores = {score: float(row[score]) for score in SCORES}
            results.setdefault(row["contender"], {})[int(row["seed"])] = scores
    return results


def write_page(plan: Plan, results: Results, output: Path, facts: str) -> None:
    """`<output>.csv`, `<output>.png`, and the table in `<output>.md`, whose prose stays as it is.

    SettingError when the page has lost the marks of its table.
    """
    write_text(output.with_suffix(".csv"), csv_of(plan.contenders, results))
    shown = {name: path for name, path in _shown_paths(plan).items() if path.exists()}
    pictures = {
        "base model": open_laboratory(plan).base_pictures(PICTURED_SEED),
        **{name: load_pictures(path) for name, path in shown.items()},
    }
    training = np.stack([render_scene(scene) for scene in draw_training_scenes(PICTURED_SEED)])
    title = f"What a masked loss buys: {len(results)} contenders, {len(results[REFERENCE])} paired seeds"
    figure = draw_figure(training, pictures, plan.contenders, differences_of(results), title)
    save_image(output.with_suffix(".png"), figure)
    page = output.with_suffix(".md")
    text = page.read_text("utf-8") if page.exists() else f"{_BEGIN}\n{_END}\n"
    tables = (table_of(plan.contenders, results), _AGAINST, against_table_of(plan.contenders, results))
    write_text(page, with_table(text, "\n".join((f"{facts}\n", *tables))))


def with_table(page: str, table: str, begin: str = _BEGIN, end: str = _END) -> str:
    """The page with another table between the marks. SettingError without them."""
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SettingError(f"The page has no place for the table: expected the lines {begin!r} and {end!r}.")
    return f"{before}{begin}\n\n{table}\n{end}{after}"


def _shown_paths(plan: Plan) -> Mapping[str, Path]:
    by_name = {contender.name: contender for contender in plan.contenders}
    return {name: plan.pictures_path(by_name[name]) for name in SHOWN if name in by_name}


def _cell(median: float, differences: Mapping[str, Difference] | None, score: str) -> str:
    if differences is None:
        return f"{median:.3f}"
    return f"{median:.3f} ({_difference(differences[score])})"


def _difference(difference: Difference) -> str:
    text = f"{difference.median:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
    return f"**{text}**" if difference.certain else text
