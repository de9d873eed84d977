"""Searches a gallery in the threads of the store, a scan at a time."""

from functools import partial

from contract.spaces import FeatureSpace
from contract.vectors import Features
from service.galleries.embedded.memory import SEARCHES, MemoryGallery
from service.galleries.embedded.threads import Threads
from service.galleries.values import Found, Ranking, Where


async def search_in_steps(
    threads: Threads,
    gallery: MemoryGallery,
    space: FeatureSpace,
    probes: Features,
    top_k: int,
    ranking: Ranking,
    where: Where,
    exact: bool,
) -> Found:
    """The top_k of each probe [N, d]. One scan at a time, so that giving up ends it, and writes get in."""
    _, probes_max = SEARCHES[ranking]
    parts = []
    for start in range(0, max(1, len(probes)), probes_max):
        some = probes[start : start + probes_max]
        scan = partial(gallery.search, space, some, top_k, ranking, where, exact=exact)
        parts.append(await threads.read(gallery.lock, scan))
    matches = [matches for part in parts for matches in part.matches]
    return Found(matches, parts[-1].searched, all(part.exact for part in parts))
