"""Benchmarks: that all sides do the same work, and that a row's numbers follow from what was measured."""

import dataclasses
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import GenerationConfig

import labkit
from labkit.bench import PEERS, format_table, run_bench
from labkit.bench.ceiling import (
    DeviceRates,
    ModelCosts,
    decode_seconds,
    measure_rates,
    model_costs,
    nominal_flops,
    train_seconds,
)
from labkit.bench.fixed import NO_TOKEN, fixed_task
from labkit.bench.generate import useful_lengths
from labkit.bench.race import Side, Trial, Work, is_labkit, make_rows, race
from labkit.bench.train import utilisation
from labkit.cli import main
from labkit.errors import UserError
from labkit.models.tiny.tokenizer import build_tokenizer
from labkit.training.pretrain import PretrainSettings, build_model
from tests.smollm2_like import small_smollm2

PROMPTS, SAMPLES, LIMIT, REPEATS = 4, 2, 12, 2
SMALL = {"prompts": PROMPTS, "samples": SAMPLES, "max_new_tokens": LIMIT, "repeats": REPEATS, "device": "cpu"}
KEYS = {
    *("what", "side", "batch", "tokens_per_second", "seconds", "ratio", "ceiling_fraction"),
    *("spread", "tokens", "notes", "parts", "neighbours", "device"),
}
MORE = {"rollout": {"workload"}, "train": {"mfu"}, "step": set()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with random weights and the tiny model's tokenizer."""
    path = tmp_path_factory.mktemp("model")
    tokenizer = build_tokenizer()
    settings = PretrainSettings(hidden_size=32, layers=2, heads=2, kv_heads=1, intermediate_size=48)
    build_model(settings, tokenizer).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(autouse=True)
def quick_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device's rates from small buffers: here they need not be right, only there."""
    monkeypatch.setattr("labkit.bench.ceiling.measure_rates", lambda *_: DeviceRates(1e10, 1e11))


def check_rows(rows: list[dict], what: str, sides: list[str], batch: int = PROMPTS * SAMPLES) -> dict[str, dict]:
    """The documented keys, sound numbers, and ratios that follow from the rates; returns the rows by side."""
    assert [row["side"] for row in rows] == sides
    rates = {row["side"]: row["tokens_per_second"] for row in rows}
    peers = [side for side in sides if not is_labkit(side)]
    for row in rows:
        assert set(row) == KEYS | MORE[what] and row["what"] == what and row["batch"] == batch
        low, high = row["spread"]
        assert 0 < low <= row["seconds"] <= high
        assert 0 < row["tokens"] <= batch * LIMIT
        assert row["device"]["bytes_per_second"] == 1e10 and row["device"]["flops_per_second"] == 1e11
        assert 0 <= row["ceiling_fraction"] < 1
        expected = {peer: rates[row["side"]] / rates[peer] for peer in peers} if is_labkit(row["side"]) else {}
        assert row["ratio"] == pytest.approx(expected)
    assert json.loads(json.dumps(rows)) == rows
    return {row["side"]: row for row in rows}


def test_rollout_beside_transformers(folder: Path) -> None:
    peers = ["transformers", "transformers-static", "transformers-continuous"]
    found = check_rows(run_bench("rollout", peers, folder, **SMALL), "rollout", ["labkit", *peers])
    assert "not compiled" in found["transformers-static"]["notes"]
    assert set(found["labkit"]["parts"]) == {"prefill", "decode"}


@pytest.mark.parametrize("peer", ["transformers", "transformers-continuous"])
def test_greedy_text_of_a_peer_is_labkits(folder: Path, monkeypatch: pytest.MonkeyPatch, peer: str) -> None:
    """Else they would not be given the same work: each row of a peer is what labkit writes to the same prompt."""
    from labkit.bench import generate
    from labkit.bench.race import Workload

    policy, task = labkit.load_policy(folder, device="cpu"), labkit.load_task("countdown")
    workload = Workload(policy, task, PROMPTS, 1, LIMIT, 1, seed=0)
    likeliest = GenerationConfig(
        do_sample=False,
        max_new_tokens=LIMIT,
        eos_token_id=sorted(policy.eos_ids),
        pad_token_id=policy.pad_id,
    )
    monkeypatch.setattr(generate, "generation_config", lambda *_, **__: likeliest)
    side = generate.PEER_SIDES[peer](workload)
    turn, found = side.run(1)
    side.close()
    ours = labkit.sample(
        policy, [p.prompt for p in workload.problems(turn)], n=1, max_new_tokens=LIMIT, temperature=0.0
    )
    if peer == "transformers":
        ids = [row[:n] for row, n in zip(found.tolist(), useful_lengths(found, policy.eos_ids), strict=True)]
    else:
        ids = [row.generated_tokens for row in found]
    assert ids == [row[mask].tolist() for row, mask in zip(ours.tokens, ours.mask, strict=True)]


def test_a_ladder_has_a_row_a_side_a_batch(folder: Path) -> None:
    rows = run_bench("rollout", None, folder, batches=[1, 4], **SMALL)
    assert [(row["side"], row["batch"]) for row in rows] == [
        ("labkit", 1),
        ("transformers", 1),
        ("labkit", 4),
        ("transformers", 4),
    ]
    for batch in (1, 4):
        check_rows([row for row in rows if row["batch"] == batch], "rollout", ["labkit", "transformers"], batch)


@pytest.mark.parametrize("peer", ["transformers", "transformers-continuous"])
def test_fixed_workload_has_fixed_lengths(folder: Path, peer: str) -> None:
    rows = run_bench("rollout", [peer], folder, workload="fixed", prompt_tokens=20, **SMALL)
    for row in check_rows(rows, "rollout", ["labkit", peer]).values():
        assert row["tokens"] == PROMPTS * SAMPLES * LIMIT
        assert row["workload"] == f"prompt 20, new tokens {LIMIT}"
    assert f"rollout (prompt 20, new tokens {LIMIT})" in format_table(rows)


def test_fixed_prompts_are_exactly_as_long_as_they_should_be(folder: Path) -> None:
    for policy in (labkit.load_policy(folder, device="cpu"), small_smollm2()):
        problems = fixed_task(policy, 128).sample(6, seed=3)
        assert {len(policy.encode(p.prompt)) for p in problems} == {128}
        assert len({p.prompt for p in problems}) == 6
        assert problems == fixed_task(policy, 128).sample(6, seed=3)
    with pytest.raises(labkit.UserError, match="its template takes"):
        fixed_task(small_smollm2(), 5)


def test_a_peer_that_fails_is_left_out_with_a_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from transformers import PreTrainedModel

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no paged attention here\nmore")

    monkeypatch.setattr(PreTrainedModel, "generate_batch", refuse, raising=False)
    rows = run_bench("rollout", ["transformers", "transformers-continuous"], folder, **SMALL)
    found = check_rows(rows, "rollout", ["labkit", "transformers"])
    assert set(found["labkit"]["ratio"]) == {"transformers"}
    said = capsys.readouterr().err.splitlines()
    assert "labkit: transformers-continuous is left out: RuntimeError: no paged attention here" in said


def test_labkits_own_failure_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise RuntimeError("ours")

    with pytest.raises(RuntimeError, match="ours"):
        race([Side("labkit", fail, lambda _: Work([1], [1]))], 1, torch.device("cpu"))


def test_the_command_prints_a_ladder_as_one_document(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    sizes = ["--batches", "1,2", "--samples", "2", "--prompt-tokens", "16", "--max-new-tokens", "4", "--repeats", "1"]
    command = ["bench", "rollout", "--model", str(folder), "--workload", "fixed", *sizes, "--against", "none", "--json"]
    monkeypatch.setattr("sys.argv", ["labkit", *command])
    with pytest.raises(SystemExit) as done:
        main()
    rows = json.loads(capsys.readouterr().out)
    assert done.value.code == 0 and [(row["side"], row["batch"], row["tokens"]) for row in rows] == [
        ("labkit", 1, 4),
        ("labkit", 2, 8),
    ]
    monkeypatch.setattr("sys.argv", ["labkit", "bench", "rollout", "--batches", "1;2", "--model", str(folder)])
    with pytest.raises(SystemExit) as refused:
        main()
    assert refused.value.code == 2 and "whole numbers with commas" in capsys.readouterr().err


def test_a_run_folder_is_a_model(folder: Path, tmp_path: Path) -> None:
    """The newest checkpoint of a run is what gets measured: the trained model, with its own lengths."""
    changes = {"steps": 1, "prompts": 2, "samples": 2, "max_new_tokens": 4, "evaluation.problems": 0}
    run = labkit.train("r1-zero-tiny", out=tmp_path / "run", model=folder, progress=False, device="cpu", **changes)
    check_rows(run_bench("rollout", [], run.path, **SMALL), "rollout", ["labkit"])


def test_full_length_gives_every_row_the_same_work(folder: Path) -> None:
    rows = run_bench("rollout", None, folder, full_length=True, **SMALL)
    found = check_rows(rows, "rollout", ["labkit", "transformers"])
    assert {row["workload"] for row in rows} == {"task, full length"}
    assert {row["tokens"] for row in found.values()} == {PROMPTS * SAMPLES * LIMIT}


def test_full_length_leaves_the_callers_policy_as_it_was(folder: Path) -> None:
    policy = labkit.load_policy(folder, device="cpu")
    before, weights = policy.eos_ids, {k: v.clone() for k, v in policy.model.state_dict().items()}
    run_bench("rollout", None, policy, full_length=True, **SMALL)
    run_bench("train", None, policy, **SMALL)
    assert policy.eos_ids == before and NO_TOKEN not in before
    assert all(torch.equal(weights[key], value) for key, value in policy.model.state_dict().items())


def test_rollout_in_bfloat16(folder: Path) -> None:
    check_rows(run_bench("rollout", None, folder, dtype="bfloat16", **SMALL), "rollout", ["labkit", "transformers"])


def test_train_beside_transformers(folder: Path) -> None:
    found = check_rows(run_bench("train", None, folder, **SMALL), "train", ["labkit", "transformers"])
    assert found["labkit"]["tokens"] == found["transformers"]["tokens"]
    for row in found.values():
        # On one device, per cent of the training ceiling and MFU against the measured rate are the same thing.
        assert row["mfu"]["measured"] == pytest.approx(row["ceiling_fraction"], rel=0.5)
        assert row["mfu"]["nominal"] is None and row["parts"] == {}
    assert "MFU" in format_table(list(found.values()))


def test_mfu_of_a_known_device_by_hand() -> None:
    device = {"flops_per_second": 4e14, "nominal_flops_per_second": nominal_flops("NVIDIA H200")}
    assert utilisation(2e14, device) == {"measured": 0.5, "nominal": 2e14 / 989.4e12}
    assert nominal_flops("NVIDIA H100 PCIe") == 756e12


def test_both_train_loops_take_the_same_gradient(folder: Path) -> None:
    """Else they would not be doing the same work: after one step at a visible rate, the weights agree."""
    from labkit.bench import train
    from labkit.bench.race import Workload

    policy, task = labkit.load_policy(folder, device="cpu"), labkit.load_task("countdown")
    workload = Workload(policy, task, PROMPTS, SAMPLES, LIMIT, REPEATS, seed=0)
    prompts = [problem.prompt for problem in workload.problems(0)]
    rollouts = labkit.sample(policy, prompts, n=SAMPLES, max_new_tokens=LIMIT)
    advantages = torch.linspace(-1, 1, len(rollouts))
    stepped = []

    def catch(model: torch.nn.Module, *_: object) -> tuple[float, bool]:
        stepped.append({name: p.grad.clone() for name, p in model.named_parameters()})
        model.zero_grad()
        return 0.0, False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("labkit.training.rl.update.apply_gradients", catch)
        patch.setattr(train, "apply_gradients", catch)
        work = Work([1], [1])
        train.labkit_side(workload, rollouts, advantages, work).run(0)
        train.transformers_side(policy, rollouts, advantages, work).run(0)
    ours, theirs = stepped
    assert max(float(g.abs().max()) for g in ours.values()) > 1e-4
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("peers", [["trl"], ["trl-microbatch", "trl-static"]])
def test_step_beside_trl_on_the_same_problems(folder: Path, peers: list[str]) -> None:
    pytest.importorskip("trl")
    asked: list[str] = []
    task = labkit.load_task("countdown")

    def listening(completion: str, reference: dict) -> labkit.Score:
        asked.append(json.dumps(reference))
        return labkit.Score(float(len(completion) % 2), "its length is odd or not")

    listening.needs_worker = False  # what it hears must be heard here

    rows = run_bench("step", peers, folder, dataclasses.replace(task, verifier=listening), **SMALL)
    skipping = "labkit (skips zero-advantage rows)"
    found = check_rows(rows, "step", ["labkit", skipping, *peers])
    assert all("GRPOTrainer" in found[peer]["notes"] for peer in peers)
    # Each turn is verified by TRL, then by labkit's two sides: three times the same problems, in order.
    batch = PROMPTS * SAMPLES
    turns = [asked[i : i + batch] for i in range(0, len(asked), batch)]
    assert len(asked) == 3 * batch * (REPEATS + 1) * len(peers)
    for first in range(0, len(turns), 3):
        assert turns[first] == turns[first + 1] == turns[first + 2]
    assert turns[0] != turns[3]


def test_step_without_peers(folder: Path) -> None:
    rows = run_bench("step", [], folder, **SMALL)
    found = check_rows(rows, "step", ["labkit", "labkit (skips zero-advantage rows)"])
    for row in found.values():
        assert {"prefill", "decode", "verify", "other"} <= set(row["parts"])
        assert not {"sample"} & set(row["parts"])  # the sum of two of them
        assert sum(row["parts"].values()) == pytest.approx(row["seconds"], rel=0.5)
    (line,) = [line for line in format_table(rows).splitlines() if line.startswith("labkit, 8 rows: ")]
    shares = [int(share) for share in re.findall(r"(\d+)%", line)]
    assert "prefill" in line and shares == sorted(shares, reverse=True) and len(shares) == len(found["labkit"]["parts"])


def test_missing_trl_is_one_clear_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)
    monkeypatch.delitem(sys.modules, "labkit.bench.trl_side", raising=False)
    with pytest.raises(labkit.UserError, match=r"pip install 'labkit\[bench\]'"):
        run_bench("step", ["trl"], folder, **SMALL)


def test_importing_the_benchmarks_does_not_import_trl() -> None:
    source = Path(labkit.bench.__file__).parent
    importers = [path.name for path in source.glob("*.py") if "from trl import" in path.read_text()]
    assert importers == ["trl_side.py"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"what": "speed"}, "no benchmark 'speed'"),
        ({"what": "rollout", "against": ["trl"]}, "knows no peer 'trl'"),
        ({"what": "train", "dtype": "bfloat16"}, "float32"),
        ({"what": "rollout", "dtype": "int8"}, "dtype must be one of"),
        ({"what": "step", "full_length": True}, "bench rollout alone"),
        ({"what": "train", "workload": "fixed"}, "bench rollout alone"),
        ({"what": "rollout", "workload": "long"}, "workload must be one of task, fixed"),
        ({"what": "rollout", "batches": [1, 20]}, "groups of 8"),
        ({"what": "rollout", "max_new_tokens": 0}, "max_new_tokens must be"),
        ({"what": "rollout", "repeats": 0}, "repeats must be"),
        ({"what": "rollout", "prompts": 0}, "prompts must be"),
    ],
)
def test_a_wrong_choice_is_one_clear_line(folder: Path, options: dict, message: str) -> None:
    with pytest.raises(labkit.UserError, match=message) as caught:
        run_bench(model=folder, **options)
    assert "\n" not in str(caught.value)


def test_useful_lengths_end_with_the_first_end() -> None:
    completions = torch.tensor([[5, 7, 2, 0, 0], [5, 5, 5, 5, 5], [3, 5, 2, 2, 5], [5, 5, 5, 5, 2]])
    assert useful_lengths(completions, frozenset({2})) == [3, 5, 3, 5]
    assert useful_lengths(completions, frozenset({2, 3})) == [3, 5, 1, 5]
    assert useful_lengths(completions, frozenset({NO_TOKEN})) == [5, 5, 5, 5]


def test_sides_alternate_after_a_warm_up() -> None:
    calls: list[tuple[str, int]] = []

    def side(name: str) -> Side:
        return Side(name, lambda turn: calls.append((name, turn)), lambda _: Work([1], [1]))

    trials = race([side("labkit"), side("peer")], 2, torch.device("cpu"))
    assert calls == [("labkit", 0), ("peer", 0), ("labkit", 1), ("peer", 1), ("labkit", 2), ("peer", 2)]
    assert [len(found) for found in trials.values()] == [2, 2]


def test_rows_are_medians_and_ratios_of_rates() -> None:
    def trials(tokens: int, *seconds: float) -> list[Trial]:
        return [Trial(s, Work([3, 5], [tokens // 4] * 4)) for s in seconds]

    ours, theirs = trials(40, 1.0, 9.0, 2.0), trials(20, 4.0, 4.0, 5.0)
    rows = make_rows("rollout", {"labkit": ours, "peer": theirs}, {"peer": "slow"}, lambda work: work.tokens / 80)
    assert rows[0]["tokens_per_second"] == 20 and rows[1]["tokens_per_second"] == 5
    assert rows[0]["seconds"] == 2 and rows[0]["spread"] == [1, 9] and rows[0]["batch"] == 4
    assert rows[0]["ratio"] == {"peer": 4} and rows[1]["ratio"] == {}
    assert rows[0]["ceiling_fraction"] == 0.25 and rows[0]["tokens"] == 40
    assert "slow" in rows[1]["notes"] and "mean length 10.0" in rows[0]["notes"]
    table = format_table(rows).splitlines()
    assert "4.00x peer" in table[2] and "peer" in table[3]
    end = table[0].index("tokens/s") + len("tokens/s")
    assert table[2][:end].endswith(" 20") and table[3][:end].endswith(" 5")  # numbers stand to the right


def test_the_decoding_ceiling_by_hand() -> None:
    costs = ModelCosts(matmul_parameters=100, weight_bytes=400, attention_width=10, cache_bytes=8)
    work = Work(prompts=[3], lengths=[3, 1])
    # Matmul-bound. Prefill: 2*100*3 + 2*10*3^2 = 780. Row 0 alone takes two more steps, over 4 and 5 tokens.
    compute = decode_seconds(work, costs, DeviceRates(math.inf, 1.0))
    assert compute == 780 + (2 * 100 + 4 * 10 * 4) + (2 * 100 + 4 * 10 * 5)
    # Memory-bound. The weights three times, and the cache of 4 and 5 tokens.
    memory = decode_seconds(work, costs, DeviceRates(1.0, math.inf))
    assert memory == 3 * 400 + 8 * (4 + 5)


def test_the_training_ceiling_by_hand() -> None:
    costs = ModelCosts(matmul_parameters=100, weight_bytes=400, attention_width=10, cache_bytes=8)
    rates = DeviceRates(1.0, 2.0)
    both = train_seconds(Work([3], [3, 1]), costs, rates)
    assert both == (6 * 100 * (6 + 4) + 6 * 10 * (36 + 16)) / 2
    assert train_seconds(Work([3], [3, 1], trained=[False, True]), costs, rates) == (6 * 100 * 4 + 6 * 10 * 16) / 2


def test_model_costs_count_what_a_token_is_multiplied_with(folder: Path) -> None:
    model = labkit.load_policy(folder, device="cpu").model
    costs = model_costs(model, torch.float32)
    linear = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear))
    assert linear <= costs.matmul_parameters <= linear * 1.01  # the norms' weights are the rest
    assert costs.attention_width == 2 * 32 and costs.cache_bytes == 2 * 2 * 16 * 4


def test_measured_rates_are_of_a_real_machine() -> None:
    rates = measure_rates(torch.device("cpu"), torch.float32, 16, 256)
    assert 1e7 < rates.bytes_per_second < 1e13 and 1e7 < rates.flops_per_second < 1e15


def test_every_benchmark_has_a_peer() -> None:
    assert set(PEERS) == {"rollout", "train", "step"} and all(PEERS.values())


def test_beside_busy_neighbours_all_sides_are_measured_and_the_neighbours_end():
    import psutil

    before = {child.pid for child in psutil.Process().children()}
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        rows = run_bench("rollout", [], "micro", "addition", **SMALL, neighbours=1)
    finally:
        torch.set_num_threads(threads)
    assert {child.pid for child in psutil.Process().children()} == before
    assert [row["side"] for row in rows] == ["labkit", "labkit (yields no core)"]
    assert rows[0]["tokens"] == rows[1]["tokens"], "the same samples"
    assert all(row["neighbours"] == 1 and "next to 1 busy process" in row["notes"] for row in rows)
    with pytest.raises(UserError, match="neighbours must be 0 or more"):
        run_bench("rollout", [], "micro", **SMALL, neighbours=-1)


def test_neighbours_end_with_whoever_started_them():
    """Also where it is killed: they look now and then whether their parent is still there."""
    import psutil

    code = (
        "import time\nfrom labkit.bench.race import busy_processes\n"
        "with busy_processes(1):\n    print('up', flush=True)\n    time.sleep(60)"
    )
    parent = psutil.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
    assert parent.stdout.readline() == b"up\n"
    (child,) = parent.children()
    parent.kill()
    parent.wait()
    psutil.wait_procs([child], timeout=30)
    assert not child.is_running()
