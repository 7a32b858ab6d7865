import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from mv2mae.visualize.report import (
    Clip,
    ReportFigure,
    ReportPage,
    Section,
    Table,
    data_uri,
    drawn,
    inline_svg,
    write_report,
)
from mv2mae.visualize.style import styled


def small_figure() -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1], [1, 0])
    return figure


def example() -> ReportPage:
    table = Table(header=["start", "top-1", "videos"], rows=[["scratch", 0.123456, 40], ["<i>own</i>", 0.5, 40]])
    picture = ReportFigure(figure=small_figure(), caption="A line & its end", alt='a "line"')
    frames = ReportFigure(figure=small_figure(), caption="Frames", alt='a "frame"', kind="frames")
    folded = Table(header=["all", "of it"], rows=[["x", "3a709c0"]], folded="Everything & more")
    clip = Clip(webp=b"moving", still=b"still", size=(64, 48), title="<u>a</u>, taken for b", caption="confidence 0.9")
    return ReportPage(
        title="Cats & <dogs>",
        lead=["First.", "<script>alert(1)</script>"],
        highlights=[("0.45", "top-1")],
        sections=[
            Section(title=f"Part {i}", text=["Words."], tables=[table, folded], figures=[picture, frames], clips=[clip])
            for i in range(3)
        ],
        facts={"machine": "2 cores"},
    )


class Tags(HTMLParser):
    """Start tags and their attributes; checks that tags are closed in order."""

    VOID = frozenset({"meta", "img", "br", "link", "source"})

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def page(tmp_path: Path) -> str:
    return write_report(tmp_path / "deep" / "report.html", example()).read_text(encoding="utf-8")


def test_the_page_needs_nothing_from_outside(page: str):
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    addresses = [a[name] for _, a in tags.found for name in ("src", "href", "srcset", "action") if name in a]
    assert addresses
    assert all(address.startswith(("data:image/", "#")) for address in addresses)
    assert set(re.findall(r"url\(([^)#]*)", page)) <= {""}  # parts of the drawings themselves
    assert not {tag for tag, _ in tags.found} & {"script", "link", "iframe", "object", "embed"}
    assert "@import" not in page
    assert not re.search(r"https?://", page)


def test_every_link_leads_to_a_place_on_the_page(page: str):
    tags = Tags()
    tags.feed(page)
    places = {a["id"] for _, a in tags.found if "id" in a}
    links = {a["href"][1:] for tag, a in tags.found if tag == "a"}
    assert {a["href"][1:] for tag, a in tags.found if tag == "use"} <= places
    assert links == {"section-1", "section-2", "section-3", "facts"}
    assert links <= places


def test_text_is_escaped(page: str):
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page
    assert "<title>Cats &amp; &lt;dogs&gt;</title>" in page
    assert "&lt;i&gt;own&lt;/i&gt;" in page
    assert 'aria-label="a &#34;line&#34;"' in page
    assert 'alt="a &#34;frame&#34;"' in page
    assert "&lt;u&gt;a&lt;/u&gt;, taken for b" in page


def test_everything_is_on_the_page(page: str):
    for part in ("First.", "0.45", "Part 2", "0.123", "A line &amp; its end", "2 cores", "confidence 0.9"):
        assert part in page
    assert page.count("<figure>") == 9
    assert page.count("<svg") == 3
    assert page.count("<summary>Everything &amp; more</summary>") == 3


def test_a_chart_is_text_and_lines_in_the_colours_of_the_page():
    figure = Figure(figsize=(3, 2))
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], "o-", color="#0072B2", mec="white", label="a <b> & $5 or $6")
    with styled():
        axis.set_title("a <b> & $5 or $6")
    svg = inline_svg(figure, "words")
    assert "a &lt;b&gt; &amp; $5 or $6" in svg
    assert "var(--ink)" in svg
    assert "var(--paper)" in svg
    assert "#000000" not in svg
    assert re.search(r"https?:|xlink|<!DOCTYPE|<\?xml", svg) is None
    names = set(re.findall(r' id="([^"]*)"', svg))
    assert names == set(re.findall(r"#([\w-]+)(?=[\"')])", svg))


def test_charts_on_one_page_do_not_share_names():
    first, second = (set(re.findall(r' id="([^"]*)"', inline_svg(small_figure(), alt))) for alt in ("a", "b"))
    assert first
    assert not first & second


def test_a_chart_of_very_many_points_becomes_a_picture():
    figure = Figure(figsize=(3, 2))
    figure.subplots().scatter(*np.random.default_rng(0).random((2, 6000)))
    assert drawn(ReportFigure(figure=figure, caption="", alt="a cloud")).startswith('<img src="data:image/png')


def test_figures_are_right_aligned_and_text_is_not():
    table = Table(header=["name", "low to high", "n"], rows=[["a", "0.1 to 0.2", 3], ["b", "-", 4]])
    assert table.numeric() == [False, True, True]
    assert table.shown()[0] == ["a", "0.1 to 0.2", "3"]


def test_a_table_with_a_short_row_is_refused():
    with pytest.raises(ValueError, match="a row of 1 cells under a header of 2"):
        Table(header=["a", "b"], rows=[["only"]])


def test_an_empty_report_and_an_empty_table_are_pages_too(tmp_path: Path):
    report = ReportPage(
        title="Nothing", lead=[], sections=[Section(title="Empty", tables=[Table(header=["a"], rows=[])])]
    )
    page = write_report(tmp_path / "report.html", report).read_text(encoding="utf-8")
    assert "Nothing" in page
    assert "None" not in page


def test_a_report_is_the_same_each_time(tmp_path: Path):
    first, second = (write_report(tmp_path / name, example()).read_bytes() for name in ("a.html", "b.html"))
    assert first == second


def test_large_pictures_are_stored_small():
    figure = Figure(figsize=(8, 8))
    figure.add_axes((0, 0, 1, 1)).imshow(np.random.default_rng(0).random((512, 512, 3)))
    address = data_uri(figure)
    kind, picture = re.match(r"data:image/(\w+);base64,(.*)", address).groups()
    assert kind == "webp"
    assert base64.b64decode(picture)[8:12] == b"WEBP"
    assert data_uri(small_figure()).startswith("data:image/png;base64,")
