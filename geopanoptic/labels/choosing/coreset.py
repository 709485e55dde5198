"""Choosing few of many so that they weigh much and are unlike each other.

Greedy k-centre, the core-set of Sener and Savarese (2018, "Active Learning for Convolutional Neural Networks: A
Core-Set Approach"), with every distance weighted: each choice is the candidate for which its weight times the
distance to the nearest one chosen or labelled is greatest. Like BADGE (Ash et al. 2020), where large gradients
that point elsewhere are picked, but without gradients: the features say what is alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """``index_k``: rows of the candidates, best first; ``distance_k``: to the nearest one labelled or chosen before,
    infinite where there was none."""

    index_k: NDArray[np.int64]
    distance_k: NDArray[np.float64]


def choose_diverse(
    features_nf: NDArray[np.float64],
    weight_n: NDArray[np.float64],
    count: int,
    *,
    known_mf: NDArray[np.float64] | None = None,
) -> Chosen:
    """At most ``count`` rows of ``features_nf``, none of weight 0. ``known_mf`` are features of what is labelled.

    Takes O((count + log m) n f) time and O((n + m) f) memory; ties go to the lower row.
    """
    distance_n = np.full(len(features_nf), np.inf)
    if known_mf is not None and len(known_mf):
        # A tree cannot divide points that are one.
        distance_n = KDTree(np.unique(known_mf, axis=0)).query(features_nf)[0]
    free_n = weight_n > 0
    index, distance = [], []
    for _ in range(min(count, int(free_n.sum()))):
        # Without anything to be unlike, the heaviest.
        gain_n = weight_n * np.where(np.isinf(distance_n), 1.0, distance_n)
        best = int(np.argmax(np.where(free_n, gain_n, -1.0)))
        index.append(best)
        distance.append(float(distance_n[best]))
        free_n[best] = False
        np.minimum(distance_n, _distance(features_nf, features_nf[best]), out=distance_n)
    return Chosen(index_k=np.array(index, np.int64), distance_k=np.array(distance, np.float64))


def _distance(features_nf: NDArray[np.float64], one_f: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(((features_nf - one_f) ** 2).sum(axis=1))
