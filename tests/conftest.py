"""What all tests share: shapes checked at run time, the tiny model, folders for runs, the `gpu` marker.

Every function of labkit is wrapped before it is first imported, and the shapes in its signature
(`Float[Tensor, "batch time"]`) are compared with the tensors that it is given and that it returns.
Other annotations are not checked: a wrong option must reach labkit, which answers it in its own words.
`LABKIT_CHECK_SHAPES=0` leaves labkit unwrapped, for instance to measure its speed.
"""

import os
import re
import typing
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, install_import_hook

if TYPE_CHECKING:
    from labkit.models import Policy

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

CHECK_SHAPES = os.environ.get("LABKIT_CHECK_SHAPES", "1") != "0"


def _says_a_shape(hint: Any) -> bool:
    """Whether a type hint has a jaxtyping annotation in it (a string is one that could not be resolved)."""
    if isinstance(hint, str):
        return re.search(r"\b(Float|Int|Bool|Integer|Num|Shaped)\[", hint) is not None
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(_says_a_shape(part) for part in typing.get_args(hint))


def check_shapes(function: Callable) -> Callable:
    """The type checker that jaxtyping applies: beartype, on the annotations that say a shape."""
    hints = {name: h if _says_a_shape(h) else Any for name, h in function.__annotations__.items()}
    if all(hint is Any for hint in hints.values()):
        return function
    function.__annotations__ = hints
    # An int where a float is announced is right in Python (PEP 484), beside a shape too.
    return beartype(conf=BeartypeConf(is_pep484_tower=True))(function)


if CHECK_SHAPES:
    install_import_hook(["labkit", "labkit_exercises"], f"{__name__}.check_shapes")


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
