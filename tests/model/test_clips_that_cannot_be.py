"""Clips of a wrong type, range or shape are refused; what can be is taken, wherever the model runs."""

import pytest
import torch

from mv2mae.errors import InputError
from mv2mae.model.encoder import Encoder
from mv2mae.model.motion import motion_weights
from mv2mae.model.tubelets import check_clip


def pixels(*shape):
    return torch.randint(0, 256, shape or (2, 3, 4, 32, 32), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (pixels().long(), "a clip of torch.int64; give uint8"),
        (pixels() > 9, "a clip of torch.bool"),
        (pixels().float(), "values from 0 to 255; floats have to lie in"),
        (pixels().half(), "floats have to lie in"),
        (torch.rand(2, 3, 4, 32, 32) * 4 - 2, "floats have to lie in"),
        (torch.full((2, 3, 4, 32, 32), torch.nan), "values from nan to nan"),
        (pixels(3, 4, 32, 32), r"a clip of shape \(3, 4, 32, 32\); give \[batch, 3 colours"),
        (pixels(2, 4, 3, 32, 32), "a clip of shape"),
        (pixels(2, 1, 4, 32, 32), "a clip of shape"),
    ],
)
def test_what_cannot_be_a_clip_is_refused(tiny, clip, message):
    with pytest.raises(InputError, match=message):
        check_clip(clip)
    if clip.ndim == 5:
        for use in (Encoder(tiny), motion_weights):
            with pytest.raises(InputError, match=message):
                use(clip)


def test_an_array_is_told_how_to_become_a_tensor():
    with pytest.raises(InputError, match=r"a clip that is a numpy.ndarray; give a tensor: torch.from_numpy\(clip\)"):
        check_clip(pixels().numpy())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_floats_may_overshoot_as_resampling_does(dtype):
    check_clip((torch.rand(1, 3, 4, 32, 32) * 1.2 - 0.1).to(dtype))
    check_clip(pixels())


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_values_are_not_looked_at_where_tensors_stand_for_others(tiny):
    encoder, clips = Encoder(tiny).eval(), torch.rand(3, 1, 3, 4, 32, 32)
    each = torch.func.vmap(encoder)(clips)
    torch.testing.assert_close(each[1], encoder(clips[1]))
    check_clip(torch.empty(1, 3, 4, 32, 32, device="meta"))
