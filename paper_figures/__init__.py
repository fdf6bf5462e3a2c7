"""The figures of arXiv:2504.18208, regenerated, and those that go beyond it.

A figure is a function of a `Scale`: it says which runs it needs and draws their results.
"""

from __future__ import annotations

from paper_figures.regenerate import FIGURES, GROUPS, Report, chosen, regenerate
from paper_figures.scale import Scale

__all__ = ["FIGURES", "GROUPS", "Report", "Scale", "chosen", "regenerate"]
