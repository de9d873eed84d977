"""Compare every probe with every gallery face once, in blocks, and keep what the measures need."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.vectors import Features, l2_normalize
from training.lazy_rows import FeatureRows

Identities = NDArray[np.int32]
Similarities = NDArray[np.float32]
Rows = NDArray[np.int64]

PROBE_BLOCK = 256
GALLERY_BLOCK = 8192
PAIR_BLOCK = 65_536
TAIL_MIN = 4096
TIE = 1e-6  # float32 cannot tell two cosine similarities apart that lie closer


@dataclass(frozen=True, slots=True)
class Comparison:
    """Cosine similarities of P probes and a gallery. Impostor pairs are those of two different subjects.

    Memory: a block of 256 x 8,192 similarities, the genuine pairs, and the tail of the highest impostor pairs: one in
    500 of them, 8 bytes each, twice while it is gathered.
    """

    probe_identities: Identities  # [P]; -1: nobody known
    genuine: Similarities  # [pairs of one subject], any order
    genuine_probes: Rows  # [pairs of one subject]: the probe of each
    best_genuine: Similarities  # [P]; -inf where the gallery does not hold the subject
    best_impostor: Similarities  # [P]; -inf where the gallery holds nobody else
    ranks: Rows  # [P]: 1 + impostor faces that tie with or beat the best genuine face; 0 where not mated
    tail: Similarities  # [K], falling: the highest impostor similarities
    tail_probes: NDArray[np.int32]  # [K]
    impostors: Rows  # [P]: impostor pairs of each probe

    @property
    def mated(self) -> NDArray[np.bool_]:
        """Probes [P] whose subject the gallery holds."""
        return self.ranks > 0


def compare(
    probes: Features,
    probe_identities: Identities,
    gallery: FeatureRows,
    gallery_identities: Identities,
    *,
    tail_share: float = 2e-3,
) -> Comparison:
    """Compare probes [P, d] with a gallery [G, d]; identity -1 belongs to nobody known and mates with nothing.

    `tail_share` is the share of all impostor pairs, the highest ones, that is kept.

    Raises:
        ValueError: the features are empty, of different dimensions or not as many as their identities.
    """
    _check(probes, probe_identities, gallery, gallery_identities)
    pair_probes, pair_faces = _genuine_pairs(probe_identities, gallery_identities)
    genuine = _pair_similarities(probes, gallery, pair_probes, pair_faces)
    best_genuine = np.full(len(probes), -np.inf, np.float32)
    np.maximum.at(best_genuine, pair_probes, genuine)
    best_impostor = np.full(len(probes), -np.inf, np.float32)
    beaten_by = np.zeros(len(probes), np.int64)
    impostors = len(gallery) - np.bincount(pair_probes, minlength=len(probes))  # [P]
    tail = _Tail(max(TAIL_MIN, int(tail_share * int(impostors.sum()))))
    for first_probe, block in impostor_blocks(probes, probe_identities, gallery, gallery_identities):
        rows = slice(first_probe, first_probe + len(block))
        best_impostor[rows] = np.maximum(best_impostor[rows], block.max(axis=1))
        beaten_by[rows] += (block >= best_genuine[rows, None] - TIE).sum(axis=1)
        tail.add(block, first_probe)
    highest, highest_probes = tail.sorted()
    ranks = np.where(np.isfinite(best_genuine), beaten_by + 1, 0)
    return Comparison(
        probe_identities, genuine, pair_probes, best_genuine, best_impostor, ranks, highest, highest_probes, impostors
    )


def impostor_blocks(
    probes: Features, probe_identities: Identities, gallery: FeatureRows, gallery_identities: Identities
) -> Iterator[tuple[int, Similarities]]:
    """Yield (first probe, similarities [p, g]) until every pair was seen; genuine pairs read -inf."""
    unit_probes = l2_normalize(probes)
    known = np.where(probe_identities >= 0, probe_identities, np.int32(-2))  # nobody mates with a distractor's -1
    for first_face in range(0, len(gallery), GALLERY_BLOCK):
        faces = slice(first_face, first_face + GALLERY_BLOCK)
        unit_faces = l2_normalize(np.asarray(gallery[faces])).T  # [d, g]
        for first_probe in range(0, len(probes), PROBE_BLOCK):
            rows = slice(first_probe, first_probe + PROBE_BLOCK)
            block = unit_probes[rows] @ unit_faces  # [p, g]
            block[known[rows, None] == gallery_identities[None, faces]] = -np.inf
            yield first_probe, block


class _Tail:
    """The highest `size` impostor similarities seen so far, and whose they are."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._floor = np.float32(-np.inf)
        self._similarities = np.empty(0, np.float32)
        self._probes = np.empty(0, np.int32)
        self._added: list[tuple[Similarities, NDArray[np.int32]]] = []
        self._added_count = 0

    def add(self, block: Similarities, first_probe: int) -> None:
        rows, columns = np.nonzero(block > self._floor)
        if len(rows) == 0:
            return
        self._added.append((block[rows, columns], (rows + first_probe).astype(np.int32)))
        self._added_count += len(rows)
        if self._added_count >= self._size:  # not at every block: a long tail would be sorted through each time
            self._keep_highest()

    def _keep_highest(self) -> None:
        self._similarities = np.concatenate([self._similarities, *(similarities for similarities, _ in self._added)])
        self._probes = np.concatenate([self._probes, *(probes for _, probes in self._added)])
        self._added, self._added_count = [], 0
        if len(self._similarities) > self._size:
            keep = np.argpartition(self._similarities, -self._size)[-self._size :]
            self._similarities, self._probes = self._similarities[keep], self._probes[keep]
            self._floor = self._similarities.min()

    def sorted(self) -> tuple[Similarities, NDArray[np.int32]]:
        self._keep_highest()
        order = np.argsort(-self._similarities, kind="stable")
        return self._similarities[order], self._probes[order]


def _genuine_pairs(probe_identities: Identities, gallery_identities: Identities) -> tuple[Rows, Rows]:
    order = np.argsort(gallery_identities, kind="stable")
    ordered = gallery_identities[order]
    first = np.searchsorted(ordered, probe_identities, side="left")
    last = np.searchsorted(ordered, probe_identities, side="right")
    faces = np.where(probe_identities >= 0, last - first, 0)  # [P]: gallery faces of the probe's subject
    pair_probes = np.repeat(np.arange(len(probe_identities)), faces)
    within = np.arange(len(pair_probes)) - np.repeat(np.cumsum(faces) - faces, faces)
    return pair_probes, order[first[pair_probes] + within]


def _pair_similarities(probes: Features, gallery: FeatureRows, pair_probes: Rows, pair_faces: Rows) -> Similarities:
    similarities = np.empty(len(pair_probes), np.float32)
    for start in range(0, len(pair_probes), PAIR_BLOCK):
        pairs = slice(start, start + PAIR_BLOCK)
        faces = l2_normalize(np.asarray(gallery[pair_faces[pairs]]))
        similarities[pairs] = (l2_normalize(np.asarray(probes[pair_probes[pairs]])) * faces).sum(axis=1)
    return similarities


def _check(
    probes: Features, probe_identities: Identities, gallery: FeatureRows, gallery_identities: Identities
) -> None:
    if len(probes) == 0 or len(gallery) == 0:
        raise ValueError("no probes or an empty gallery")
    if len(probes) != len(probe_identities) or len(gallery) != len(gallery_identities):
        raise ValueError("features and identities differ in number")
    if probes.shape[1] != gallery.shape[1]:
        raise ValueError(f"probes have dimension {probes.shape[1]}, the gallery {gallery.shape[1]}")


def pool(comparisons: Sequence[Comparison]) -> Comparison:
    """Comparisons of probes that share no identity, each with a gallery of its own, as if they were one.

    Impostor pairs are those within each. Of the tails no more is kept than all of them reach down to: below, pairs of
    some would be missing and every rate wrong.
    """
    first = np.cumsum([0, *(len(c.probe_identities) for c in comparisons[:-1])])  # the first probe of each
    cut = [c.tail[-1] for c in comparisons if len(c.tail) < c.impostors.sum()]  # where a tail that is not whole ends
    tail = np.concatenate([c.tail for c in comparisons])
    tail_probes = np.concatenate([c.tail_probes + f for c, f in zip(comparisons, first, strict=True)])
    order = np.argsort(-tail, kind="stable")
    order = order[: int((tail >= max(cut, default=-np.inf)).sum())]
    return Comparison(
        probe_identities=np.concatenate([c.probe_identities for c in comparisons]),
        genuine=np.concatenate([c.genuine for c in comparisons]),
        genuine_probes=np.concatenate([c.genuine_probes + f for c, f in zip(comparisons, first, strict=True)]),
        best_genuine=np.concatenate([c.best_genuine for c in comparisons]),
        best_impostor=np.concatenate([c.best_impostor for c in comparisons]),
        ranks=np.concatenate([c.ranks for c in comparisons]),
        tail=tail[order],
        tail_probes=tail_probes[order].astype(np.int32),
        impostors=np.concatenate([c.impostors for c in comparisons]),
    )
