"""What makes the second view count: a visible source, rotary positions in the decoders, known cameras."""

import cmath
import dataclasses
import math

import pytest
import torch

from mv2mae.config import ModelConfig
from mv2mae.errors import InputError
from mv2mae.model.attention_maps import cross_attention_layers
from mv2mae.model.cameras import RayEmbedding, known_cameras, token_rays
from mv2mae.model.layers import CrossBlock, rotated, rotation_table
from mv2mae.model.pretraining import MV2MAE
from mv2mae.model.tubelets import denormalised, normalised_target

SEEDS = torch.arange(4)


def build(config, **settings):
    """A model whose rays, which begin at 0, count for something."""
    torch.manual_seed(0)
    model = MV2MAE(dataclasses.replace(config, **settings)).eval()
    if model.ray_embedding is not None:
        torch.nn.init.normal_(model.ray_embedding.mlp[2].weight, std=0.1)
    return model


def orbit(degrees, distance=3.0, height=0.0, fx=1.2):
    """A camera that looks at the world's origin from so many degrees around it."""
    angle = math.radians(degrees)
    centre = torch.tensor([distance * math.sin(angle), height, -distance * math.cos(angle)])
    forward = -centre / centre.norm()
    right = torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0]), forward)
    right = right / right.norm()
    rotation = torch.stack([right, torch.linalg.cross(forward, right), forward])
    return torch.cat([torch.tensor([fx, 1.2, 0.5, 0.45]), rotation.flatten(), -rotation @ centre])


def rig(*degrees, batch=1, **settings):
    return torch.stack([orbit(d, **settings) for d in degrees]).expand(batch, -1, -1).clone()


# --- rotary positions ------------------------------------------------------------------------------------


def test_rotations_equal_complex_numbers():
    grid, width = (2, 3, 4), 16
    table = rotation_table(grid, width)
    assert table.shape == (24, 8, 2)
    x = torch.randn(1, 1, 24, width, generator=torch.Generator().manual_seed(0))
    out = rotated(x, table[None])
    per_axis = (2, 3, 3)  # pairs of time, rows, columns
    for n in range(24):
        place = (n // 12, n // 4 % 3, n % 4)
        turns = [at * 100.0 ** (-i / pairs) for at, pairs in zip(place, per_axis, strict=True) for i in range(pairs)]
        for p, turn in enumerate(turns):
            value = complex(x[0, 0, n, p], x[0, 0, n, p + 8]) * cmath.exp(1j * turn)
            assert complex(out[0, 0, n, p], out[0, 0, n, p + 8]) == pytest.approx(value, abs=1e-5)


def test_products_of_queries_and_keys_depend_on_distances_alone():
    grid, width = (2, 4, 4), 12
    table = rotation_table(grid, width)
    q, k = torch.randn(2, width, generator=torch.Generator().manual_seed(1))
    n = 32
    turned_q, turned_k = (rotated(x.expand(1, 1, n, width), table[None])[0, 0] for x in (q, k))
    products = (turned_q @ turned_k.T).view(*grid, *grid)
    torch.testing.assert_close(products[0, 0, 0, 1, 2, 1], products[0, 1, 2, 1, 3, 3])
    torch.testing.assert_close(products[1, 3, 1, 0, 2, 2], products[1, 2, 0, 0, 1, 1])
    assert (products[0, 0, 0, 0, 0, 1] - products[0, 0, 0, 0, 0, 2]).abs() > 1e-3


@pytest.mark.parametrize("sources", [1, 2])
def test_decoders_with_rotations_see_the_same_whatever_the_order_of_tokens(tiny, sources):
    model = build(tiny, decoder_positions="rope", source_mask_ratio=0.0)
    visible, masked = (part[:, 0] for part in model.draw_masks(4, 1, torch.device("cpu"), SEEDS)[:2])
    tokens, shown = torch.randn(4, visible.shape[1], 24), torch.randn(4, sources, 32, 24)
    idx = torch.arange(32).expand(4, sources, 32)
    order, turn = torch.randperm(visible.shape[1]), torch.randperm(32)
    for decode, extra, moved in (
        (model.decode_self, (), ()),
        (model.decode_cross, (shown, idx), (shown[:, :, turn], idx[:, :, turn])),
    ):
        one = decode(tokens, visible, masked, *extra)
        other = decode(tokens[:, order], visible[:, order], masked, *moved)
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_rotations_change_the_decoders_and_not_the_encoder(tiny, pair):
    plain, rope = build(tiny), build(tiny, decoder_positions="rope")
    assert plain.state_dict().keys() == rope.state_dict().keys()
    clip = pair[0]
    assert torch.equal(plain.encoder(clip), rope.encoder(clip))
    assert not torch.allclose(plain(*pair, seeds=SEEDS).loss, rope(*pair, seeds=SEEDS).loss, rtol=1e-4)


# --- a visible source, one direction ---------------------------------------------------------------------


def test_one_direction_is_the_targets_half_of_both(tiny, pair):
    both, one = build(tiny), build(tiny, directions="one")
    out, half = both(*pair, seeds=SEEDS), one(*pair, seeds=SEEDS, with_reconstructions=True)
    torch.testing.assert_close(half.loss, out.self_target + out.cross_target)
    assert half.self_source == half.cross_source == half.baseline_source == 0
    torch.testing.assert_close(half.baseline_target, out.baseline_target)
    assert half.reconstructions.cross_view.shape[:2] == (4, 1)


def test_both_directions_with_a_visible_source_are_one_direction_twice(tiny, pair):
    source, target = pair
    settings = {"source_mask_ratio": 0.0, "decoder_positions": "rope"}
    out = build(tiny, **settings)(source, target, seeds=SEEDS)
    masks = build(tiny, **settings).draw_masks(4, 2, target.device, SEEDS)
    one = build(tiny, **settings, directions="one")
    turned = type(masks)(*(part.flip(1) for part in masks))
    torch.testing.assert_close(one(source, target, masks=masks).cross_target, out.cross_target)
    torch.testing.assert_close(one(target, source, masks=turned).cross_target, out.cross_source)


def test_the_cross_view_decoder_sees_the_shown_tokens_of_the_source_and_no_others(tiny, pair):
    source, target = pair
    model = build(tiny, source_mask_ratio=0.5, directions="one")
    masks = model.draw_masks(4, 2, target.device, SEEDS)
    assert masks.source_idx.shape == (4, 2, 16)
    before = model(source, target, masks=masks, with_reconstructions=True).reconstructions
    grid = torch.arange(32).view(2, 4, 4)
    for token in range(32):
        t, h, w = (int(x) for x in (grid == token).nonzero()[0])
        changed = source.clone()
        changed[0, :, 2 * t : 2 * t + 2, 8 * h : 8 * h + 8, 8 * w : 8 * w + 8] = 0.9
        after = model(changed, target, masks=masks, with_reconstructions=True).reconstructions
        shown = token in masks.source_idx[0, 1].tolist()
        assert torch.equal(after.cross_view[0], before.cross_view[0]) != shown, token
        assert torch.equal(after.self_view, before.self_view)


def test_what_a_source_shows_is_not_what_it_would_keep_as_a_target(tiny):
    model = build(tiny, source_mask_ratio=0.5, mask_ratio=0.5)
    masks = model.draw_masks(64, 2, torch.device("cpu"))
    shared = [
        len({*a.tolist()} & {*b.tolist()}) for a, b in zip(masks.visible_idx[:, 0], masks.source_idx[:, 0], strict=True)
    ]
    assert 6 < sum(shared) / 64 < 10  # 8 of 16 if independent
    assert masks.shown_idx is masks.source_idx


def test_a_visible_source_is_learnt_from(tiny, pair):
    """Source = the target's own clip: what the cross-view decoder has to learn is to look at the same place."""
    torch.manual_seed(0)
    settings = {"source_mask_ratio": 0.0, "directions": "one", "decoder_positions": "rope", "mask_ratio": 0.9}
    model = MV2MAE(dataclasses.replace(tiny, **settings))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(250):
        clip = torch.rand(8, 3, 4, 8, 8, generator=generator)
        clip = torch.nn.functional.interpolate(clip.flatten(0, 1), (32, 32), mode="bilinear").view(8, 3, 4, 32, 32)
        out = model(clip, clip)
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
    assert out.cross_target < 0.8 * out.self_target


def test_maps_are_those_of_the_shown_tokens(tiny, pair):
    model = build(tiny, source_mask_ratio=0.0, directions="one", decoder_positions="rope", cameras="rays")
    maps = cross_attention_layers(model, *pair, seeds=SEEDS, cameras=rig(0, 20, batch=4))
    assert [m.weights.shape for m in maps] == 2 * [(4, 2, 32, 32)]
    for each in maps:
        torch.testing.assert_close(each.weights.sum(dim=-1), torch.ones(4, 2, 32))
        assert not each.over_source().isnan().any()
    without = cross_attention_layers(model, *pair, seeds=SEEDS)
    assert not torch.allclose(maps[0].weights, without[0].weights, atol=1e-4)


@torch.no_grad()
def test_several_whole_sources_are_a_set_each_with_its_own_camera(tiny):
    model = build(tiny, source_mask_ratio=0.0, directions="one", decoder_positions="rope", cameras="rays")
    clips = torch.rand(3, 1, 3, tiny.num_frames, tiny.image_size, tiny.image_size, generator=torch.manual_seed(0))
    target, sources, cameras = clips[0], clips[1:].movedim(0, 1), rig(0, 20, 60)
    out = model(sources, target, seeds=SEEDS[:1], cameras=cameras, with_reconstructions=True)
    swapped = model(sources.flip(1), target, seeds=SEEDS[:1], cameras=cameras[:, [0, 2, 1]], with_reconstructions=True)
    crossed = model(sources, target, seeds=SEEDS[:1], cameras=cameras[:, [0, 2, 1]], with_reconstructions=True)
    one = model(sources[:, :1], target, seeds=SEEDS[:1], cameras=cameras[:, :2], with_reconstructions=True)
    made, again, wrong, alone = (o.reconstructions.cross_view for o in (out, swapped, crossed, one))
    torch.testing.assert_close(made, again, atol=1e-5, rtol=1e-4)
    assert (made - wrong).abs().max() > 1e-4
    assert (made - alone).abs().max() > 1e-4


# --- order of a block, floor of the target ---------------------------------------------------------------


@torch.no_grad()
def test_self_attention_first_lets_the_first_block_ask_by_what_is_visible(tiny, pair):
    source, target = pair
    other = target.flip(2)  # the same pixels at other moments: other visible tokens under the same masks

    def asks_otherwise(order: str) -> bool:
        model = build(tiny, source_mask_ratio=0.0, directions="one", decoder_order=order)
        first, again = (cross_attention_layers(model, source, clip, seeds=SEEDS)[0] for clip in (target, other))
        masked = first.masks.masked_idx[0, 0]
        return not torch.allclose(first.weights[0][:, masked], again.weights[0][:, masked], atol=1e-6)

    assert not asks_otherwise("cross-first")  # a masked token knows its place alone
    assert asks_otherwise("self-first")


@torch.no_grad()
def test_a_block_with_self_attention_first_is_its_parts_in_that_order():
    torch.manual_seed(0)
    block = CrossBlock(16, 2, self_first=True).eval()
    x, memory = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    inner = block.block
    wanted = x + inner.attention(inner.norm1(x))
    wanted = wanted + block.cross_attention(block.norm_query(wanted), block.norm_memory(memory))
    wanted = wanted + inner.mlp(inner.norm2(wanted))
    torch.testing.assert_close(block(x, memory), wanted)
    torch.testing.assert_close(block(x, memory, num_last=3), wanted[:, -3:])


def test_a_floor_lets_faint_patterns_count_for_less():
    parts = torch.full((1, 2, 64, 3), 0.5)
    noise = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    parts[0, 0] += 0.001 * noise  # next to nothing to see
    parts[0, 1] += 0.2 * noise
    plain, floored = normalised_target(parts), normalised_target(parts, 0.02)
    torch.testing.assert_close(floored[0, 1], plain[0, 1])
    assert plain[0, 0].square().mean() == pytest.approx(1, abs=0.02)
    assert floored[0, 0].square().mean() == pytest.approx(0.05**2, rel=0.2)
    torch.testing.assert_close(denormalised(floored, parts, 0.02), parts)


def test_the_loss_knows_the_floor(tiny, pair):
    source, target = pair
    faint = (0.5 + 0.01 * (target - 0.5), 0.5 + 0.01 * (source - 0.5))
    plain, floored = (build(tiny, target_floor=floor)(*faint, seeds=SEEDS).baseline_target for floor in (0.0, 0.1))
    assert plain == pytest.approx(1, abs=0.05)
    assert floored < 0.1


# --- cameras ---------------------------------------------------------------------------------------------


def project(camera, point):
    fx, fy, cx, cy = camera[:4].tolist()
    x, y, z = (camera[4:13].view(3, 3) @ point + camera[13:]).tolist()
    return fx * x / z + cx, fy * y / z + cy


def test_rays_of_tokens_that_show_the_same_point_meet():
    """The reciprocal product of two Pluecker lines vanishes if they meet; here, in the limit of small tokens."""
    cameras, grid = rig(0, 30, distance=3.0, height=-0.5), (1, 400, 400)
    rays = token_rays(cameras, grid)[0]

    def ray(view, point):
        u, v = project(cameras[0, view], point)
        return rays[view, int(v * 400) * 400 + int(u * 400)].split(3)

    for point in torch.tensor([[0.0, 0.0, 0.0], [0.3, -0.2, 0.4], [-0.5, 0.4, -0.3]]):
        (d1, m1), (d2, m2) = ray(0, point), ray(1, point)
        assert abs(float(d1 @ m2 + d2 @ m1)) < 5e-3
        torch.testing.assert_close(torch.stack([d1, d2]).norm(dim=-1), torch.ones(2))
        assert abs(float(d1 @ m1)) < 1e-5
    (d1, m1), (d2, m2) = ray(0, torch.tensor([0.3, -0.2, 0.4])), ray(1, torch.tensor([-0.5, 0.4, -0.3]))
    assert abs(float(d1 @ m2 + d2 @ m1)) > 0.05


def test_rays_do_not_depend_on_the_worlds_axes():
    cameras = rig(0, 45, height=-0.4)
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(2)))
    q = q * torch.linalg.det(q).sign()
    shift = torch.tensor([3.0, -1.0, 8.0])
    moved = cameras.clone()
    for v in range(2):  # the same cameras in a world of x' = q x + shift
        rotation, t = cameras[0, v, 4:13].view(3, 3), cameras[0, v, 13:]
        moved[0, v, 4:13] = (rotation @ q.T).flatten()
        moved[0, v, 13:] = t - rotation @ q.T @ shift
    torch.testing.assert_close(token_rays(moved, (2, 4, 4)), token_rays(cameras, (2, 4, 4)), rtol=1e-3, atol=1e-4)


def test_mirrored_pictures_have_mirrored_rays():
    cameras = rig(0, 30)
    cameras[..., 2] = 0.4
    mirrored = cameras.clone()
    mirrored[..., 0], mirrored[..., 2] = -cameras[..., 0], 1 - cameras[..., 2]
    plain, turned = (token_rays(c, (1, 4, 6))[0].view(2, 4, 6, 6) for c in (cameras, mirrored))
    # the same world rays at the mirrored columns, their first axis turned about; a moment is a pseudovector
    sign = torch.tensor([-1.0, 1.0, 1.0, 1.0, -1.0, -1.0])
    torch.testing.assert_close(turned.flip(2), plain * sign, rtol=1e-4, atol=1e-5)


def test_rays_are_the_same_at_all_times_and_lie_in_the_targets_frame():
    rays = token_rays(rig(70, 20), (3, 4, 4))[0]
    assert torch.equal(rays[:, :16], rays[:, 16:32])
    middle = rays[0].view(3, 4, 4, 6)[0, 1:3, 1:3].mean(dim=(0, 1))
    assert middle[2] > 0.95  # the target looks along its own third axis


def test_an_item_with_an_unknown_camera_is_decoded_as_without(tiny, pair):
    model = build(tiny, cameras="rays", decoder_positions="rope")
    cameras = rig(0, 30, batch=4)
    cameras[1, 1] = float("nan")
    assert known_cameras(cameras).tolist() == [True, False, True, True]
    made, without = (
        model(*pair, seeds=SEEDS, cameras=c, with_reconstructions=True).reconstructions for c in (cameras, None)
    )
    assert torch.equal(made.self_view, without.self_view)
    same = [torch.allclose(a, b, atol=1e-6) for a, b in zip(made.cross_view, without.cross_view, strict=True)]
    assert same == [False, True, False, False]


def test_an_unknown_camera_spoils_no_gradient(tiny, pair):
    model = build(tiny, cameras="rays").train()
    model(*pair, seeds=SEEDS, cameras=torch.full((4, 2, 16), float("nan"))).loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_cameras_are_withheld_in_training_alone_and_by_the_seed(tiny):
    model = build(tiny, cameras="rays", directions="one", camera_drop=0.3)
    seeds, cameras = torch.arange(400), rig(0, 30, batch=400)
    assert model._rays(cameras, seeds).abs().sum(dim=(1, 2, 3, 4)).gt(0).all()
    model.train()
    kept = model._rays(cameras, seeds).abs().sum(dim=(1, 2, 3, 4)) > 0
    assert 0.6 < kept.float().mean() < 0.8
    again = model._rays(cameras[:50], seeds[100:150]).abs().sum(dim=(1, 2, 3, 4)) > 0
    assert torch.equal(again, kept[100:150])


def test_every_target_has_the_rays_of_its_own_frame(tiny):
    """Both directions: the second target's rays are those of the pair turned about."""
    model = build(tiny, cameras="rays")
    cameras = rig(0, 40, batch=2)
    rays = model._rays(cameras, torch.arange(2))
    torch.testing.assert_close(rays[:, 1], model.embedded_rays(cameras.flip(1)))


def test_rays_count_nothing_before_training():
    assert RayEmbedding(8)(torch.randn(3, 6)).abs().max() == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source_mask_ratio": 1.0}, "leaves none of a source's 512 tokens to decode from; lower it"),
        ({"source_mask_ratio": -0.1}, "source_mask_ratio=-0.1 must lie in"),
        ({"decoder_positions": "rope", "decoder_width": 64, "decoder_heads": 16}, "gives 4"),
        ({"camera_drop": 1.5}, "camera_drop=1.5 must lie in"),
        ({"target_floor": 10}, r"target_floor=10 must lie in \[0, 1\), in grey levels of 0 to 1"),
    ],
)
def test_what_cannot_work_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        ModelConfig(**settings)
