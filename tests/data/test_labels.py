"""Few labels: drawn by group, alike for all classes, from the seed alone."""

import numpy as np
import pandas as pd
import pytest

from mv2mae.config import DataConfig
from mv2mae.data.datamodule import finetune_data
from mv2mae.data.labels import few_labels
from mv2mae.data.manifest import make_frame
from mv2mae.errors import InputError


def table(groups_per_class=(12, 20, 6), views=3):
    rows = [
        {"path": f"{label}-{number}-{view}.mp4", "group": f"{label}-{number}", "view": view, "label": label}
        for label, number_of_groups in enumerate(groups_per_class)
        for number in range(number_of_groups)
        for view in range(views)
    ]
    return make_frame(rows)


def groups(frame):
    return set(frame["group"])


def test_views_stay_together_and_classes_have_their_number():
    few = few_labels(table(), DataConfig(labels_per_class=5), seed=0)
    assert len(few) == 3 * 5 * 3
    assert few.groupby("label")["group"].nunique().tolist() == [5, 5, 5]
    assert (few.groupby("group")["view"].nunique() == 3).all()


def test_a_fraction_is_one_of_each_class():
    few = few_labels(table((12, 20, 4)), DataConfig(label_fraction=0.25), seed=0)
    assert few.groupby("label")["group"].nunique().tolist() == [3, 5, 1]
    few = few_labels(table(), DataConfig(label_fraction=0.01), seed=0)
    assert few.groupby("label")["group"].nunique().tolist() == [1, 1, 1]


def test_all_labels_leave_the_table_alone():
    for config in (DataConfig(), DataConfig(label_fraction=1)):
        pd.testing.assert_frame_equal(few_labels(table(), config, seed=0), table())


def test_the_draw_follows_from_the_seed_and_grows_with_the_number():
    five, again, other, three = (
        few_labels(table(), DataConfig(labels_per_class=number), seed=seed)
        for number, seed in ((5, 0), (5, 0), (5, 1), (3, 0))
    )
    pd.testing.assert_frame_equal(five, again)
    assert groups(five) != groups(other)
    assert groups(three) < groups(five)
    mixed_up = table().sample(frac=1, random_state=0).reset_index(drop=True)
    assert groups(few_labels(mixed_up, DataConfig(labels_per_class=5), seed=0)) == groups(five)


def test_groups_are_drawn_evenly():
    frame, config = table((12,), 1), DataConfig(labels_per_class=3)
    drawn = [name for seed in range(200) for name in few_labels(frame, config, seed)["group"]]
    counts = pd.Series(drawn).value_counts()
    assert len(counts) == 12
    assert np.ptp(counts) < 45  # 50 each on average, a standard deviation of 6


def test_a_class_with_too_few_groups_is_named():
    with pytest.raises(InputError, match=r"labels_per_class=10, but 1 classes .*class 2 has 6\); choose at most 6"):
        few_labels(table(), DataConfig(labels_per_class=10), seed=0)


def test_rows_without_a_label_are_still_complained_of():
    frame = table()
    frame.loc[0, "label"] = pd.NA
    assert few_labels(frame, DataConfig(labels_per_class=2), seed=0)["label"].isna().sum() == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"labels_per_class": 0}, "labels_per_class=0 must be at least 1"),
        ({"label_fraction": 1.5}, r"label_fraction=1.5 must lie in \(0, 1\]"),
        ({"labels_per_class": 5, "label_fraction": 0.5}, "exclude each other"),
    ],
)
def test_settings_that_cannot_be_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        DataConfig(**values)


def test_only_training_is_cut_down():
    config = DataConfig(split="synthetic/xsub", labels_per_class=2)
    data = finetune_data(config, num_frames=4, size=32, num_repeats=1, seed=0)
    assert data.summary["groups"] == 2 * data.summary["classes"]
    assert data.summary["videos"] == 3 * data.summary["groups"]
