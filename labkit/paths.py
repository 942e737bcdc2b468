"""Where labkit's data lie: the checkout's `data/`, or the copy of its small part inside an installed package."""

from pathlib import Path

from labkit.errors import UserError

PACKAGE = Path(__file__).resolve().parent


def data_folder() -> Path:
    """The folder with `models/tiny` in it: `data/` next to the package in a checkout, else `labkit/_data`."""
    for folder in (PACKAGE.parent / "data", PACKAGE / "_data"):
        if (folder / "models" / "tiny" / "config.json").exists():
            return folder
    raise UserError("labkit's data folder is missing: reinstall labkit, or run `labkit pretrain tiny --out FOLDER`")


def data_path(*parts: str) -> Path:
    """A path below the data folder.

    Raises UserError where it is not there: the big recorded runs stay in a checkout.
    """
    path = data_folder().joinpath(*parts)
    if not path.exists():
        raise UserError(
            f"{'/'.join(('data', *parts))} is not here: recorded runs come with a checkout of the repository, "
            "not with the installed package"
        )
    return path
