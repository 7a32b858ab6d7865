"""One performance: a person of the cast, moved by an action, with the things it needs."""

from dataclasses import dataclass

from mv2mae.data.synthetic.actions import ACTIONS
from mv2mae.data.synthetic.bodies import load_body
from mv2mae.data.synthetic.config import STYLE, Group, SynthConfig
from mv2mae.data.synthetic.mesh import Mover
from mv2mae.data.synthetic.motion import Skeleton
from mv2mae.data.synthetic.performing import Style, perform


@dataclass(frozen=True, kw_only=True)
class Performance:
    """movers: the person first, then props; skeleton: the person's joints."""

    movers: tuple[Mover, ...]
    skeleton: Skeleton


def animate(config: SynthConfig, group: Group) -> Performance:
    """The moving person of a performance."""
    body = load_body(group.subject)
    style = Style.draw(config.rng(STYLE, *group.key))
    skeleton = Skeleton(body, perform(ACTIONS[group.action], style, config.num_frames, config.fps))
    person = Mover(model=body, rotations=skeleton.rotations, positions=skeleton.positions)
    return Performance(movers=(person,), skeleton=skeleton)
