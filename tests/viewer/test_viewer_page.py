"""The page in a real browser: headless Chromium, as Debian has it (`apt-get install chromium`)."""

import base64
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import uvicorn
from tiny_viewer import film, make_model

from mv2mae.config import ModelConfig
from mv2mae.model.pretraining import MV2MAE
from mv2mae.viewer.server import application, listening
from mv2mae.viewer.session import Session

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

CHROMIUM = os.environ.get("MV2MAE_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))), None
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium found; install it (apt-get install chromium) or set MV2MAE_CHROMIUM to it"
)
PATIENCE = 60_000
"""Milliseconds; a loaded machine is slow, not broken."""


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def served(model: MV2MAE, rows: pd.DataFrame) -> Iterator[str]:
    session = Session(model, rows, title="tiny", frame_stride=2, max_upload_bytes=100_000)
    with listening("127.0.0.1", 0) as sock:
        server = uvicorn.Server(uvicorn.Config(application(session), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/"
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="module")
def address(model: MV2MAE, filmed: pd.DataFrame, tmp_path_factory) -> Iterator[str]:
    broken = tmp_path_factory.mktemp("broken") / "broken.mp4"
    broken.write_bytes(b"no video at all")
    rows = pd.concat([filmed, filmed.iloc[-1:].assign(group="zoo", path=str(broken))], ignore_index=True)
    yield from served(model, rows)


def opened(browser, address: str, screen_size: tuple[int, int] = (1280, 720), **options):
    """A page on which everything was asked and answered, and what it complained of so far."""
    page = browser.new_page(viewport={"width": screen_size[0], "height": screen_size[1]}, **options)
    page.set_default_timeout(PATIENCE)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(address)
    settled(page)
    return page, problems


@pytest.fixture(scope="module")
def tab(browser, address: str):
    """One page for all tests, and what it complained of: each test loads it anew, which is quicker than another one."""
    made, problems = opened(browser, address)
    yield made, problems
    made.close()


@pytest.fixture
def page(tab, address: str):
    made, problems = tab
    problems.clear()
    made.goto(address)
    settled(made)
    yield made
    refusals = [text for text in problems if "422 (Unprocessable" in text]  # the browser notes each refused question
    assert problems == refusals


def settled(page) -> None:
    page.locator("main[aria-busy=false]").wait_for()


def pixels(page, name: str) -> str:
    """What a picture shows, as a text to compare."""
    return page.evaluate("name => document.getElementById('p-' + name).toDataURL()", name)


def at(page, name: str, row: int, column: int) -> tuple[float, float]:
    """The middle of a token of a 4 x 4 grid, on the screen."""
    box = page.locator(f"#p-{name}").bounding_box()
    return box["x"] + (column + 0.5) * box["width"] / 4, box["y"] + (row + 0.5) * box["height"] / 4


def test_on_a_phone_nothing_lies_beside_the_screen(browser, address):
    made, problems = opened(browser, address, screen_size=(390, 844))
    assert made.evaluate("document.documentElement.scrollWidth") <= 390
    places = [made.locator(f"#p-{name}").bounding_box() for name in ("target", "self", "cross")]
    assert all(place["x"] >= 0 and place["x"] + place["width"] <= 390 for place in places)
    assert all(place["width"] > 150 for place in places)
    assert places[0]["y"] < 200  # the pictures come before the controls
    assert not problems
    made.close()


def test_it_opens_on_the_first_group_and_fits_a_small_laptop(page):
    assert page.locator("#groups option").all_inner_texts() == ["walk", "wave", "alone", "zoo"]
    for name in ("target", "self", "cross", "source", "wrong", "swapped"):
        assert page.locator(f"#p-{name}").get_attribute("data-shown") == "picture"
    assert page.locator("#c-target").inner_text() == "view left"
    assert "wave, view right" in page.locator("#c-wrong").inner_text()
    assert page.locator(".loss").count() == 8
    size = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert size[0] <= 1280
    assert size[1] <= 740
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, select, input, canvas:not(#heat)')].filter(e => !("
        "e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim() || e.title)).map(e => e.id)"
    )
    assert nameless == []


def test_it_asks_for_what_moves_most_until_somebody_clicks(page):
    assert page.locator("#token").inner_text().startswith("Asked: ")
    assert "times even attention" in page.locator("#confidence").inner_text()
    asked = page.locator("#token").inner_text()
    page.locator("#redraw").click()
    settled(page)
    assert page.locator("#token").inner_text().endswith(", masked.")
    page.mouse.click(*at(page, "target", 0, 0))
    settled(page)
    mine = page.locator("#token").inner_text()
    assert "row 1, column 1" in mine
    assert mine != asked
    page.locator("#groups").select_option("wave")
    settled(page)
    assert "row 1, column 1" in page.locator("#token").inner_text()


def test_a_click_shows_where_the_model_looks(page):
    before = pixels(page, "source")
    page.mouse.click(*at(page, "target", 1, 2))
    page.locator("#confidence", has_text="times even attention over the 10 visible tokens").wait_for()
    settled(page)
    assert "row 2, column 3" in page.locator("#token").inner_text()
    looked = pixels(page, "source")
    assert looked != before
    first = page.locator("#confidence").inner_text()
    page.locator("#layer").select_option("0")
    page.locator("#head").select_option("1")
    assert page.locator("#confidence").inner_text() != first
    assert pixels(page, "source") != looked
    page.locator("#go").click()
    assert page.locator("#frame-shown").inner_text()


def test_painting_masks_changes_what_is_rebuilt(page):
    count = page.locator("#ratio-shown").inner_text()
    before, losses = pixels(page, "self"), page.locator("#losses").inner_text()
    assert count == "22 of 32 (69 %)"
    page.locator("input[value=mask]").check(force=True)
    page.locator("#through").check()
    page.mouse.move(*at(page, "target", 0, 0))
    page.mouse.down()
    page.mouse.move(*at(page, "target", 0, 3), steps=3)
    page.mouse.up()
    settled(page)
    painted = page.locator("#ratio-shown").inner_text()
    assert painted != count
    assert pixels(page, "self") != before
    assert page.locator("#losses").inner_text() != losses
    page.locator("input[value=unmask]").check(force=True)
    for row in range(4):
        page.mouse.move(*at(page, "target", row, 0))
        page.mouse.down()
        page.mouse.move(*at(page, "target", row, 3), steps=3)
        page.mouse.up()
    page.locator("#error:visible", has_text="0 of 32 tokens of the target are masked").wait_for()
    page.locator("#p-self[data-shown=nothing]").wait_for(state="attached")
    page.locator("#redraw").click()
    page.locator("#p-self[data-shown=picture]").wait_for()
    assert page.locator("#error").is_hidden()


def test_views_moment_weights_and_pictures_follow_the_controls(page):
    page.get_by_label("View top as source").click()
    settled(page)
    assert page.locator("#c-source").inner_text() == "view top"
    page.get_by_label("View left as source").click()  # it was the target: the two change places
    settled(page)
    assert [page.locator(f"#c-{name}").inner_text() for name in ("target", "source")] == ["view top", "view left"]
    shown, moment = pixels(page, "target"), page.locator("#moment-shown").inner_text()
    page.locator("#moment").fill("1")
    page.locator("#moment-shown", has_text="0.50 to").wait_for()
    settled(page)
    assert page.locator("#moment-shown").inner_text() != moment
    assert pixels(page, "target") != shown
    rebuilt, effective = pixels(page, "cross"), page.locator("#effective").inner_text()
    page.locator("#rebuilt-layer").select_option("visible")
    assert pixels(page, "cross") != rebuilt
    assert "nothing of a masked tubelet was used" in page.locator("#statistics").inner_text()
    page.locator("#rebuilt-layer").select_option("error")
    assert "error, 0 to 2" in page.locator("#heat-shown").inner_text()
    page.locator("#weighting").select_option("uniform")
    page.locator("#effective", has_text="Worth 32.0 of 32 tokens").wait_for()
    assert page.locator("#effective").inner_text() != effective
    assert page.locator("#temperature-shown").inner_text() == "none"
    page.locator("#temperature").fill("0")
    page.locator("#temperature-shown", has_text="1.00").wait_for()
    settled(page)
    assert page.locator("#weighting").input_value() == "temperature"
    assert page.locator("#effective").inner_text() not in (effective, "Worth 32.0 of 32 tokens.")


def test_keys_play_step_move_and_mask(page):
    body = page.locator("body")
    assert page.locator("#frame-shown").inner_text().startswith("frame 1 of 4")
    body.press("ArrowRight")
    assert page.locator("#frame-shown").inner_text().startswith("frame 2 of 4")
    body.press("ArrowLeft")
    body.press("ArrowLeft")
    assert page.locator("#frame-shown").inner_text().startswith("frame 4 of 4")
    page.mouse.click(*at(page, "target", 0, 0))
    settled(page)
    body.press("Shift+ArrowDown")
    page.locator("#token", has_text="frames 3 to 4").wait_for()
    settled(page)
    assert "row 2, column 1" in page.locator("#token").inner_text()
    was = page.locator("#token").inner_text().rsplit(", ", 1)[1]
    body.press("m")
    settled(page)
    assert {was, page.locator("#token").inner_text().rsplit(", ", 1)[1]} == {"masked.", "visible."}
    body.press("Space")
    assert page.locator("#play").get_attribute("aria-label") == "Stop"
    page.locator("#frame-shown", has_text="frame 2 of 4").wait_for()
    body.press("Space")
    assert page.locator("#play").get_attribute("aria-label") == "Play"


def test_a_group_of_one_view_and_a_broken_one_say_so(page):
    page.locator("#groups").select_option("alone")
    page.locator("#c-cross", has_text="none: one view only").wait_for()
    settled(page)
    assert page.locator("#p-self").get_attribute("data-shown") == "picture"
    assert page.locator("#p-cross").get_attribute("data-shown") == "nothing"
    assert page.locator("#attention").is_hidden()
    page.locator("#groups").select_option("zoo")
    page.locator("#error:visible", has_text="group zoo, view left: cannot be decoded").wait_for()
    assert page.locator("#p-target").get_attribute("data-shown") == "nothing"
    page.locator("#search").fill("wav")
    page.locator("#groups-note", has_text="1 group").wait_for()
    page.locator("#groups").select_option("wave")
    page.locator("#p-cross[data-shown=picture]").wait_for()
    assert page.locator("#error").is_hidden()


def drop(page, paths: list[Path]) -> None:
    files = [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in paths]
    transfer = page.evaluate_handle(
        """files => {
          const transfer = new DataTransfer();
          for (const [name, text] of files) {
            const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
            transfer.items.add(new File([bytes], name));
          }
          return transfer;
        }""",
        files,
    )
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})


def test_two_dropped_files_are_shown_and_a_broken_one_is_refused(page, tmp_path: Path):
    mine = [film(tmp_path / f"{name}.mp4", speed=speed, frames=16) for name, speed in (("near", 2), ("<b>far", 3))]
    drop(page, mine)
    page.locator("#c-target", has_text="view 1: near.mp4").wait_for()
    settled(page)
    assert page.locator("#c-source").inner_text() == "view 2: <b>far.mp4"
    assert "at another moment" in page.locator("#c-wrong").inner_text()
    assert page.locator("#p-cross").get_attribute("data-shown") == "picture"
    shown = pixels(page, "target")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all")
    page.locator("#files").set_input_files([mine[0], broken])
    page.locator("#error:visible", has_text="broken.mp4: cannot be decoded").wait_for()
    assert pixels(page, "target") == shown
    drop(page, mine[:1])
    page.locator("#error:visible", has_text="1 file came; drop two videos").wait_for()
    (tmp_path / "large.mp4").write_bytes(bytes(100_001))
    page.locator("#files").set_input_files([mine[0], tmp_path / "large.mp4"])
    page.locator("#error:visible", has_text="large.mp4 has 0.1 MB; at most 0.1 MB").wait_for()


def test_a_single_view_model_hides_the_cross_view_in_the_dark(browser, small: ModelConfig, filmed: pd.DataFrame):
    addresses = served(make_model(small, cross_view_weight=0.0), filmed)
    page, problems = opened(browser, next(addresses), color_scheme="dark")
    assert page.locator("#c-cross").inner_text() == "none: single-view model"
    assert page.locator("#attention").is_hidden()
    assert page.locator("#p-self").get_attribute("data-shown") == "picture"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 23, 24)"
    page.close()
    assert next(addresses, None) is None
    assert problems == []
