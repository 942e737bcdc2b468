"""What all tests share: shapes checked at run time (see `shapes`), the tiny model, run folders, the `gpu` marker."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jaxtyping import install_import_hook

from tests.shapes import CHECK_SHAPES

if TYPE_CHECKING:
    from labkit.models import Policy

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

if CHECK_SHAPES:
    install_import_hook(["labkit", "labkit_exercises"], "tests.shapes.check_shapes")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU, with the reason, where there is none."""
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not on_gpu:
        return
    import torch

    if not torch.cuda.is_available():
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def tiny() -> "Policy":
    """The embedded base model on the CPU. Shared by all tests: copy it before you train it."""
    import labkit

    return labkit.load_policy("tiny", device="cpu")


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A path for one run's folder; its parent exists, the folder itself does not."""
    return tmp_path / "run"
