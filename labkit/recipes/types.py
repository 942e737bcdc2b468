"""The types of a recipe's settings: strict numbers, in ranges that hold every sensible value.

A number may be neither a text, nor True or False, nor NaN or infinity. Every size has an upper bound: `prompts=1e10` is
a typing mistake, and without a bound the run would hang without an error. The bounds are far above every run of this
lab.
"""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, Strict


def _number(value: Any) -> Any:
    """Returns a number as it is. Raises ValueError for a text or a truth value, which pydantic would convert."""
    if isinstance(value, bool | str):
        raise ValueError(f"must be a number, not {value!r}")
    return value


Integer = Annotated[int, BeforeValidator(_number)]
Real = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Switch = Annotated[bool, Strict()]

Count = Annotated[Integer, Field(ge=1, le=10_000_000)]
"""A number of steps, rows or problems: at least one."""
CountOrNone = Annotated[Integer, Field(ge=0, le=10_000_000)]
"""The same, but 0 is allowed."""
Group = Annotated[Integer, Field(ge=1, le=100_000)]
"""A number of prompts per step, or of samples per prompt."""
Tokens = Annotated[Integer, Field(ge=1, le=10_000_000)]
Seed = Annotated[Integer, Field(ge=0, le=2**32 - 1)]
Share = Annotated[Real, Field(ge=0, le=1)]
Positive = Annotated[Real, Field(gt=0, le=1e6)]
NotNegative = Annotated[Real, Field(ge=0, le=1e6)]
Coefficient = Annotated[Real, Field(ge=0, le=1000)]
"""The weight of a term of a loss. A negative weight would reverse the purpose of the term."""
LearningRate = Annotated[Real, Field(gt=0, le=10)]
Beta = Annotated[Real, Field(ge=0, lt=1)]
"""The decay of one of Adam's moments."""
Temperature = Annotated[Real, Field(ge=1e-3, le=1000)]
"""The temperature of a softmax whose log-probs enter a loss. At a smaller one, the logits could leave the range of
float32."""
Text = Annotated[str, Field(min_length=1)]

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # Windows forbids these names of files
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\ud800-\udfff]')
LONGEST_NAME = 100


def check_name(name: str) -> str:
    """Returns the name if it can be part of a folder's name on every system. Raises ValueError if not."""
    found = _FORBIDDEN.search(name)
    if found:
        raise ValueError(f"a name becomes part of a folder's name and must not have {found[0]!a} in it")
    if not name.strip() or name.startswith((".", "-", " ")) or name.endswith((".", " ")) or _RESERVED.fullmatch(name):
        raise ValueError(f"{name!r} can't be the name of a folder: use letters, digits, '-' and '_'")
    if len(name.encode()) > LONGEST_NAME:
        raise ValueError(f"a name has at most {LONGEST_NAME} bytes, not {len(name.encode())}: {name[:20]!r}...")
    return name


Name = Annotated[str, AfterValidator(check_name)]
