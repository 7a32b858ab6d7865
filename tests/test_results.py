"""What was found goes to JSON and comes back; files that earlier versions wrote still open."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mv2mae.errors import InputError
from mv2mae.evaluate.results import PairedTest, TestResult
from mv2mae.results import LEFT_OUT, Result
from mv2mae.studies.geometry.results import GeometryResult
from mv2mae.studies.probes.results import ProbeResult
from mv2mae.studies.second_view.results import SecondViewResult
from mv2mae.studies.view_robustness.results import RobustnessResult

STORED = Path(__file__).parent / "stored"
"""Files as version 0.1.0 wrote them before results had types; numbers shortened."""


@dataclass(frozen=True, kw_only=True)
class Part(Result):
    value: float
    pair: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Whole(Result):
    name: str
    parts: tuple[Part, ...]
    by_class: dict[int, Part] = field(default_factory=dict)
    best: Part | None = field(default=None, metadata=LEFT_OUT)


def test_a_result_comes_back_as_it_was():
    whole = Whole(name="a", parts=(Part(value=0.5, pair=(0.1, 0.9)), Part(value=1.0)), by_class={3: Part(value=0.25)})
    stored = json.loads(json.dumps(whole.to_json()))
    assert stored == {
        "name": "a",
        "parts": [{"value": 0.5, "pair": [0.1, 0.9]}, {"value": 1.0, "pair": None}],
        "by_class": {"3": {"value": 0.25, "pair": None}},
    }
    assert Whole.from_json(stored) == whole
    best = Whole.from_json({**stored, "best": {"value": 1}, "of a later version": 7}).best
    assert best == Part(value=1.0)
    assert isinstance(best.value, float)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"name": "a"}, "Whole without parts; written by another program"),
        ({"name": 3, "parts": []}, "Whole.name=3; expected str"),
        ({"name": "a", "parts": 3}, "Whole.parts=3; expected tuple"),
        ({"name": "a", "parts": [{"value": "x"}]}, "Part.value='x'; expected float"),
        ({"name": "a", "parts": [{"value": 0, "pair": [1, 2, 3]}]}, r"Part.pair=\[1, 2, 3\]; expected tuple"),
        ([], "expected values by name, got list"),
    ],
)
def test_other_files_are_refused_in_a_line(stored, message, tmp_path: Path):
    (tmp_path / "whole.json").write_text(json.dumps(stored))
    with pytest.raises(InputError, match=f"whole.json cannot be read: .*{message}"):
        Whole.read(tmp_path / "whole.json")


def test_a_damaged_file_is_refused_in_a_line(tmp_path: Path):
    (tmp_path / "whole.json").write_text('{"name": ')
    with pytest.raises(InputError, match="whole.json cannot be read: Expecting value"):
        Whole.read(tmp_path / "whole.json")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("evaluation-broken.json", TestResult),
        ("evaluation-attention.json", TestResult),
        ("probe.json", ProbeResult),
        ("robustness.json", RobustnessResult),
        ("geometry.json", GeometryResult),
        ("second_view.json", SecondViewResult),
    ],
)
def test_files_of_before_open_and_are_written_as_they_were(name: str, kind: type[Result], tmp_path: Path):
    kind.read(STORED / name).write(tmp_path / name)
    written = json.loads((tmp_path / name).read_text())
    assert written.pop("seal").startswith("mv2mae-sha256:")
    assert written == json.loads((STORED / name).read_text())


def test_results_show_themselves_in_a_notebook():
    paired = PairedTest(
        a=0.75, b=0.5, difference=0.25, interval=(0.125, 0.375), p=0.0125, num=8, groups=4, only_a=3, only_b=1
    )
    shown = paired._repr_html_()
    assert "<tr><td>interval</td><td>0.125 to 0.375</td></tr>" in shown
    assert "<tr><td>only a</td><td>3</td></tr>" in shown
    test = TestResult.read(STORED / "evaluation-broken.json")
    low, high = test.single_view.top1_interval
    top1 = f"{test.single_view.top1:.3f} ({low:.3f} to {high:.3f})"
    assert f"<td>top-1, single view</td><td>{top1}</td>" in test._repr_html_()
    probe = ProbeResult.read(STORED / "probe.json")
    assert probe._repr_html_().count("<tr>") == 1 + sum(map(len, probe.encoders.values()))
    assert f"<td>chance</td><td>{probe.chance:.3f}</td>" in probe._repr_html_()
    assert "&lt;b&gt;" in Whole(name="<b>", parts=())._repr_html_()
