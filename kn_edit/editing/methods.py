"""The table of editing methods; a method that is added here is known everywhere.

Packages that are installed add theirs by an entry point of the group `kn_edit.methods`, which names
a class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from kn_edit.editing.erasures import Frequent, Shared, Specific
from kn_edit.editing.method import EditMethod, Kind, takes_many
from kn_edit.editing.updates import Auto, Calibrated, ClosedForm, Correction, Joint
from kn_edit.errors import BadSetting, OneFactMethod, require_known
from kn_edit.plugins import add_installed
from kn_edit.seeds import USUAL, checked

if TYPE_CHECKING:
    from kn_edit.editing.locating import Search
    from kn_edit.evaluation.gate import Gate

GROUP = "kn_edit.methods"

# The first of each kind is taken where nobody names one.
METHODS: dict[str, type[EditMethod]] = {
    method.name: method
    for method in (Auto, Calibrated, Correction, Joint, ClosedForm, Specific, Shared, Frequent)
}
T = TypeVar("T", bound=type[EditMethod])


def add_method(method: T) -> T:
    """Add a method to the table; usable as a decorator of its class.

    Raises BadSetting where the name is another one's.
    """
    if METHODS.setdefault(method.name, method) is not method:
        raise BadSetting("the method's name", method.name, "one that no other method has")
    return method


def methods(kind: Kind) -> dict[str, type[EditMethod]]:
    """The methods of a kind by name, those of installed packages too, the usual one first."""
    add_installed(GROUP, add_method)
    return {name: method for name, method in METHODS.items() if method.kind is kind}


def method_of(kind: Kind, named: EditMethod | str | None) -> EditMethod:
    """A method as people name it: itself, its name with its usual options, or the usual one.

    Raises BadSetting for a name that no method of the kind has, and for one of another kind.
    """
    by_name = methods(kind)
    if named is None:
        return next(iter(by_name.values()))()
    if isinstance(named, str):
        require_known(f"the method of an {kind}", named, tuple(by_name))
        return by_name[named]()
    if named.kind is not kind:
        raise BadSetting(f"the method of an {kind}", named.name, f"one of {', '.join(by_name)}")
    return named


def require_many(method: EditMethod, facts: int) -> None:
    """Raise OneFactMethod for several facts by a method of which an edit changes one."""
    if facts > 1 and not takes_many(method):
        able = tuple(name for name, entry in methods(method.kind).items() if takes_many(entry))
        raise OneFactMethod(method.name, facts, able)


@dataclass(frozen=True)
class How:
    """How to make an edit: by which method, how to look for neurons, within which limits.

    What is left out is as usual. method and search may be given by name. seed: of everything that
    is drawn, such as which other subjects judge. Raises BadSetting for what is no seed.
    """

    method: EditMethod | str | None = None
    search: Search | str | None = None
    gate: Gate | None = None
    seed: int = USUAL

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", checked(self.seed))

    @classmethod
    def of(cls, how: How | EditMethod | str | None) -> How:
        """How people say it: this, a method, its name, or nothing."""
        return how if isinstance(how, How) else cls(how)
