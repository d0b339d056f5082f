"""Tabulate measurements in Markdown, and draw the growth of costs."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.measuring import Measured, slope
from fer_tf.reports import figures
from fer_tf.reports.results_page import markdown_table

Growth = Mapping[str, Mapping[str, Mapping[int, float]]]
TITLES = {"images": "images", "image size": "side of an image, pixels", "batch": "faces a batch", "classes": "classes",
          "workers": "cores"}  # fmt: skip


def record(found: Measured) -> dict[str, Any]:
    """Return a row of ``bench.csv``: milliseconds a unit, ratios of their time to ours, peak memory in MB."""
    row, ours, theirs, ratios = found.row, found.ours, found.theirs, found.ratios
    shown, per = [] if found.failed else ours.seconds, 1000 / row.count
    processor = [b / max(a, 1e-9) for a, b in zip(ours.processor, theirs.processor, strict=False)]
    return {
        "name": row.name, "what": row.text, "unit": row.unit, "rounds": len(shown),
        "ours_ms": per * median(shown) if shown else None,
        "theirs_ms": per * median(theirs.seconds) if ratios else None,
        "ratio": median(ratios) if ratios else None, "lowest": min(ratios, default=None),
        "highest": max(ratios, default=None), "processor_ratio": median(processor) if ratios else None,
        "wanted": row.wanted, "limit_ms": row.limit and 1000 * row.limit, "limit_mb": row.limit_mb, "met": found.met,
        "ours_mb": ours.mb, "theirs_mb": theirs.mb if ratios else None,
        "ours_found": ours.found if isinstance(ours.found, int) else None,
        "theirs_found": theirs.found if isinstance(theirs.found, int) else None,
        "peer": found.peer, "failed": found.failed,
    }  # fmt: skip


def markdown(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the records as a table in Markdown."""
    head = ("what", "ours / theirs, ms a unit", "ratio", "rounds' range", "processor's", "wanted",
            "peak MB, ours / theirs", "beside")  # fmt: skip
    rows = []
    for r in records:
        limits = ((r["wanted"], "{:g}"), (r["limit_ms"], "≤ {:g} ms"), (r["limit_mb"], "≤ {:g} MB"))
        wanted = ", ".join(text.format(value) for value, text in limits if value) or "–"
        cells = (
            f"{r['what']} (`{r['name']}`)", f"{_pair(r['ours_ms'], r['theirs_ms'])} a {r['unit']}", _number(r["ratio"]),
            f"{_number(r['lowest'])} to {_number(r['highest'])}" if r["ratio"] else "–", _number(r["processor_ratio"]),
            f"{wanted}{' **missed**' if r['met'] is False else ''}", _pair(r["ours_mb"], r["theirs_mb"]),
            r["failed"] or r["peer"] or "–",
        )  # fmt: skip
        rows.append([cell.replace("|", "/").replace("\n", " ") for cell in cells])
    return markdown_table(pd.DataFrame(rows, columns=head))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _pair(ours: float | None, theirs: float | None) -> str:
    return f"{_number(ours)} / {_number(theirs)}"


def slopes(growth: Growth) -> list[dict[str, Any]]:
    """Return a line a task and axis: from where to where, milliseconds at both ends, and the slope on log axes."""
    return [
        {
            "task": task, "axis": axis, "from": min(seconds), "to": max(seconds),
            "first_ms": 1000 * seconds[min(seconds)], "last_ms": 1000 * seconds[max(seconds)],
            "slope": slope(list(seconds), list(seconds.values())),
        }
        for task, axes in growth.items() for axis, seconds in axes.items() if len(seconds) > 1
    ]  # fmt: skip


def slopes_markdown(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the slopes as a table in Markdown."""
    rows = [
        (r["task"], TITLES[r["axis"]], f"{r['from']} – {r['to']}",
         f"{_number(r['first_ms'])} – {_number(r['last_ms'])}", f"{r['slope']:.2f}")
        for r in found
    ]  # fmt: skip
    return markdown_table(pd.DataFrame(rows, columns=["task", "over", "from – to", "ms", "slope"]))


def figure(growth: Growth) -> Figure:
    """Draw milliseconds of a job over each axis, a line a task; slopes are at the lines' ends."""
    panels, notes = {}, {}
    exponents = {(r["task"], r["axis"]): f"{r['slope']:.2f}" for r in slopes(growth)}
    for axis, title in TITLES.items():
        columns = {task: pd.Series(axes[axis], dtype=float) * 1000 for task, axes in growth.items() if axis in axes}
        if columns:
            panels[title] = pd.DataFrame(columns, columns=list(growth)).sort_index()
            notes[title] = {task: exponents[task, axis] for task in columns if (task, axis) in exponents}
    return figures.log_panels(panels, "milliseconds a job", notes)


def profile(title: str, parts: Mapping[str, float]) -> str:
    """Return milliseconds of parts as a heading and a table in Markdown, the longest first; nothing without parts."""
    rows = [(name, _number(value)) for name, value in sorted(parts.items(), key=lambda part: -part[1])]
    return "" if not parts else f"\n## {title}\n\n{markdown_table(pd.DataFrame(rows, columns=['part', 'ms']))}"
