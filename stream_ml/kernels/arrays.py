"""Names for the arrays that kernels take: all of them C-contiguous."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]
#: Every index lies below. `i & NEAR` is i, and tells the compiler that i is not counted from the end.
NEAR = (1 << 40) - 1
