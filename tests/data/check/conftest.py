"""Videos that the tests of `mv2mae check` share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from takes import NUM, film

from mv2mae.data.manifest import make_frame


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Two groups of three views without a fault."""
    folder = tmp_path_factory.mktemp("good")
    return make_frame(
        {"path": str(film(folder, g, v)), "group": f"g{g}", "view": v, "frames": NUM, "width": 64, "height": 48}
        for g in (1, 2)
        for v in (1, 2, 3)
    )


@pytest.fixture
def takes(good: pd.DataFrame, tmp_path: Path) -> pd.DataFrame:
    """A copy of them to spoil."""
    paths = [shutil.copy(path, tmp_path) for path in good["path"]]
    return good.assign(path=paths)
