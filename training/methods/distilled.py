"""`distilled`: a small student of another translator, which may cost hundreds of times as much."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from training.errors import ConfigError
from training.methods.base import Batches, Fit, seeded
from training.methods.interpolation import Interpolations
from training.methods.linear import measure
from training.methods.residual import learn_residual
from training.models.residual import Student
from training.models.translator import Translator


def fit_distilled(fit: Fit) -> Translator:
    """Learn the teacher's translations of real and interpolated features (Hinton et al., 2015).

    Raises:
        ConfigError: the configuration names no teacher.
    """
    teacher, config = fit.teacher, fit.config
    if teacher is None:
        raise ConfigError("distilled needs a teacher: name one in its configuration")
    batches = Batches(fit.rows, config.batch_rows - config.interpolated_rows, config.seed)
    interpolations = Interpolations(fit, teacher, config.interpolated_rows)

    def examples(iteration: int) -> tuple[Tensor, Tensor]:
        real = normalize(torch.from_numpy(fit.sources(batches.at(iteration))))  # [n, ds]
        drawn, labels = interpolations.at(iteration)  # [k, ds], [k, dt]
        with torch.no_grad():
            return torch.cat([real, drawn]), torch.cat([teacher(real), labels])

    with seeded(config.seed):
        network = Student(*fit.dims)
    return learn_residual(fit, network, measure(fit, fit.rows), examples)
