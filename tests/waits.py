"""Counts where Python would wait for a GPU, on a CPU: a small emulation.

Some tensors are said to be on the device, and whatever is computed from them is there too. Reading a number of such a
tensor, or asking for a size that depends on its content, makes Python wait there. Not seen: copies to the device that
are no copies on a CPU.
"""

import traceback
import weakref
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ATEN = torch.ops.aten
WAITING = {ATEN._local_scalar_dense, ATEN.nonzero, ATEN.masked_select, ATEN.equal, ATEN.is_nonzero, ATEN._unique2}


class Waits(TorchDispatchMode):
    """Inside this context `count` is the number of waits, and `lines` says which lines of labkit they come from."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, on_device: Iterable[Tensor]) -> None:
        super().__init__()
        self.lines: Counter[str] = Counter()
        self.known: dict[int, weakref.ref] = {}
        for tensor in on_device:
            self._mark(tensor)
        for name in ("cpu", "tolist", "numpy"):  # on a CPU these give the tensor itself, with no operation to see
            monkeypatch.setattr(Tensor, name, self._leaving(getattr(Tensor, name)))

    @property
    def count(self) -> int:
        """All waits so far."""
        return self.lines.total()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the operation, counts a wait, and says of its results where they are."""
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        there = any(self._is_there(tensor) for tensor in given)
        by_mask = func.overloadpacket is ATEN.index and any(one.dtype == torch.bool for one in given[1:])
        if there and (func.overloadpacket in WAITING or by_mask):
            self._wait()
        found = func(*args, **(kwargs or {}))
        if there:
            for leaf in tree_leaves(found):
                if isinstance(leaf, Tensor):
                    self._mark(leaf)
        return found

    def _leaving(self, original: Any) -> Any:
        def read(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
            if not self._is_there(tensor):
                return original(tensor, *args, **kwargs)
            self._wait()
            with torch.utils._python_dispatch._disable_current_modes():
                return original(tensor.detach().clone(), *args, **kwargs)

        return read

    def _mark(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = id(storage)
        self.known[key] = weakref.ref(storage, lambda _: self.known.pop(key, None))

    def _is_there(self, tensor: Tensor) -> bool:
        found = self.known.get(id(tensor.untyped_storage()))
        return found is not None and found() is not None

    def _wait(self) -> None:
        frames = [frame for frame in traceback.extract_stack() if "/labkit/" in frame.filename]
        at = frames[-1] if frames else None
        self.lines["elsewhere" if at is None else f"{at.filename.rpartition('/labkit/')[2]}: {at.line}"] += 1
