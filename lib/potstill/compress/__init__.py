"""What makes a checkpoint smaller, or better to round: one module a method behind one registry.

A method reads a checkpoint and writes another, which is exported, compared and scored as any. Its
control is the same export of the checkpoint that it read.
"""

from typing import TYPE_CHECKING, Protocol

from potstill.registry import Registry

if TYPE_CHECKING:
    from potstill.compress.work import Work

Metrics = dict[str, float | str]


class Method(Protocol):
    """A module of the registry, named as the `kind` of its settings in `compress.recipe`."""

    def compress(self, work: "Work") -> Metrics:
        """Write the checkpoint and return what was done to it."""
        ...


METHODS: Registry[Method] = Registry(
    "method",
    {
        "importance": "potstill.compress.importance",
        "mixed": "potstill.compress.mixed",
        "gptq": "potstill.compress.gptq",
        "oneshot": "potstill.compress.oneshot",
        "sparse": "potstill.compress.sparse",
    },
)
