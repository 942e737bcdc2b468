"""The registry, and the guard that keeps a wrong verifier from ending a run."""

import json
import math
import pickle
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from labkit.errors import UserError
from labkit.verifiers import VERIFIERS, Score, get, safe_score
from tests.verifiers.hostile import short, within

REFERENCES = {
    "addition": 405,
    "countdown": {"numbers": [5, 6, 1], "target": 30},
    "format": None,
    "choice": "B",
    "code": {"tests": ["assert f(2) == 4"]},
    "instructions": {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
    "math": r"\frac{1}{2}",
    "length": {"max_length": 100, "buffer": 20},
    "number": 72,
}
ALWAYS = {"verifier_error": 1.0}


def test_every_verifier_has_a_reference_here() -> None:
    assert set(REFERENCES) == set(VERIFIERS)


@pytest.mark.parametrize("name", sorted(VERIFIERS), ids=short)
def test_every_verifier_keeps_the_contract(name: str) -> None:
    verify = pickle.loads(pickle.dumps(get(name)))
    completions = [
        "",
        "\x00",
        "\ud800",
        "<answer>" * 100_000,
        "<think>" * 100_000 + "</think>" * 100_000,
        "1" * 10**6,
    ]
    for completion in completions:
        with within(0.8):
            score = verify(completion, REFERENCES[name])
        assert isinstance(score, Score) and type(score.reward) is float and 0.0 <= score.reward <= 1.0
        assert score.reason and score.reason.isprintable()
        assert score == verify(completion, REFERENCES[name]) == pickle.loads(pickle.dumps(score))
        json.dumps([score.reward, score.reason, score.extracted, score.parts], allow_nan=False)


@pytest.mark.parametrize("name", ["", "Countdown", None, 3, ["countdown"]], ids=short)
def test_an_unknown_name_is_answered_with_the_choices(name: object) -> None:
    with pytest.raises(UserError, match=r"choose one of: addition, .*countdown, .*format"):
        get(name)


class Awkward(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even a message")


def raising(error: BaseException):
    def verify(completion: str, reference: object) -> Score:
        raise error

    return verify


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("bad\nline"), "verifier raised ValueError: bad line"),
        (KeyError("x"), "verifier raised KeyError: 'x'"),
        (UserError("fix it"), "verifier raised UserError: fix it"),
        (RecursionError(), "verifier raised RecursionError"),
        (MemoryError(), "verifier raised MemoryError"),
        (Awkward(), "verifier raised Awkward"),
        (ValueError("\ud800"), "verifier raised ValueError: \\ud800"),
        (ValueError("x" * 10**6), "verifier raised ValueError: " + "x" * 200 + "..."),
    ],
    ids=short,
)
def test_an_exception_becomes_a_score(error: Exception, reason: str) -> None:
    assert safe_score(raising(error), "4", 4) == Score(0.0, reason, None, ALWAYS)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)], ids=short)
def test_a_wish_to_stop_passes_through(error: BaseException) -> None:
    with pytest.raises(type(error)):
        safe_score(raising(error), "4", 4)


def test_a_verifier_with_too_few_parameters_is_reported() -> None:
    assert safe_score(lambda completion: 1.0, "4", 4).reason.startswith("verifier raised TypeError: ")


@pytest.mark.parametrize(
    ("result", "reward"),
    [
        (1.0, 1.0),
        (0, 0.0),
        (True, 1.0),
        (-2, -2.0),
        (Fraction(1, 4), 0.25),
        (np.float32(0.5), 0.5),
        (np.bool_(True), 1.0),
    ],
    ids=short,
)
def test_a_bare_number_is_wrapped(result: object, reward: float) -> None:
    score = safe_score(lambda completion, reference: result, "4", 4)
    assert score.reward == reward and type(score.reward) is float and score.parts == {} and score.reason


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (None, "verifier returned None as the reward, not a number (is a return missing?)"),
        ("1.0", "verifier returned a str as the reward"),
        ((1.0, "good"), "verifier returned a tuple as the reward"),
        (1j, "verifier returned a complex as the reward"),
        (math.nan, "the reward nan, which is not a finite number"),
        (-math.inf, "the reward -inf, which is not a finite number"),
        (np.float64("nan"), "the reward nan, which is not a finite number"),
        (np.ones(2), "verifier raised"),
        (10**400, "verifier raised OverflowError"),
        (Score(math.nan, "r"), "the reward nan"),
        (Score(None, "r"), "None as the reward"),
        (Score(1.0, "r", None, [1.0]), "verifier raised AttributeError"),
    ],
    ids=short,
)
def test_any_other_result_is_worth_nothing_and_counted(result: object, words: str) -> None:
    score = safe_score(lambda completion, reference: result, "4", 4)
    assert score.reward == 0.0 and score.parts == ALWAYS
    assert words in score.reason


def test_a_sound_score_passes_unchanged_and_its_odd_fields_are_fixed() -> None:
    sound = Score(0.5, "half", "4", {"value": 0.5})
    assert safe_score(lambda completion, reference: sound, "4", 4) == sound
    odd = Score(True, 7, 4, {"ok": np.float32(1.0), "nan": math.nan, "text": "x"})
    fixed = safe_score(lambda completion, reference: odd, "4", 4)
    assert fixed == Score(1.0, "7; parts that are not finite numbers: nan, text", "4", {"ok": 1.0, **ALWAYS})
    assert safe_score(lambda completion, reference: Score(1.0, "r", None, None), "4", 4).parts == {}


def test_the_verifiers_themselves_import_the_standard_library_alone() -> None:
    # The package's own __init__ may import torch: take its place, and see what the verifiers bring in.
    program = (
        "import sys, types; package = types.ModuleType('labkit'); package.__path__ = ['labkit'];"
        "sys.modules['labkit'] = package; import labkit.verifiers, labkit.worlds.countdown.behaviours;"
        "print([name for name in ('torch', 'numpy', 'transformers', 'sympy') if name in sys.modules])"
    )
    root = __file__.rpartition("/tests/")[0]
    ran = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout.strip()) == (0, "[]"), ran.stderr
