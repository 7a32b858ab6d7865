"""What the tests of evaluation share."""

import pytest
import tested


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    return tested.make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def frame(tmp_path_factory):
    return tested.make_videos(tmp_path_factory.mktemp("videos"))
