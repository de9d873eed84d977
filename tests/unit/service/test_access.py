"""API keys: what is kept, who passes, how often."""

import os
import stat
from pathlib import Path

import pytest

from service.access import Access, KeyRecord, KeysFile, KeysFileError, Scope, create_key, read_keys, write_keys
from service.errors import ForbiddenError, QuotaExceededError, UnauthenticatedError


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def issue(file: Path, id: str, *scopes: Scope, requests_per_second: float | None = None) -> str:
    key, record = create_key(id, scopes, requests_per_second)
    before = read_keys(file).keys if file.exists() else ()
    write_keys(KeysFile(keys=(*before, record)), file)
    return key


def test_a_replaced_file_stays_readable_to_whom_it_was(file: Path) -> None:
    issue(file, "one", Scope.SEARCH)
    file.chmod(0o640)
    issue(file, "two", Scope.SEARCH)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_root_leaves_the_file_to_its_owner(file: Path) -> None:
    issue(file, "one", Scope.SEARCH)
    os.chown(file, 10001, 10001)
    issue(file, "two", Scope.SEARCH)
    assert (file.stat().st_uid, file.stat().st_gid) == (10001, 10001)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_key_passes_for_its_scopes_and_no_other(file: Path) -> None:
    key = issue(file, "phone_app", Scope.TRANSLATE, Scope.SEARCH)
    access = Access(file)
    access.authorize(key, Scope.TRANSLATE)
    access.authorize(key, Scope.SEARCH)
    access.authorize(key, None)
    with pytest.raises(ForbiddenError, match="'enrol'"):
        access.authorize(key, Scope.ENROL)


def test_admin_does_not_include_the_other_scopes(file: Path) -> None:
    key = issue(file, "operator", Scope.ADMIN)
    with pytest.raises(ForbiddenError):
        Access(file).authorize(key, Scope.TRANSLATE)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: None,
        lambda key: "",
        lambda key: key[:-1],
        lambda key: key[:-1] + ("0" if key[-1] != "0" else "1"),
        lambda key: key.replace("r3an_", "r4an_"),
        lambda key: key.replace("_one_", "_two_"),
        lambda key: key.replace("_one_", "_nobody_"),
        lambda key: "r3an__",
        lambda key: "r3an_one_" + "x" * 100_000,
    ],
)
def test_a_key_that_nobody_issued_is_refused(file: Path, spoil: object) -> None:
    assert callable(spoil)
    key = issue(file, "one", Scope.TRANSLATE)
    issue(file, "two", Scope.TRANSLATE)
    with pytest.raises(UnauthenticatedError):
        Access(file).authorize(spoil(key), Scope.TRANSLATE)


def test_without_a_keys_file_everything_is_open() -> None:
    access = Access(None)
    access.authorize(None, Scope.ADMIN)
    access.reload()


def test_a_quota_lets_a_burst_of_one_second_pass_and_then_says_when_to_come_back(file: Path) -> None:
    clock = Clock()
    key = issue(file, "slow", Scope.SEARCH, requests_per_second=2)
    access = Access(file, clock)
    for _ in range(2):
        access.authorize(key, Scope.SEARCH)
    with pytest.raises(QuotaExceededError) as refused:
        access.authorize(key, Scope.SEARCH)
    assert refused.value.retry_after_s == 1
    clock.now_s = 0.5
    access.authorize(key, Scope.SEARCH)
    clock.now_s = 100.0  # a long rest saves no more than one second's worth
    for _ in range(2):
        access.authorize(key, Scope.SEARCH)
    with pytest.raises(QuotaExceededError):
        access.authorize(key, Scope.SEARCH)


def test_a_quota_below_one_a_second_still_lets_one_pass(file: Path) -> None:
    key = issue(file, "rare", Scope.SEARCH, requests_per_second=0.1)
    access = Access(file, Clock())
    access.authorize(key, Scope.SEARCH)
    with pytest.raises(QuotaExceededError) as refused:
        access.authorize(key, Scope.SEARCH)
    assert refused.value.retry_after_s == 10


def test_a_reload_brings_new_keys_drops_revoked_ones_and_keeps_quotas(file: Path) -> None:
    old = issue(file, "old", Scope.SEARCH)
    slow = issue(file, "slow", Scope.SEARCH, requests_per_second=1)
    access = Access(file, Clock())
    access.authorize(slow, Scope.SEARCH)
    write_keys(KeysFile(keys=tuple(k for k in read_keys(file).keys if k.id != "old")), file)
    new = issue(file, "new", Scope.SEARCH)
    access.reload()
    access.authorize(new, Scope.SEARCH)
    with pytest.raises(UnauthenticatedError):
        access.authorize(old, Scope.SEARCH)
    with pytest.raises(QuotaExceededError):
        access.authorize(slow, Scope.SEARCH)


def test_a_broken_file_on_reload_leaves_the_keys_as_they_were(file: Path) -> None:
    key = issue(file, "one", Scope.SEARCH)
    access = Access(file)
    file.write_text("{")
    with pytest.raises(KeysFileError):
        access.reload()
    access.authorize(key, Scope.SEARCH)


def test_the_file_holds_no_secret_and_only_its_owner_reads_it(file: Path) -> None:
    key = issue(file, "one", Scope.SEARCH)
    secret = key.rpartition("_")[2]
    assert len(secret) == 64
    assert secret not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [f.name for f in file.parent.iterdir()] == [file.name]


def test_two_keys_never_share_salt_or_secret() -> None:
    (first, a), (second, b) = create_key("one", [Scope.SEARCH]), create_key("one", [Scope.SEARCH])
    assert first != second
    assert a.salt != b.salt


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "Invalid JSON"),
        ('{"keys": [], "surprise": 1}', "surprise"),
        ('{"keys": [{"id": "a"}]}', "keys.0.salt"),
        ('{"keys": []}', "holds no key"),
        ("x" * (8 * 1024 * 1024 + 1), "exceeds"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start_with_a_reason(file: Path, content: str, reason: str) -> None:
    file.write_text(content)
    with pytest.raises(KeysFileError, match=reason):
        Access(file)


def test_a_missing_file_stops_the_start(file: Path) -> None:
    with pytest.raises(KeysFileError, match="No such file"):
        Access(file)


def test_an_id_that_stands_twice_is_refused(file: Path) -> None:
    records: tuple[KeyRecord, ...] = tuple(create_key("one", [Scope.SEARCH])[1] for _ in range(2))
    write_keys(KeysFile(keys=records), file)
    with pytest.raises(KeysFileError, match="twice"):
        read_keys(file)
