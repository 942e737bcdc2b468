"""The draw itself, on literal probabilities."""

import torch

from labkit.sampling.choose import SamplingOptions, choose, filter_probabilities, uniforms

P = torch.tensor([[0.5, 0.3, 0.15, 0.05]])


def kept(**options: float) -> list[int]:
    return filter_probabilities(P, SamplingOptions(**options))[0].nonzero().squeeze(1).tolist()


def test_filters_on_literal_numbers():
    assert kept(top_p=0.5) == [0]
    assert kept(top_p=0.51) == [0, 1]
    assert kept(top_p=1e-9) == [0], "the likeliest token always stays"
    assert kept(top_k=2) == [0, 1]
    assert kept(top_k=99) == [0, 1, 2, 3]
    assert kept(min_p=0.3) == [0, 1, 2]
    assert kept(min_p=0.31) == [0, 1]
    assert kept(top_k=3, top_p=0.5) == [0], "top-p is taken of what top-k left"


def test_the_draw_inverts_the_cumulative_distribution():
    logits = P.log().expand(5, -1)
    u = torch.tensor([0.0, 0.4999, 0.5001, 0.7999, 0.99999])
    tokens, logprobs = choose(logits, u, SamplingOptions())
    assert tokens.tolist() == [0, 0, 1, 1, 3]
    assert torch.allclose(logprobs, P[0].log()[tokens], atol=1e-6)


def test_a_token_of_probability_zero_is_never_drawn():
    logits = torch.tensor([[float("-inf"), 0.0, float("-inf"), 0.0]])
    for u in (0.0, 0.25, 0.49999997, 0.5, 0.75, 0.99999994):
        token, logprob = choose(logits, torch.tensor([u]), SamplingOptions())
        assert token.item() in (1, 3)
        assert abs(logprob.item() - torch.log(torch.tensor(0.5)).item()) < 1e-6


def test_temperature_scales_the_distribution_and_its_logprobs():
    logits = torch.tensor([[2.0, 0.0]])
    _, logprob = choose(logits, torch.tensor([0.0]), SamplingOptions(temperature=2.0))
    assert torch.allclose(logprob, torch.tensor([1.0, 0.0]).log_softmax(0)[:1])
    token, logprob = choose(logits, torch.tensor([0.999]), SamplingOptions(temperature=0))
    assert token.item() == 0
    assert torch.allclose(logprob, logits.log_softmax(-1)[0, :1]), "greedy log-probs are those of temperature 1"


def test_random_numbers_depend_on_seed_prompt_and_number_alone():
    a, b = [1, 2, 3], [4, 5]
    together = uniforms([a, b], 2, 8, seed=0)
    alone = uniforms([b], 2, 8, seed=0)
    assert torch.equal(together[2:], alone)
    assert torch.equal(uniforms([a], 1, 4, seed=0)[0], together[0, :4])
    assert not torch.equal(uniforms([a], 1, 8, seed=1)[0], together[0])
    assert len({tuple(row) for row in uniforms([a, a], 2, 8, seed=0).tolist()}) == 4
