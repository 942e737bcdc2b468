"""GSM8K (Cobbe et al., 2021): 8.5 K grade-school word problems, from a folder or from the hub.

In a folder (`$LABKIT_DATA/gsm8k`) a line is `{"question": ..., "answer": ...}`; on the hub it is `openai/gsm8k`. See
`labkit.tasks.stored` for where rows are searched and how problems are held out.
"""

import hashlib
import random
import re
from typing import Any

from labkit.tasks.base import Problem, Task
from labkit.tasks.stored import Row, Stored
from labkit.verifiers import VERIFIERS

ENDING = "\n\nThink step by step, then write the final answer on a last line of its own, as: #### number"


def _read(row: dict[str, Any]) -> Row | None:
    question, answer = row.get("question"), row.get("answer")
    if not isinstance(question, str) or not isinstance(answer, str) or "####" not in answer:
        return None
    return {"question": question, "answer": answer}


DATA = Stored(
    name="gsm8k",
    hub="openai/gsm8k",
    config="main",
    question="question",
    read=_read,
    needs='"question" and "answer" (a solution that ends in #### x) are needed',
)
at_hand, where = DATA.at_hand, DATA.where


def gsm8k_rows(split: str) -> list[Row]:
    """The rows of a split, `{"question", "answer"}`; `answer` includes the worked solution, for SFT.

    Raises UserError where the data are neither in the folder nor on the hub.
    """
    return DATA.rows(split)


def demonstrations(split: str) -> list[Row]:
    """The worked solutions as `{"prompt", "completion"}`, with the task's own prompts, for SFT."""
    return [{"prompt": problem_of(row).prompt, "completion": solution(row["answer"])} for row in gsm8k_rows(split)]


def solution(answer: str) -> str:
    r"""A worked solution without its notes for a calculator.

    >>> solution("She has 2+3=<<2+3=5>>5.\n#### 5")
    'She has 2+3=5.\n#### 5'
    """
    return re.sub(r"<<[^<>]*>>", "", answer).strip()


def problem_of(row: Row) -> Problem:
    """The problem of a row: the reference is the number after `####`, without thousands commas.

    >>> problem_of({"question": "1,000 and 1?", "answer": "It is <<1000+1=1001>>.\\n#### 1,001"}).reference
    '1001'
    """
    digest = hashlib.blake2b(row["question"].encode(), digest_size=6).hexdigest()
    reference = row["answer"].rpartition("####")[2].strip().replace(",", "")
    return Problem(prompt=row["question"].strip() + ENDING, reference=reference, id=f"gsm8k/{digest}")


def pool(split: str) -> list[Problem]:
    """All problems of a split."""
    return [problem_of(row) for row in gsm8k_rows(split)]


def _draw(split: str, rng: random.Random) -> Problem:
    return rng.choice(pool(split))


def make_gsm8k() -> Task:
    """The task; its fingerprint covers every row. Raises UserError where the data are not at hand."""
    return Task(
        name="gsm8k",
        description=f"grade-school word problems ({DATA.counts()}) from {where()}",
        verifier=VERIFIERS["number"],
        draw=_draw,
        pool=pool,
        max_new_tokens=320,
        options={"content": DATA.content()},
    )
