"""Actions of the head alone."""

from mv2mae.synthetic.people.actions.registry import action
from mv2mae.synthetic.people.style import Beat, Style
from mv2mae.synthetic.people.targets import Motion


@action(34, hertz=1.35, sits=True, hands=0)
def nod(m: Motion, b: Beat, s: Style) -> None:
    """The head goes down and up."""
    m.head[:, 0] += 0.40 * s.size * b.bump() * b.on - 0.06 * b.on
    m.bend[:, 0] += 0.05 * b.bump() * b.on


@action(35, hertz=1.35, sits=True, hands=0)
def shake_head(m: Motion, b: Beat, s: Style) -> None:
    """The head turns left and right."""
    m.head[:, 2] *= 1 - 0.7 * b.on
    m.head[:, 2] += s.turn * 0.60 * s.size * b.wave() * b.on
    m.bend[:, 2] += s.turn * 0.05 * b.wave() * b.on
