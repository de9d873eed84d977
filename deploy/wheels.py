"""Programs that lie in installed wheels."""

import importlib.util
from pathlib import Path

from deploy.process import ProcessError


def wheel_folder(package: str, install: str) -> Path:
    """Folder of an installed package, without importing it. Raises ProcessError telling how to `install` it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ProcessError(f"{package} is missing: pip install {install}")
    return Path(spec.submodule_search_locations[0])
