"""Settings of the generator, and what it makes of them."""

import pytest

from mv2mae.config import SynthConfig
from mv2mae.errors import InputError
from mv2mae.synthetic.data_set import SyntheticSet
from mv2mae.synthetic.people.actions import ACTIONS
from mv2mae.synthetic.people.bodies import NUM_SUBJECTS


def test_defaults_are_all_that_the_generator_has():
    assert SynthConfig().subjects == tuple(range(1, NUM_SUBJECTS + 1))
    assert SynthConfig().actions == ()
    assert SyntheticSet().actions == SyntheticSet(actions=tuple(ACTIONS)).actions == tuple(ACTIONS)
    assert SyntheticSet(actions=("wave",)).actions == ("wave",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"setups": ()}, "setups=.*at least one"),
        ({"actions": ("wave", "wave")}, "only once"),
        ({"fps": 0}, "fps=0; expected 1 to 240"),
        ({"size": 97}, "size=97.*try 96"),
        ({"own_rooms": True, "setups": (1, 2)}, "own_rooms with 2 setups"),
        ({"actions": ("wave",), "subjects": (1,), "num_groups": 2}, "num_groups=2.*give 1 to 1"),
    ],
)
def test_numbers_are_checked_without_the_generator(change, message):
    with pytest.raises(InputError, match=message):
        SynthConfig(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"actions": ("fly",)}, "action 'fly' is unknown"),
        ({"cameras": "moon"}, "is not a preset"),
        ({"truth": ("mass",)}, "truth="),
    ],
)
def test_names_are_the_generators_to_know(change, message):
    SynthConfig(**change)
    with pytest.raises(InputError, match=message):
        SyntheticSet(**change)
