"""Array types for annotations. The shapes of arrays are given in the docstrings."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["Array", "Complex", "Index", "Mask"]

Array = np.ndarray[Any, np.dtype[np.float64]]
Complex = np.ndarray[Any, np.dtype[np.complex128]]
Index = np.ndarray[Any, np.dtype[np.int64]]  # indices of nodes or neurons, or wave numbers
Mask = np.ndarray[Any, np.dtype[np.bool_]]
