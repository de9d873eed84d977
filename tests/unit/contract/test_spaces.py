"""The grammar of names."""

import pytest
from pydantic import TypeAdapter, ValidationError

from contract.spaces import FeatureSpace, Name, RecordId


@pytest.mark.parametrize("name", ["a", "mobilefacenet-casia-128", "a--b", "v2.1_x", "9", "a" * 128])
def test_names_within_the_grammar_pass(name: str) -> None:
    assert FeatureSpace(id=name, dim=1).id == name


@pytest.mark.parametrize("name", ["", "A", ".hidden", "a/b", "a b", "-a", "a-", "a" * 129, "a\n", "ä", "..", "a:b"])
def test_names_beyond_the_grammar_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Name).validate_python(name)


@pytest.mark.parametrize(
    ("record_id", "passes"), [("Face:01@x=+.-_", True), ("a/b", False), ("", False), ("a" * 129, False)]
)
def test_record_ids_are_wider_but_free_of_separators(record_id: str, passes: bool) -> None:
    adapter = TypeAdapter(RecordId)
    if passes:
        assert adapter.validate_python(record_id) == record_id
    else:
        with pytest.raises(ValidationError):
            adapter.validate_python(record_id)


@pytest.mark.parametrize("dim", [0, -1, 8193, 1.5, "8", True])
def test_dimensions_out_of_bounds_are_refused(dim: object) -> None:
    with pytest.raises(ValidationError):
        FeatureSpace.model_validate({"id": "a", "dim": dim})


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="extra"):
        FeatureSpace.model_validate({"id": "a", "dim": 1, "unit": "m"})
