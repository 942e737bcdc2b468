"""Commands that measure: `eval`, `sample`, `compare`, `bench`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from labkit.cli.options import MODEL_HELP, Device, Json, Model, TaskName, find_policy
from labkit.cli.output import announce, console, note, print_json, quietly
from labkit.errors import UserError
from labkit.printable import LINES, printable

if TYPE_CHECKING:
    from labkit.rollouts import Rollouts

REPORTED = (
    "model",
    "task",
    "problems",
    "samples",
    "pass_at_k",
    "maj_at_k",
    "interval",
    "mean_length",
    "truncated",
    "well_formed",
    "seconds",
)
MaxNewTokens = Annotated[int | None, typer.Option(min=1, help="Longest answer in tokens. Default: the task's.")]
Temperature = Annotated[float, typer.Option(min=0, help="0 always takes the most probable token.")]


def eval_command(
    model: Model,
    task: TaskName,
    samples: Annotated[int, typer.Option(min=1, help="Samples per problem.")] = 16,
    limit: Annotated[int, typer.Option(min=1, help="Held-out problems.")] = 128,
    max_new_tokens: MaxNewTokens = None,
    temperature: Temperature = 1.0,
    seed: Annotated[int, typer.Option(help="Chooses the problems and the random numbers.")] = 1234,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Evaluates a model on held-out problems: pass@k, maj@k, lengths.

    Example: `labkit eval tiny countdown --samples 16 --limit 128`

    Look at: pass@1 with its interval (over problems); how far pass@k lies above it, which is what RL can
    still sharpen; the share of truncated answers.
    """
    from labkit.cli.reports import reports_table
    from labkit.evaluation.report import evaluate
    from labkit.tasks import load_task

    world, policy = load_task(task), quietly(lambda: find_policy(model, device))
    announce(f"evaluating {policy.name} on {world.name}: {limit} problems x {samples} samples ...")
    options = {"max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed}
    report = quietly(lambda: evaluate(policy, world, samples, limit, **options)).to_dict()
    if as_json:
        print_json({key: report[key] for key in REPORTED})
        return
    print(printable(f"{report['model']} on {report['task']}: {report['problems']} problems x {samples} samples"))
    print(reports_table({"held out": report}))
    print(f"95 % intervals over problems; {report['tokens_per_second']:,.0f} tokens/s")


def sample_command(
    model: Model,
    task: TaskName,
    n: Annotated[int, typer.Option("-n", min=1, help="Problems.")] = 4,
    samples: Annotated[int, typer.Option(min=1, help="Samples per problem.")] = 1,
    max_new_tokens: MaxNewTokens = None,
    temperature: Temperature = 1.0,
    split: Annotated[Literal["train", "test"], typer.Option(help="Which problems.")] = "test",
    seed: Annotated[int, typer.Option(help="Chooses the problems and the random numbers.")] = 0,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Shows answers of a model, each with its score and the reason.

    Example: `labkit sample tiny countdown -n 4 --samples 2`

    Look at: whether the answers that score are right for the right reason, and what the others share.
    """
    from labkit.rollouts import score
    from labkit.sampling import fitting, sample
    from labkit.tasks import load_task

    world, policy = load_task(task), quietly(lambda: find_policy(model, device))
    longest = max_new_tokens or world.max_new_tokens
    problems = fitting(world, policy, longest).sample(n, split, seed=seed)

    def work() -> "Rollouts":
        prompts = [problem.prompt for problem in problems]
        options: dict[str, Any] = {"temperature": temperature, "stop": world.stop, "seed": seed}
        return score(sample(policy, prompts, n=samples, max_new_tokens=longest, **options), world, problems)

    rows = _rows(quietly(work))
    print_json(rows) if as_json else _show(rows)


def compare_command(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Run folders.", show_default=False)],
    plot: Annotated[Path | None, typer.Option(help="Draw the learning curves into this file.")] = None,
    as_json: Json = False,
) -> None:
    """Compares runs: numbers, paired differences, seeds, curves.

    Example: `labkit compare runs/a runs/b --plot curves.png`

    The first run is compared with each of the others, problem by problem; runs that differ in nothing but the
    seed are summarised.

    Look at: whether a difference's interval excludes 0; the warnings, since runs that differ in data or budget
    answer no question; and the interval over seeds, since one seed of each proves little.
    """
    from labkit.plots.comparison import compare

    comparison = compare(runs)
    if plot is not None:
        comparison.plot(plot)
        note(f"curves: {plot}")
    if as_json:
        print_json(comparison.to_dict())
    else:
        print(comparison)


def bench(
    what: Annotated[
        Literal["rollout", "train", "step", "verify"], typer.Argument(help="What to measure.", show_default=False)
    ],
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PEER",
            help="What is measured next to labkit; may be given several times. rollout: transformers, "
            "transformers-static, transformers-continuous; train: transformers; step: trl, trl-microbatch, "
            "trl-static; verify: math-verify (its confusion matrix, too); none: labkit alone.",
        ),
    ] = None,
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "tiny",
    task: Annotated[str, typer.Option(help="The task whose prompts are used.")] = "countdown",
    prompts: Annotated[int, typer.Option(min=1, help="Prompts per batch.")] = 32,
    samples: Annotated[int, typer.Option(min=1, help="Samples per prompt.")] = 8,
    batches: Annotated[
        str | None, typer.Option(metavar="ROWS,ROWS", help="Several batch sizes in place of --prompts: 1,16,64.")
    ] = None,
    workload: Annotated[
        str,
        typer.Option(
            help="rollout: task, or fixed (each prompt has --prompt-tokens, each answer --max-new-tokens tokens)."
        ),
    ] = "task",
    prompt_tokens: Annotated[int, typer.Option(min=1, help="Workload fixed: tokens of each prompt.")] = 128,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest answer in tokens. Default: 200; fixed: 256.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Timed turns per side; the medians are shown.")] = 5,
    dtype: Annotated[
        str | None, typer.Option(help="rollout: float32 or bfloat16. Default: bfloat16 on CUDA, else float32.")
    ] = None,
    full_length: Annotated[
        bool, typer.Option("--full-length", help="rollout: no answer ends early, so none leaves the batch.")
    ] = False,
    neighbours: Annotated[
        int, typer.Option(min=0, help="Busy processes next to all sides, as on a shared machine.")
    ] = 0,
    answers: Annotated[int, typer.Option(min=1, help="verify: answers per turn.")] = 2000,
    seed: Annotated[int, typer.Option(help="Chooses prompts and random numbers.")] = 0,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Measures speed, next to a peer in the same process.

    Both sides get the same weights, prompts, lengths and dtype.

    Examples: `labkit bench rollout --against transformers`, `labkit bench verify`,
    `labkit bench rollout --workload fixed --batches 1,16,64,256,1024`

    Look at: the ratio; the fraction of the ceiling, which is what this device could do. Close other programs
    first. `verify` measures the answers per second of every verifier; it uses none of the options of a model.
    """
    peers = None if against is None else [peer for peer in against if peer != "none"]
    if what == "verify":
        from labkit.bench.verify import bench_verify, format_verify

        announce(f"measuring {what}: {answers} answers, {repeats} turns per side ...")
        measured = quietly(lambda: bench_verify(peers, answers, repeats, seed))
        print_json(measured) if as_json else print(format_verify(measured))
        return
    from labkit.bench import format_table, run_bench

    policy, ladder = quietly(lambda: find_policy(model, device)), _whole_numbers(batches)
    size = f"batches of {batches} rows" if ladder else f"{prompts} prompts x {samples} samples"
    announce(f"measuring {what}: {size}, {repeats} turns per side ...")
    rows = quietly(
        lambda: run_bench(
            what,
            peers,
            policy,
            task,
            prompts,
            samples,
            max_new_tokens,
            repeats,
            dtype,
            seed,
            device,
            full_length,
            batches=ladder,
            workload=workload,
            prompt_tokens=prompt_tokens,
            neighbours=neighbours,
        )
    )
    print_json(rows) if as_json else print(format_table(rows))


def _whole_numbers(text: str | None) -> list[int] | None:
    """The numbers of `1,16,64`; None for None. Raises UserError."""
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--batches takes whole numbers with commas, such as 1,16,64, not {text!r}") from None


def _rows(rollouts: "Rollouts") -> list[dict[str, Any]]:
    """A row per answer, with its score."""
    return [
        {
            "prompt": prompt,
            "completion": text,
            "reward": score.reward,
            "reason": score.reason,
            "extracted": score.extracted,
            "length": int(length),
            "truncated": bool(cut),
        }
        for prompt, text, score, length, cut in zip(
            rollouts.prompts,
            rollouts.completions,
            rollouts.scores or [],
            rollouts.lengths,
            rollouts.truncated,
            strict=True,
        )
    ]


def _show(rows: list[dict[str, Any]]) -> None:
    """Prints each answer below its prompt, with its verdict in words and in colour."""
    from rich.text import Text

    out, last = console(), None
    for row in rows:
        if row["prompt"] != last:
            out.print(Text(f"\nprompt  {printable(row['prompt'], keep=LINES)}", style="bold"))
            last = row["prompt"]
        right, some = row["reward"] >= 1, 0 < row["reward"] < 1
        word, colour = ("RIGHT", "green") if right else ("PARTLY", "yellow") if some else ("WRONG", "red")
        cut = ", truncated" if row["truncated"] else ""
        verdict = Text(f"{word}  reward {row['reward']:g}", style=f"bold {colour}")
        told = f"  {printable(row['reason'])}  ({row['length']} tokens{cut})"
        out.print(verdict.append(told, style="not bold default"))
        for line in row["completion"].removesuffix("\n").split("\n") if row["completion"] else ["(nothing)"]:
            out.print(Text(f"    {printable(line, keep=LINES)}", style=colour))
    share = sum(row["reward"] >= 1 for row in rows) / len(rows)
    out.print(Text(f"\n{len(rows)} answers, {share:.0%} right", style="bold"))
