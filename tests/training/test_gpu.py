"""What only a CUDA device can show: bf16 autocast in sampler and trainer."""

import pytest
import torch

from labkit.models import load_policy, token_logprobs
from labkit.sampling import sample
from labkit.tasks import load_task
from labkit.training import train

pytestmark = pytest.mark.gpu


def test_sampler_and_trainer_agree_in_bf16():
    policy = load_policy("tiny", device="cuda")
    assert policy.dtype == torch.float32, "master weights stay fp32"
    prompts = [p.prompt for p in load_task("countdown").sample(16)]
    rollouts = sample(policy, prompts, n=4, max_new_tokens=128, seed=0)
    with torch.no_grad():
        full = token_logprobs(policy.model, rollouts.tokens)
    gap = (full - rollouts.logprobs)[rollouts.mask].abs()
    assert gap.mean() < 0.02 and gap.max() < 1.0


def test_the_loop_learns_on_the_gpu(tmp_path):
    run = train("rlvr-addition-tiny", out=tmp_path / "run", device="cuda", steps=25, progress=False)
    assert run.result["after"]["pass_at_k"]["1"] > run.result["before"]["pass_at_k"]["1"] + 0.2
