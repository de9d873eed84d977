"""The words both sides share: feature spaces, manifests and vectors. pydantic and numpy, nothing else."""
