"""The device that a user names, checked: torch can make a tensor on it. And errors that say that its memory is full."""

import torch

from labkit.errors import UserError

KINDS = ("cpu", "cuda", "mps", "xpu")
# torch has an error type for CUDA only. On other devices a plain RuntimeError is raised, and only its text shows that
# memory was the reason.
WORDS = ("out of memory", "not enough memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


def usable_device(name: str | torch.device | None = None) -> torch.device:
    """The device of that name; without one CUDA where there is one, else the CPU.

    Raises UserError where torch can't use it here.

    >>> usable_device("cpu")
    device(type='cpu')
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise UserError(f"no device {str(name)!r}: use cpu or cuda") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("torch sees no CUDA device here: leave --device out, or see `labkit doctor`")
    try:
        if device.type not in KINDS:
            raise NotImplementedError
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UserError(f"torch can't use the device {str(device)!r} here: leave it out, or use cpu") from None
    return device


def out_of_memory(error: BaseException) -> bool:
    """Whether an error, on any device, says that there is not enough memory.

    >>> out_of_memory(RuntimeError("CUDA error: out of memory")), out_of_memory(ValueError("memory"))
    (True, False)
    """
    named = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return named or any(word.lower() in str(error).lower() for word in WORDS)
