"""What may be wrong with data that crosses a boundary.

ContractError
 ├─ VectorError     one row of a batch of features
 └─ ManifestError   a translator version's files disagree with its manifest
"""


class ContractError(ValueError):
    """Root of everything the contract refuses."""


class VectorError(ContractError):
    """A row that is no usable feature. The message names the row and the reason, never a value."""

    def __init__(self, row: int | None, code: str, reason: str) -> None:
        super().__init__(reason if row is None else f"row {row}: {reason}")
        self.row = row
        self.code = code
        self.reason = reason


class ManifestError(ContractError):
    """A translator version that must not be served."""
