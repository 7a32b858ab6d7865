import pandas as pd
import pytest
from tiny_viewer import VIEWS, film, make_model

from mv2mae.config import ModelConfig
from mv2mae.data.manifest import make_frame
from mv2mae.model.pretraining import MV2MAE
from mv2mae.viewer.session import Session


@pytest.fixture(scope="session")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """A manifest's table: groups `walk` with three views, `wave` with two, `alone` with one."""
    folder = tmp_path_factory.mktemp("secret-folder")
    rows = []
    for g, (group, views) in enumerate(VIEWS.items()):
        for v, view in enumerate(views):
            path = film(folder / f"{group}-{view}.mp4", speed=1 + g + v)
            rows.append({"path": str(path), "group": group, "view": view, "label": g})
    return make_frame(rows)


@pytest.fixture(scope="session")
def small() -> ModelConfig:
    """32 tokens: 2 x 4 x 4."""
    return ModelConfig(
        num_frames=4, image_size=32, tubelet_size=(2, 8, 8), encoder_width=32, encoder_depth=1, encoder_heads=2,
        decoder_width=24, decoder_depth=2, decoder_heads=2, motion_temperature=5.0, effective_tokens=None,
    )  # fmt: skip


@pytest.fixture(scope="session")
def model(small: ModelConfig) -> MV2MAE:
    return make_model(small)


@pytest.fixture
def session(model: MV2MAE, filmed: pd.DataFrame):
    made = Session(model, filmed, title="tiny", frame_stride=2, max_upload_bytes=100_000)
    yield made
    made.close()
