"""Rows of features that stay where they are until a block of them is asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from contract.vectors import Features, l2_normalize


class FeatureRows(Protocol):
    """Features [N, d] that are read block by block: an array, or rows of a mapped one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """N and d."""
        ...

    def __len__(self) -> int:
        """N."""
        ...

    def __getitem__(self, part: slice | NDArray[np.int64], /) -> Features:
        """Some rows [n, d]."""
        ...


def as_they_are(features: Features) -> Features:
    """An array of its own of features [n, d], which may be mapped."""
    return np.asarray(features)


@dataclass(frozen=True, slots=True)
class LazyRows:
    """Some rows of features, prepared whenever a block of them is read. Nothing but their numbers is held."""

    features: FeatureRows
    rows: NDArray[np.int64]  # [N]
    prepare: Callable[[Features], Features] = as_they_are
    prepared_dim: int | None = None  # where preparing changes it

    @property
    def shape(self) -> tuple[int, int]:
        """N and d."""
        return len(self.rows), self.prepared_dim or self.features.shape[1]

    def __len__(self) -> int:
        """N."""
        return len(self.rows)

    def __getitem__(self, part: slice | NDArray[np.int64], /) -> Features:
        """Some rows [n, d]."""
        return self.prepare(np.asarray(self.features[self.rows[part]]))


def unit_rows(features: FeatureRows, rows: NDArray[np.int64]) -> LazyRows:
    """Rows at unit length."""
    return LazyRows(features, rows, l2_normalize)
