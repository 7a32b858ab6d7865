"""Draws the pictures of docs/synthetic.md: python scripts/synthetic_pictures.py docs"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.colors import hsv_to_rgb
from PIL import Image, ImageDraw

from mv2mae.synthetic import Group, SyntheticSet, generate_frames
from mv2mae.synthetic.generate import film_group
from mv2mae.synthetic.people.actions import ACTIONS
from mv2mae.synthetic.world.mesh import PARTS

LOOK = SyntheticSet(size=128, seed=7)
GAP = 4


def group(action: str, subject: int, setup: int = 1, repetition: int = 1) -> Group:
    return Group(setup=setup, subject=subject, repetition=repetition, action=action)


def named(tile: np.ndarray, name: str) -> np.ndarray:
    picture = Image.fromarray(tile)
    ImageDraw.Draw(picture).text((4, 2), name, fill="white", stroke_width=2, stroke_fill="black")
    return np.asarray(picture)


def grid(rows: list[list[np.ndarray]]) -> Image.Image:
    def row(tiles: list[np.ndarray]) -> np.ndarray:
        gap = np.full((tiles[0].shape[0], GAP, 3), 255, np.uint8)
        return np.concatenate([part for tile in tiles for part in (tile, gap)][:-1], axis=1)

    drawn = [row(tiles) for tiles in rows]
    width = max(r.shape[1] for r in drawn)
    drawn = [np.pad(r, ((0, GAP), (0, width - r.shape[1]), (0, 0)), constant_values=255) for r in drawn]
    return Image.fromarray(np.concatenate(drawn))


def actions() -> Image.Image:
    """Every action, two moments in two views each, three actions a row."""
    tiles = []
    for k, name in enumerate(ACTIONS):
        config = replace(LOOK, size=96, difficulty="easy")
        videos = generate_frames(config, group(name, 1 + k * 7 % 40, 1 + k % 11), (1, 2))
        shown = [videos[view][at] for at in (24, 40) for view in (1, 2)]
        strip = np.concatenate(shown, axis=1)
        tiles.append(named(strip, name))
    return grid([tiles[i : i + 3] for i in range(0, len(tiles), 3)])


def levels() -> Image.Image:
    """One performance at each level of difficulty."""
    rows = []
    for level in ("easy", "normal", "hard"):
        config = replace(LOOK, difficulty=level)
        videos = generate_frames(config, group("phone_call", 4, 3))
        rows.append([named(videos[view][at], f"{level}, view {view}") for at in (10, 44) for view in (1, 2, 3)])
    return grid(rows)


def cameras() -> Image.Image:
    """One moment before the cameras of three presets."""
    rows = []
    for preset, views in (("etri", range(1, 9)), ("ring", range(1, 29, 4))):
        config = replace(LOOK, cameras=preset, difficulty="easy")
        videos = generate_frames(config, group("throw", 12, 5), tuple(views))
        rows.append([named(video[26], f"{preset}, view {view}") for view, video in videos.items()])
    return grid(rows)


def moving() -> Image.Image:
    """One performance before a camera that stands still, is held by hand, is carried about."""
    rows = []
    for motion in ("none", "handheld", "moving"):
        config = replace(LOOK, camera_motion=motion, difficulty="easy", num_frames=6, fps=3)
        video = generate_frames(config, group("walk_across", 3, 2), (2,))[2]
        rows.append([named(frame, f"{motion}, {k / 3:.1f} s") for k, frame in enumerate(video)])
    return grid(rows)


def truth() -> Image.Image:
    """A frame and its ground truth: depth, parts, flow, joints."""
    config = replace(LOOK, truth=("depth", "parts", "flow", "joints"))
    rows = []
    for view, footage in film_group(config, group("kick", 8, 2), (1, 2)).items():
        at = 21
        frame = footage.frames[at].numpy()
        found = {name: value[at].numpy() for name, value in footage.truth.items() if len(value) > at}
        depth = found["depth"].astype(float)
        near, far = np.percentile(depth, [1, 99])
        flow = found["flow"].astype(float)
        hue = np.arctan2(flow[..., 1], flow[..., 0]) / (2 * np.pi) % 1
        speed = np.clip(np.hypot(flow[..., 0], flow[..., 1]) / 3, 0, 1)
        joints = Image.fromarray(frame)
        draw = ImageDraw.Draw(joints)
        for (x, y), seen in zip(found["joints_2d"], found["joints_visible"], strict=True):
            draw.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill="yellow" if seen else "blue")
        tiles = [
            (frame, f"view {view}"),
            (to_rgb(colormaps["cividis"](np.clip((far - depth) / (far - near), 0, 1))), "depth"),
            (to_rgb(colormaps["tab20"](found["parts"] % 20) * (found["parts"] > 0)[..., None]), "parts"),
            (to_rgb(hsv_to_rgb(np.stack([hue, np.ones_like(hue), speed], -1))), "flow"),
            (np.asarray(joints), "joints"),
        ]
        rows.append([named(tile, name) for tile, name in tiles])
    return grid(rows)


def to_rgb(values: np.ndarray) -> np.ndarray:
    return (255 * values[..., :3]).astype(np.uint8)


def main(out: Path) -> None:
    torch.set_num_threads(1)
    assert len(PARTS) <= 20
    pictures = {"actions": actions, "levels": levels, "cameras": cameras, "moving": moving, "truth": truth}
    for name, draw in pictures.items():
        path = out / f"synthetic-{name}.jpg"
        draw().save(path, quality=82, optimize=True)
        print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
