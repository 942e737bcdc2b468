"""The device that a user names, checked: torch can make a tensor on it. Its attention, and errors of full memory."""

import time

import torch
from torch import Tensor

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


def clock(device: torch.device) -> float:
    """The time in seconds. On CUDA, the call first waits until the device has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def hand_over(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on another device; Python does not wait for the work that this device still has to do.

    Only memory that the system may not move (pinned) can be copied in this way.
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def without_cudnn_attention(device: torch.device) -> None:
    """Switches cuDNN's attention off for the whole process, if the device is CUDA: other models gain by it too.

    torch 2.11 and later prefer it on H100 and H200. But it plans anew for each shape, which takes about half a second
    (labkit makes new shapes all the time). Its gradients with masks, and its results with fewer than 8 key heads, are
    reported upstream to be wrong (pytorch/pytorch#196678, #193893).
    """
    if device.type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)


def attention_backends(device: torch.device) -> list[str]:
    """The implementations of `scaled_dot_product_attention` that torch may choose from on a device.

    >>> attention_backends(torch.device("cpu"))
    ['flash', 'math']
    """
    switches = torch.backends.cuda
    found = {"flash": switches.flash_sdp_enabled(), "math": switches.math_sdp_enabled()}
    if device.type == "cuda":
        found |= {"efficient": switches.mem_efficient_sdp_enabled(), "cudnn": switches.cudnn_sdp_enabled()}
    return sorted(name for name, enabled in found.items() if enabled)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error, on any device, says that there is not enough memory.

    >>> out_of_memory(RuntimeError("CUDA error: out of memory")), out_of_memory(ValueError("memory"))
    (True, False)
    """
    named = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return named or any(word.lower() in str(error).lower() for word in WORDS)
