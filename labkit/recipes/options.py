"""The options that `algorithm_options` of an RL recipe may change (the fields of `Preset`), and their ranges."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError

from labkit.algorithms.advantage import Baseline, Scale
from labkit.algorithms.kl import KLKind
from labkit.algorithms.policy import Objective, Ratio
from labkit.algorithms.preset import Credit, KLPlacement
from labkit.algorithms.reduction import Aggregate
from labkit.errors import first_fault
from labkit.recipes.settings import Settings
from labkit.recipes.types import Coefficient, Integer, Real, Share, Switch

Clip = Annotated[Real, Field(gt=0, le=1000)]


class PresetOptions(Settings):
    """One field per option of `labkit.algorithms.Preset`. None means that the preset's own value is kept."""

    baseline: Baseline | None = None
    scale: Scale | None = None
    ddof: Annotated[Integer, Field(ge=0, le=1)] | None = None
    # `eps` prevents a division by 0 in a group without variance. A negative value would flip the signs.
    eps: Annotated[Real, Field(gt=0, le=1)] | None = None
    objective: Objective | None = None
    ratio: Ratio | None = None
    clip_low: Annotated[Real, Field(gt=0, le=1)] | None = None  # the lower bound is 1 - clip_low
    clip_high: Clip | None = None
    dual_clip: Annotated[Real, Field(gt=1, le=1000)] | None = None
    tau_pos: Clip | None = None
    tau_neg: Clip | None = None
    aggregate: Aggregate | None = None
    kl_placement: KLPlacement | None = None
    kl_kind: KLKind | None = None
    kl_coef: Coefficient | None = None
    drop_zero_variance: Switch | None = None
    overlong_buffer: Annotated[Real, Field(gt=0, le=1)] | None = None
    credit: Credit | None = None
    gamma: Share | None = None
    lam: Share | None = None
    critic: Switch | None = None
    greedy_baseline: Switch | None = None
    process_coef: Coefficient | None = None
    whiten: Switch | None = None
    value_clip: Clip | None = None
    value_coef: Coefficient | None = None
    # Below 0 it is a penalty on entropy, which is a method of its own (Agarwal et al. 2025, arXiv:2505.15134).
    entropy_coef: Annotated[Real, Field(ge=-1000, le=1000)] | None = None
    importance_cap: Clip | None = None


NULLABLE = ("dual_clip", "overlong_buffer", "value_clip", "importance_cap")
"""The options whose value may be null, which switches them off."""


def check_options(options: Mapping[str, Any]) -> None:
    """Raises ValueError for an unknown option, and for a value that has a wrong type or is out of its range."""
    known = PresetOptions.model_fields
    for key, value in options.items():
        if key not in known:
            raise ValueError(f"algorithm_options has no {key!r}; it has {', '.join(sorted(known))}")
        if value is None and key not in NULLABLE:
            raise ValueError(f"algorithm_options.{key} must not be null: leave it out")
    try:
        PresetOptions.model_validate(dict(options))
    except ValidationError as error:
        key, message = first_fault(error)
        raise ValueError(f"algorithm_options.{key}: {message}") from None
