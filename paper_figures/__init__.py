"""Regenerates the figures of arXiv:2504.18208, and draws further ones that go beyond it.

Each figure is a function of a `Scale`. It returns a `Drawing`, which names the runs that the figure
needs and draws their results.
"""

GROUP_NAMES = (
    "relu",
    "torus",
    "resnet",
    "beyond",
    "longer",
)  # groups of figures, see `regenerate.GROUPS`
