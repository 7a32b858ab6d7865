"""Few labels: drawn by group, alike for all classes, from the seed alone."""

import json

import numpy as np
import pandas as pd
import pytest

from mv2mae.config import ClipConfig
from mv2mae.data.datamodule import finetune_data
from mv2mae.data.labels import class_key, few_labels, match_labels
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
    few = few_labels(table(), ClipConfig(labels_per_class=5), seed=0)
    assert len(few) == 3 * 5 * 3
    assert few.groupby("label")["group"].nunique().tolist() == [5, 5, 5]
    assert (few.groupby("group")["view"].nunique() == 3).all()


def test_a_fraction_is_one_of_each_class():
    few = few_labels(table((12, 20, 4)), ClipConfig(label_fraction=0.25), seed=0)
    assert few.groupby("label")["group"].nunique().tolist() == [3, 5, 1]
    few = few_labels(table(), ClipConfig(label_fraction=0.01), seed=0)
    assert few.groupby("label")["group"].nunique().tolist() == [1, 1, 1]


def test_all_labels_leave_the_table_alone():
    for config in (ClipConfig(), ClipConfig(label_fraction=1)):
        pd.testing.assert_frame_equal(few_labels(table(), config, seed=0), table())


def test_the_draw_follows_from_the_seed_and_grows_with_the_number():
    five, again, other, three = (
        few_labels(table(), ClipConfig(labels_per_class=number), seed=seed)
        for number, seed in ((5, 0), (5, 0), (5, 1), (3, 0))
    )
    pd.testing.assert_frame_equal(five, again)
    assert groups(five) != groups(other)
    assert groups(three) < groups(five)
    mixed_up = table().sample(frac=1, random_state=0).reset_index(drop=True)
    assert groups(few_labels(mixed_up, ClipConfig(labels_per_class=5), seed=0)) == groups(five)


def test_groups_are_drawn_evenly():
    frame, config = table((12,), 1), ClipConfig(labels_per_class=3)
    drawn = [name for seed in range(200) for name in few_labels(frame, config, seed)["group"]]
    counts = pd.Series(drawn).value_counts()
    assert len(counts) == 12
    assert np.ptp(counts) < 45  # 50 each on average, a standard deviation of 6


def test_a_class_with_too_few_groups_is_named():
    with pytest.raises(InputError, match=r"labels_per_class=10, but 1 classes .*class 2 has 6\); choose at most 6"):
        few_labels(table(), ClipConfig(labels_per_class=10), seed=0)


def test_rows_without_a_label_are_still_complained_of():
    frame = table()
    frame.loc[0, "label"] = pd.NA
    assert few_labels(frame, ClipConfig(labels_per_class=2), seed=0)["label"].isna().sum() == 1


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
        ClipConfig(**values)


def test_only_training_is_cut_down():
    config = ClipConfig(split="synthetic/xsub", labels_per_class=2)
    data = finetune_data(config, num_frames=4, size=32, num_repeats=1, seed=0)
    assert data.summary["groups"] == 2 * data.summary["classes"]
    assert data.summary["videos"] == 3 * data.summary["groups"]


def matched(tmp_path, names, labels, known):
    """The new number of each label of a manifest."""
    if names is not None:
        (tmp_path / "m.classes.json").write_text(json.dumps(names))
    frame = make_frame({"path": f"{k}.mp4", "group": k, "view": 0, "label": label} for k, label in enumerate(labels))
    rows, said = match_labels(frame, tmp_path / "m.csv", known)
    assert set(rows["label"].dropna()) == set(said)
    return rows["label"].fillna(-1).tolist()


@pytest.mark.parametrize(
    ("names", "labels", "known", "numbers"),
    [
        (["climb", "jump", "stand"], [0, 1, 2, None], {0: "jump", 1: "stand"}, [3, 0, 1, -1]),
        (["jump", "climb"], [0, 1], {0: "jump", 4: "stand"}, [0, 1]),  # a number that is free is kept
        ({"7": "stand"}, [7], {0: "jump", 1: "stand"}, [1]),
        (None, [1, 2, 5], {1: "1", 2: "2"}, [1, 2, 5]),  # numbers on both sides
        ({"1": "001"}, [1, 2], {1: "1", 2: "02"}, [1, 2]),
        (["JUMP ", "gr\u0075\u0308n"], [0, 1], {3: "gr\u00fcn", 5: "jump"}, [5, 3]),
        (["Jump", "jump"], [0, 1], {1: "Jump", 2: "jump"}, [1, 2]),  # the same case counts first
        (["2", "1.1"], [0, 1], {0: "1.1", 1: "2", 2: "3.1"}, [1, 0]),
    ],
)
def test_labels_are_numbered_as_the_model_numbers_their_names(tmp_path, names, labels, known, numbers):
    assert matched(tmp_path, names, labels, known) == numbers


@pytest.mark.parametrize(
    ("names", "labels", "known", "message"),
    [
        (
            None,
            [0, 1],
            {0: "jump", 1: "stand"},
            "class 0 is a number without a name, and the model's class 0 is 'jump'",
        ),
        (["jump", "stand"], [0, 1], {0: "0", 1: "1"}, "class 0 is 'jump', and the model's class 0 is '0'"),
        ({"0": "jump"}, [0, 1], {0: "jump", 1: "stand"}, "class 1 is a number without a name"),
        (None, [1], {0: "1", 1: "2"}, "class 1 is a number without a name"),
        (["a", "jump"], [1], {4: "Jump", 5: "JUMP"}, "the model has 2 classes 'jump'"),
        (["jump", "Jump"], [0, 1], {0: "jump", 1: "wave"}, r"0 \('jump'\) and 1 \('Jump'\) are one class of the model"),
        (["wave", "07", "7"], [0, 1, 2], {0: "wave", 5: "7"}, r"1 \('07'\) and 2 \('7'\) are one class"),
    ],
)
def test_numbers_that_clash_with_names_are_refused(tmp_path, names, labels, known, message):
    with pytest.raises(InputError, match=message):
        matched(tmp_path, names, labels, known)


def test_a_name_is_told_whatever_its_case():
    assert class_key(" Gr\u0075\u0308n") == class_key("gr\u00fcn")
    assert class_key("007") == class_key(7)
    assert class_key("1.1") != class_key("1.10")
