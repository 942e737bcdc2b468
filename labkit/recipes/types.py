"""The types of a recipe's settings: numbers that are numbers, in ranges beyond which nothing sensible lies.

A text or a truth value is no number, NaN and infinity are none either, and every size has an upper bound:
`prompts=1e10` is a slip, which would hang instead of telling. The bounds are far beyond every run of this lab.
"""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, Strict


def _number(value: Any) -> Any:
    """The value, where it is a number; what else YAML knows is refused instead of being converted."""
    if isinstance(value, bool | str):
        raise ValueError(f"must be a number, not {value!r}")
    return value


Integer = Annotated[int, BeforeValidator(_number)]
Real = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Switch = Annotated[bool, Strict()]

Count = Annotated[Integer, Field(ge=1, le=10_000_000)]
"""Steps, rows, problems: one at least."""
CountOrNone = Annotated[Integer, Field(ge=0, le=10_000_000)]
"""The same, or none."""
Group = Annotated[Integer, Field(ge=1, le=100_000)]
"""Prompts of a step, or samples of a prompt."""
Tokens = Annotated[Integer, Field(ge=1, le=10_000_000)]
Seed = Annotated[Integer, Field(ge=0, le=2**32 - 1)]
Share = Annotated[Real, Field(ge=0, le=1)]
Positive = Annotated[Real, Field(gt=0, le=1e6)]
NotNegative = Annotated[Real, Field(ge=0, le=1e6)]
Coefficient = Annotated[Real, Field(ge=0, le=1000)]
"""The weight of a term of a loss. A negative one would train away from what the term is for."""
LearningRate = Annotated[Real, Field(gt=0, le=10)]
Beta = Annotated[Real, Field(ge=0, lt=1)]
"""The decay of one of Adam's moments."""
Temperature = Annotated[Real, Field(ge=1e-3, le=1000)]
"""Of a softmax whose log-probs are trained on: logits divided by less leave the range of float32."""
Text = Annotated[str, Field(min_length=1)]

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # no file may be called so on Windows
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\ud800-\udfff]')
LONGEST_NAME = 100


def check_name(name: str) -> str:
    """A name that can be part of a folder's name on every system. Raises ValueError."""
    found = _FORBIDDEN.search(name)
    if found:
        raise ValueError(f"a name becomes part of a folder's name and must not have {found[0]!a} in it")
    if not name.strip() or name.startswith((".", "-", " ")) or name.endswith((".", " ")) or _RESERVED.fullmatch(name):
        raise ValueError(f"{name!r} can't be the name of a folder: use letters, digits, '-' and '_'")
    if len(name.encode()) > LONGEST_NAME:
        raise ValueError(f"a name has at most {LONGEST_NAME} bytes, not {len(name.encode())}: {name[:20]!r}...")
    return name


Name = Annotated[str, AfterValidator(check_name)]
