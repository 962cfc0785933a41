"""The nearest pixel of which something is known: how colours, labels and maps are carried on past their edge."""

from __future__ import annotations

import numpy as np

from vtryon.types import Array


def nearest(known: Array) -> tuple[Array, Array]:
    """For every pixel the nearest one of ``known`` (H, W) bool, as an index (H, W) int64 into the flattened picture,
    and its distance (H, W) float32 px; index 0 and infinity where nothing is known at all."""
    import cv2

    if not known.any():
        return np.zeros(known.shape, np.int64), np.full(known.shape, np.inf, np.float32)
    distance, label = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    index = np.zeros(int(label.max()) + 1, np.int64)
    index[label[known]] = np.flatnonzero(known)
    return index[label], np.asarray(distance, np.float32)
