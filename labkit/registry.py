"""Names that a user writes (of a task, of a verifier), and the objects that they name.

A room adds its own names. The small worlds are looked up in the folder `labkit/worlds`, so a new world is one folder
and needs no line elsewhere.
"""

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Generic, TypeVar, cast

Entry = TypeVar("Entry")


class Registry(MutableMapping[str, Entry], Generic[Entry]):
    """A mapping from names to things, which rooms fill. Hidden names are no part of it: only `find` knows them.

    `add` refuses a name that is taken; `registry[name] = thing` replaces what has that name. An entry may be given to
    `add` as "module:name"; the module is imported when the entry is first asked for.

    >>> shapes = Registry[object]()
    >>> shapes.add("pi", "math:pi"); shapes.add("e", 2.718, hidden=True)
    >>> list(shapes), shapes["pi"], "e" in shapes, shapes.find("e"), shapes.find("tau")
    (['pi'], 3.141592653589793, False, 2.718, None)
    """

    def __init__(self, worlds: bool = False) -> None:
        self._entries: dict[str, Entry | str] = {}
        self._hidden: set[str] = set()
        self._worlds_to_come = worlds

    def add(self, name: str, entry: Entry | str, hidden: bool = False) -> None:
        """Adds a name. Raises ValueError for a name that is taken: one name must not mean two objects."""
        if name in self._entries:
            raise ValueError(f"the name {name!r} is taken by {self._entries[name]!r}")
        self._entries[name] = entry
        if hidden:
            self._hidden.add(name)

    def find(self, name: str) -> Entry | None:
        """The entry of a name, hidden or not; None where there is none."""
        self._ask_the_worlds()
        return self._resolve(name) if name in self._entries else None

    def __getitem__(self, name: str) -> Entry:
        if name not in self:
            raise KeyError(name)
        return self._resolve(name)

    def __setitem__(self, name: str, entry: Entry) -> None:
        self._ask_the_worlds()
        self._entries[name] = entry

    def __delitem__(self, name: str) -> None:
        self._ask_the_worlds()
        del self._entries[name]

    def _resolve(self, name: str) -> Entry:
        entry = self._entries[name]
        if isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            entry = self._entries[name] = cast(Entry, getattr(import_module(module), attribute))
        return entry

    def __iter__(self) -> Iterator[str]:
        self._ask_the_worlds()
        return iter([name for name in self._entries if name not in self._hidden])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        self._ask_the_worlds()
        return name in self._entries and name not in self._hidden

    def _ask_the_worlds(self) -> None:
        """Imports the packages of `labkit.worlds`, which add their names. At the first use, not before: a
        world needs the room to which the registry belongs.
        """
        if self._worlds_to_come:
            self._worlds_to_come = False
            for world in iter_modules(import_module("labkit.worlds").__path__):
                if world.ispkg:
                    import_module(f"labkit.worlds.{world.name}")
