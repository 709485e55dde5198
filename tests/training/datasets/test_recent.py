"""What was read last stays at hand, within its bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geopanoptic.training.datasets.recent import Recent


def test_what_was_asked_for_longest_ago_goes_first() -> None:
    read = []

    def zeros(size: int) -> NDArray[np.uint8]:
        read.append(size)
        return np.zeros(size, np.uint8)

    recent = Recent(zeros, limit_bytes=100)
    for size in (40, 50, 40, 30, 40, 50):
        assert len(recent(size)) == size
    assert read == [40, 50, 30, 50]
    assert len(recent(101)) == 101
    recent(50)
    assert read[4:] == [101, 50]
    # One that is larger than all that is kept is not read anew for whoever asks for nothing else.
    for _ in range(2):
        assert len(recent(200)) == 200
    assert read[6:] == [200]
