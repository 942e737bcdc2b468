"""The models in the hub's cache, found by its folders: `models--OWNER--NAME/snapshots/COMMIT` and `refs/main`.

huggingface_hub has functions for this, but their imports take half a second before they read a file.
"""

import json
from pathlib import Path

from huggingface_hub import constants


def cached_models() -> dict[str, str]:
    """Id and folder of each causal language model in the hub's cache."""
    found = {}
    for repo in sorted(Path(constants.HF_HUB_CACHE).glob("models--*")):
        for folder in sorted(repo.glob("snapshots/*")):
            if any("CausalLM" in kind for kind in _architectures(folder / "config.json")):
                found[repo.name.removeprefix("models--").replace("--", "/")] = str(folder)
    return found


def snapshot(name: str, files: tuple[str, ...]) -> Path | None:
    """The folder of a model's newest revision in the hub's cache; None if one of `files` is missing there."""
    repo = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"
    try:
        folder = repo / "snapshots" / (repo / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return folder if all((folder / file).is_file() for file in files) else None


def _architectures(file: Path) -> list[str]:
    """The architectures that a config.json names; none if it can't be read (for example after a broken download)."""
    try:
        return list(json.loads(file.read_text(encoding="utf-8")).get("architectures") or [])
    except (OSError, ValueError, AttributeError):
        return []
