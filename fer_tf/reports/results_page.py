"""Write self-contained HTML pages and a study's page of results."""

import base64
import html
import io
import json
import math
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from fer_tf.training.config import RunConfig

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #24292f; background: #fff; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p.note { color: #57606a; margin-top: .2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .6rem; border-bottom: 1px solid #e1e4e8; text-align: left; white-space: nowrap; }
td.number, th.number { text-align: right; }
thead th { border-bottom: 2px solid #24292f; }
table.ranked tbody tr:first-child { background: #eef5fb; font-weight: 600; }
img { max-width: 100%; height: auto; }
code { background: #f3f4f6; padding: .1rem .3rem; border-radius: .2rem; }
"""


def picture(figure: Figure, description: str) -> str:
    """Return an ``<img>`` with the figure inside as PNG; ``description`` is what screen readers say."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{html.escape(description, quote=True)}" src="data:image/png;base64,{data}">'


def table(frame: pd.DataFrame, ranked: bool = False) -> str:
    """Return a ``<table>``; text is escaped, numbers are right-aligned, missing values are dashes.

    Args:
        frame: a row a line; floats are shown with two decimals.
        ranked: whether the first row is the best and stands out.
    """
    numeric = [pd.api.types.is_numeric_dtype(frame[c]) for c in frame.columns]
    kind = ['class="number"' if n else "" for n in numeric]
    head = "".join(f"<th {k}>{html.escape(str(c))}</th>" for c, k in zip(frame.columns, kind, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td {k}>{_html_cell(v)}</td>" for v, k in zip(row, kind, strict=True)) + "</tr>"
        for row in frame.itertuples(index=False)
    )
    style = ' class="ranked"' if ranked else ""
    return f'<div class="wide"><table{style}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def page(title: str, note: str, sections: Sequence[tuple[str, str]]) -> str:
    """Return a whole page.

    Args:
        title: heading, plain text.
        note: one paragraph below it, plain text.
        sections: (heading as plain text, body as HTML) in their order.
    """
    body = "".join(f"<section><h2>{html.escape(heading)}</h2>{content}</section>" for heading, content in sections)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f'<body><main><h1>{html.escape(title)}</h1><p class="note">{html.escape(note)}</p>{body}</main></body></html>\n'
    )


def _html_cell(value: object) -> str:
    if value is None or value is pd.NA or value != value:  # NaN differs from itself
        return "–"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return html.escape(str(value))


__all__ = ["command_line", "markdown_table", "results_page", "runs_table", "wilson_interval"]

_CONFIG, _ENVIRONMENT, _METRICS = "config.json", "environment.json", "metrics.json"
_COLUMNS = (
    "run", "seeds", "validation", "test", "low", "high", "sd", "macro-F1", "best epoch", "minutes", "published",
)  # fmt: skip
_PERCENT = ("validation", "test", "low", "high", "sd", "macro-F1")


def results_page(
    title: str,
    folders: Sequence[Path],
    command: str,
    published: Mapping[str, str] | None = None,
    tables: Sequence[tuple[str, pd.DataFrame]] = (),
    remark: str = "",
) -> str:
    """Return the page of a study: command, data, settings, seeds, hardware, minutes, and the table of its runs.

    Args:
        title: heading.
        folders: of the finished runs (``config.json``, ``environment.json``, ``metrics.json``).
        command: what made them, as a user types it.
        published: text by run name (without a seed), such as ``"73.28 (arXiv 2105.03588)"``, for a column beside ours.
        tables: headings and further tables of the study.
        remark: a paragraph below the table of the runs, such as which differences are real.

    Returns:
        Markdown. Runs are sorted by validation accuracy, which chose the epochs; test accuracies have the 95 % interval
        of ``wilson_interval``, and their standard deviation where a run has several seeds.

    Example:
        >>> print(results_page("A study", [], "python experiments/zoo.py"), end="")
        # A study
        <BLANKLINE>
        ```sh
        python experiments/zoo.py
        ```
        <BLANKLINE>
        No run ended well.
    """
    heading = f"# {title}\n\n```sh\n{command}\n```\n\n"
    if not folders:
        return f"{heading}No run ended well.\n"
    configs, environments, metrics = (
        [json.loads((folder / name).read_text(encoding="utf-8")) for folder in folders]
        for name in (_CONFIG, _ENVIRONMENT, _METRICS)
    )
    classes = [sum(row) for row in metrics[0]["test"]["confusion"]]
    hardware = "; ".join(dict.fromkeys(map(_hardware, environments)))
    about = (
        f"{len(folders)} runs, {sum(m['seconds'] for m in metrics) / 60:.1f} minutes of training on {hardware}. "
        f"Epochs are chosen on validation; the {sum(classes):,} test faces are scored once, view {configs[0]['view']}. "
        f"Always naming the largest class would score {100 * max(classes) / sum(classes):.1f} % on test. "
        "Percentages; intervals (95 %) are over test faces, sd is over seeds."
    )
    about = "".join(f"{_wrapped(text)}\n\n" for text in (about, f"The same in all runs: {_shared(configs)}."))
    shown = runs_table(folders, published)
    shown.insert(
        4, "95 % interval", [f"{100 * low:.1f}–{100 * high:.1f}" for low, high in shown[["low", "high"]].values]
    )
    shown = shown.assign(**{c: 100 * shown[c] for c in _PERCENT}).drop(columns=["low", "high"])
    parts = [heading, about, markdown_table(shown.dropna(axis=1, how="all")), f"\n{remark}\n" if remark else ""]
    parts += [f"\n## {name}\n\n{markdown_table(frame)}" for name, frame in tables]
    return "".join([*parts, "\nMade by `fer_tf.reports.results_page` from the folders of the runs.\n"])


def runs_table(folders: Sequence[Path], published: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return a row for each run name, best validation accuracy first: means over seeds, from 0 to 1.

    Args:
        folders: of the finished runs.
        published: text by run name, for the column ``published``.

    Returns:
        Columns ``run``, ``seeds``, ``validation``, ``test``, ``low`` and ``high`` (95 % interval of ``test``), ``sd``
        (of ``test`` over seeds, NaN for one seed), ``macro-F1``, ``best epoch``, ``minutes`` (of one run),
        ``published``.

    Example:
        >>> import tempfile
        >>> test = {"accuracy": 0.5, "macro_f1": 0.4, "confusion": [[25, 25], [25, 25]]}
        >>> metrics = {"val_accuracy": 0.6, "best_epoch": 2, "seconds": 90, "test": test}
        >>> with tempfile.TemporaryDirectory() as name:
        ...     folder = Path(name)
        ...     for file, value in ((_CONFIG, {"name": "adam", "seed": 0}), (_METRICS, metrics)):
        ...         _ = (folder / file).write_text(json.dumps(value))
        ...     runs_table([folder])[["run", "test", "low", "high", "minutes"]].round(3)
            run  test    low   high  minutes
        0  adam   0.5  0.404  0.596      1.5
    """
    rows = []
    for folder in folders:
        config, metrics = (json.loads((folder / name).read_text(encoding="utf-8")) for name in (_CONFIG, _METRICS))
        test = metrics["test"]
        rows.append(
            {
                "run": config["name"].removesuffix(f"-seed{config['seed']}"), "seed": config["seed"],
                "validation": metrics["val_accuracy"], "test": test["accuracy"], "macro-F1": test["macro_f1"],
                "best epoch": metrics["best_epoch"], "minutes": metrics["seconds"] / 60,
                "faces": sum(map(sum, test["confusion"])),
            }
        )  # fmt: skip
    groups = pd.DataFrame(rows).groupby("run", sort=False)
    table = groups.mean().assign(seeds=groups.size(), sd=groups["test"].std(ddof=1))
    bounds = [wilson_interval(share, faces) for share, faces in zip(table["test"], table["faces"], strict=True)]
    table["low"], table["high"] = zip(*bounds, strict=True)
    table["published"] = [(published or {}).get(name) for name in table.index]
    table = table.sort_values("validation", ascending=False, kind="stable").reset_index()
    columns = [
        "run",
        "seeds",
        "validation",
        "test",
        "low",
        "high",
        "sd",
        "macro-F1",
        "best epoch",
        "minutes",
        "published",
    ]
    return table[columns]


def wilson_interval(share: float, count: float, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's score interval of a share, 95 % by default.

    Args:
        share: what was observed, from 0 to 1.
        count: of how many.
        z: quantile of the normal distribution.

    Example:
        >>> low, high = wilson_interval(0.5, 100)
        >>> round(low, 4), round(high, 4)
        (0.4038, 0.5962)

    References:
        Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    middle = share + z**2 / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return (middle - half) / (1 + z**2 / count), (middle + half) / (1 + z**2 / count)


def markdown_table(frame: pd.DataFrame) -> str:
    """Return a table in Markdown: two decimals for numbers with a fraction, a dash for what is missing.

    Example:
        >>> print(markdown_table(pd.DataFrame({"run": ["a|b", "c"], "test": [51.237, None]})), end="")
        | run | test |
        | --- | --- |
        | a\\|b | 51.24 |
        | c | – |
    """
    rows = [list(map(str, frame.columns)), ["---"] * len(frame.columns)]
    rows += [[_cell(value) for value in row] for row in frame.itertuples(index=False)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def command_line(arguments: Sequence[str]) -> str:
    """Return the command that a process was started with, without the places of data on this machine.

    Args:
        arguments: as in ``sys.argv``.

    Example:
        >>> command_line(["/home/me/fer/experiments/zoo.py", "--data", "/mnt/faces", "--only", "vgg*"])
        "python experiments/zoo.py --data DIR --only 'vgg*'"
    """
    script, *rest = arguments
    places = [i + 1 for i, word in enumerate(rest) if word == "--data"]
    words = [
        "DIR" if i in places else "--data=DIR" if word.startswith("--data=") else word for i, word in enumerate(rest)
    ]
    return shlex.join(["python", "/".join(Path(script).parts[-2:]), *words])


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _cell(value: object) -> str:
    if value is None or pd.isna(value):
        return "–"
    if isinstance(value, float):
        return f"{value:,.2f}".removesuffix(".00")
    return str(value).replace("|", "\\|")


def _hardware(environment: Mapping[str, object]) -> str:
    where = environment.get("processor") or environment["machine"]
    cores = f"{environment['cores']} cores of " if "cores" in environment else ""
    precision = f", in {environment['precision']}" if "precision" in environment else ""
    return f"{cores}{where} with Keras {environment['keras']} ({environment['backend']}){precision}"


def _shared(configs: Sequence[Mapping[str, object]]) -> str:
    """Return the settings that all runs share and that are not a configuration's defaults; always those of the data."""
    usual = {field.name: field.default for field in fields(RunConfig)}
    always = ("dataset", "epochs", "batch_size")
    left_out = ("name", "data", "start", "landmarks", "seed")
    shared = {
        name: value
        for name, value in configs[0].items()
        if name not in left_out
        and all(config.get(name) == value for config in configs)
        and (name in always or value != (list(usual[name]) if name == "augment" else usual.get(name)))
    }
    seeds = sorted({config["seed"] for config in configs})
    texts = [f"`{name}={value!r}`" for name, value in shared.items()]
    return ", ".join([*texts, f"seeds {', '.join(map(str, seeds))}"])
