"""Features between two training faces, and a teacher's translation of them: pairs without end for a slow learner."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from training.methods.base import Fit, Rows
from training.models.translator import Translator, translate

STREAM = 1  # of random numbers, beside the order of batches


class Interpolations:
    """Unit-length sources on the arc between two training faces, labelled by the teacher.

    Few faces are learned by heart; a finished translator says what lies between them (Hinton et al., 2015, on mixup's
    inputs, Zhang et al., 2018). Which ones an iteration gets follows from the seed and its number.
    """

    def __init__(self, fit: Fit, teacher: Translator, rows: int) -> None:
        self.fit = fit
        self.teacher = teacher
        self.rows = rows

    def at(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Sources [k, ds] and targets [k, dt], both of unit length."""
        generator = np.random.default_rng((self.fit.config.seed, iteration, STREAM))
        first, second = (self._sources(generator.choice(self.fit.rows, self.rows)) for _ in range(2))  # [k, ds]
        share = torch.from_numpy(generator.random((self.rows, 1), np.float32))  # [k, 1]
        sources = normalize(torch.lerp(first, second, share))
        return sources, torch.from_numpy(translate(self.teacher, sources.numpy()))

    def _sources(self, rows: Rows) -> Tensor:
        return normalize(torch.from_numpy(self.fit.sources(rows)))
