"""Recipe files, task files and model folders as people (and editors, and disks) get them wrong."""

import copy
import json
import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.fault_campaign import Kind, Place, command, forked, kind, outcome

WRONG: list[Any] = [
    *(-1, 0, 10**30, 1e39, math.inf, -math.inf, math.nan, 0.5, True, None, "", "hello", "\x00", "\ud800", "../../evil"),
    *("~nouser/x", "a\nb", "\x1b[2J", [], [1], {}, {"a": 1}, "1e-4", "nan"),
]
KEYS = [
    *(
        "name",
        "trainer",
        "model",
        "task",
        "task_options",
        "algorithm",
        "algorithm_options",
        "steps",
        "seed",
        "verifier",
    ),
    *("reward_model", "reference", "lora", "kl_control", "staleness", "checkpoint_every", "keep_checkpoints"),
    *("sampling", "sampling.prompts", "sampling.samples", "sampling.max_new_tokens", "sampling.temperature"),
    *("sampling.stop", "sampling.top_p", "optimizer", "optimizer.lr", "optimizer.betas", "optimizer.schedule"),
    *("optimizer.max_grad_norm", "optimizer.microbatch_tokens", "evaluation", "evaluation.problems", "rollouts_logged"),
    *("algorithm_options.eps", "algorithm_options.clip_low", "algorithm_options.kl_coef", "stages", "nonsense"),
]
NOT_NUMBERS = (math.inf, -math.inf, math.nan)


def _texts(text: str, rng: random.Random) -> bytes:
    """The file as something else than its author meant."""
    raw = text.encode()
    return rng.choice(
        [
            raw[: rng.randrange(1, len(raw))],
            b"\xff\xfe" + text.encode("utf-16-le"),
            raw.replace(b":", b"\t:", 1),
            raw + b"\xe9\n",
            b"\x00" + raw,
            b"- " + raw.replace(b"\n", b"\n- "),
            raw + b"a: [" * 3000,
            b"a: &a [x, x]\nb: &b [*a, *a]\n"
            + b"".join(b"%c: &%c [*%c, *%c]\n" % (i + 1, i + 1, i, i) for i in range(98, 121)),
            b"a: &a [*a]\n" + raw,
            raw + b"when: 2024-13-45\n",
            raw + b"seed: " + b"9" * 5000 + b"\n",
            raw + b"? [a, b]\n: c\n",
            raw + b"1: 2\n",
            b"",
            b"hello\n",
            raw + b"!!python/object/apply:os.system [ls]\n",
        ]
    )


@kind
def recipes(place: Place, count: int, rng: random.Random) -> Kind:
    """A recipe with one wrong value, or a file that is none. A number that is not finite, and a negative one where
    there is none, must not pass."""
    found, home = Kind("recipe files"), place.folder / "recipes"
    for number in range(count):
        settings, out = copy.deepcopy(place.recipe(steps=1)), home / f"run-{number}"
        settings["evaluation"] = {"problems": 0}
        file, refused = home / f"r{number}.yaml", False
        if number % 4 == 3:
            content, told = _texts(yaml.safe_dump(settings), rng), "another file"
        else:
            key, value = rng.choice(KEYS), rng.choice(WRONG)
            *above, last = key.split(".")
            at = settings
            for part in above:
                at = at.setdefault(part, {})
            at[last] = value
            told, content = f"{key}: {value!a}", yaml.dump(settings, allow_unicode=False).encode()
            refused = isinstance(value, float) and any(value is wrong for wrong in NOT_NUMBERS)
        file.write_bytes(content)
        ended = forked(place.train(out, file), home, place.timeout)
        inside = not (place.folder.parent / "evil").exists() and not (home.parent / "evil").exists()
        right = inside and (told == "another file" or not refused or "task_options" in told or "name" in told)
        found.note(
            outcome(ended, lambda right=right: right), f"{told}: {(ended.err or content[:60].decode('latin1'))[-300:]}"
        )
        shutil.rmtree(out, ignore_errors=True)
    return found


# ---------------------------------------------------------------------------------------------------- task files

GOOD = {"prompt": "2+3:", "reference": 5, "verifier": "number"}
ROWS: list[Any] = [
    *({"prompt": 3}, {"prompt": ""}, {"prompt": "  "}, {"prompt": None}, {"prompt": ["2+3:"]}, {"prompt": "a\x00b"}),
    *(
        {"prompt": "\ud800"},
        {"prompt": "1+" * 3000},
        {"prompt": "<eos>2+3:"},
        {"prompt": "<bos>"},
        {"prompt": "é中\U0001f600"},
    ),
    *(
        {"prompt": "\x1b[31mred"},
        {"prompt": "\u202e"},
        {"reference": None},
        {"reference": math.nan},
        {"reference": [1]},
    ),
    *(
        {"reference": {"a": 1}},
        {"reference": "five"},
        {"reference": 10**400},
        {"reference": "\ud83d"},
        {"reference": True},
    ),
    *({"verifier": "nonsense"}, {"verifier": 3}, {"verifier": None}, {"verifier": ""}, {"verifier": "math"}),
    *({"verifier": "code"}, {"verifier": "instructions"}, {"verifier": "countdown"}, {"split": "dev"}, {"split": 1}),
]
LINES = [
    *(b"{", b"[]", b"12", b"null", b'"text"', b"\xff\xfe", b'{"prompt": "a"', b"{}", b'{"prompt": "a"}', b"NaN"),
    *(
        b"[" * 20_000,
        b'{"prompt": "2+3:", "reference": ' + b"9" * 5000 + b"}",
        b"\x00",
        b'{"a": 1} {"b": 2}',
        b"\xef\xbb\xbf{}",
    ),
]


@kind
def tasks(place: Place, count: int, rng: random.Random) -> Kind:
    """A file of problems with one bad line among twelve good ones: it is named, or left out and counted."""
    found, home = Kind("task files"), place.folder / "tasks"
    for number in range(count):
        rows = [json.dumps({**GOOD, "prompt": f"{i}+3:"}).encode() for i in range(12)]
        how, at = rng.randrange(10), rng.randrange(13)
        if how < 6:
            changed = {**GOOD, **ROWS[number % len(ROWS)]}
            bad = json.dumps(changed).encode()
        elif how < 9:
            bad = LINES[number % len(LINES)]
        else:
            bad = rng.choice([b"", json.dumps({**GOOD, "prompt": "0+3:", "split": "train"}).encode()])
        content = b"\n".join([*rows[:at], bad, *rows[at:]]) + rng.choice([b"\n", b"", b"\n\n"])
        if how == 9:
            content = rng.choice(
                [b"", b"\n", rows[0], content.replace(b"\n", b"\r\n"), content.decode().encode("utf-16")]
            )
        file = home / f"t{number}.jsonl"
        file.write_bytes(content)
        name = f"file:{file}" if number % 2 else str(file)
        if number % 3:
            work = command("eval", place.model, name, "--samples", "1", "--limit", "4", "--max-new-tokens", "4")
        else:
            settings = {"task": name, "steps": 1, "evaluation": {"problems": 0}}
            recipe = home / f"t{number}.yaml"
            recipe.write_text(yaml.safe_dump(place.recipe(**settings)))
            work = place.train(home / f"run-{number}", recipe)
        ended = forked(work, home, place.timeout)
        found.note(outcome(ended), f"{bad[:60]!r}: {ended.err[-300:]}")
        shutil.rmtree(home / f"run-{number}", ignore_errors=True)
    return found


# ------------------------------------------------------------------------------------------------- model folders


def _in_json(name: str, change: Callable[[dict[str, Any]], Any]) -> Callable[[Path, random.Random], None]:
    def damage(folder: Path, rng: random.Random) -> None:
        settings = json.loads((folder / name).read_text())
        change(settings)
        (folder / name).write_text(json.dumps(settings))

    return damage


def _in_weights(
    change: Callable[[dict[str, Any], random.Random], dict[str, Any]],
) -> Callable[[Path, random.Random], None]:
    def damage(folder: Path, rng: random.Random) -> None:
        from safetensors.torch import load_file, save_file

        file = folder / "model.safetensors"
        save_file(change(load_file(file), rng), file, metadata={"format": "pt"})

    return damage


def _without_one(weights: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    gone = rng.choice(sorted(weights))
    return {name: value for name, value in weights.items() if name != gone}


def _not_a_number(weights: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    weights[rng.choice(sorted(weights))].view(-1)[0] = math.nan
    return weights


MODELS: dict[str, Callable[[Path, random.Random], None]] = {
    "weights cut": lambda folder, rng: _cut(folder / "model.safetensors", rng),
    "config cut": lambda folder, rng: _cut(folder / "config.json", rng),
    "tokenizer cut": lambda folder, rng: _cut(folder / "tokenizer.json", rng),
    "no weights": lambda folder, rng: (folder / "model.safetensors").unlink(),
    "no config": lambda folder, rng: (folder / "config.json").unlink(),
    "no tokenizer": lambda folder, rng: (folder / "tokenizer.json").unlink(),
    "a weight is missing": _in_weights(_without_one),
    "weights under another prefix": _in_weights(lambda w, _: {f"_orig_mod.{name}": value for name, value in w.items()}),
    "weights that are no numbers": _in_weights(_not_a_number),
    "more layers than weights": _in_json("config.json", lambda c: c.update(num_hidden_layers=4)),
    "wrong model_type": _in_json("config.json", lambda c: c.update(model_type="gpt_neox")),
    "unknown model_type": _in_json("config.json", lambda c: c.update(model_type="nonsense")),
    "another width": _in_json("config.json", lambda c: c.update(hidden_size=48)),
    "a broken chat template": _in_json(
        "tokenizer_config.json", lambda c: c.update(chat_template="{{ x.y.z }}{% if %}")
    ),
}
"""Damages by name: each changes a copy of a model's folder. A sound loader refuses every one of them in one line."""


def _cut(file: Path, rng: random.Random) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: rng.randrange(1, len(content) - 1)])


@kind
def models(place: Place, count: int, rng: random.Random) -> Kind:
    """A model's folder with one thing wrong: it must not be evaluated as if nothing were."""
    found, home = Kind("model folders"), place.folder / "models"
    for number in range(count):
        name, folder = list(MODELS)[number % len(MODELS)], home / f"model-{number}"
        shutil.copytree(place.model, folder)
        MODELS[name](folder, rng)
        arguments = ["addition", "--samples", "1", "--limit", "2", "--max-new-tokens", "4"]
        ended = forked(command("eval", folder, *arguments), home, place.timeout)
        found.note(outcome(ended, lambda: False), f"{name}: {ended.err[-300:] or ended.out[:200]}")
        shutil.rmtree(folder)
    return found
