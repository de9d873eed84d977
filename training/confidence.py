"""From training faces to a model of how much a probe looks like them, and like those that translate well."""

import numpy as np
from numpy.typing import NDArray

from contract.confidence import ConfidenceModel
from contract.vectors import encode_float32, l2_normalize
from training.bootstrap import identity_groups
from training.comparison import Identities
from training.lazy_rows import FeatureRows

ROWS_MAX = 50_000  # of either side, drawn by seed: more move no digit that is shown
COMPONENTS_MAX = 128  # half of them the widest directions, half the narrowest
DISTANCES_MAX = 1024
VARIANCE_MIN = 1e-10
VARIANCE_SHARE_MIN = 1e-3  # of the average direction's: what float32 leaves of a narrower one is rounding
DISAGREEMENT_MIN = 1e-3
LEAN_MIN = 0.1  # of a direction's weight in the plain distance: far is never taken for near
RIDGE = 0.02  # of the affine map, relative to the average variance
LEAN_RIDGE = 0.1

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


def fit_confidence(
    training: FeatureRows, targets: FeatureRows, identities: Identities, held_out: FeatureRows, *, seed: int = 0
) -> ConfidenceModel:
    """Probabilistic PCA of raw training features [N, d], leaning to what translates well, calibrated on [M, d].

    `targets` [N, dt] are the same training faces in the target space. An affine map shows which of them are hard to
    translate; the distance weighs and shifts each direction by what it says of that.

    Raises:
        ValueError: fewer than two rows on either side.
    """
    if len(training) < 2 or len(held_out) < 2:
        raise ValueError("confidence needs at least two training and two held-out features")
    rows = _draw(len(training), seed)
    unit, wanted = (l2_normalize(np.asarray(side[rows])).astype(np.float64) for side in (training, targets))
    centre, directions, variances, residual = _principal(unit)
    weights, shift = _lean(unit, wanted, np.asarray(identities[rows]), (centre, directions, variances, residual))
    fitted = ConfidenceModel(
        dim=unit.shape[1],
        mean=_encode(centre + directions.T @ (np.sqrt(variances) * shift)),
        components=_encode(directions),
        variances=_encode(variances / weights),
        residual_variance=residual,
        distances=_encode(np.asarray([0.0, 1.0])),
    )
    distances = np.sort(fitted.distance(np.asarray(held_out[_draw(len(held_out), seed)])))
    if len(distances) > DISTANCES_MAX:
        distances = np.quantile(distances, np.linspace(0, 1, DISTANCES_MAX))
    return ConfidenceModel.model_validate(fitted.model_dump() | {"distances": _encode(distances)})


def _principal(unit: Matrix) -> tuple[Vector, Matrix, Vector, float]:
    """Mean [d], the widest and narrowest directions [k, d], their variances [k], the variance of a direction between.

    The narrow ones are what gives away vectors of no face: faces do not vary there.
    """
    values, vectors = np.linalg.eigh(np.cov(unit.T, bias=True))  # rising
    values = np.maximum(values, max(VARIANCE_SHARE_MIN * float(values.mean()), VARIANCE_MIN))
    half = COMPONENTS_MAX // 2
    kept = np.ones(len(values), np.bool_)
    if len(values) > COMPONENTS_MAX:
        kept[half : len(values) - half] = False
    residual = float(values[~kept].mean()) if not kept.all() else float(values.mean())
    return unit.mean(axis=0), vectors.T[kept], values[kept], residual


def _lean(
    unit: Matrix, targets: Matrix, identities: Identities, principal: tuple[Vector, Matrix, Vector, float]
) -> tuple[Vector, Vector]:
    """Weight [k] and shift [k], in standard deviations, that the plain distance is given in each direction.

    Distance and expected disagreement, each in its own standard deviations, are added; both are sums of one quadratic
    for each direction, and so is the sum. Weight 1 and shift 0 where there are too few faces to learn from.
    """
    centre, directions, variances, residual = principal
    plain = np.ones(len(variances)), np.zeros(len(variances))
    groups, count = identity_groups(identities)
    if count < 2 or len(unit) < 2 * len(variances):
        return plain
    latent = (unit - centre) @ directions.T  # [N, k]
    outside = ((unit - centre) ** 2).sum(axis=1) - (latent**2).sum(axis=1)  # [N]
    scores = latent / np.sqrt(variances)  # [N, k]
    terms = np.hstack([scores, scores**2])  # [N, 2k]
    spread = np.maximum(terms.std(axis=0), VARIANCE_MIN)
    disagreement = np.log(np.maximum(1 - _agreement(unit, targets, groups % 2 == 0), DISAGREEMENT_MIN))  # [N]
    slopes = _ridge((terms - terms.mean(axis=0)) / spread, (disagreement - disagreement.mean())[:, None], LEAN_RIDGE)
    slopes = slopes[:, 0] / spread  # [2k]
    expected = terms @ slopes  # [N]
    if expected.std() < VARIANCE_MIN:
        return plain
    scale = ((scores**2).sum(axis=1) + outside / residual).std() / expected.std()
    linear, quadratic = scale * slopes[: len(variances)], scale * slopes[len(variances) :]
    weights = np.maximum(1 + quadratic, LEAN_MIN)
    return weights, -linear / (2 * weights)


def _agreement(unit: Matrix, targets: Matrix, first: NDArray[np.bool_]) -> Vector:
    """Cosine [N] of each face's target and its translation by an affine map fitted to the other half's identities."""
    agreement = np.empty(len(unit))
    for fitted in (first, ~first):
        centre, target_centre = unit[fitted].mean(axis=0), targets[fitted].mean(axis=0)
        slopes = _ridge(unit[fitted] - centre, targets[fitted] - target_centre, RIDGE)  # [d, dt]
        translated = target_centre + (unit[~fitted] - centre) @ slopes
        lengths = np.linalg.norm(translated, axis=1) * np.linalg.norm(targets[~fitted], axis=1)
        agreement[~fitted] = (translated * targets[~fitted]).sum(axis=1) / np.maximum(lengths, VARIANCE_MIN)
    return agreement


def _ridge(inputs: Matrix, outputs: Matrix, penalty: float) -> Matrix:
    """Slopes [d, dt] of centred inputs [N, d] and outputs [N, dt]; the penalty is relative to the average variance."""
    products = inputs.T @ inputs
    products[np.diag_indices_from(products)] += max(penalty * float(np.trace(products)) / len(products), VARIANCE_MIN)
    return np.asarray(np.linalg.solve(products, inputs.T @ outputs))


def _draw(count: int, seed: int) -> NDArray[np.int64]:
    if count <= ROWS_MAX:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, ROWS_MAX, replace=False))


def _encode(values: NDArray[np.floating]) -> str:
    return encode_float32(np.ascontiguousarray(values, dtype=np.float32))
