"""Calls of `sample` one after another on the way of CUDA: what an earlier call has left behind may not show."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labkit.sampling import sample, stepping, workspace
from labkit.sampling.workspace import release_workspaces
from tests.sampling.captured import SHORT, Recorded, captured, ending, like, same, text

__all__ = ["captured"]


@pytest.mark.usefixtures("captured")
def test_a_slot_that_its_row_has_left_does_not_run_on_in_a_later_call():
    """Rows with a long prompt leave their slots. Then a short prompt has a higher limit, in buffers that are kept."""
    policy = ending()
    wide = {"max_new_tokens": 300, "seed": 1}
    sample(policy, [SHORT], n=8, **wide)
    place = workspace.workspace(policy.model)
    slots, stepper = place.slots, place.stepper
    assert isinstance(stepper, Recorded)
    sample(policy, [text(200)], n=8, max_new_tokens=100, seed=3)
    stale = slots.alive.tolist()
    policy.eos_ids = frozenset()  # all rows run to the limit, which is beyond the cache for the long prompt
    ours = sample(policy, [SHORT], n=5, **wide)
    assert place.slots is slots and place.stepper is stepper
    same(ours, sample(like(policy), [SHORT], n=5, **wide))
    assert not any(stale), "no call is under way"
    release_workspaces()


NARROW = 64  # tokens of context, with eight buckets of columns: calls are short, and still of many shapes


def calls_with(lengths: list[int], new: list[int], rows_end: list[bool]) -> st.SearchStrategy:
    """Calls: tokens of each prompt, samples, new tokens as far as there is room, slots, whether rows end early."""
    prompts, ends = st.lists(st.sampled_from(lengths), min_size=1, max_size=2), st.sampled_from(rows_end)
    return st.tuples(prompts, st.sampled_from([3, 5, 8]), st.sampled_from(new), st.sampled_from([None, None, 6]), ends)


ANY = calls_with([4, 14, 30], [3, 20, NARROW], [True, False])
# Two kinds that leave much behind, and that run far: one after the other is where faults show.
LEAVING, RUNNING = calls_with([30], [20, NARROW], [True]), calls_with([4], [NARROW], [False])


@pytest.mark.usefixtures("captured")
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(st.one_of(LEAVING, RUNNING, ANY), min_size=2, max_size=5))
def test_any_sequence_of_calls_draws_what_fresh_engines_draw(monkeypatch, calls):
    for module in (stepping, workspace):
        monkeypatch.setattr(module, "COLUMN_BUCKET", 8)
    policy = ending(NARROW)
    ends = policy.eos_ids
    sample(policy, [SHORT], n=16, max_new_tokens=NARROW - 10)  # the buffers have their full size from now on
    for seed, (lengths, n, steps, slots, rows_end) in enumerate(calls):
        policy.eos_ids = ends if rows_end else frozenset()
        prompts = [text(length) for length in lengths]
        room = NARROW - max(len(policy.encode(prompt)) for prompt in prompts)
        asked = {"n": n, "max_new_tokens": min(steps, room), "slots": slots, "seed": seed}
        same(sample(policy, prompts, **asked), sample(like(policy), prompts, **asked))
    release_workspaces()
