"""Leases: none twice while they last, none lost when they end."""

from service.galleries.embedded.claims import Claims

LEASE_MS = 1000


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_what_is_leased_is_passed_over_until_it_is_filled() -> None:
    claims = Claims(Clock())
    token = claims.begin(["a", "b"], LEASE_MS)
    assert set(claims.leased()) == {"a", "b"}
    assert claims.end(token) == ("a", "b")
    assert not claims.leased()
    assert claims.start == "b", "what was filled is not looked at again"


def test_a_lease_that_ended_opens_its_faces_again() -> None:
    clock = Clock()
    claims = Claims(clock)
    late = claims.begin(["a", "b"], LEASE_MS)
    clock.now_s = 0.5
    claims.begin(["c"], LEASE_MS)
    clock.now_s = 1.0
    assert set(claims.leased()) == {"c"}
    assert claims.start == "a"
    claims.begin(["a"], LEASE_MS)
    assert claims.end(late) == (), "the lease of another worker goes on"
    assert set(claims.leased()) == {"a", "c"}


def test_a_face_that_came_to_be_missing_is_looked_for() -> None:
    claims = Claims(Clock())
    claims.begin(["m", "n"], LEASE_MS)
    claims.reopen(["x"])
    assert claims.start == "n"
    claims.reopen(["d", "c"])
    assert claims.start == "c"
    claims.reopen([])
    assert claims.start == "c"
