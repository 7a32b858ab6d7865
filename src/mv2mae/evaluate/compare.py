"""Is one run better than another? A paired test on the same videos, whole groups at a time."""

from __future__ import annotations

import numpy as np
import pandas as pd
from rich.console import Console

from mv2mae.data.labels import class_key
from mv2mae.errors import InputError
from mv2mae.evaluate.metrics import chunks_of, fuse_views, top1_hits
from mv2mae.evaluate.results import PairedTest
from mv2mae.evaluate.scores import FUSED_NAME, class_names_in, renumbered
from mv2mae.evaluate.tables import interval, number, print_table
from mv2mae.text import counted

KEYS = ["group", "view"]
NAMES = {
    "single_view": "single view",
    "fused": "fused by mean",
    "attention": "attention",
    "attention_late": "attention, mean",
    "late_attention": "mean, attention",
}
"""What `compare` finds -> as text, which leave the table room in 80 columns."""
_FUSIONS = {
    ("late", "late"): "fused",
    ("attention", "attention"): "attention",
    ("attention", "late"): "attention_late",
    ("late", "attention"): "late_attention",
}
"""Of a's and b's views -> what `compare` calls the pair."""


def compare(
    a: pd.DataFrame,
    b: pd.DataFrame,
    *,
    fused_a: pd.DataFrame | None = None,
    fused_b: pd.DataFrame | None = None,
    draws: int = 10_000,
    seed: int = 0,
) -> dict[str, PairedTest]:
    """Top-1 of two runs on the same videos, and whether their difference may be chance.

    The views of a group are right or wrong together, and the two runs stumble over the same groups: McNemar's test on
    videos would take them for independent. So groups are drawn: for the interval, a bootstrap of the paired difference;
    for p, the two runs' answers are exchanged in a random half of the groups (two-sided permutation test).

    Args:
        a, b: tables of scores (`read_scores`).
        fused_a, fused_b: a row a group where a run's views were fused by attention too (fused.parquet).
        draws: random draws of each kind; p is at least 1 / (draws + 1).
        seed: of the draws.

    Returns:
        `single_view`, and `fused` (by the mean) where groups have several views. With learned fusions also every pair
        with one of them: `attention` (both), `attention_late` (a's attention against b's mean) and `late_attention`. A
        run against itself gives its attention against its mean.

    Raises:
        InputError: the two were not tested on the same videos, or a fused table is of other groups.
    """
    if new := _numbers_in(a, b):
        names = class_names_in(b)
        fused_b = None if fused_b is None else renumbered(fused_b, new, names)
        b = renumbered(b, new, names)
    b = _matched(a, b)
    found = {"single_view": _paired(a, b, draws, seed)}
    if a["view"].nunique() == 1 and fused_a is None and fused_b is None:
        return found
    late = fuse_views(a)
    by_fusion = [_fusions(late, late, fused_a), _fusions(late, fuse_views(b), fused_b)]
    for (kind_a, kind_b), name in _FUSIONS.items():
        if kind_a in by_fusion[0] and kind_b in by_fusion[1]:
            found[name] = _paired(by_fusion[0][kind_a], by_fusion[1][kind_b], draws, seed)
    return found


def _fusions(order: pd.DataFrame, late: pd.DataFrame, learned: pd.DataFrame | None) -> dict[str, pd.DataFrame]:
    """A run's groups, fused in each way that there is, all in the order of `order`."""
    order = order.assign(path=order["group"])
    if learned is None:
        return {"late": _matched(order, late)}
    if set(learned["group"].astype(str)) != set(late["group"].astype(str)):
        raise InputError(
            f"the {len(learned)} groups in a {FUSED_NAME} are not the {len(late)} of the scores beside it; test that "
            "run again with --fusion attention"
        )
    return {"late": _matched(order, late), "attention": _matched(order, learned)}


def _matched(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """The rows of b in the order of a's."""
    names = [list(zip(*(table[key].astype(str) for key in KEYS), strict=True)) for table in (a, b)]
    known = [set(rows) for rows in names]
    only = [[name for name in names[i] if name not in known[1 - i]] for i in (0, 1)]
    if only[0] or only[1]:
        which = 0 if only[0] else 1
        group, view = only[which][0]
        raise InputError(
            f"not tested on the same videos: {len(only[0])} of {len(a)} are in the first test only, {len(only[1])} of "
            f"{len(b)} in the second only (for instance group {group}, view {view}); test both on the same split"
        )
    order = pd.Series(range(len(b)), index=pd.MultiIndex.from_tuples(names[1]))
    b = b.iloc[order.loc[names[0]].to_numpy()].reset_index(drop=True)
    other = (a["label"].to_numpy(dtype=int) != b["label"].to_numpy(dtype=int)).nonzero()[0]
    if len(other):
        k = int(other[0])
        said = [class_names_in(table).get(int(table["label"].iloc[k]), str(table["label"].iloc[k])) for table in (a, b)]
        raise InputError(
            f"the two tests give {len(other)} videos different labels (for instance {a['path'].iloc[k]}: "
            f"{' and '.join(said)}); test both on the same manifest"
        )
    return b


def _numbers_in(a: pd.DataFrame, b: pd.DataFrame) -> dict[int, int]:
    """For each class of b its number in a, by name; the numbers themselves where one of them has no names."""
    known, names = class_names_in(a), class_names_in(b)
    if not (known and names):
        return {}
    number = {class_key(name): label for label, name in reversed(known.items())}
    free = max(*known, *names) + 1
    new: dict[int, int] = {}
    for label, name in names.items():
        same = class_key(known.get(label, "")) == class_key(name)
        new[label] = label if same else number.get(class_key(name), free + len(new))
    return new


def _paired(a: pd.DataFrame, b: pd.DataFrame, draws: int, seed: int) -> PairedTest:
    return paired_hits(top1_hits(a), top1_hits(b), a["group"].to_numpy(), draws=draws, seed=seed)


def paired_hits(
    hits_a: np.ndarray, hits_b: np.ndarray, groups: np.ndarray, *, draws: int = 10_000, seed: int = 0
) -> PairedTest:
    """What `compare` finds for one kind of score: whether answers [rows] are right in a and in b, and their groups."""
    codes = np.unique(groups, return_inverse=True)[1]
    sums, counts = np.bincount(codes, weights=hits_a.astype(float) - hits_b), np.bincount(codes)
    rng = np.random.default_rng(seed)
    means, as_far = [], 0
    moving = sums[sums != 0]
    for size in chunks_of(draws, len(counts)):
        picks = rng.integers(len(counts), size=(size, len(counts)))
        means.append(sums[picks].sum(axis=1) / counts[picks].sum(axis=1))
        signs = rng.integers(2, size=(size, len(moving))) * 2 - 1
        as_far += int((np.abs(signs @ moving) >= abs(moving.sum()) - 1e-9).sum())
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return PairedTest(
        a=float(hits_a.mean()),
        b=float(hits_b.mean()),
        difference=float(hits_a.mean() - hits_b.mean()),
        interval=(float(low), float(high)),
        p=(1 + as_far) / (1 + draws),
        num=len(hits_a),
        groups=len(counts),
        only_a=int((hits_a & ~hits_b).sum()),
        only_b=int((hits_b & ~hits_a).sum()),
    )


def print_comparison(found: dict[str, PairedTest], name_a: str, name_b: str) -> None:
    """A comparison on the terminal."""
    console = Console()
    rows = [
        (NAMES[name], number(row.a), number(row.b), f"{row.difference:+.3f}", interval(row.interval, "+.3f"),
         f"{row.p:.4f}", str(row.only_a), str(row.only_b))
        for name, row in found.items()
    ]  # fmt: skip
    columns = ("top-1", "A", "B", "A - B", "95 % interval", "p", "only A", "only B")
    print_table(console, f"A {name_a}\nB {name_b}", columns, [rows])
    groups = counted(next(iter(found.values())).groups, "group")
    console.print(f"  paired over {groups}: bootstrap interval, two-sided permutation test", highlight=False)
    console.print("  only A: right in A and wrong in B; only B: the other way round")
    if len(found) > 2:
        console.print("  attention, mean: views fused by attention in A, by the mean in B; and so on")
