"""Write self-contained HTML pages."""

import base64
import html
import io
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

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
