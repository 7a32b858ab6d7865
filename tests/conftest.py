"""Shape annotations are checked while the tests run (and only then: run-time checks would break torch.compile)."""

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# one thread a process: the tests then give the same bits whatever else the machine does
os.environ.setdefault("OMP_NUM_THREADS", "1")
install_import_hook(["mv2mae.model"], "beartype.beartype")

import torch  # noqa: E402
from clips import moving_blobs  # noqa: E402
from tiny_runs import TINY  # noqa: E402

from mv2mae.config import ModelConfig  # noqa: E402

torch.set_num_threads(1)

SLOW = (
    *("bench/", "interop/", "reports/", "train/", "viewer/", "test_demo.py", "test_examples.py", "test_launch.py"),
    *("data/check/test_check.py", "data/store/test_stops.py", "data/test_loader.py", "model/test_compile.py"),
    *("evaluate/test_testing_cli.py", "synthetic/test_generate.py", "visualize/test_visualize.py", "test_run_files.py"),
    *("tables/test_table_runs.py", "tables/test_table_slurm.py"),
)
"""Where tests train, start processes or drive a browser; `make check` leaves them out."""
FOOTAGE = Path(os.environ.get("MV2MAE_FOOTAGE", Path(__file__).parents[2] / "shared" / "footage"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(Path(__file__).parent).as_posix().startswith(SLOW):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="no CUDA device here"))


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """A CPU, where a test of a GPU is rehearsed, and the GPU."""
    return torch.device(request.param)


@pytest.fixture(scope="session")
def footage() -> Path:
    """The real four-camera take, which is not part of the repository."""
    if not (FOOTAGE / "cam01.mp4").exists():
        pytest.skip(f"no real footage in {FOOTAGE}; set MV2MAE_FOOTAGE to its folder")
    return FOOTAGE


@pytest.fixture
def tiny() -> ModelConfig:
    """A model that a test can train: 2x4x4 = 32 tokens."""
    return TINY


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """Source and target clips [4, 3, 4, 32, 32] in [0, 1]: smooth moving blobs, so that there is something to learn."""
    return moving_blobs(4, seed=1), moving_blobs(4, seed=2)
