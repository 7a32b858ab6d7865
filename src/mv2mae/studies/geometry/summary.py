"""From what `geometry.measure` counted to figures with intervals, by angle, block, head and part of the body."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from rich.console import Console

from mv2mae.config import GeometryConfig
from mv2mae.evaluate.metrics import interval
from mv2mae.evaluate.tables import interval as bounds
from mv2mae.evaluate.tables import number, print_table
from mv2mae.files import make_writable, write_figure
from mv2mae.studies.geometry.figure import geometry_figure
from mv2mae.studies.geometry.measure import (
    MEASURES,
    MODEL,
    PERSON,
    PLACE,
    UNIFORM,
    UNTRAINED,
    Measured,
    drawing,
    measure,
)
from mv2mae.studies.geometry.results import (
    NOTHING,
    AngleMeasures,
    GeometryResult,
    HeadMeasures,
    LookerResult,
    Mean,
    Measures,
    Summary,
)
from mv2mae.synthetic.views import BODY
from mv2mae.text import counted
from mv2mae.weights import find_weights, read_weights

BEST, MEAN = "best head", "mean of heads"
GEOMETRY_NAME = "geometry.json"
ANGLE_STEP = 22.5
"""Degrees; angles between cameras are gathered round the multiples of this, where none were asked for."""
_COLUMNS = dict(zip(("part", "person", "mass", "off", "near", "moment", "on it", "moved"), MEASURES, strict=True))

PLACES = {column: _COLUMNS[column] for column in ("near", "on it", "moved")}
"""What is compared with the same place, angle by angle; column -> measure."""


@dataclass(frozen=True)
class Looker:
    """Somebody who looks: a model with one of its maps, or a baseline; and what it scored, token by token."""

    name: str
    map: str
    """`BEST`, `MEAN`, or "" for a baseline."""
    block: int | None
    """From 1, of `MEAN`."""
    values: Float[np.ndarray, "q measures"]

    @property
    def title(self) -> str:
        """How it is called in tables and legends."""
        if self.map == BEST:
            return f"{self.name}, {BEST}"
        return f"{self.name}, block {self.block}" if self.map else self.name


def geometry(weights: str | Path, config: GeometryConfig, *, device: torch.device | str = "cpu") -> GeometryResult:
    """Measure where a model looks; see `geometry.measure` and `summarise`.

    Raises:
        InputError: as `measure`.
    """
    measured = measure(weights, config, device=device)
    model, drawn = read_weights(weights).config, drawing(weights, config)
    return GeometryResult(
        weights=str(weights),
        drawn={**asdict(config), "frames": drawn.num_frames, "frames_per_second": drawn.fps, "size": drawn.size},
        model={
            "grid": list(model.grid),
            "token_pixels": list(model.tubelet_size[1:]),
            "mask_ratio": model.mask_ratio,
        },
        **vars(summarise(measured)),
    )


def run_geometry(weights: str, config: GeometryConfig, out: str | Path, *, device: str = "cpu") -> None:
    """Measure, print, and write `geometry.json` and `geometry.png`.

    Raises:
        InputError: as `geometry.measure`, or a folder that cannot be written.
    """
    out = Path(out)
    find_weights(weights)  # or a folder would be made for results that cannot be
    make_writable(out)
    result = geometry(weights, config, device=device)
    print_geometry(result)
    result.write(out / GEOMETRY_NAME)
    print(f"  wrote {out / GEOMETRY_NAME}")
    write_figure(out / "geometry.png", geometry_figure(result), dpi=150)
    print(f"  wrote {out / 'geometry.png'}")


def summarise(measured: Measured) -> Summary:
    """Means with 95 % bootstrap intervals over performances."""
    rows = measured.rows
    lookers = list(_lookers(measured))
    heads = [
        HeadMeasures(looker=name, block=block + 1, head=head + 1, **_means(maps[:, block, head].mean(axis=0), rows))
        for name, maps in measured.maps.items()
        for block, head in np.ndindex(maps.shape[1], maps.shape[2] - 1)
    ]
    best = _best_heads(measured.maps[MODEL][0], rows)
    return Summary(
        tokens=len(rows),
        performances=int(rows["performance"].nunique()),
        measures=MEASURES,
        lookers=tuple(_result(looker, lookers, rows) for looker in lookers),
        heads=tuple(heads),
        best_head=tuple((block + 1, head + 1) for block, head in best),
    )


def _result(looker: Looker, lookers: list[Looker], rows: pd.DataFrame) -> LookerResult:
    """What one looker scored, overall, by angle and by part of the body; a model also against others."""
    bins = rows["at"].fillna((rows["angle"] / ANGLE_STEP).round() * ANGLE_STEP)
    by_angle = [
        AngleMeasures(
            angle=float(angle),
            performances=int(some["performance"].nunique()),
            against=_against(looker, lookers, some) if (looker.name, looker.map) == (MODEL, BEST) else None,
            **_means(looker.values[some.index], some),
        )
        for angle, some in rows.groupby(bins)
    ]
    by_part = {
        BODY[int(str(part))]: Measures(**_means(looker.values[some.index], some)) for part, some in rows.groupby("part")
    }
    return LookerResult(
        looker=looker.name,
        map=looker.map,
        block=looker.block,
        title=looker.title,
        overall=Measures(**_means(looker.values, rows)),
        by_angle=tuple(by_angle),
        by_part=by_part,
        against=_against(looker, lookers, rows) if looker.name == MODEL else None,
    )


def _against(looker: Looker, lookers: list[Looker], rows: pd.DataFrame) -> dict[str, Measures]:
    """A model's scores less those of the same map before training, less chance and less the same place; on the same
    tokens, those of `rows`."""
    others = [
        other
        for other in lookers
        if other.name in (UNIFORM, PERSON, PLACE)
        or (other.name, other.map, other.block) == (UNTRAINED, looker.map, looker.block)
    ]
    differences = {other.name: (looker.values - other.values)[rows.index] for other in others}
    return {name: Measures(**_means(values, rows)) for name, values in differences.items()}


def _lookers(measured: Measured) -> Iterator[Looker]:
    for name, maps in measured.maps.items():
        best = np.mean([_of_best_head(model, measured.rows) for model in maps], axis=0)
        yield Looker(name, BEST, None, best)
        for block in range(maps.shape[1]):
            yield Looker(name, MEAN, block + 1, maps[:, block, -1].mean(axis=0))
    for name, values in measured.blind.items():
        yield Looker(name, "", None, values)


def _of_best_head(
    maps: Float[np.ndarray, "layers heads+1 q measures"], rows: pd.DataFrame
) -> Float[np.ndarray, "q measures"]:
    """What the best head scored. It is chosen on the other half of the performances: the largest of many figures
    would else beat chance by itself.
    """
    on_even, on_odd = _best_heads(maps, rows)
    odd = rows["performance"].to_numpy() % 2 == 1
    return np.where(odd[:, None], maps[on_even], maps[on_odd])


def _best_heads(maps: np.ndarray, rows: pd.DataFrame) -> tuple[tuple[int, int], tuple[int, int]]:
    """(block, head) with the most hits on the same part in the even performances, and in the odd ones."""
    heads, odd = maps[:, :-1, :, list(MEASURES).index("part_hit")], rows["performance"].to_numpy() % 2 == 1
    sums, counts = (
        [np.nansum(values[..., half], axis=-1) for half in (~odd, odd)]
        for values in (heads, (~np.isnan(heads)).astype(float))
    )
    shares = [total / np.maximum(count, 1) for total, count in zip(sums, counts, strict=True)]
    even, uneven = (np.unravel_index(share.argmax(), share.shape) for share in shares)
    return (int(even[0]), int(even[1])), (int(uneven[0]), int(uneven[1]))


def _means(values: Float[np.ndarray, "n measures"], rows: pd.DataFrame) -> dict[str, Mean]:
    performance = rows["performance"].to_numpy()
    return {name: _mean(values[:, k], performance) for k, name in enumerate(MEASURES)}


def _mean(values: np.ndarray, performance: np.ndarray) -> Mean:
    counts = ~np.isnan(values)
    if not counts.any():
        return Mean(value=None, interval=None, num=0)
    between = interval(values[counts], performance[counts])
    return Mean(value=float(values[counts].mean()), interval=between, num=int(counts.sum()))


def print_geometry(result: GeometryResult) -> None:
    """On the terminal."""
    console, drawn = Console(), result.drawn
    said = counted(result.tokens, "masked token on the body", "masked tokens on the body")
    of = counted(result.performances, "performance")
    console.print(
        f"{result.weights}: {said}, {of}, cameras {drawn['cameras']}, {drawn['difficulty']}",
        soft_wrap=True,
        highlight=False,
    )
    rows = [_row(entry) for entry in result.lookers]
    models = sum(bool(entry.map) for entry in result.lookers)
    columns = ("where it looks", "part", "interval", *list(_COLUMNS)[1:])
    print_table(console, "the peak of the cross-attention", columns, [rows[:models], rows[models:]])
    for column, name in _COLUMNS.items():
        console.print(f"  {column:7} {MEASURES[name]}", soft_wrap=True, highlight=False)
    _print_places(console, result)
    shown = [entry for entry in result.lookers if entry.map == BEST or entry.looker in (UNIFORM, PERSON)]
    angles = [
        [f"{cells[0].angle:g} ({cells[0].performances})", *(number(cell.part_hit.value) for cell in cells)]
        for cells in zip(*(entry.by_angle for entry in shown), strict=True)
    ]
    columns = ("degrees (performances)", *(entry.title for entry in shown))
    console.print()
    print_table(console, "part, by the angle between the cameras", columns, [angles])
    for name, other in (result.of(MODEL, BEST).against or {}).items():
        gain: Any = other.part_hit
        text = f"  part, best head less {name}: {gain.value:+.3f} ({bounds(gain.interval, '+.3f')})"
        console.print(text, soft_wrap=True, highlight=False)


def _print_places(console: Console, result: GeometryResult) -> None:
    columns = ("degrees", *(f"{column}{end}" for column in PLACES for end in ("", ", same place", ", difference")))
    console.print()
    title = "the peak of the best head and the same place, by the angle between the cameras"
    print_table(console, title, columns, [place_rows(result)])


def place_rows(result: GeometryResult) -> list[list[str]]:
    """For each angle and measure of `PLACES`: the model's best head, the same place in the frame, and their difference
    on the same tokens with its interval.
    """
    best, place = result.of(MODEL, BEST), result.of(PLACE, "")
    rows = []
    for found, other in zip(best.by_angle, place.by_angle, strict=True):
        cells = [f"{found.angle:g}"]
        for name in PLACES.values():
            cells += [number(found.mean(name).value), number(other.mean(name).value)]
            gain = found.against[PLACE].mean(name) if found.against and PLACE in found.against else NOTHING
            known = gain.value is not None and gain.interval is not None
            cells.append(f"{gain.drawn:+.3f} ({bounds(gain.interval or (), '+.3f')})" if known else "-")
        rows.append(cells)
    return rows


def _row(entry: LookerResult) -> list[str]:
    part, *others = (entry.overall.mean(name) for name in _COLUMNS.values())
    between = bounds(part.interval).replace(" to ", "-") if part.interval else "-"
    return [entry.title, number(part.value), between, *(number(other.value) for other in others)]
