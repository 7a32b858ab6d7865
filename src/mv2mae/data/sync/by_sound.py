"""The offset and the drift between two recordings of the same sound.

Both are whitened; pieces of the first are correlated with the second at every lag (by Fourier transform), and the line
of lags is taken along which all pieces fit. What one piece says to an eighth of a millisecond is then averaged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from mv2mae.data.sync.lines import Line, along, best_line, fitted_line
from mv2mae.data.sync.sound import MIN_SECONDS, RATE, Sound

PIECE_SECONDS = 2.5
_MOST_PIECES = 100
_OVERLAP = 0.3
_BIN = 32
"""Lags whose highest correlation stands for all: 4 ms, through which a clock that drifts does not slip in a piece."""
_LOBE_SECONDS = 0.2
"""Echoes lie as near to a peak."""
_PLAIN = 12.0
"""Standard deviations beyond which only the logarithm counts, so that one bang does not outvote all other pieces."""
_OFF_LINE_SECONDS = 0.003
_MIN_DRIFT_SECONDS = 0.002
"""Over half a recording; less is no drift that matters."""
_RARE_DRIFT, _RARE_NEEDS = 0.0005, 1.25
"""No two clocks differ by so much, unless one's rate is wrong: a line that steep needs more to be believed."""
MIN_HEIGHT, MAX_RIVAL = 10.0, 0.7
"""What a pair needs to be believed: the line's height, and the height of its rival as a share of it."""


@dataclass(frozen=True)
class SoundPair:
    """What happens at t of the first recording's clock is heard in the second at `offset + (1 + drift) * t`.

    Attributes:
        offset, drift: seconds, and seconds a second.
        confidence: evidence over what is needed; believed from 1 on.
        lags, curve: height at every lag tried, for a picture.
    """

    offset: float
    drift: float
    confidence: float
    lags: Float64[np.ndarray, " l"]
    curve: Float64[np.ndarray, " l"]


def compare_sounds(a: Sound, b: Sound, *, max_offset: float) -> SoundPair | None:
    """Lays two recordings over each other; None where they are too short to be compared.

    Args:
        a, b: whitened, on the clocks that are compared.
        max_offset: seconds; the largest lag tried.
    """
    first, last = max(a.start, b.start - max_offset), min(a.end, b.end + max_offset)
    length = min(PIECE_SECONDS, last - first, b.end - b.start)
    if length < MIN_SECONDS:
        return None
    num = max(1, min(_MOST_PIECES, int((last - first) / length)))
    begins = first + (last - first - length) * (np.arange(num) + 0.5) / num if num > 1 else np.array([first])
    pieces = [_correlation(a.between(t, t + length), b, max_offset) for t in begins]
    kept = [index for index, piece in enumerate(pieces) if np.isfinite(piece).any()]
    if not kept:
        return None
    times, found = begins[kept] + length / 2, np.stack([pieces[index] for index in kept])
    pooled = found[:, : found.shape[1] // _BIN * _BIN].reshape(len(kept), -1, _BIN).max(axis=2)  # NaN stays NaN
    half, step, first_lag = (pooled.shape[1] - 1) // 2, _BIN / RATE, -(found.shape[1] // 2) / RATE
    pooled = pooled[:, : 2 * half + 1]
    line = best_line(_tamed(pooled), times, step=step, lobe=_LOBE_SECONDS)
    lags = first_lag + (np.arange(2 * half + 1) + 0.5) * step
    place = _loudest(pooled, times, line, half, step)
    offset, drift = _refined(found, times, first_lag, replace(line, lag=float(lags[place])))
    evidence = min(line.height / MIN_HEIGHT, (1 - line.rival / max(line.height, 1e-9)) / (1 - MAX_RIVAL))
    if abs(drift) > _RARE_DRIFT:
        evidence /= _RARE_NEEDS
    return SoundPair(offset, drift, max(0.0, evidence), lags, line.curve)


def _loudest(pooled: np.ndarray, times: np.ndarray, line: Line, half: int, step: float) -> int:
    """The lag near the line at which the correlations are highest untamed: the sound itself, not one of its echoes.

    A peak may lie across two bins, so that each bin is looked at with its neighbours.
    """
    with_echo = np.pad(np.nan_to_num(pooled), ((0, 0), (1, 1)))
    wide = np.maximum(np.maximum(with_echo[:, :-2], with_echo[:, 2:]), with_echo[:, 1:-1]) + 0.1 * pooled
    heights = along(wide, line.drift * (times - line.middle) / step)
    near = np.abs(np.arange(len(heights)) - half - line.lag / step) <= _LOBE_SECONDS / step
    return int(np.where(near, heights, -np.inf).argmax())


def _correlation(piece: Sound, other: Sound, max_offset: float) -> Float64[np.ndarray, " l"]:
    """Size of the correlation of a piece with another recording at lags -max .. max, in standard deviations.

    The deviation at each lag follows from the squares of what is multiplied there, so that two loud moments that meet
    are no agreement yet. The sign is left out: a microphone may be wired the other way round. NaN where less than
    `_OVERLAP` of the piece lies over the other recording.
    """
    reach = round(max_offset * RATE)
    num = len(piece.samples)
    begin = round((piece.start - other.start) * RATE) - reach
    window, inside = np.zeros(num + 2 * reach), np.zeros(num + 2 * reach)
    low, high = max(0, begin), min(len(other.samples), begin + len(window))
    if high > low:
        window[low - begin : high - begin] = other.samples[low:high]
        inside[low - begin : high - begin] = 1
    products = _lagged(piece.samples, window, 2 * reach + 1)
    squares = _lagged(piece.samples**2, window**2, 2 * reach + 1)
    sums = np.concatenate([[0.0], np.cumsum(inside)])
    enough = sums[num:] - sums[:-num] >= _OVERLAP * num
    found = np.full(2 * reach + 1, np.nan)
    found[enough] = np.abs(products[enough]) / np.sqrt(np.maximum(squares[enough], 1e-6 * num))
    if enough.any():  # of a Gaussian without its sign the median lies at 0.6745 standard deviations
        found /= max(float(np.median(found[enough])) / 0.6745, 1e-12)
    return found


def _tamed(scores: np.ndarray) -> np.ndarray:
    return np.where(scores > _PLAIN, _PLAIN * (1 + np.log(np.maximum(scores, _PLAIN) / _PLAIN)), scores)


def _lagged(piece: np.ndarray, window: np.ndarray, num_lags: int) -> np.ndarray:
    """Sums of products of a piece with the window that begins at each lag."""
    size = 1 << int(np.ceil(np.log2(len(window))))
    return np.fft.irfft(np.fft.rfft(window, size) * np.conj(np.fft.rfft(piece, size)), size)[:num_lags]


def _refined(found: np.ndarray, times: np.ndarray, first_lag: float, line: Line) -> tuple[float, float]:
    """The offset at time 0 and the drift, from the highest correlation of each piece near the line."""
    near = _BIN + round(_OFF_LINE_SECONDS * RATE)
    best, weights = [], []
    for row, where in zip(np.nan_to_num(found), line.lag + line.drift * (times - line.middle), strict=True):
        centre = round((where - first_lag) * RATE)
        low = min(max(0, centre - near), len(row) - 1)
        place = low + int(row[low : max(low + 1, centre + near + 1)].argmax())
        best.append(first_lag + place / RATE)
        weights.append(min(float(row[place]), _PLAIN) ** 2 + 1e-9)
    lags, sizes = np.array(best), np.array(weights)
    level = lags - line.drift * (times - line.middle)
    kept = np.abs(level - _weighted_median(level, sizes)) <= _OFF_LINE_SECONDS
    if kept.sum() >= 4:
        offset, slope, error = fitted_line(times[kept], lags[kept], sizes[kept])
        if abs(slope) > 3 * error and abs(slope) * np.ptp(times[kept]) / 2 > _MIN_DRIFT_SECONDS:
            return offset, slope
    return float(np.average(lags[kept], weights=sizes[kept])), 0.0


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    sums = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(sums, sums[-1] / 2)])
