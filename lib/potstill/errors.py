"""The one exception that is the user's to mend."""


class InputError(ValueError):
    """Something that the user gave cannot be used.

    The message is one line: what was got, what is allowed, what to do. `stage.run` and the command
    line print it without a traceback and exit with 1; any other exception is a bug of ours and
    keeps its traceback.
    """


class MissingPackageError(InputError):
    """A package that this machine lacks: what needed it is reported as not run, never as passed."""


def missing(what: str, package: str) -> MissingPackageError:
    """Return the error that says what cannot be done without a package, and what brings it."""
    return MissingPackageError(
        f"{what} needs the package {package}, which is not installed: in the checkout, "
        "`make setup` or `pip install '.[pipeline]'`"
    )
