"""Files of known cameras: `cameras.json`, OpenCV's YAML or JSON, COLMAP's text, or a plain table.

Wherever a camera is written down, its pose takes the world to the camera, in metres. Distortion is left out, with a
word; pictures that are to fit the pinhole better have to be undistorted before.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mv2mae.data.calibration_formats import as_array, load_mapping, named, of_folder, of_mapping, of_table
from mv2mae.data.cameras import Cameras, Pinhole, place_of, size_of
from mv2mae.data.manifest import beside, read_table
from mv2mae.errors import InputError

CAMERAS_NAME = "cameras.json"
"""What lies beside a manifest whose cameras are known."""


def find_cameras(manifest: str | Path) -> Path | None:
    """The known cameras of a manifest: STEM.cameras.json or cameras.json beside it, if there is one."""
    return beside(manifest, f"{Path(str(manifest)).stem}.{CAMERAS_NAME}") or beside(manifest, CAMERAS_NAME)


def cameras_of(manifest: str, given: str = "") -> Cameras:
    """The cameras of a manifest's videos: those of a given file, or else those beside it, or none.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    file = given or find_cameras(manifest)
    if file is None:
        return Cameras()
    cameras, store = read_calibration(file), beside(manifest, "store/store.json")
    crop = load_mapping(store).get("settings", {}).get("crop", "none") if store is not None else "none"
    if crop != "none" and not cameras.takes:
        raise InputError(
            f"{manifest} holds videos from which boxes were cut (crop={crop}), and {file} knows the cameras of "
            "whole pictures; give it to `mv2mae prepare --cameras`, which cuts the cameras too"
        )
    return cameras


def told_cameras(manifest: str, given: str = "") -> Cameras:
    """`cameras_of` for a model that is told them.

    Raises:
        InputError: as `cameras_of`, or they move.
    """
    cameras = cameras_of(manifest, given)
    if cameras.motion:
        raise InputError(
            f"{cameras.name}: its cameras move (camera_motion={cameras.motion}), and cameras of moving views are not "
            "told to the model: one pose a clip would be wrong; set model.cameras to none"
        )
    return cameras


def read_calibration(path: str | Path) -> Cameras:
    """Reads known cameras.

    Args:
        path: `cameras.json`; a CSV or Parquet table (`view`, `fx, fy, cx, cy`, a rotation `r11 ... r33`, `rx, ry, rz`
            or `qw, qx, qy, qz`, a translation `tx, ty, tz`, if wanted `setup`, `width`, `height`); a YAML or JSON file
            of OpenCV's entries by view, or by setup and view; a folder of one such file a view (VIEW.yml), or COLMAP's
            cameras.txt and images.txt (pictures named VIEW.png, or VIEW/...); or a folder of such folders, one a setup.

    Raises:
        InputError: nothing there, or something else; the camera that is wrong is named.
    """
    file = Path(path)
    if file.is_dir():
        rig = dict(of_folder(file, ""))
        if not rig:
            raise InputError(
                f"{file} holds no cameras: give VIEW.yml files, COLMAP's texts, or folders of them by setup"
            )
    elif not file.is_file():
        raise InputError(f"no cameras at {path}; give a file or a folder of calibrations")
    elif file.suffix in (".csv", ".parquet"):
        rig = dict(of_table(read_table(file), str(file)))
    else:
        found = load_mapping(file)
        if file.suffix == ".json" and _is_cameras_json(found):
            return _of_generated(found, str(file))
        rig = dict(of_mapping(found, str(file), ""))
    return Cameras(name=str(path), rig=rig)


def prepared_cameras(cameras: Cameras, frame: pd.DataFrame, index: pd.DataFrame) -> dict[str, Any]:
    """What cameras.json of a store holds: those of the originals, and under `takes` the videos that have one of their
    own, since a box was cut out of them or since only the originals' size told what their camera's pixels are.

    Args:
        cameras: of the originals.
        frame: their manifest.
        index: of the store: `row` and the box of each item.

    Raises:
        InputError: a box was cut out of a video of unknown size.
    """
    setups: dict[str, Any] = raw_cameras(cameras)
    kept = frame.iloc[index["row"]]
    boxes = index[["left", "top", "right", "bottom"]].to_numpy(float)
    for camera, box, row in zip(cameras.of_rows(kept), boxes, kept.itertuples(), strict=True):
        size, was_cut = size_of(row), not np.isnan(box).any()
        if not was_cut and camera.size is not None:
            continue
        if size is None:
            raise InputError(f"{row.path} was cut, but the manifest does not tell its width and height; fill them in")
        edges = tuple(map(int, box)) if was_cut else (0, 0, int(size[0]), int(size[1]))
        setup, view = place_of(row)
        takes = setups.setdefault(setup, {"cameras": {}}).setdefault("takes", {})
        takes.setdefault(str(row.group), {})[view] = _to_json(camera.cut(edges, size))
    return setups


def raw_cameras(cameras: Cameras) -> dict[str, Any]:
    """The setups of a cameras.json as they are, azimuths among them; of another file what would stand there."""
    if cameras.name.endswith(".json"):
        found = load_mapping(Path(cameras.name))
        if _is_cameras_json(found):
            return found
    setups: dict[str, Any] = {}
    for (setup, view), camera in cameras.rig.items():
        setups.setdefault(setup, {"cameras": {}})["cameras"][view] = _to_json(camera)
    for (group, view), camera in cameras.takes.items():
        takes = setups.setdefault("", {"cameras": {}}).setdefault("takes", {})
        takes.setdefault(group, {})[view] = _to_json(camera)
    return setups


def _is_cameras_json(found: Mapping[str, Any]) -> bool:
    return any(isinstance(entry, dict) and "cameras" in entry for entry in found.values())


def _to_json(camera: Pinhole) -> dict[str, Any]:
    size = {} if camera.size is None else {"width": camera.size[0], "height": camera.size[1]}
    return {
        "position_m": camera.position.round(6).tolist(),
        "rotation": camera.rotation.round(8).tolist(),
        "focal_px": list(camera.focal),
        "principal_point_px": list(camera.centre),
        **size,
    }


def _of_generated(setups: Mapping[str, Any], name: str) -> Cameras:
    rig, takes = {}, {}
    motions = sorted({str(entry.get("camera_motion", "")) for entry in setups.values() if isinstance(entry, Mapping)})
    for setup, entry in setups.items():
        with named(name, setup=setup):
            cameras, groups = dict(entry["cameras"]), dict(entry.get("takes", {}))
        for view, pose in cameras.items():
            with named(name, view, setup):
                rig[setup, view] = _from_json(pose)
        for group, poses in groups.items():
            for view, pose in poses.items():
                with named(name, view, setup):
                    takes[group, view] = _from_json(pose)
    return Cameras(name=name, rig=rig, takes=takes, motion=" and ".join(filter(None, motions)))


def _from_json(pose: Mapping[str, Any]) -> Pinhole:
    rotation, position = as_array(pose["rotation"]), as_array(pose["position_m"])
    focal = np.broadcast_to(as_array(pose["focal_px"]), (2,))
    size = (float(pose["width"]), float(pose["height"])) if "width" in pose else None
    return Pinhole(
        focal=(float(focal[0]), float(focal[1])),
        centre=(float(pose["principal_point_px"][0]), float(pose["principal_point_px"][1])),
        rotation=rotation,
        translation=-rotation @ position if rotation.shape == (3, 3) and position.shape == (3,) else position,
        size=size,
    )
