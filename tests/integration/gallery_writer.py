"""Enrols without end and says which batches were acknowledged, until it is killed: `gallery_writer DIRECTORY`."""

import asyncio
import sys
from pathlib import Path

from service.galleries.values import Face
from tests.integration.gallery_stores import OTHER_SPACE, SPACE, LocalStores, native, translated, unit_features

BATCH_FACES = 50
GALLERY = "staff"


def faces_of_batch(batch: int) -> list[Face]:
    """What batch number so-and-so enrols."""
    return [Face(f"face-{batch}-{i}", f"subject-{batch}") for i in range(BATCH_FACES)]


async def write_without_end(directory: Path) -> None:
    """Enrol batch after batch into two copies; of every other, delete the subject again."""
    async with LocalStores(directory).open() as store:
        await store.create(GALLERY, SPACE)
        await store.add_copy(GALLERY, OTHER_SPACE)
        batch = 0
        while True:
            features = unit_features(BATCH_FACES, seed=batch)
            await store.upsert(GALLERY, faces_of_batch(batch), native(features), [translated(-features, OTHER_SPACE)])
            if batch % 2:
                await store.delete_subject(GALLERY, f"subject-{batch}")
            print(batch, flush=True)  # noqa: T201 - the acknowledgement that the test reads
            batch += 1


if __name__ == "__main__":
    asyncio.run(write_without_end(Path(sys.argv[1])))
