"""The threads of the embedded store."""

import numpy as np  # loads the BLAS whose threads are counted
from threadpoolctl import threadpool_info, threadpool_limits

from service.galleries.embedded.threads import Threads


def blas_threads() -> set[int]:
    assert np.ones(1) @ np.ones(1) == 1
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_products_of_matrices_have_one_thread_once_the_store_is_open() -> None:
    with threadpool_limits(2, user_api="blas"):
        assert blas_threads() == {2}
        threads = Threads()
        assert blas_threads() == {1}
        threads.finish()
