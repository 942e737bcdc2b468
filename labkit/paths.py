"""Where labkit's data lie: the checkout's `data/`, or the copy of its small part inside an installed package."""

import os
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


def user_path(text: str | Path) -> Path:
    """A path that a user wrote, with `~` filled in. Raises UserError for `~NAME` of nobody, and for what no file can be
    called."""
    try:
        os.fsencode(text)
        if "\0" in str(text):
            raise UserError(f"{ascii(str(text))[:80]} is no path: it holds the character NUL")
        return Path(text).expanduser()
    except RuntimeError:
        raise UserError(f"{text}: there is no such user; write the path of the home folder out") from None
    except UnicodeEncodeError:
        raise UserError(f"{ascii(str(text))[:80]} is no path: it holds half a character") from None
