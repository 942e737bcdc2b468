"""Texts that keep and break each of the 112 kinds of instruction, and how the tests ask for one kind."""

from instruction_cases_ifbench import IFBENCH
from instruction_cases_ifeval import IFEVAL, Case
from instruction_cases_ifevalg import IFEVALG

from labkit.verifiers.instructions import verify

CASES: list[Case] = [*IFEVAL, *IFEVALG, *IFBENCH]
FIRST = {kind: arguments for kind, arguments, _, _ in reversed(CASES)}
"""Arguments of each kind: those of its first case."""


def ask(kind: str, completion: str, arguments: dict | None = None, **more: str) -> float:
    """The reward for one instruction."""
    return verify(completion, {"instruction_id_list": [kind], "kwargs": [arguments or {}], **more}).reward


def one(kind: object, arguments: object) -> dict:
    """A reference with one instruction."""
    return {"instruction_id_list": [kind], "kwargs": [arguments]}
