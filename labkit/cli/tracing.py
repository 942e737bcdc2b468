"""The command that writes a teacher's answers as data: `traces`."""

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from labkit.cli.options import Device, Json, Model, TaskName, find_policy
from labkit.cli.output import announce, note, quietly
from labkit.errors import UserError
from labkit.paths import user_path


def traces(
    model: Model,
    task: TaskName,
    out: Annotated[Path, typer.Option(help="The .jsonl file to write; what it cost is written next to it, as .json.")],
    prompts: Annotated[int, typer.Option(min=1, help="Training problems.")] = 1000,
    samples: Annotated[int, typer.Option(min=1, help="Answers drawn per problem.")] = 4,
    keep: Annotated[int, typer.Option(min=1, help="Right answers kept per problem.")] = 1,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="As many answers, right or wrong alike: the control of the filter.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Chooses the problems and the random numbers.")] = 0,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Writes right answers of a model as data for fine-tuning.

    Example: `labkit traces tiny-r1-zero countdown --out traces.jsonl`, then `labkit train distill-sft-micro`

    Look at: how many rows were left and what they cost. The score with `--unverified` shows how much the
    verifier's filter has done.
    """
    from labkit.tasks import load_task
    from labkit.training.rows.demonstrations import draw_demonstrations

    out = user_path(out)
    if out.suffix != ".jsonl":
        raise UserError(f"--out must end in .jsonl, not {out.name!r}: that is how data.source knows a file of rows")
    world, policy = load_task(task), quietly(lambda: find_policy(model, device))
    announce(f"{policy.name} answers {prompts} problems of {world.name}, {samples} times each ...")
    found = quietly(
        lambda: draw_demonstrations(policy, world, prompts, samples, keep=keep, verified=not unverified, seed=seed)
    )
    found.save(out)
    if as_json:
        print(json.dumps(found.summary()))
        return
    kind = "right or wrong alike" if unverified else "right"
    note(f"{len(found.rows)} rows ({kind}, mean score {found.score:.2f}) of {prompts * samples} answers")
    note(f"next: labkit train distill-sft-micro --set data.source={shlex.quote(str(out))}")
    print(out)
