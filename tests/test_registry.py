"""The table of lazily imported modules."""

import sys

import pytest
from potstill.errors import InputError
from potstill.registry import Registry


def test_a_module_is_imported_when_it_is_asked_for():
    registry = Registry("thing", {"wave": "wave"})
    sys.modules.pop("wave", None)
    assert "wave" in registry
    assert len(registry) == 1
    assert "wave" not in sys.modules
    assert registry["wave"].__name__ == "wave"


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    (tmp_path / "needs_it.py").write_text("import no_such_package.part\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="thing x needs the package no_such_package"):
        Registry("thing", {"x": "needs_it"})["x"]


def test_a_mistake_of_our_own_keeps_its_traceback():
    with pytest.raises(ModuleNotFoundError):
        Registry("thing", {"x": "potstill.no_such_module"})["x"]


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(InputError, match="unknown thing 'wawe'; allowed: wave; did you mean wave"):
        Registry("thing", {"wave": "wave"})["wawe"]
