"""How a function becomes an action."""

from collections.abc import Callable
from types import ModuleType

from mv2mae.synthetic.people.style import Action, Write

_FOUND: dict[int, Action] = {}


def action(
    number: int,
    *,
    hertz: float,
    ramp_s: float = 0.35,
    once: bool = False,
    sits: bool = False,
    hands: int = 2,
    roams: bool = False,
) -> Callable[[Write], Write]:
    """Registers a function under its name; ids are for ever (data sets depend on them), new ones go to the end."""

    def register(write: Write) -> Write:
        assert number not in _FOUND, f"two actions have the id {number}"
        _FOUND[number] = Action(
            id=number,
            name=write.__name__,
            write=write,
            hertz=hertz,
            ramp_s=ramp_s,
            once=once,
            sits=sits,
            hands=hands,
            roams=roams,
        )
        return write

    return register


def registered(*modules: ModuleType) -> dict[str, Action]:
    """The actions of these modules by name, in the order of their ids."""
    names = {module.__name__ for module in modules}
    found = [_FOUND[number] for number in sorted(_FOUND) if _FOUND[number].write.__module__ in names]
    return {act.name: act for act in found}
