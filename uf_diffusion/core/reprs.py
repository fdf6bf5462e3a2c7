"""Short representations of objects for notebooks: a single line, or a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

__all__ = ["html_table", "one_line"]


def one_line(kind: str, **numbers: float | int | str) -> str:
    """A text such as ``Kind(t=0.5, step=12)``, with at most six digits for each float."""
    shown = (f"{k}={v:.6g}" if isinstance(v, float) else f"{k}={v}" for k, v in numbers.items())
    return f"{kind}({', '.join(shown)})"


def html_table(title: str, sections: Mapping[str, Iterable[tuple[str, str, bool]]]) -> str:
    """An HTML table of keys and values by section; all texts are escaped.

    Args:
        title: the caption of the table.
        sections: for each name of a section its rows (key, value, whether the value is bold).
    """
    lines = [f"<table><caption>{escape(title)}</caption>"]
    for name, rows in sections.items():
        lines.append(f'<tr><th colspan="2" style="text-align: left">[{escape(name)}]</th></tr>')
        for key, value, bold in rows:
            shown = f"<b>{escape(value)}</b>" if bold else escape(value)
            lines.append(f"<tr><td>{escape(key)}</td><td><code>{shown}</code></td></tr>")
    return "\n".join([*lines, "</table>"])
