"""Exercise of notebook 15: samples one after another until one is accepted, and the bill."""

from __future__ import annotations

import random

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def sampling_bill(accepted: list[bool], right: list[bool], lengths: list[int], n: int) -> tuple[bool, int]:
    spent = 0
    for i in range(n):
        spent += lengths[i]
        if accepted[i]:
            break
    return right[i], spent


def _last(accepted: list[bool], n: int) -> int:
    return next((i for i in range(n) if accepted[i]), n - 1)


def _random_samples(generator: random.Random) -> Case:
    size = generator.randint(2, 8)
    accepted = [generator.random() < 0.3 for _ in range(size)]
    right = [generator.random() < (0.8 if a else 0.3) for a in accepted]
    return Case((accepted, right, [generator.randint(5, 90) for _ in range(size)], generator.randint(1, size)))


EXERCISE = Exercise(
    name="sampling-bill",
    title="Until one is accepted: what is it worth, what does it cost?",
    notebook="15_inference_time_compute",
    spec=(
        "Samples of one problem are drawn one after another. `accepted[i]`: the model itself judged sample i to be "
        'right (its thought ends in "yes"); `right[i]`: the verifier says so; `lengths[i]`: its tokens. Drawing stops '
        "at the first accepted sample, and after `n` samples at the latest; the sample that was drawn last is the "
        "answer.\n\n"
        "Return whether that answer is right, and how many tokens were generated **in all**. "
        "(1 ≤ n ≤ how many there are.)"
    ),
    stub=(
        "def sampling_bill(accepted: list[bool], right: list[bool], lengths: list[int], n: int) -> tuple[bool, int]:\n"
        "    raise NotImplementedError\n"
    ),
    reference=sampling_bill,
    literal=(
        Case(([False, True, False], [False, True, True], [10, 20, 40], 3), "the second is accepted: 10 + 20 tokens"),
        Case(([True, True], [True, True], [10, 20], 2), "the first is accepted"),
        Case(([False, False, True], [False, True, True], [10, 20, 40], 2), "n is reached before any is accepted"),
        Case(([True, False, True], [False, True, True], [10, 20, 40], 3), "accepted, and wrong"),
        Case(
            ([False, False, False], [True, False, False], [10, 20, 40], 3), "never accepted; the first would be right"
        ),
    ),
    random=_random_samples,
    misconceptions=(
        Misconception(
            "only-the-answer-is-paid",
            lambda accepted, right, lengths, n: (right[_last(accepted, n)], lengths[_last(accepted, n)]),
            "Only the tokens of the answer are counted. The samples that were thrown away were generated as well.",
        ),
        Misconception(
            "all-are-paid",
            lambda accepted, right, lengths, n: (right[_last(accepted, n)], sum(lengths[:n])),
            "All n samples are counted, though drawing stops at the first that is accepted. That is best-of-n's bill.",
            (lambda accepted, right, lengths, n: (right[_last(accepted, n)], sum(lengths)),),
        ),
        Misconception(
            "verifier-stops",
            lambda accepted, right, lengths, n: sampling_bill(right, right, lengths, n),
            "Drawing stops where the verifier is content. At test time nobody knows `right`: `accepted` decides.",
        ),
        Misconception(
            "without-a-limit",
            lambda accepted, right, lengths, n: sampling_bill(accepted, right, lengths, len(accepted)),
            "More than n samples are drawn: n is the most that may be spent on a problem.",
        ),
        Misconception(
            "any-right",
            lambda accepted, right, lengths, n: (
                any(right[: _last(accepted, n) + 1]),
                sum(lengths[: _last(accepted, n) + 1]),
            ),
            "It counts as right when any of the samples was. That is pass@k; here one answer is given, the last drawn.",
        ),
        Misconception(
            "first-when-none",
            lambda accepted, right, lengths, n: (
                right[next((i for i in range(n) if accepted[i]), 0)],
                sum(lengths[: _last(accepted, n) + 1]),
            ),
            "Where none is accepted the first sample is given as the answer; the spec says the one drawn last.",
        ),
        Misconception(
            "one-too-few",
            lambda accepted, right, lengths, n: (right[_last(accepted, n)], sum(lengths[: _last(accepted, n)])),
            "The sample that is given as the answer is missing on the bill.",
        ),
    ),
    hints=(
        "Walk through the first n samples and add up their lengths as you go.",
        "Stop at the first accepted one. Where none is, the walk ends by itself, at sample n − 1.",
        "In both cases the sample at which the walk stopped is the answer: `return right[i], spent`.",
    ),
    sources=("labkit.inference.curves:until_accepted",),
)
