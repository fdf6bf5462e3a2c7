"""The figures of arXiv:2504.18208, regenerated, and those that go beyond it.

A figure is a function of a `Scale`: it says which runs it needs and draws their results.
"""

GROUP_NAMES = ("relu", "torus", "beyond")  # of figures, see `regenerate.GROUPS`
