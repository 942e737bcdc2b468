r"""The text that a mathematical answer votes with: the same for answers whose normal forms are the same."""

from __future__ import annotations

from fractions import Fraction

from labkit.verifiers.math.answers import read_answer
from labkit.verifiers.math.comparing import scaled
from labkit.verifiers.math.kinds import Answer, Assignment, Equation, Group, Scalar, Words
from labkit.verifiers.math.polynomials import Form

__all__ = ["vote"]


def vote(text: str) -> str:
    r"""A key for the value of an answer: names, units and the order of a set have no vote.

    >>> vote(r"\frac{1}{2}") == vote("x = 0.5") == vote(r"\frac{2}{4}\text{ cm}"), vote("1/2")
    (True, '1/2')
    >>> vote(r"\{2, 1\}") == vote("1, 2"), vote("(1,2)") == vote("(2,1)"), vote("x>1") == vote(r"(1, \infty)")
    (True, False, True)
    """
    return _key(read_answer(text))


def _key(answer: Answer) -> str:
    match answer:
        case Scalar():
            return _form_key(answer.form, answer.source) + ("%" if answer.unit.startswith("%") else "")
        case Words():
            return answer.text
        case Assignment():
            return _key(answer.value)
        case Equation():
            left = answer.left
            form = None if left.form is None else Form(scaled(left.form, answer.relation), left.form.complete)
            return f"{_form_key(form, left.source)} {answer.relation} 0"
        case Group():
            return _group_key(answer)
    raise AssertionError(f"not an answer: {answer!r}")


def _form_key(form: Form | None, source: str) -> str:
    if form is None:
        return source
    constant: Fraction | None = form.constant()
    return form.key() if constant is None else str(constant)


def _group_key(group: Group) -> str:
    keys = [_key(item) for item in group.items]
    if group.kind in ("list", "{}", "∪", "∩"):
        keys = sorted(set(keys))
        if len(keys) == 1:
            return keys[0]
    kind = "{}" if group.kind == "list" else group.kind
    return f"{kind}{list(group.shape) or ''}{'; '.join(keys)}"
