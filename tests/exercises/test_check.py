"""What a check says of functions that fail in ways that are not about the exercise."""

import re
import threading
import time
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor

import labkit.exercises as exercises
from labkit.errors import UserError
from labkit.exercises.running import run_cases

EXERCISES = exercises.EXERCISES
pass_at_k = EXERCISES["pass-at-k"].reference
advantages = EXERCISES["group-advantages"].reference
mask = EXERCISES["completion-mask"].reference
loss = EXERCISES["clipped-policy-loss"].reference
logprobs = EXERCISES["token-logprobs"].reference


def message(name: str, fn: Any, **options: Any) -> str:
    result = exercises.check(name, fn, **options)
    assert result.attempted and not result.passed and result.misconception is None, result
    return result.message


# ---------------------------------------------------------------------------------- faults of the function


def test_an_error_is_one_line_with_the_input_and_what_was_raised():
    def fn(n, c, k):
        return {}[f"{n}\n{c}"] if c == 0 else pass_at_k(n, c, k)

    first = message("pass-at-k", fn).splitlines()[0]
    assert first == r"It raised KeyError: '4\n0'. The input: n=4, c=0, k=2"


def test_an_exit_or_a_broken_exception_is_an_error_like_any_other():
    class Broken(Exception):
        def __str__(self):
            raise RuntimeError

    def breaks(n, c, k):
        raise Broken

    assert "SystemExit: 3" in message("pass-at-k", lambda n, c, k: exit(3))
    assert "It raised Broken." in message("pass-at-k", breaks)


def test_not_implemented_later_on_is_an_error():
    def fn(n, c, k):
        if k > 1:
            raise NotImplementedError("k > 1")
        return c / n

    assert "NotImplementedError: k > 1" in message("pass-at-k", fn)


def test_a_missing_return_in_one_branch():
    assert "without a `return`" in message("pass-at-k", lambda n, c, k: pass_at_k(n, c, k) if c else None)


def test_a_wrong_value_shows_the_smallest_literal_case():
    said = message("pass-at-k", lambda n, c, k: 0.25)
    assert "input:    n=4, c=2, k=1" in said and "expected: 0.5" in said and "got:      0.25" in said
    assert "the case: with k = 1" in said and "lk.hint('pass-at-k')" in said


def test_a_small_difference_is_shown_with_enough_digits():
    said = message("pass-at-k", lambda n, c, k: pass_at_k(n, c, k) * 1.001)
    expected, got = (line.split()[1] for line in said.splitlines()[1:3])
    assert expected != got


def test_a_call_instead_of_a_function_and_wrong_arguments():
    assert "give the function itself" in message("pass-at-k", 0.5)
    assert "(n, c, k)" in message("pass-at-k", lambda n, c: 0.5)
    assert "(n, c, k)" in message("pass-at-k", lambda *, n, c, k: 0.5)


def test_kinds_of_numbers():
    assert "`.item()` takes the number out" in message("pass-at-k", lambda n, c, k: torch.tensor(0.5))
    assert "'0.5' (a str)" in message("pass-at-k", lambda n, c, k: "0.5")
    assert "True or False is expected" in message("countdown-verifier", lambda *args: 1)
    assert "a whole number" in message("count-backtracks", lambda text: 1.0)
    assert exercises.check("pass-at-k", lambda *args: numpy.float64(pass_at_k(*args))).passed
    verifier = EXERCISES["countdown-verifier"].reference
    assert exercises.check("countdown-verifier", lambda *args: numpy.bool_(verifier(*args))).passed


def test_kinds_of_tensors():
    name = "group-advantages"
    assert "a list, where a tensor is expected" in message(name, lambda r, g: advantages(r, g).tolist())
    assert "a ndarray" in message(name, lambda r, g: advantages(r, g).numpy())
    assert "of shape [4, 1], where [4]" in message(name, lambda r, g: advantages(r, g)[:, None])
    assert "dtype torch.float64" in message(name, lambda r, g: advantages(r, g).double())
    assert "dtype torch.int64, where torch.bool" in message("completion-mask", lambda *a: mask(*a).long())
    assert "on meta, where the inputs are on cpu" in message(name, lambda r, g: advantages(r, g).to("meta"))


def test_gradients_lost_or_too_many():
    assert "requires grad, and nothing" in message("group-advantages", lambda r, g: advantages(r, g).requires_grad_())
    assert "the gradient is lost" in message("token-logprobs", lambda *args: logprobs(*args).detach())
    assert "leave torch" in message("clipped-policy-loss", lambda *args: loss(*args).item())

    def flipped(*args: Any) -> Tensor:
        value = loss(*args)
        return 2 * value.detach() - value

    assert "its gradient is tensor([[0.5, 0.5]]), where tensor([[-0.5, -0.5]])" in message(
        "clipped-policy-loss", flipped
    )

    def elsewhere(*args: Any) -> Tensor:
        return loss(*args).detach() + 0 * torch.ones((), requires_grad=True)

    assert "no gradient arrives" in message("clipped-policy-loss", elsewhere)


def test_changing_an_input_is_named():
    def fn(rewards, groups):
        result = advantages(rewards, groups)
        rewards -= rewards.mean()
        return result

    assert "changed its input `rewards`" in message("group-advantages", fn)


def test_it_works_inside_no_grad_and_with_another_default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            for name, exercise in EXERCISES.items():
                result = exercises.check(name, exercise.reference)
                assert result.passed, result
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_students_random_numbers_are_left_alone():
    before = torch.random.get_rng_state()
    exercises.check("clipped-policy-loss", loss)
    assert torch.equal(before, torch.random.get_rng_state())


# ------------------------------------------------------------------------------------------- endless loops


def test_an_endless_loop_is_given_up_and_stopped():
    def fn(n, c, k):
        while c == 0:
            pass
        return pass_at_k(n, c, k)

    said = message("pass-at-k", fn, timeout=0.5)
    assert "Still running after 0.5 s:" in said and "n=4, c=0, k=2" in said
    deadline = time.perf_counter() + 60
    while any(thread.name == "labkit-check" for thread in threading.enumerate()):
        assert time.perf_counter() < deadline, "the thread goes on"
        time.sleep(0.02)


def test_a_first_case_that_never_ends_is_an_attempt():
    assert "Still running" in message("pass-at-k", lambda n, c, k: time.sleep(2), timeout=0.2)


def test_without_a_time_limit_it_runs_in_the_calling_thread():
    seen = set()

    def fn(n, c, k):
        seen.add(threading.current_thread())
        return pass_at_k(n, c, k)

    assert exercises.check("pass-at-k", fn, timeout=None).passed
    assert seen == {threading.current_thread()}


def test_an_interrupt_reaches_the_user_without_a_thread():
    def fn(n, c, k):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cases(fn, EXERCISES["pass-at-k"].cases, timeout=None)


# ------------------------------------------------------------------------------------------------ the rest


def test_unknown_names():
    with pytest.raises(UserError, match="did you mean 'group-advantages'"):
        exercises.check("group_advantage", None)
    with pytest.raises(UserError, match="choose one of: countdown-verifier, pass-at-k"):
        exercises.hint("zzz")
    with pytest.raises(UserError):
        exercises.solution(3)


def test_hints_come_one_at_a_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exercises, "_hints_given", {})
    hints = EXERCISES["pass-at-k"].hints
    shown = [exercises.hint("pass-at-k").markdown for _ in range(len(hints) + 1)]
    assert [text in card for text, card in zip(hints, shown, strict=False)] == [True] * len(hints)
    assert shown[-1] == shown[-2] and "lk.solution('pass-at-k')" in shown[-1]
    assert hints[0] in exercises.hint("pass-at-k", 1).markdown
    with pytest.raises(UserError, match="hints 1 to 3, not 4"):
        exercises.hint("pass-at-k", 4)


def test_results_say_in_words_and_symbols_what_colour_says():
    passed = exercises.check("pass-at-k", pass_at_k)
    wrong = exercises.check("pass-at-k", lambda n, c, k: "<b>`x`</b>")
    stub = exercises.check("pass-at-k", None)
    for result, symbol, words in [
        (passed, "✓", "passed"),
        (wrong, "✗", "not right yet"),
        (stub, "○", "not attempted yet"),
    ]:
        assert repr(result).startswith(f"{symbol} pass-at-k: {words}\n")
        assert f"{symbol} {words}" in result._repr_html_()
    assert "<b>`x`</b>" in wrong.message
    assert "&lt;b&gt;<code>x</code>" in wrong._repr_html_() and "<b>`x`" not in wrong._repr_html_()
    assert exercises.hint("pass-at-k", 1)._repr_markdown_() == repr(exercises.hint("pass-at-k", 1))


@pytest.mark.parametrize("spelling", ["pass_at_k", "Pass-At-K", " pass at k ", "PASS__at k"])
def test_an_exercise_is_found_however_it_is_spelt(spelling: str):
    assert exercises.get(spelling).name == "pass-at-k"
    assert "of 3" in str(exercises.hint(spelling, 1)) and "pass_at_k" in str(exercises.spec(spelling))
    assert exercises.check(spelling, None).name == "pass-at-k"


@pytest.mark.parametrize("status", [(True, True), (False, False), (False, True)])
def test_the_letters_of_a_result_have_enough_contrast(status: tuple[bool, bool]):
    """WCAG 2.1, 1.4.3: at least 4.5, in a light and in a dark theme: letters and ground are both named."""
    html = exercises.CheckResult("pass-at-k", *status, "words")._repr_html_()
    ((letters, ground),) = re.findall(r"color:(#\w{6});background:(#\w{6})", html)
    assert html.count("color:") == 1

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    assert (luminance(ground) + 0.05) / (luminance(letters) + 0.05) >= 4.5


def test_jupyter_shows_a_users_mistake_in_one_line():
    with pytest.raises(UserError) as caught:
        exercises.get("no such exercise at all")
    (line,) = caught.value._render_traceback_()
    assert line == f"UserError: {caught.value}" and "\n" not in line
