"""The picture of measured geometry is drawn whatever was measured."""

import matplotlib.backends.backend_agg as agg
import pytest

from mv2mae.studies.geometry.figure import geometry_figure
from mv2mae.studies.geometry.measure import MEASURES
from mv2mae.studies.geometry.results import GeometryResult

NAMES = ("uniform", "on the person", "same place", "true place")
NOTHING = {"value": None, "interval": None, "num": 0}


def cell(value):
    return {"value": value, "interval": [value - 0.05, value + 1e-17], "num": 30}


def measures(value):
    return {name: cell(value) for name in MEASURES} | {"near_hit": cell(value / 2)}


def entry(looker, kind, block, value, angles):
    empty = dict.fromkeys(MEASURES, NOTHING)
    return {
        "looker": looker,
        "map": kind,
        "block": block,
        "title": f"{looker}, {kind}",
        "overall": measures(value),
        "by_angle": [
            {"angle": angle, "performances": 3, **(measures(value) if angle < 180 else empty)} for angle in angles
        ],
        "by_part": {"head": measures(value), "torso": measures(value / 3), "left arm": empty},
    }


@pytest.mark.parametrize("angles", [(45.0,), (45.0, 90.0), tuple(22.5 * k for k in range(9))])
def test_the_figure(angles):
    lookers = [entry(looker, "best head", None, 0.3, angles) for looker in ("model", "untrained")]
    lookers += [
        entry(looker, "mean of heads", block, 0.1 * block, angles)
        for looker in ("model", "untrained")
        for block in (1, 2)
    ]
    lookers += [entry(name, "", None, 0.05, angles) for name in NAMES]
    heads = [
        {"looker": looker, "block": block, "head": head, **measures(0.1)}
        for looker in ("model", "untrained")
        for block in (1, 2)
        for head in (1, 2)
    ]
    found = {"weights": "runs/some/run", "lookers": lookers, "heads": heads, "tokens": 1234, "performances": 9,
             "drawn": {"cameras": "ring", "difficulty": "easy"}, "measures": MEASURES, "model": {},
             "best_head": [[1, 1], [1, 1]]}  # fmt: skip
    figure = geometry_figure(GeometryResult.from_json(found))
    agg.FigureCanvasAgg(figure).draw()
    part, near, exact, blocks, body, moved = figure.axes
    assert [tick.get_text() for tick in part.get_xticklabels()] == [f"{angle:g}" for angle in angles]
    assert near.get_xlabel() == exact.get_xlabel() == moved.get_xlabel() == "degrees between the cameras"
    assert [tick.get_text() for tick in body.get_xticklabels()] == ["head\n(30)", "torso\n(30)", "left arm\n(0)"]
    assert {1.0, 2.0} <= set(blocks.get_xticks())
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said[:3] == ["model, best head", "untrained, best head", "chance: any visible token"]
    assert figure.get_suptitle().startswith(
        "some/run, cross-attention: 1,234 masked tokens on the body, 9 performances"
    )
