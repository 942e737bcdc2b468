"""What a pass costs, what a device allows, what fits in memory; and figures that draw the numbers they were given."""

import math
import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PretrainedConfig, Qwen2Config

from labkit import plots
from labkit.bench.ceiling import DeviceRates, ModelCosts, decode_seconds, model_costs
from labkit.bench.race import Work
from labkit.bench.roofline import (
    H100,
    SHAPES,
    Shape,
    attainable,
    decode_ceiling,
    least_seconds,
    pass_work,
    ridge,
    sampling_passes,
    training_memory,
)
from labkit.errors import UserError
from labkit.exercises import EXERCISES

RATES = DeviceRates(bytes_per_second=50.0, flops_per_second=1000.0)


def config_of(shape: Shape) -> PretrainedConfig:
    kind = Qwen2Config if shape.qkv_bias else LlamaConfig
    return kind(
        num_hidden_layers=shape.layers,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        vocab_size=shape.vocabulary,
        tie_word_embeddings=shape.tied,
    )


# ------------------------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_count_the_weights_that_transformers_makes(name: str):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config_of(SHAPES[name])).to(torch.bfloat16)
    model.tie_weights()
    assert SHAPES[name].parameters == model.num_parameters()
    assert SHAPES[name].costs(2) == model_costs(model, torch.bfloat16)


def test_published_sizes():
    millions = {name: round(shape.parameters / 1e6) for name, shape in SHAPES.items()}
    assert millions == {
        "SmolLM2-135M": 135,
        "Qwen2.5-0.5B": 494,
        "Qwen2.5-1.5B": 1544,
        "Qwen2.5-7B": 7616,
        "Llama-3.1-8B": 8030,
    }


def test_a_pass_costs_what_its_matrix_products_cost():
    """Operations counted one matrix product at a time, on a small model."""
    shape = Shape(layers=2, hidden=8, intermediate=12, heads=4, kv_heads=2, head_dim=3, vocabulary=5, tied=True)
    rows, new, past = 3, 4, 6
    flops = 0
    for out, width in [(12, 8), (6, 8), (6, 8), (8, 12), (12, 8), (12, 8), (8, 12)]:  # q, k, v, o, gate, up, down
        flops += shape.layers * rows * new * 2 * out * width
    flops += rows * new * 2 * 5 * 8  # the head
    for t in range(new):
        seen = past + t + 1
        flops += shape.layers * rows * 2 * (2 * 4 * 3 * seen)  # scores, and the weighted sum of values
    costs = shape.costs()
    norms = (2 * shape.layers + 1) * shape.hidden  # counted with the weights, and no matrix
    assert pass_work(costs, rows, new, past + new)[0] == flops + 2 * norms * rows * new
    assert pass_work(costs, rows, new, past + new)[1] == 2 * shape.parameters + rows * (past + new) * costs.cache_bytes


def test_the_roof_is_memory_below_the_ridge_and_arithmetic_above():
    assert ridge(RATES) == 20
    assert attainable(10, RATES) == 500 and attainable(20, RATES) == 1000 and attainable(100, RATES) == 1000


def test_the_least_time_of_passes_is_that_of_the_bench():
    costs = SHAPES["SmolLM2-135M"].costs()
    work = Work([7, 7], [5, 5])
    steps = [(2, 1, 7 + step) for step in range(1, 5)]
    prefill = decode_seconds(Work([7, 7], [1, 1]), costs, H100)
    assert math.isclose(least_seconds(steps, costs, H100), decode_seconds(work, costs, H100) - prefill)


def test_passes_of_sampling_are_the_work_of_the_bench():
    generator = random.Random(1)
    work = Work([20, 30], [generator.randint(1, 40) for _ in range(8)])
    passes = sampling_passes(work)
    assert passes[:2] == [(1, 20, 20), (1, 30, 30)]
    assert sum(rows for rows, new, _ in passes if new == 1) == sum(work.lengths) - 8
    costs = SHAPES["SmolLM2-135M"].costs()
    steps = least_seconds(passes[2:], costs, H100)
    prefill = decode_seconds(Work(work.prompts, [1] * 8), costs, H100)
    assert math.isclose(steps, decode_seconds(work, costs, H100) - prefill, rel_tol=1e-3)


def test_ceilings_of_an_h100_are_those_of_the_reference():
    costs = SHAPES["SmolLM2-135M"].costs()
    assert round(decode_ceiling(costs, 256, 384, H100) / 1000) == 338
    assert round(decode_ceiling(costs, 1024, 384, H100) / 1000) == 368


def test_memory_of_a_gigabyte_of_logits():
    plain = training_memory(SHAPES["SmolLM2-135M"], rows=1024, length=512)
    chunked = training_memory(SHAPES["SmolLM2-135M"], rows=1024, length=512, logit_tokens=1024)
    assert plain["logits"] == 8 * 512 * 49152 * 4 == 4 * chunked["logits"]
    assert {k: v for k, v in plain.items() if k != "logits"} == {k: v for k, v in chunked.items() if k != "logits"}
    assert plain["KV cache"] == 1024 * 512 * 23040
    assert plain["weights"] + plain["gradients"] + plain["AdamW"] == 16 * SHAPES["SmolLM2-135M"].parameters


def test_the_exercises_agree_with_these_functions():
    generator = random.Random(0)
    for shape in SHAPES.values():
        rows, columns = generator.randint(1, 2000), generator.randint(1, 2000)
        size = EXERCISES["kv-cache-bytes"].reference(
            shape.layers, shape.heads, shape.kv_heads, shape.head_dim, rows, columns, 2
        )
        assert size == rows * columns * shape.costs().cache_bytes
        n, cache = shape.costs().matmul_parameters, shape.costs().cache_bytes
        blind = ModelCosts(n, 2 * n, 0, cache)  # without attention's operations
        ceiling = EXERCISES["decode-ceiling"].reference
        rates = H100.bytes_per_second, H100.flops_per_second
        assert math.isclose(ceiling(rows, columns, n, cache, *rates), decode_ceiling(blind, rows, columns, H100))
        batch = EXERCISES["ridge-batch"].reference(n, 20 * cache, *rates)
        for factor, bound in ((0.9, "memory"), (1.1, "arithmetic")):
            flops, moved = pass_work(blind, 1, 1, 20)
            moved = 2 * n + factor * batch * 20 * cache
            slower = moved / rates[0] > factor * batch * flops / rates[1]
            assert slower == (bound == "memory")


# ------------------------------------------------------------------------------------------------------ figures


def test_the_roofline_has_its_roof_its_ridge_and_every_point():
    series = {"decode": [(1.0, 10.0), (2.0, 30.0)], "no cache": (40.0, 300.0)}
    figure = plots.roofline(series, 50.0, 1000.0, notes={"decode": ["1", "256"]}, title="here")
    (axis,) = figure.axes
    roof = axis.lines[0]
    x, y = np.array(roof.get_xdata()), np.array(roof.get_ydata())
    assert np.allclose(y, np.minimum(1000, 50 * x)) and x.min() < 1 and x.max() > 40
    drawn = {line.get_label(): line for line in axis.lines}
    assert np.allclose(drawn["decode"].get_xydata(), series["decode"])
    assert np.allclose(drawn["no cache"].get_xydata(), [series["no cache"]])
    assert drawn["decode"].get_marker() != drawn["no cache"].get_marker()
    texts = [text.get_text() for text in axis.texts]
    assert any("ridge: 20 operations per byte" in text for text in texts) and {"1", "256"} <= set(texts)
    assert axis.get_xscale() == axis.get_yscale() == "log" and axis.get_title(loc="left") == "here"
    assert "byte" in axis.get_xlabel() and "second" in axis.get_ylabel()


@pytest.mark.parametrize("series", [{}, {"a": (0.0, 1.0)}, {"a": (1.0, math.nan)}, {"a": [(1.0, 2.0, 3.0)]}, {"a": []}])
def test_points_that_no_logarithm_can_show_are_refused(series: dict[str, Any]):
    with pytest.raises(UserError, match=r"at least one point|two positive numbers"):
        plots.roofline(series, 50.0, 1000.0)
    with pytest.raises(UserError, match="above 0"):
        plots.roofline({"a": (1.0, 1.0)}, 0.0, 1000.0)


def test_the_ladder_says_each_rate_and_how_much_a_rung_gave():
    rates = {"naive": 100.0, "cache": 450.0, "batch": 9000.0}
    figure = plots.throughput_ladder(rates, {"naive": 1000.0, "batch": 20000.0}, 50000.0)
    (axis,) = figure.axes
    assert [bar.get_width() for bar in axis.patches] == list(rates.values())
    assert [t.get_text() for t in axis.get_yticklabels()] == list(rates)
    assert [t.get_text() for t in axis.texts] == ["100", "450  ×4.5", "9,000  ×20.0"]
    assert np.allclose(axis.collections[0].get_offsets(), [[1000, 0], [20000, 2]])
    assert axis.lines[0].get_xdata()[0] == 50000 and axis.get_xscale() == "log" and axis.get_xlabel()
    low, high = axis.get_xlim()
    assert low < 100 and high > 50000


def test_a_ladder_without_rungs_or_with_strange_marks_is_refused():
    for rates, limits in (({}, {}), ({"a": 1.0}, {"b": 1.0}), ({"a": 0.0}, {}), ({"a": 1.0}, {"a": math.inf})):
        with pytest.raises(UserError, match=r"throughput_ladder|no rungs"):
            plots.throughput_ladder(rates, limits)


def a_run(scale: float, steps: int = 3) -> SimpleNamespace:
    line = {name: scale * (i + 1) for i, name in enumerate(plots.STEP_PARTS)} | {"seconds": 30 * scale}
    first = line | {"time_decode": 1000.0, "seconds": 2000.0}  # warming up
    return SimpleNamespace(metrics=[first, *[line] * (steps - 1)])


def test_a_step_is_shown_part_by_part_and_the_rest():
    figure = plots.step_breakdown({"quick": a_run(0.1), "slow": a_run(0.2)})
    (axis,) = figure.axes
    widths = np.array([[bar.get_width() for bar in container] for container in axis.containers])
    assert np.allclose(widths[:, 0], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 3.0 - 2.1])
    assert np.allclose(widths[:, 1], 2 * widths[:, 0])
    assert [container.get_label() for container in axis.containers] == [*plots.STEP_PARTS.values(), "rest"]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["quick", "slow"] and "seconds" in axis.get_xlabel()
    looks = {(c[0].get_facecolor(), c[0].get_hatch()) for c in axis.containers}
    assert len({hatch for _, hatch in looks}) == 7  # told apart without colour


def test_a_run_without_its_parts_is_refused():
    with pytest.raises(UserError, match="old has no steps with the fields time_prefill"):
        plots.step_breakdown({"old": SimpleNamespace(metrics=[{"seconds": 1.0}])})
    with pytest.raises(UserError, match="old has no steps"):
        plots.step_breakdown({"old": SimpleNamespace(metrics=[])})
    with pytest.raises(UserError, match="at least one run"):
        plots.step_breakdown({})
