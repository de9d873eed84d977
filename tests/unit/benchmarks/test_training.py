"""What training costs, in words that say how much was trained."""

from benchmarks.training import memory_figures
from contract.manifest import Method


def test_a_claim_on_memory_says_over_how_much_of_the_file_it_was_measured() -> None:
    peaks = {(method, copies): 100.0 * copies for method in (Method.FC, Method.R3AN) for copies in (1, 10)}
    figures, claims = memory_figures(peaks)
    assert figures == {
        "fc: peak anonymous memory, an epoch, MB": 100,
        "fc: peak anonymous memory, an epoch of the file 10 times, MB": 1000,
        "r3an: peak anonymous memory, 6 batches of 32, MB": 100,
        "r3an: peak anonymous memory, 6 batches of 32 of the file 10 times, MB": 1000,
    }
    assert [(claim.what, claim.value, claim.holds) for claim in claims] == [
        ("fc: peak anonymous memory, an epoch of the file 10 times, over that of the file", 10, False),
        ("r3an: peak anonymous memory, 6 batches of 32 of the file 10 times, over that of the file", 10, False),
    ]
