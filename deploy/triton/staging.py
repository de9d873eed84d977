"""What the wheel's tritonserver needs around it: a backend directory and an environment."""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from deploy.wheels import wheel_folder

BACKEND = Path(__file__).parent / "backend" / "pytorch" / "model.py"

# glibc returns large blocks to the kernel and faults them in again at every batch: torch is two to three times slower
# without these. OpenMP's threads must not spin where cores are shared.
TUNING = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "OMP_WAIT_POLICY": "passive",
}


def wheel_root() -> Path:
    """Folder of the package pytriton. Raises ProcessError if it is not installed."""
    return wheel_folder("pytriton", "--no-deps nvidia-pytriton==0.7.0")


def stage_backends(folder: Path) -> None:
    """Copy the Python backend, the stub of this Python and our backend `pytorch` into a new backend directory.

    Copies, since Triton refuses links that lead out of its backend directory; and the stub must lie beside the library.
    """
    server = wheel_root() / "tritonserver"
    library = server / "backends" / "python"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = server / "python_backend_stubs" / version / "triton_python_backend_stub"
    backends = {
        "python": [library / "libtriton_python.so", library / "triton_python_backend_utils.py", stub],
        "pytorch": [BACKEND],
    }
    for name, files in backends.items():
        (folder / name).mkdir(parents=True)
        for file in files:
            shutil.copy2(file, folder / name)


def triton_environment() -> dict[str, str]:
    """Our environment, with this Python first for the stub, the wheel's libraries, and the tuning for torch."""
    programs = [str(Path(sys.prefix) / "bin"), os.environ.get("PATH", os.defpath)]
    libraries = [str(sysconfig.get_config_var("LIBDIR")), str(wheel_root().parent / "nvidia_pytriton.libs")]
    if inherited := os.environ.get("LD_LIBRARY_PATH"):
        libraries.append(inherited)
    paths = {"PATH": os.pathsep.join(programs), "LD_LIBRARY_PATH": os.pathsep.join(libraries)}
    return dict(os.environ) | TUNING | paths
