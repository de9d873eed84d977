"""The paper's losses, one function per equation. All return a scalar: the mean over the batch.

The paper writes the Euclidean norm, not its square, in Eq. 4, 8 and 9; so do we. Probabilities are given as logits.
"""

import torch
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn.functional import cosine_similarity, cross_entropy, softplus

CONTRAST_TEMPERATURE = 0.05


def reconstruction_loss(faces: Tensor, generated: Tensor) -> Tensor:
    """Eq. 4, L_Rec(G) = E ||I - G(X)||_2 over faces [N, 3, H, W]."""
    return _euclidean(faces, generated)


def discriminator_loss(real_logits: Tensor, generated_logits: Tensor) -> Tensor:
    """Eq. 5 negated, -E log D(I) - E log(1 - D(G(X))) from logits [N].

    Algorithm 1 as printed descends L_D of Eq. 5, which D must ascend (Eq. 10's max); the sign is settled here.
    """
    return softplus(-real_logits).mean() + softplus(generated_logits).mean()


def adversarial_loss(generated_logits: Tensor) -> Tensor:
    """Eq. 6 in its non-saturating form, L_Adv(G, D) = -E log D(G(X)) from logits [N].

    As printed, -E log(1 - D(G(X))) falls when D recognises G's faces: it would reward G for being caught.
    """
    return softplus(-generated_logits).mean()


def generator_loss(
    faces: Tensor, generated: Tensor, generated_logits: Tensor, *, reconstruction: float, adversarial: float
) -> Tensor:
    """Eq. 7, L_G = lambda_Rec L_Rec + lambda_Adv L_Adv."""
    return reconstruction * reconstruction_loss(faces, generated) + adversarial * adversarial_loss(generated_logits)


def representation_loss(targets: Tensor, extracted: Tensor) -> Tensor:
    """Eq. 8, L_Rep(E) = E ||Y - E(I)||_2 over features [N, dt]."""
    return _euclidean(targets, extracted)


def regression_loss(targets: Tensor, translated: Tensor) -> Tensor:
    """Eq. 9, L_Reg(G, E) = E ||Y - E(G(X))||_2 over features [N, dt]."""
    return _euclidean(targets, translated)


def direction_loss(targets: Tensor, translated: Tensor) -> Tensor:
    """1 - cosine of features [N, dt]: what a gallery compares by."""
    return (1 - cosine_similarity(targets, translated)).mean()


def contrastive_loss(targets: Tensor, translated: Tensor) -> Tensor:
    """InfoNCE (van den Oord et al., 2018) at temperature 0.05: each translation [N, dt] among all targets [N, dt].

    Both of unit length. Not the paper's: it asks for what identification asks, the right face before all others.
    """
    logits = translated @ targets.T / CONTRAST_TEMPERATURE  # [N, N]
    return cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def _euclidean(a: Tensor, b: Tensor) -> Tensor:
    distances: Tensor = vector_norm((a - b).flatten(1), dim=1)  # [N]
    return distances.mean()
