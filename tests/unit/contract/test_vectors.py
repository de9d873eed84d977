"""Checks, normalisation and packing of features."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from contract.errors import VectorError
from contract.vectors import check_features, l2_normalize, pack_float32, unpack_float32

FINITE = st.floats(min_value=-1e6, max_value=1e6, width=32)
FEATURES = arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 9)), elements=FINITE)


def features_with(row: int, value: float) -> np.ndarray:
    features = np.ones((4, 3), dtype=np.float32)
    features[row, 1] = value
    return features


def test_usable_features_pass() -> None:
    check_features(np.ones((4, 3), dtype=np.float32), 3)


@pytest.mark.parametrize(
    ("value", "code"),
    [(np.nan, "not_finite"), (np.inf, "not_finite"), (-np.inf, "not_finite"), (1.1e6, "out_of_range")],
)
@pytest.mark.parametrize("row", [0, 3])
def test_the_first_bad_row_is_named_with_its_reason(row: int, value: float, code: str) -> None:
    with pytest.raises(VectorError) as refused:
        check_features(features_with(row, value), 3)
    assert (refused.value.row, refused.value.code) == (row, code)
    assert str(refused.value).startswith(f"row {row}: ")


def test_a_zero_vector_has_no_direction() -> None:
    features = np.ones((3, 2), dtype=np.float32)
    features[2] = 0
    with pytest.raises(VectorError, match="row 2: zero vector"):
        check_features(features, 2)


@pytest.mark.parametrize(("shape", "said"), [((2, 4), "dimension 4"), ((3,), "dimension 1")])
def test_another_dimension_is_refused(shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(VectorError, match=said) as refused:
        check_features(np.ones(shape, dtype=np.float32), 3)
    assert refused.value.code == "wrong_dimension"


def test_an_error_without_a_row_says_only_its_reason() -> None:
    assert str(VectorError(None, "zero_vector", "nothing there")) == "nothing there"


@given(FEATURES)
def test_packing_and_unpacking_return_the_same_bits(features: np.ndarray) -> None:
    unpacked = unpack_float32(pack_float32(features), features.shape[1])
    assert unpacked.dtype == np.float32
    assert unpacked.tobytes() == features.tobytes()


def test_packing_is_little_endian_whatever_comes_in() -> None:
    assert pack_float32(np.array([[1.0]], dtype=">f4")) == b"\x00\x00\x80\x3f"


@given(st.binary(max_size=200), st.integers(1, 16))
def test_arbitrary_bytes_are_whole_rows_or_refused(packed: bytes, dim: int) -> None:
    if len(packed) % (4 * dim):
        with pytest.raises(VectorError) as refused:
            unpack_float32(packed, dim)
        assert refused.value.row == len(packed) // (4 * dim)
    else:
        assert unpack_float32(packed, dim).shape == (len(packed) // (4 * dim), dim)


@given(FEATURES)
def test_normalised_rows_have_unit_length_and_the_same_direction(features: np.ndarray) -> None:
    features = features[np.linalg.norm(features, axis=1) > 1e-3]
    unit = l2_normalize(features)
    assert unit.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(unit * np.linalg.norm(features, axis=1, keepdims=True), features, rtol=1e-4, atol=1e-4)
