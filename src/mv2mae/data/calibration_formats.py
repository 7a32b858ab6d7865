"""How cameras are written down elsewhere: OpenCV's YAML and JSON, COLMAP's text, a plain table."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from jaxtyping import Float

from mv2mae.data.cameras import Pinhole
from mv2mae.data.tables import as_text
from mv2mae.errors import InputError
from mv2mae.text import first_line

_MATRIX = ("camera_matrix", "cameraMatrix", "intrinsic_matrix", "K")
_ROTATION, _VECTOR = ("R", "rotation", "rotation_matrix"), ("rvec", "rotation_vector")
_TRANSLATION = ("t", "T", "tvec", "translation", "translation_vector")
_DISTORTION = ("distortion_coefficients", "dist_coeffs", "distCoeffs", "distortion", "dist", "D")
_KNOWN_MODELS = {"SIMPLE_PINHOLE": 1, "PINHOLE": 2, "SIMPLE_RADIAL": 1, "RADIAL": 1, "OPENCV": 2, "FULL_OPENCV": 2}
"""COLMAP's models that begin with one focal length, or with two, and the principal point."""
_log = logging.getLogger(__name__)

Entries = Iterator[tuple[tuple[str, str], Pinhole]]
"""((setup, view), camera); setup "" = every one."""


# --- OpenCV ----------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """YAML as OpenCV writes it."""


def _matrix(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    assert isinstance(node, yaml.MappingNode)
    values = loader.construct_mapping(node, deep=True)
    return np.array(values["data"], dtype=float).reshape(int(values["rows"]), int(values["cols"]))


_Loader.add_constructor("tag:yaml.org,2002:opencv-matrix", _matrix)


def load_mapping(file: Path) -> dict[str, Any]:
    """A YAML or JSON file whose top is a mapping."""
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".json":
            found = json.loads(text)
        else:
            # OpenCV writes `%YAML:1.0`, which is no YAML; the loader is a safe one
            found = yaml.load(re.sub(r"\A%YAML:[^\n]*\n", "", text), Loader=_Loader)
    except (OSError, ValueError, KeyError, yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{file} cannot be read as a file of cameras ({first_line(error)})") from error
    if not isinstance(found, dict):
        raise _no_cameras(str(file))
    return {str(key): value for key, value in found.items()}


def _no_cameras(name: str) -> InputError:
    return InputError(f"{name} does not hold cameras: entries by view, or by setup and view, were expected")


def of_mapping(found: Mapping[str, Any], name: str, setup: str) -> Entries:
    """Cameras of a mapping: one by view, or again by setup."""
    entries = {str(key): value for key, value in found.items() if isinstance(value, dict)}
    if not entries:
        raise _no_cameras(name)
    for key, entry in entries.items():
        if _first(entry, _MATRIX) is None and not setup and any(isinstance(inner, dict) for inner in entry.values()):
            yield from of_mapping(entry, name, key)
        else:
            with named(name, key, setup):
                camera = _from_opencv(entry)
            yield (setup, key), camera


def _from_opencv(entry: Mapping[str, Any]) -> Pinhole:
    matrix = _shaped(entry, _MATRIX, (3, 3))
    rotation, vector = _first(entry, _ROTATION), _first(entry, _VECTOR)
    if rotation is None and vector is None:
        raise InputError(f"it has no rotation: give {' or '.join((_ROTATION[0], _VECTOR[0]))}, from world to camera")
    turned = as_array(rotation) if rotation is not None else rotation_of_vector(_shaped(entry, _VECTOR, (3,)))
    if turned.size == 3:  # OpenCV's samples write rotation vectors under either name
        turned = rotation_of_vector(turned.ravel())
    distortion = _first(entry, _DISTORTION)
    if distortion is not None and np.any(as_array(distortion)):
        say_distorted()
    return Pinhole(
        focal=(float(matrix[0, 0]), float(matrix[1, 1])),
        centre=(float(matrix[0, 2]), float(matrix[1, 2])),
        rotation=turned,
        translation=_shaped(entry, _TRANSLATION, (3,)),
        size=_size_of(entry),
    )


def _size_of(entry: Mapping[str, Any]) -> tuple[float, float] | None:
    pair = _first(entry, ("image_size", "resolution", "size"))
    if pair is not None:
        return float(pair[0]), float(pair[1])
    width, height = _first(entry, ("image_width", "width")), _first(entry, ("image_height", "height"))
    return None if width is None or height is None else (float(width), float(height))


# --- COLMAP, tables --------------------------------------------------------------------------------------


def of_folder(folder: Path, setup: str) -> Entries:
    """Cameras of a folder: COLMAP's texts, OpenCV's files by view, or again folders, by setup."""
    if (folder / "images.txt").is_file():
        yield from _of_colmap(folder, setup)
        return
    for file in sorted(folder.iterdir()):
        if file.is_dir() and not setup:
            yield from of_folder(file, file.name)
        elif file.suffix in (".yml", ".yaml", ".json"):
            with named(str(file)):
                camera = _from_opencv(load_mapping(file))
            yield (setup, file.stem), camera


def _of_colmap(folder: Path, setup: str) -> Entries:
    """One camera for each view: the first of its pictures."""
    models = {line[0]: line[1:] for line in _lines(folder / "cameras.txt")}
    seen = set()
    for line in _lines(folder / "images.txt")[::2]:  # between them stand the points
        with named(str(folder / "images.txt"), setup=setup):
            numbers, name = as_array([float(x) for x in line[1:8]]), " ".join(line[9:])
            view = name.split("/")[0] if "/" in name else Path(name).stem
            if view not in seen:
                model = models[line[8]]
                yield (setup, view), _from_colmap(model, numbers)
            seen.add(view)


def _from_colmap(model: list[str], pose: Float[np.ndarray, "7"]) -> Pinhole:
    if model[0] not in _KNOWN_MODELS:
        raise InputError(f"COLMAP's camera model {model[0]} is none of {', '.join(_KNOWN_MODELS)}; undistort first")
    size, values = (float(model[1]), float(model[2])), [float(x) for x in model[3:]]
    number = _KNOWN_MODELS[model[0]]
    if any(values[number + 2 :]):
        say_distorted()
    return Pinhole(
        focal=(values[0], values[number - 1]),
        centre=(values[number], values[number + 1]),
        rotation=rotation_of_quaternion(pose[:4]),
        translation=pose[4:],
        size=size,
    )


def _lines(file: Path) -> list[list[str]]:
    """The fields of a text file's lines, without comments; an empty line has none (images.txt has some)."""
    try:
        return [line.split() for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{file} cannot be read ({type(error).__name__}); COLMAP writes cameras.txt beside images.txt"
        ) from error


def of_table(table: pd.DataFrame, name: str) -> Entries:
    """Cameras of a table, one a row."""
    needed = ["view", "fx", "fy", "cx", "cy", "tx", "ty", "tz"]
    matrix = [f"r{row}{column}" for row in (1, 2, 3) for column in (1, 2, 3)]
    kinds = {9: matrix, 4: ["qw", "qx", "qy", "qz"], 3: ["rx", "ry", "rz"]}
    rotation = next((columns for columns in kinds.values() if set(columns) <= set(table)), None)
    missing = [column for column in needed if column not in table]
    if missing or rotation is None:
        lacks = f"the column {', '.join(missing)}" if missing else "a rotation (r11 ... r33, qw ... qz or rx, ry, rz)"
        raise InputError(f"{name} lacks {lacks}; a table of cameras has {', '.join(needed)} and a rotation")
    if any(str(column).lower().startswith(("k1", "dist")) for column in table):
        say_distorted()
    for row in table.to_dict("records"):
        setup = "" if pd.isna(row.get("setup")) else as_text(row["setup"])
        view = as_text(row["view"])
        with named(name, view, setup):
            numbers = {key: float(row[key]) for key in (*needed[1:], *rotation)}
            turn = as_array([numbers[column] for column in rotation])
            made = {9: lambda r: r.reshape(3, 3), 4: rotation_of_quaternion, 3: rotation_of_vector}[len(rotation)](turn)
            camera = Pinhole(
                focal=(numbers["fx"], numbers["fy"]),
                centre=(numbers["cx"], numbers["cy"]),
                rotation=made,
                translation=as_array([numbers["tx"], numbers["ty"], numbers["tz"]]),
                size=_size_of({key: row[key] for key in ("width", "height") if not pd.isna(row.get(key))}),
            )
        yield (setup, view), camera


# --- numbers ---------------------------------------------------------------------------------------------


def rotation_of_vector(vector: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Rodrigues: a turn about `vector` by its length in radians."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    cross = _cross(vector / angle)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def rotation_of_quaternion(quaternion: Float[np.ndarray, "4"]) -> Float[np.ndarray, "3 3"]:
    """A unit quaternion w, x, y, z (COLMAP's order) as a matrix; of another length it is no rotation."""
    w, vector = quaternion[0], quaternion[1:]
    return (w * w - vector @ vector) * np.eye(3) + 2 * np.outer(vector, vector) + 2 * w * _cross(vector)


def _cross(vector: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """The cross product with a vector, as a matrix."""
    x, y, z = vector
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])


def _first(entry: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((entry[name] for name in names if name in entry), None)


def as_array(value: Any) -> Float[np.ndarray, "..."]:
    """Numbers of a file as an array, of the shape that they have there."""
    if isinstance(value, dict) and "data" in value:  # OpenCV's matrices in JSON
        return np.array(value["data"], dtype=float).reshape(int(value["rows"]), int(value["cols"]))
    return np.array(value, dtype=float)


def _shaped(entry: Mapping[str, Any], names: tuple[str, ...], shape: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    value = _first(entry, names)
    if value is None:
        raise InputError(f"it lacks {' or '.join(names[:3])}")
    found = as_array(value)
    if len(shape) == 1 and found.size == shape[0]:
        found = found.ravel()
    if found.shape != shape:
        raise InputError(f"its {names[0]} has the shape {list(found.shape)}; {list(shape)} was expected")
    return found


def say_distorted() -> None:
    """A word that lens distortion is left out."""
    _log.warning("lens distortion of known cameras is left out; undistort the videos where it is large")


@contextmanager
def named(name: str, view: str = "", setup: str = "") -> Iterator[None]:
    """Says of which camera an error tells."""
    whose = " of ".join(filter(None, (view and f"view {view}", setup and f"setup {setup}")))
    name = f"{name}: {whose}" if whose else name
    try:
        yield
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise InputError(f"{name} does not hold a camera as was expected ({error!r})") from error
