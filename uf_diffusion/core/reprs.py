"""How values look in a notebook: one line, or a table; never a dump of arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

__all__ = ["html_table", "one_line"]


def one_line(kind: str, **numbers: float | int | str) -> str:
    """``Kind(t=0.5, step=12)``: numbers with six digits at most."""
    shown = (f"{k}={v:.6g}" if isinstance(v, float) else f"{k}={v}" for k, v in numbers.items())
    return f"{kind}({', '.join(shown)})"


def html_table(title: str, sections: Mapping[str, Iterable[tuple[str, str, bool]]]) -> str:
    """A table of keys and values by section, escaped.

    Args:
        title: its caption.
        sections: by their name, rows of a key, its value, and whether that is set in bold.
    """
    lines = [f"<table><caption>{escape(title)}</caption>"]
    for name, rows in sections.items():
        lines.append(f'<tr><th colspan="2" style="text-align: left">[{escape(name)}]</th></tr>')
        for key, value, bold in rows:
            shown = f"<b>{escape(value)}</b>" if bold else escape(value)
            lines.append(f"<tr><td>{escape(key)}</td><td><code>{shown}</code></td></tr>")
    return "\n".join([*lines, "</table>"])
