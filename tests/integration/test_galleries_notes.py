"""What every gallery store promises of notes and counts, asked of each."""

import asyncio

import pytest

from service.errors import GalleryLimitError
from tests.integration.gallery_stores import GALLERIES_MAX, Stores

pytestmark = pytest.mark.anyio


async def test_a_note_is_kept_only_over_what_its_writer_knew(stores: Stores) -> None:
    async with stores.open() as store:
        assert await store.noted("job") is None
        assert await store.note("job", "{}", "before") is False
        assert await store.note("job", "one", None) is True
        assert await store.note("job", "two", None) is False
        outcomes = await asyncio.gather(*(store.note("job", f"two-{i}", "one") for i in range(10)))
        assert outcomes.count(True) == 1
        assert await store.noted("job") == f"two-{outcomes.index(True)}"
        assert await store.note("empty", "", None) is True
        assert await store.note("empty", "full", "") is True
        before = await store.notes()
        assert set(before) == {"job", "empty"}
    async with stores.open() as store:
        assert await store.notes() == before


async def test_a_forgotten_note_takes_its_counts_along(stores: Stores) -> None:
    async with stores.open() as store:
        await store.note("job", "one", None)
        await store.tally("job", {"agreed": 2})
        await store.tally("other", {"agreed": 1})
        assert await store.note("job", None, "two") is False
        assert await store.note("job", None, "one") is True
        assert await store.notes() == {}
        assert await store.tallied("job") == {}
        assert await store.tallied("other") == {"agreed": 1}


async def test_there_is_room_for_notes_on_all_galleries_there_may_be_and_not_for_any_number(stores: Stores) -> None:
    async with stores.open() as store:
        assert await store.note("longest", "x" * 65_536, None) is True
        for text in ("x" * 65_537, "é" * 32_769):
            with pytest.raises(GalleryLimitError):
                await store.note("too-long", text, None)
        for number in range(2 * GALLERIES_MAX + 199):
            assert await store.note(f"note-{number}", "x", None) is True
        with pytest.raises(GalleryLimitError):
            await store.note("one-too-many", "x", None)
        assert await store.note("note-0", "y", "x") is True
        assert await store.note("note-1", None, "x") is True
        assert await store.note("one-too-many", "x", None) is True


async def test_counts_add_up_whoever_counts(stores: Stores) -> None:
    async with stores.open() as store:
        assert await store.tallied("shadow") == {}
        await asyncio.gather(*(store.tally("shadow", {"agreed": 2, "moved": i}) for i in range(20)))
        await store.tally("shadow", {"agreed": 1})
        await store.tally("other", {"agreed": 5})
    async with stores.open() as store:
        assert await store.tallied("shadow") == {"agreed": 41, "moved": 190}
        assert await store.tallied("other") == {"agreed": 5}
