"""`fc`: the paper's naive MLP, trained on Eq. 9 alone."""

from training.losses import regression_loss
from training.methods.base import Fit, seeded
from training.methods.convergence import converged
from training.methods.features import FeatureLearner
from training.methods.gradient import make_optimizer
from training.models.fully_connected import FullyConnected
from training.models.translator import Translator


def fit_fully_connected(fit: Fit) -> Translator:
    """Train the MLP with the configured optimiser. Raises DivergedError when it learns nothing."""
    with seeded(fit.config.seed):
        network = FullyConnected(*fit.dims)
    optimizer = make_optimizer(list(network.parameters()), fit.config)
    learner = FeatureLearner(fit, network, optimizer, lambda translated, targets: regression_loss(targets, translated))
    fit.learn(learner)
    return converged(learner.translator(), fit)
