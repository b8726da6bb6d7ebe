"""A table from names to modules that are imported when they are asked for.

A format whose package is not installed costs nothing until it is used, and then one clear line.
"""

import ast
import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from potstill.errors import InputError, missing
from potstill.params import closest

ModuleT = TypeVar("ModuleT")


class Registry(Mapping[str, ModuleT], Generic[ModuleT]):
    """Names and the modules behind them; `ModuleT` is a protocol that every module fulfils."""

    def __init__(self, kind: str, modules: Mapping[str, str]) -> None:
        self._kind = kind
        self._modules = dict(modules)

    def __getitem__(self, name: str) -> ModuleT:
        """Import and return the module of a name.

        Raises:
            InputError: the name is unknown.
            MissingPackageError: a package that the module needs is not installed.
        """
        if name not in self._modules:
            raise InputError(f"unknown {self._kind} {name!r}; {closest(name, self._modules)}")
        try:
            return cast("ModuleT", importlib.import_module(self._modules[name]))
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package == __name__.partition(".")[0]:
                raise
            raise missing(f"{self._kind} {name}", package) from None

    def constant(self, name: str, constant: str) -> Any:  # noqa: ANN401 - whatever it is
        """Return a constant of a name's module, read from its text.

        The module is not imported: its packages may be slow to load, or not be here.
        """
        spec = importlib.util.find_spec(self._modules[name])
        source = Path(str(spec and spec.origin))
        for node in ast.parse(source.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == constant:
                return ast.literal_eval(node.value)
        raise AssertionError(f"{self._modules[name]} has no constant {constant}")

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)
