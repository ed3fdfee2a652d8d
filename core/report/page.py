"""The report's HTML: one page for light and dark, readable from a folder and without scripts; with them the photographs
can be looked through. Everything is escaped here.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..train.metrics import METRICS, PERSON_TONES

LOOK_ID = "maskloss-look-through"
GENERATOR = "ComfyUI-MaskLoss report"


@dataclass(frozen=True)
class Figure:
    """A picture of the page: `file` relative to the page, `size` (width, height) in pixels."""

    title: str
    file: str
    size: tuple[int, int]
    text: str = ""


@dataclass(frozen=True)
class Photograph:
    """One photograph's row. `badge` is one word or two; `good` says whether it is in the training set as meant."""

    name: str
    badge: str
    good: bool
    reason: str
    figures: tuple[Figure, ...]
    facts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Legend:
    """A colour (CSS) and what it stands for."""

    colour: str
    text: str


@dataclass(frozen=True)
class Names:
    """A count and the names behind it, which open on a click."""

    what: str
    count: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Checkpoints:
    """What was scored while training: a chart, which checkpoint to keep, and a row for each."""

    chart: str
    legend: tuple[Legend, ...]
    text: str
    rows: tuple[Photograph, ...]


@dataclass(frozen=True)
class Page:
    """Everything the page shows. Empty parts are left away; charts are SVG and go in as they are. `look`: the style
    sheet and the scripts of the viewer, beside the page."""

    tiles: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    loss_chart: str
    loss_legend: tuple[Legend, ...]
    loss_text: str
    coverage_chart: str
    coverage_text: str
    counts: tuple[tuple[str, str], ...]
    result: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]
    weight_legend: tuple[Legend, ...]
    kept: tuple[Photograph, ...]
    left_out: tuple[Photograph, ...]
    checkpoints: Checkpoints | None = None
    mask_reads: tuple[tuple[str, str], ...] = ()
    found: tuple[Names, ...] = ()
    look: tuple[str, tuple[str, ...]] | None = None
    samples: Photograph | None = None


def render(page: Page) -> str:
    """The whole page."""
    tiles = "".join(f"<li><b>{_e(value)}</b><span>{_e(name)}</span></li>" for name, value in page.tiles)
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f'<meta name="generator" content="{GENERATOR}"><meta name="color-scheme" content="light dark">',
        f"<title>MaskLoss report</title><style>{_CSS}{_curve_colours()}</style></head><body><main>",
        f'<h1>What was trained, and on whom</h1><ul class="tiles">{tiles}</ul>',
        "" if page.look is None else f'<p><button id="{LOOK_ID}" hidden>Look through the photographs</button></p>',
        "".join(f'<p class="warning">{_e(text)}</p>' for text in page.warnings),
        _columns(
            _section("Loss inside and outside the mask", _loss(page)),
            _section("Coverage", _coverage(page)),
        ),
        _checkpoints(page.checkpoints),
        _photographs("Photographs that were kept", page.kept, page.weight_legend),
        _photographs("Photographs that were left out", page.left_out, ()),
        "" if page.samples is None else _section("Sample pictures", _row(page.samples)),
        _columns(
            _section("Counts", _table(page.counts)),
            _section("The LoRA", _table(page.result)),
            _section("Settings", _table(page.settings)),
            _section("How mask files were read", _table(page.mask_reads)),
        ),
        _section("What was found in the folders", "".join(map(_names, page.found))),
        f"</main>{_look(page.look)}</body></html>\n",
    ]
    return "".join(parts)


def _look(look: tuple[str, tuple[str, ...]] | None) -> str:
    """Scripts that may be missing: the page says all without them, and its button is shown by them."""
    if look is None:
        return ""
    scripts = "".join(f'<script src="{_e(script)}"></script>' for script in look[1])
    return f'<link rel="stylesheet" href="{_e(look[0])}">{scripts}'


def _loss(page: Page) -> str:
    if not page.loss_chart:
        return ""
    return f"<p>{_e(page.loss_text)}</p>{_legend(page.loss_legend)}{page.loss_chart}"


def _coverage(page: Page) -> str:
    if not page.coverage_chart:
        return ""
    return f"<p>{_e(page.coverage_text)}</p>{page.coverage_chart}"


def _checkpoints(checkpoints: Checkpoints | None) -> str:
    if checkpoints is None:
        return ""
    rows = "".join(_row(each) for each in checkpoints.rows)
    body = f"<p>{_e(checkpoints.text)}</p>{_legend(checkpoints.legend)}{checkpoints.chart}{rows}"
    return _section("Checkpoints and their scores", body)


def _columns(*sections: str) -> str:
    return f'<div class="columns">{"".join(sections)}</div>' if any(sections) else ""


def last_pictures(html_text: str, most: int) -> list[str]:
    """Of a rendered page, the last picture of each of the first `most` photographs that have one: their weights, where
    these were used. Paths beside the page."""
    rows = [_SOURCES.findall(row) for row in html_text.split("<article>")[1:]]
    return [html.unescape(sources[-1]) for sources in rows if sources][:most]


def _photographs(title: str, photographs: Sequence[Photograph], legend: Sequence[Legend]) -> str:
    if not photographs:
        return ""
    rows = "".join(_row(photograph) for photograph in photographs)
    return _section(f"{title} ({len(photographs)})", _legend(legend) + rows)


def _row(photograph: Photograph) -> str:
    figures = "".join(
        f'<figure><a href="{_e(figure.file)}"><img loading="lazy" src="{_e(figure.file)}" width="{figure.size[0]}" '
        f'height="{figure.size[1]}" alt="{_e(f"{figure.title} of {photograph.name}")}"></a>'
        f"<figcaption><b>{_e(figure.title)}</b> {_e(figure.text)}</figcaption></figure>"
        for figure in photograph.figures
    )
    facts = "".join(f"<span><i>{_e(name)}</i> {_e(value)}</span>" for name, value in photograph.facts)
    notes = "".join(f'<p class="warning">{_e(note)}</p>' for note in photograph.notes)
    tone = "good" if photograph.good else "bad"
    return (
        f'<article><h3>{_e(photograph.name)} <span class="badge {tone}">{_e(photograph.badge)}</span></h3>'
        f"<p>{_e(photograph.reason)}</p>{notes}"
        f'<div class="figures">{figures}</div><p class="facts">{facts}</p></article>'
    )


def _legend(entries: Sequence[Legend]) -> str:
    if not entries:
        return ""
    items = "".join(f'<li><i style="background:{_e(entry.colour)}"></i>{_e(entry.text)}</li>' for entry in entries)
    return f'<ul class="legend">{items}</ul>'


def _table(rows: Sequence[tuple[str, str]]) -> str:
    if not rows:
        return ""
    cells = "".join(f"<tr><th>{_e(name)}</th><td>{_e(value)}</td></tr>" for name, value in rows)
    return f"<table>{cells}</table>"


def _names(found: Names) -> str:
    names = "".join(f"<li>{_e(name)}</li>" for name in found.names)
    return f"<details><summary>{found.count} {_e(found.what)}</summary><ol>{names}</ol></details>"


def _section(title: str, body: str) -> str:
    return f"<section><h2>{_e(title)}</h2>{body}</section>" if body else ""


def _e(text: str) -> str:
    return html.escape(text, quote=True)


def _curve_colours() -> str:
    """A variable and a class for the curve of every figure."""
    light, dark = (
        ";".join(f"--{metric.tone}:{metric.colours[ground]}" for metric in (*METRICS, *PERSON_TONES))
        for ground in (0, 1)
    )
    strokes = "".join(f".{metric.tone}{{stroke:var(--{metric.tone})}}" for metric in (*METRICS, *PERSON_TONES))
    return f":root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}{strokes}"


_SOURCES = re.compile(r'<img loading="lazy" src="([^"]+)"')
_CSS = """
:root{--ground:#fafafa;--card:#fff;--ink:#18181b;--faint:#5b5b66;--line:#dcdce2;--good:#15803d;--bad:#b91c1c;
--warn:#92400e;--warnground:#fef3c7}
@media(prefers-color-scheme:dark){:root{--ground:#131316;--card:#1c1c21;--ink:#ececf1;--faint:#a1a1ad;--line:#36363f;
--good:#22c55e;--bad:#f87171;--warn:#fcd34d;--warnground:#3b2f0b}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1560px;margin:0 auto;padding:24px}
h1{font-size:26px;margin:0 0 16px}h2{font-size:19px;margin:0 0 10px}h3{font-size:16px;margin:0;overflow-wrap:anywhere}
p{margin:6px 0}
section{margin:24px 0}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(420px,100%),1fr));gap:0 32px}
ul{list-style:none;margin:0;padding:0;display:flex;flex-wrap:wrap;gap:10px}
.tiles li{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 16px;min-width:130px}
.tiles b{display:block;font-size:21px}.tiles span,.facts i,figcaption{color:var(--faint)}
.warning{background:var(--warnground);color:var(--warn);border-radius:6px;padding:8px 12px}
article{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:14px;margin:14px 0}
.badge{font-size:12px;font-weight:600;color:#fff;border-radius:10px;padding:2px 9px;margin-left:6px}
.good{background:#15803d}.bad{background:#b91c1c}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(270px,1fr));gap:12px;margin:10px 0}
figure{margin:0}img{width:100%;height:auto;display:block;border-radius:4px;background:#000}
figcaption{font-size:13px;margin-top:4px}figcaption b{color:var(--ink);font-weight:600}
.facts{display:flex;flex-wrap:wrap;gap:4px 20px;font-size:13px}.facts i{font-style:normal}
.facts span{overflow-wrap:anywhere}
.legend{gap:6px 18px;margin:8px 0;font-size:13px}
.legend i{display:inline-block;width:14px;height:14px;margin-right:6px;vertical-align:-2px;border:1px solid var(--line)}
table{border-collapse:collapse;font-size:14px}th,td{text-align:left;padding:4px 16px 4px 0;vertical-align:top;
border-bottom:1px solid var(--line);font-weight:400;overflow-wrap:anywhere}th{color:var(--faint);white-space:nowrap}
details{margin:4px 0}summary{cursor:pointer}details ol{columns:auto 260px;margin:6px 0;font-size:13px}
details li{overflow-wrap:anywhere}
svg{width:100%;max-width:1000px;background:var(--card);border:1px solid var(--line);border-radius:8px}
svg text{fill:var(--faint);font-size:12px}svg .grid{stroke:var(--line);stroke-width:1}
svg polyline{fill:none}.raw{stroke-width:1;opacity:.3}.smooth{stroke-width:2.5}
#maskloss-look-through{font:inherit;color:inherit;background:var(--card);border:1px solid var(--line);
border-radius:8px;padding:8px 16px;cursor:pointer}
.maskloss-viewer{--comfy-menu-bg:var(--ground);--comfy-input-bg:var(--card);--fg-color:var(--ink)}
.dot{fill:var(--card);stroke-width:2.5}.bar{fill:var(--inside)}
"""
