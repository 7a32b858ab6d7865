"""The viewer's questions and answers over HTTP, without a browser."""

import asyncio
import json
import re
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd
import pytest
import torch
import uvicorn
from starlette.testclient import TestClient
from tiny_viewer import film, make_model
from uvicorn.server import ServerState

from mv2mae.config import ModelConfig
from mv2mae.data.cameras import Cameras, Pinhole
from mv2mae.errors import InputError
from mv2mae.model.pretraining import MV2MAE
from mv2mae.viewer.guard import ImpatientProtocol, in_time
from mv2mae.viewer.server import application
from mv2mae.viewer.session import Session
from mv2mae.viewer.uploads import Uploads

HERE = "http://127.0.0.1:8712"


@pytest.fixture
def page(session: Session):
    with TestClient(application(session), base_url=HERE) as client:
        yield client


def unpacked(body: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    (length,) = struct.unpack("<I", body[:4])
    about = json.loads(body[4 : 4 + length])
    arrays = {}
    for part in about["arrays"]:
        count = int(np.prod(part["shape"]))
        array = np.frombuffer(body, part["type"], count, offset=4 + length + part["offset"])
        arrays[part["name"]] = array.reshape(part["shape"])
    return about, arrays


def question(page: TestClient, **changes: object) -> dict:
    masks = page.post("/api/masks", json={"seed": 1, "ratio": 0.7, "masking": "random"}).json()
    asked = {"group": "walk", "moment": 0.5, "stride": 2, "target": "left", "source": "right", "wrong": 1}
    return {**asked, **masks, **changes}


def refused(page: TestClient, name: str, asked: object) -> str:
    answer = page.post(f"/api/{name}", json=asked)
    assert answer.status_code == 422, answer.text
    return answer.json()["error"]


def test_a_person_goes_from_the_group_to_where_the_model_looks(page: TestClient):
    about = page.get("/api/model").json()
    assert (about["num_tokens"], about["layers"], about["heads"], about["has_cross_view"]) == (32, 2, 2, True)
    assert len(about["heat"]) == 3 * 256
    found = page.get("/api/groups?search=WA").json()
    assert [group["name"] for group in found["groups"]] == ["walk", "wave"]
    clip, arrays = unpacked(page.post("/api/clip", json={"group": "walk", "moment": 0, "stride": 2}).content)
    assert clip["views"] == ["left", "right", "top"]
    assert clip["times"] == pytest.approx([0, 0.2, 0.4, 0.6])
    assert clip["duration"] == pytest.approx(1.1)
    assert arrays["frames"].shape == (3, 4, 32, 32, 3)
    asked = question(page)
    assert len(asked["masked"]) == len(asked["source_masked"]) == 22
    assert asked["masked"] != asked["source_masked"]
    look, arrays = unpacked(page.post("/api/look", json=asked).content)
    assert look["predictions"] == ["self-view", "cross-view", "wrong source"]
    assert look["wrong_source"] == "wave, view right"
    assert arrays["cross-view/true"].shape == arrays["wrong source/clip"].shape == (4, 32, 32, 3)
    assert not np.array_equal(arrays["cross-view/true"], arrays["cross-view/visible"])
    assert np.isnan(arrays["self-view/error"]).sum() == 10
    losses, arrays = unpacked(page.post("/api/losses", json={**asked, "weighting": "trained"}).content)
    assert losses["temperature"] == 5.0
    assert set(losses["weighted"]) == {"mean", "self-view", "cross-view", "wrong source"}
    assert arrays["weights"].sum() == pytest.approx(1, abs=1e-5)
    _, arrays = unpacked(page.post("/api/attention", json={**asked, "token": 9}).content)
    assert arrays["weights"].shape == (2, 2, 32)
    assert np.nansum(arrays["weights"], axis=-1) == pytest.approx(np.ones((2, 2)), abs=1e-5)
    assert np.isnan(arrays["weights"][0, 0]).sum() == 22


def test_masks_of_a_seed_are_those_that_the_model_draws(page: TestClient, model: MV2MAE):
    drawn = page.post("/api/masks", json={"seed": 3, "ratio": 0.7, "masking": "random"}).json()
    masks = model.draw_masks(1, 2, torch.device("cpu"), torch.tensor([3]))
    assert [drawn["masked"], drawn["source_masked"]] == masks.masked_idx[0].tolist()


@pytest.fixture
def rig(filmed: pd.DataFrame) -> Cameras:
    """Views left and right of `filmed` a right angle apart, 3 m from what they look at; of `top` nothing is known."""
    known: dict[str, Any] = {"focal": (60.0, 60.0), "centre": (32.0, 24.0), "size": (64.0, 48.0)}
    turned = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    poses = {"left": np.eye(3), "right": turned}
    ahead = np.array([0.0, 0.0, 3.0])
    return Cameras(
        name="the rig",
        rig={("", view): Pinhole(rotation=pose, translation=ahead, **known) for view, pose in poses.items()},
    )


@pytest.fixture
def told_page(small: ModelConfig, filmed: pd.DataFrame, rig: Cameras):
    model = make_model(small, source_mask_ratio=0.0, directions="one", cameras="rays")
    session = Session(model, filmed, title="tiny", frame_stride=2, max_upload_bytes=100, cameras=rig)
    with TestClient(application(session), base_url=HERE) as client:
        yield client


def test_a_model_with_rays_is_told_where_cameras_stand(told_page: TestClient):
    assert told_page.get("/api/model").json()["has_rays"]
    about, _ = unpacked(told_page.post("/api/clip", json={"group": "walk", "moment": 0.5, "stride": 2}).content)
    assert about["cameras"] == [True, True, False]
    asked = question(told_page)
    assert asked["source_masked"] == []  # as in the training, the source is shown whole

    def rebuilt(**changes: object) -> np.ndarray:
        _, arrays = unpacked(told_page.post("/api/look", json={**asked, **changes}).content)
        return arrays["cross-view/true"]

    assert not np.array_equal(rebuilt(), rebuilt(told=False))
    np.testing.assert_array_equal(rebuilt(source="top"), rebuilt(source="top", told=False))


def test_the_line_of_sight_runs_through_the_crossing_of_the_axes(told_page: TestClient):
    # the cameras look at one point; tokens (1, 1) and (1, 2) meet at the middle, a little above it
    found = told_page.post("/api/place", json={**question(told_page), "token": 5}).json()
    assert found["tokens"] is None  # nobody drew these videos
    line = np.array(found["line"])
    assert np.abs(line[:, 0] - 0.5).min() < 0.05
    assert 0.3 < line[np.abs(line[:, 0] - 0.5).argmin(), 1] < 0.45
    assert told_page.post("/api/place", json={**question(told_page, source="top"), "token": 5}).json()["line"] == []


def test_another_moment_is_another_clip(page: TestClient):
    frames = []
    for moment in (0, 1):
        clip, arrays = unpacked(page.post("/api/clip", json={"group": "walk", "moment": moment, "stride": 2}).content)
        frames.append(arrays["frames"])
        assert clip["times"][0] == pytest.approx([0, 0.5][moment])
    assert not np.array_equal(*frames)


def test_the_manifests_start_and_end_bound_the_clip(filmed: pd.DataFrame, model: MV2MAE):
    rows = filmed.assign(start=[0.3, 0.4, 0.3, None, None, None], end=[1.0, 1.1, 1.0, None, None, None])
    session = Session(model, rows, title="tiny", frame_stride=2, max_upload_bytes=10)
    with TestClient(application(session), base_url=HERE) as page:
        clip, _ = unpacked(page.post("/api/clip", json={"group": "walk", "moment": 1, "stride": 2}).content)
    assert clip["duration"] == pytest.approx(0.6)
    assert clip["times"] == pytest.approx([0, 0.2, 0.4, 0.6])


def test_the_wrong_source_is_never_the_right_one(page: TestClient):
    names = [
        unpacked(page.post("/api/look", json=question(page, wrong=k)).content)[0]["wrong_source"] for k in (1, 2, 3)
    ]
    assert names == ["wave, view right", "alone, view left", "wave, view right"]


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("clip", {"group": "run"}, "no group run in the manifest; choose one of its 3 groups"),
        ("clip", {"group": ["walk"]}, "must be a group's name"),
        ("clip", {"moment": 2}, "moment=2 must be a number from 0 to 1"),
        ("clip", {"moment": 10**400}, "moment=1000000"),
        ("clip", {"moment": True}, "moment=True must be a number"),
        ("clip", {"stride": 0}, "stride=0 must be a number from 0.01 to 1000"),
        ("clip", {"group": None}, "no files of your own are here yet; drop two"),
        ("masks", {"ratio": 0.001, "seed": 0, "masking": "random"}, "masks 0 of 32 tokens"),
        ("masks", {"ratio": 1.0, "seed": 0, "masking": "tube"}, "masks 16 of 16 places of a frame"),
        ("masks", {"ratio": 0.5, "seed": 0, "masking": "odd"}, "masking=odd is unknown; choose random, tube, frame"),
        ("look", {"target": "rear"}, "group walk has no view rear; it has left, right, top"),
        ("look", {"source": "left"}, "target and source are both view left; choose two"),
        ("look", {"masked": []}, "0 of 32 tokens of the target are masked; leave at least one masked and one visible"),
        ("look", {"source_masked": list(range(32))}, "all 32 tokens of the source are masked"),
        ("look", {"masked": [32]}, "masked must be a list of tokens from 0 to 31"),
        ("look", {"masked": "all"}, "masked must be a list of tokens from 0 to 31"),
        ("losses", {"weighting": "odd"}, "weighting=odd is unknown"),
        ("losses", {"weighting": "temperature", "temperature": -1}, "temperature=-1 must be a number from"),
        ("attention", {"token": 32}, "token=32 must be a number from 0 to 31"),
        ("attention", {"token": 3, "source": None}, "no cross-attention: the group has one view"),
    ],
)
def test_bad_questions_get_one_clear_line(page: TestClient, name: str, changes: dict, message: str):
    assert message in refused(page, name, question(page, **changes))


def test_what_is_no_question_is_refused(page: TestClient):
    assert "no JSON object" in refused(page, "clip", [1, 2])
    for body, message in (
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"9" * 5000, "no JSON"),
        (b" " * 2_000_000, "longer than a megabyte"),
    ):
        answer = page.post("/api/clip", content=body)
        assert answer.status_code == 422
        assert message in answer.json()["error"]
    assert page.get("/api/look").status_code == 405
    assert page.get("/page/../server.py").status_code == 404
    assert page.get("/page/%2e%2e/server.py").status_code == 404


def test_a_group_of_one_view_shows_the_self_view(page: TestClient):
    asked = question(page, group="alone", source=None)
    look, arrays = unpacked(page.post("/api/look", json=asked).content)
    assert look["predictions"] == ["self-view"]
    assert not look["has_attention"]
    assert "self-view/true" in arrays


def test_a_single_view_model_shows_the_self_view(small: ModelConfig, filmed: pd.DataFrame):
    model = make_model(small, cross_view_weight=0.0)
    session = Session(model, filmed, title="tiny", frame_stride=2, max_upload_bytes=10)
    with TestClient(application(session), base_url=HERE) as page:
        assert not page.get("/api/model").json()["has_cross_view"]
        look, _ = unpacked(page.post("/api/look", json=question(page)).content)
        assert look["predictions"] == ["self-view"]
        message = refused(page, "attention", question(page, token=3))
    assert message == "no cross-attention: the model was trained on single views"


def test_a_broken_video_is_named_by_its_view_and_paths_stay_here(tmp_path: Path, filmed: pd.DataFrame, model: MV2MAE):
    rows = filmed.copy()
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all")
    rows.loc[1, "path"] = str(broken)
    rows.loc[4, "path"] = str(tmp_path / "gone.mp4")
    session = Session(model, rows, title="tiny", frame_stride=2, max_upload_bytes=10)
    with TestClient(application(session), base_url=HERE) as page:
        said = [refused(page, "clip", {"group": group, "moment": 0.5, "stride": 2}) for group in ("walk", "wave")]
        answers = [page.get("/api/model"), page.get("/api/groups"), page.post("/api/look", json=question(page))]
    assert said[0].startswith("group walk, view right: cannot be decoded")
    assert said[1] == "group wave, view right: no such file"
    told = " ".join([*said, *(answer.text for answer in answers)])
    assert str(tmp_path) not in told
    assert "secret-folder" not in told


def test_a_broken_wrong_source_is_said_and_the_rest_is_shown(tmp_path: Path, filmed: pd.DataFrame, model: MV2MAE):
    rows = filmed.copy()
    rows.loc[4, "path"] = str(tmp_path / "gone.mp4")
    session = Session(model, rows, title="tiny", frame_stride=2, max_upload_bytes=10)
    with TestClient(application(session), base_url=HERE) as page:
        look, arrays = unpacked(page.post("/api/look", json=question(page)).content)
    assert look["predictions"] == ["self-view", "cross-view"]
    assert look["wrong_source"] == "group wave, view right: no such file"
    assert "wrong source/clip" not in arrays


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "localhost:9000"}, 200),
        ({"host": "[::1]:8712"}, 200),
        ({"host": "rebound.example:8712"}, 403),
        ({"host": "192.168.1.5:8712"}, 403),
        ({"origin": HERE}, 200),
        ({"origin": "https://elsewhere.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "none"}, 200),
    ],
)
def test_only_the_page_itself_may_ask(page: TestClient, headers: dict, status: int):
    answer = page.get("/api/groups", headers=headers)
    assert answer.status_code == status
    # a link may open the page from anywhere, under a name of this machine
    assert page.get("/", headers=headers).status_code == (status if "host" in headers else 200)
    assert "access-control-allow-origin" not in answer.headers
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_an_open_viewer_answers_to_addresses_but_to_no_other_name(session: Session):
    with TestClient(application(session, "0.0.0.0"), base_url=HERE) as page:
        assert page.get("/", headers={"host": "192.168.1.5:8712"}).status_code == 200
        assert page.get("/", headers={"host": "rebound.example:8712"}).status_code == 403


def test_questions_at_once_get_the_answers_of_one_after_the_other(page: TestClient):
    asked = [
        question(page, target=target, source=source)
        for target, source in [("left", "right"), ("right", "left"), ("top", "left"), ("left", "top")]
    ]

    def losses(one: dict) -> dict:
        return unpacked(page.post("/api/losses", json={**one, "weighting": "trained"}).content)[0]["weighted"]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(losses, asked * 3))
    assert together == [losses(one) for one in asked] * 3
    assert len({tuple(one.values()) for one in together}) == 4


def test_a_failure_is_said_without_its_traceback(session: Session, monkeypatch):
    monkeypatch.setattr(session, "masks", lambda asked: 1 / 0)
    with TestClient(application(session), base_url=HERE, raise_server_exceptions=False) as page:
        answer = page.post("/api/masks", json={"seed": 0, "ratio": 0.5, "masking": "random"})
    assert answer.status_code == 500
    assert answer.json() == {"error": "the viewer failed; the terminal in which it runs says why"}
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_real_take_opens(footage: Path, model: MV2MAE):
    from mv2mae.data.manifest import make_frame

    rows = make_frame([{"path": str(footage / f"cam0{i}.mp4"), "group": "g", "view": i} for i in (1, 2)])
    session = Session(model, rows, title="tiny", frame_stride=4, max_upload_bytes=10)
    with TestClient(application(session), base_url=HERE) as page:
        asked = question(page, group="g", target="1", source="2", stride=4)
        look, arrays = unpacked(page.post("/api/look", json=asked).content)
    assert look["wrong_source"].startswith("view 2 at another moment")
    assert arrays["wrong source/clip"].std() > 10


# ---------------------------------------------------------------------------------------- files of one's own


def send(page: TestClient, files: list[tuple[str, bytes]], sizes: list[int] | None = None):
    about = {"names": [name for name, _ in files], "sizes": sizes or [len(content) for _, content in files]}
    return page.post(
        "/api/files", params={"about": json.dumps(about)}, content=b"".join(content for _, content in files)
    )


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> list[tuple[str, bytes]]:
    folder = tmp_path_factory.mktemp("own")
    paths = [film(folder / f"{name}.mp4", speed=speed, frames=16) for name, speed in (("a", 2), ("b", 3))]
    return [(f"../../{path.name}", path.read_bytes()) for path in paths]


def stored(session: Session) -> list[Path]:
    found = Path(session.uploads._folder.name).rglob("*")
    return sorted(path for path in found if path.is_file() and path.name != ".lock")


def test_two_files_make_a_group_and_are_gone_at_the_end(session: Session, own):
    with TestClient(application(session), base_url=HERE) as page:
        answer = send(page, own)
        assert answer.json() == {"group": None, "views": ["1: a.mp4", "2: b.mp4"]}
        assert [path.name for path in stored(session)] == ["0", "1"]
        asked = question(page, group=None, target="1: a.mp4", source="2: b.mp4")
        look, arrays = unpacked(page.post("/api/look", json=asked).content)
        assert look["wrong_source"].startswith("view 2: b.mp4 at another moment")
        assert send(page, own[::-1]).status_code == 200
        assert len(stored(session)) == 2
        again = question(page, group=None, target="1: b.mp4", source="2: a.mp4")
        _, other = unpacked(page.post("/api/look", json=again).content)
        assert not np.array_equal(arrays["self-view/true"], other["self-view/true"])
        folder = Path(session.uploads._folder.name)
    assert not folder.exists()


HLS = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
CONCAT = b"ffconcat version 1.0\nfile 0\n"  # which FFmpeg, left to itself, opens: the file beside it


@pytest.mark.parametrize("bad", [b"no video", HLS, CONCAT, b"\x80\x04\x95cos\nsystem\n"])
def test_what_is_no_video_is_refused_and_the_earlier_files_stay(page: TestClient, session: Session, own, bad: bytes):
    assert send(page, own).status_code == 200
    before = stored(session)
    answer = send(page, [own[0], ("nasty.mp4", bad)])
    assert answer.status_code == 422
    assert re.match("nasty.mp4: (cannot be decoded|is a text)", answer.json()["error"])
    assert stored(session) == before
    assert page.post("/api/clip", json={"group": None, "moment": 0.5, "stride": 2}).status_code == 200


def test_a_cut_off_video_is_refused(page: TestClient, session: Session, own):
    answer = send(page, [own[0], ("half.mp4", own[1][1][: len(own[1][1]) // 2])])
    assert answer.status_code == 422
    assert "half.mp4: " in answer.json()["error"]
    assert stored(session) == []


def test_uploads_are_limited_in_number_and_size(page: TestClient, session: Session, own):
    for files, sizes, message in (
        (own[:1], None, "1 file(s) came; drop two videos"),
        ([*own, own[0]], None, "3 file(s) came; drop two videos"),
        (own, [10, 100_001], "file 2 has 0.1 MB; each must hold something"),
        (own, [0, 10], "file 1 has 0.0 MB"),
        (own, [-5, 10], "file 1 has"),
        (own, [10, 10], "more bytes came than were announced"),
        (own, [90_000, 90_000], "the upload was cut off"),
    ):
        answer = send(page, files, sizes)
        assert answer.status_code == 422
        assert message in answer.json()["error"]
        assert stored(session) == []
    for about in ("", "[]", '{"names": ["a"], "sizes": [1, 2]}', '{"names": [1, 2], "sizes": ["1", "2"]}'):
        assert page.post("/api/files", params={"about": about}, content=b"x").status_code == 422
    assert send(page, [("x" * 5000, b"1"), own[1]]).json()["error"] == "the files' names are too long; shorten them"


def test_who_stops_in_the_middle_is_given_up():
    async def stalls():
        yield b"begun"
        await asyncio.sleep(60)

    async def trickles():
        while True:
            await asyncio.sleep(0.01)
            yield b"."

    async def taken(chunks, **limits):
        return [chunk async for chunk in in_time(chunks, **limits)]

    with pytest.raises(InputError, match=r"nothing came for 0\.05 seconds"):
        asyncio.run(taken(stalls(), idle=0.05))
    with pytest.raises(InputError, match="it takes too long"):
        asyncio.run(taken(trickles(), idle=5, total=0.1))


def test_an_upload_that_is_broken_off_leaves_no_file_no_lock_and_no_traceback(page: TestClient, session: Session, own):
    app, kept = application(session), stored(session)
    sent = iter([{"type": "http.request", "body": b"begun", "more_body": True}, {"type": "http.disconnect"}])
    answers: list[dict] = []

    async def receive():
        return next(sent)

    async def answer(message):
        answers.append(message)

    about = json.dumps({"names": ["a.mp4", "b.mp4"], "sizes": [100, 100]})
    scope = {
        "type": "http", "method": "POST", "path": "/api/files", "raw_path": b"/api/files", "root_path": "",
        "query_string": urlencode({"about": about}).encode(), "http_version": "1.1", "scheme": "http",
        "headers": [(b"host", b"127.0.0.1"), (b"origin", b"http://127.0.0.1")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    asyncio.run(app(scope, receive, answer))  # what is raised out of here the server prints
    assert answers[0]["status"] == 400
    assert stored(session) == kept
    with TestClient(app, base_url=HERE) as again:
        assert send(again, own).status_code == 200


def test_folders_of_viewers_that_were_killed_go_and_those_of_others_stay(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    live, dead, other = Uploads(1000), tmp_path / "mv2mae-view-dead", tmp_path / "mv2mae-view-other"
    for folder in (dead, other):
        folder.mkdir()
        (folder / "0").write_bytes(b"somebody's video")
    (dead / ".lock").touch()
    second = Uploads(1000)
    assert not dead.exists()
    assert other.exists()
    for uploads in (live, second):
        assert Path(uploads._folder.name).exists()
        uploads.close()
        assert not Path(uploads._folder.name).exists()


@pytest.mark.parametrize(
    "host",
    ["[:]", "localhost:80:80", "localhost/evil", "evil@localhost", "[::1", "localhost:", "local host", "", "[::1]x"],
)
def test_a_host_is_read_to_the_letter(page: TestClient, host: str):
    assert page.get("/", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: loc"])
def test_half_a_request_does_not_hold_a_connection(monkeypatch, sent: bytes):
    monkeypatch.setattr("mv2mae.viewer.guard.HEAD_SECONDS", 0.2)

    async def speak() -> bytes:
        config = uvicorn.Config(lambda *_: None, lifespan="off")
        config.load()
        state, loop = ServerState(), asyncio.get_running_loop()
        server = await loop.create_server(lambda: ImpatientProtocol(config, state, {}), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(sent)
        answer = await asyncio.wait_for(reader.read(), 10)  # ends when the other side hangs up
        writer.close()
        server.close()
        return answer

    assert asyncio.run(speak()) == b""
