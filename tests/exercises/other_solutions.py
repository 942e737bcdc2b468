"""Right solutions of the exercises, each written another way than labkit's own."""

import ast
import calendar
import itertools
import math
import operator
import re
from collections.abc import Callable
from datetime import date
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from labkit.verifiers import extract_answer
from labkit_exercises.fixed_verifier import read_plain


def countdown_verifier(expression: str, numbers: list[int], target: int) -> bool:
    used = []

    def value(node: ast.AST) -> Fraction:
        if isinstance(node, ast.Constant) and type(node.value) is int:
            used.append(node.value)
            return Fraction(node.value)
        if not isinstance(node, ast.BinOp):
            raise ValueError
        left, right = value(node.left), value(node.right)
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Sub):
            return left - right
        if isinstance(node.op, ast.Mult):
            return left * right
        if isinstance(node.op, ast.Div):
            return left / right
        raise ValueError

    try:
        made = value(ast.parse(expression, mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError):
        return False
    return sorted(used) == sorted(numbers) and made == target


def pass_at_k(n: int, c: int, k: int) -> float:
    """The product form of Chen et al. 2021."""
    none = 1.0
    for i in range(k):
        none *= max(n - c - i, 0) / (n - i)
    return 1 - none


def sample_token(logits: Tensor, u: float, temperature: float) -> int:
    p = torch.exp(logits / temperature - torch.logsumexp(logits / temperature, 0)).tolist()
    end = 0.0
    for token, probability in enumerate(p):
        end += probability
        if u < end:
            return token
    return len(p) - 1


def bandit_gradient(logits: Tensor, rewards: Tensor) -> Tensor:
    p = logits.softmax(-1)
    return (torch.diag(p) - torch.outer(p, p)) @ rewards


def reinforce_estimate(logits: Tensor, samples: Tensor, rewards: Tensor) -> Tensor:
    total = torch.zeros(len(logits))
    for sample, reward in zip(samples.tolist(), rewards.tolist(), strict=True):
        total -= reward * logits.softmax(-1)
        total[sample] += reward
    return total / len(samples)


def leave_one_out(rewards: Tensor) -> Tensor:
    n = rewards.shape[1]
    return n / (n - 1) * (rewards - rewards.mean(1, keepdim=True))


def chat_template(messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
    lines = ["user: {content}" if m["role"] == "user" else "bot: {content}<eos>" for m in messages]
    filled = [line.format(**message) for line, message in zip(lines, messages, strict=True)]
    return "\n".join([*filled, "bot:" if add_generation_prompt else ""])


def sft_labels(tokens: Tensor, prompt_lengths: Tensor, lengths: Tensor) -> Tensor:
    labels = torch.full_like(tokens, -100)
    for row, (start, end) in enumerate(zip(prompt_lengths.tolist(), lengths.tolist(), strict=True)):
        labels[row, start:end] = tokens[row, start:end]
    return labels


def sft_loss(logprobs: Tensor, mask: Tensor) -> Tensor:
    return -logprobs[mask].mean()


def preference_probability(score_a: float, score_b: float, temperature: float) -> float:
    return 0.5 * (1 + math.tanh((score_a - score_b) / temperature / 2))


def bradley_terry_loss(chosen: Tensor, rejected: Tensor) -> Tensor:
    return torch.logaddexp(torch.zeros_like(chosen), rejected - chosen).mean()


def calibration_error(said: Tensor, right: Tensor, bins: int) -> float:
    ordered, hits = said.sort(stable=True)[0], right[said.argsort(stable=True)].to(said.dtype)
    total, start = 0.0, 0
    for k in range(bins):
        size = len(said) // bins + (k < len(said) % bins)
        total += abs(ordered[start : start + size].sum().item() - hits[start : start + size].sum().item())
        start += size
    return total / len(said)


def gae_advantages(rewards: Tensor, values: Tensor, gamma: float, lam: float) -> Tensor:
    """The sum of discounted deltas, as the paper writes it."""
    after = torch.cat([values[1:], torch.zeros(1)])
    deltas = rewards + gamma * after - values
    steps = torch.arange(len(deltas))
    weights = ((gamma * lam) ** (steps[None] - steps[:, None]).clamp(min=0)).triu() if lam else torch.eye(len(deltas))
    return weights @ deltas


def token_kl_reward(scores: Tensor, logprobs: Tensor, ref_logprobs: Tensor, mask: Tensor, kl_coef: float) -> Tensor:
    rewards = torch.zeros_like(logprobs)
    for row in range(len(scores)):
        chosen = mask[row].nonzero().flatten().tolist()
        for t in chosen:
            rewards[row, t] = kl_coef * (ref_logprobs[row, t] - logprobs[row, t])
        rewards[row, chosen[-1]] += scores[row]
    return rewards


def adaptive_kl(coef: float, kl: float, target: float, samples: int, horizon: float) -> float:
    ratio = min(max(kl / target, 0.8), 1.2)
    return coef + coef * (ratio - 1) * (samples / horizon)


def dpo_loss(
    policy_chosen: Tensor, policy_rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, beta: float
) -> Tensor:
    margin = beta * ((policy_chosen - policy_rejected) - (ref_chosen - ref_rejected))
    return torch.nn.functional.softplus(-margin).mean()


def rollout_marks(ended_right: list[list[bool]]) -> tuple[list[float], list[float]]:
    soft, hard = [], []
    for row in ended_right:
        right = row.count(True)
        soft.append(right / len(row))
        hard.append(1.0 if right else 0.0)
    return soft, hard


def implicit_process_rewards(prm: Tensor, ref: Tensor, mask: Tensor, beta: float) -> Tensor:
    rewards = torch.zeros_like(prm)
    rewards[mask] = beta * (prm[mask] - ref[mask])
    return rewards


def process_returns(process: Tensor, mask: Tensor, gamma: float) -> Tensor:
    """The double sum, as it is written."""
    rows = [process[i][mask[i]] for i in range(len(process))]
    result = torch.zeros_like(process)
    for i, row in enumerate(rows):
        others = torch.stack([other.mean() for j, other in enumerate(rows) if j != i]).mean()
        result[i, mask[i]] = torch.stack(
            [sum(gamma ** (s - t) * (row[s] - others) for s in range(t, len(row))) for t in range(len(row))]
        )
    return result


def implicit_accuracy(
    policy_chosen: Tensor, policy_rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor
) -> float:
    moved = zip((policy_chosen - ref_chosen).tolist(), (policy_rejected - ref_rejected).tolist(), strict=True)
    points = [1.0 if chosen > rejected else 0.5 if chosen == rejected else 0.0 for chosen, rejected in moved]
    return sum(points) / len(points)


def boxed_answers(completion: str) -> list[str]:
    """Recursion in place of a walk: peel the text piece by piece."""
    _, box, rest = completion[completion.rfind("</think>") + 1 :].partition("\\boxed{")
    if not box:
        return []
    for end in range(len(rest)):
        if rest[end] == "}" and rest[:end].count("{") == rest[:end].count("}"):
            return [rest[:end].strip(), *boxed_answers(rest[end + 1 :])]
    return []


def same_number(answer: str, reference: str) -> bool:
    """Cross-multiplied whole numbers in place of fractions."""

    def read(text: str) -> tuple[int, int] | None:
        match = re.fullmatch(r"\s*(-?)(\d+|\d{1,3}(?:,\d{3})+)(?:\.(\d+)|/(\d+))?\s*", text[:200], re.ASCII)
        if match is None or (match[4] and int(match[4]) == 0):
            return None
        top = int((match[2] + (match[3] or "")).replace(",", ""))
        return (-top if match[1] else top), int(match[4] or 10 ** len(match[3] or ""))

    a, b = read(answer), read(reference)
    return a is not None and b is not None and a[0] * b[1] == b[0] * a[1]


def break_verifier(numbers: list[int], target: int) -> str:
    return f"<answer>{target} = {numbers[0]} over nothing</answer>"


def fixed_verifier(answer: str, numbers: list[int], target: int) -> bool:
    """Signs made plain, a minus in front turned into a subtraction, then the narrow reader."""
    text = answer.translate(str.maketrans("×÷−", "*/-")).strip()
    sides = text.split("=")
    if len(sides) > 2 or (len(sides) == 2 and sides[1].strip() != str(target)):
        return False
    left = sides[0].strip()
    try:
        value, used = read_plain(f"0{left}" if left.startswith("-") else left)
    except ValueError:
        return False
    return value == target and sorted(used[1:] if left.startswith("-") else used) == sorted(numbers)


def date_verifier(completion: str, reference: str) -> bool:
    """By words in place of patterns: the pieces between white space and commas."""
    answer = (extract_answer(completion) or "")[:101]
    words = answer.removesuffix(".").replace(",", " , ").lower().split()
    try:
        right = date.fromisoformat(reference)
    except ValueError:
        return False
    spoken = [name.lower() for day in (calendar.day_name, calendar.day_abbr) for name in day]
    if words and words[0] in spoken:
        if spoken.index(words.pop(0)) % 7 != right.weekday():
            return False
        words = words[1:] if words[:1] == [","] else words
    month = {calendar.month_name[right.month].lower(), calendar.month_abbr[right.month].lower()}
    day = {str(right.day), f"{right.day:02}"}
    days = day | {f"{d}{end}" for d in day for end in ("st", "nd", "rd", "th")}
    if words == [right.isoformat()]:
        return True
    if len(words) > 1 and words[1] == "of":
        del words[1]
        if words[0] not in days:
            return False
    if len(words) == 4 and words[2] == ",":
        del words[2]
    if len(words) != 3 or words[2] != str(right.year).zfill(4):
        return False
    return (words[0] in days and words[1] in month) or (words[0] in month and words[1] in days)


def best_of_n_kl(n: int) -> float:
    return math.log(n) - 1 + 1 / n


def expected_best_of_n(proxy: list[float], gold: list[float], n: int) -> float:
    draws = list(itertools.combinations(range(len(proxy)), n))
    return sum(gold[max(draw, key=lambda i: proxy[i])] for draw in draws) / len(draws)


def tilted_policy(probs: Tensor, rewards: Tensor, beta: float) -> Tensor:
    weights = probs * torch.exp((rewards - rewards.max()) / beta)
    return weights / weights.sum()


def conservative_reward(scores: Tensor, coef: float) -> Tensor:
    rows = []
    for row in scores:
        centred = row - row.sum() / len(row)
        rows.append(centred / (centred.square().sum() / len(row)).sqrt())
    standard = torch.stack(rows)
    mean = standard.sum(0) / len(rows)
    return mean - coef * ((standard - mean).square().sum(0) / len(rows))


def token_logprobs(logits: Tensor, tokens: Tensor) -> Tensor:
    columns = [torch.zeros(len(tokens))]
    for t in range(1, tokens.shape[1]):
        before = logits[:, t - 1]
        columns.append(before[torch.arange(len(tokens)), tokens[:, t]] - before.logsumexp(-1))
    return torch.stack(columns, 1)


def mask_by_loop(tokens: Tensor, prompt_lengths: Tensor, eos_id: int) -> Tensor:
    mask = torch.zeros(tokens.shape, dtype=torch.bool)
    for row, length in enumerate(prompt_lengths.tolist()):
        for column in range(length, tokens.shape[1]):
            mask[row, column] = True
            if tokens[row, column] == eos_id:
                break
    return mask


def group_advantages(rewards: Tensor, groups: Tensor) -> Tensor:
    same_group = (groups[:, None] == groups[None, :]).float()
    size = same_group.sum(1)
    centred = rewards - same_group @ rewards / size
    return centred / ((same_group @ centred.square() / (size - 1)).sqrt() + 1e-6)


def clipped_policy_loss(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor, clip: float = 0.2
) -> Tensor:
    ratio = torch.exp(logprobs - old_logprobs)
    column = advantages.unsqueeze(1)
    worse = torch.maximum(-ratio * column, -torch.clip(ratio, 1 - clip, 1 + clip) * column)
    return (worse * mask).sum() / mask.sum()


def count_backtracks(text: str) -> int:
    if "<think>" not in text:
        return 0
    thought = text.split("<think>")[1].split("</think>")[0]
    count, open_verdicts = 0, 0
    for line in thought.splitlines():
        if "=" not in line:
            continue
        count, open_verdicts = count + open_verdicts, 0
        open_verdicts = int(line.split(" ")[-1] in ("no", "wait"))
    return count


def readable_share(thought: str, numbers: list[int]) -> float:
    """Each step by itself, in exact fractions."""
    signs = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": lambda a, b: a / b if b else None}
    lines = [line for line in thought.splitlines() if line.strip()]
    clean = 0
    for k, line in enumerate(lines):
        chain, _, verdict = line.partition(" ")
        written = verdict in ("no", "yes") and re.fullmatch(r"\d+([-+*/]\d+=\d+)+", chain)
        if not written or chain in [other.partition(" ")[0] for other in lines[:k]]:
            continue
        start, *rest = re.split(r"([-+*/=])", chain)
        value, used, holds = Fraction(start), [int(start)], True
        for sign, number, _, stated in zip(*[iter(rest)] * 4, strict=True):
            holds = holds and signs[sign](value, Fraction(number)) == Fraction(stated)
            value = Fraction(stated)
            used.append(int(number))
        clean += holds and sorted(used) == sorted(numbers)
    return clean / len(lines) if lines else 0.0


def rejection_filter(rows: list[tuple[str, str, float]], keep: int) -> list[int]:
    first: dict[tuple[str, str], int] = {}
    for i, (prompt, text, reward) in enumerate(rows):
        if reward >= 1:
            first.setdefault((prompt, text), i)
    per_prompt: dict[str, list[int]] = {}
    for (prompt, _), i in first.items():
        per_prompt.setdefault(prompt, []).append(i)
    return sorted(i for places in per_prompt.values() for i in places[:keep])


def overlong_penalty(length: int, max_length: int, buffer: int) -> float:
    if length <= max_length - buffer:
        return 0
    if length >= max_length:
        return -1
    return (max_length - buffer - length) / buffer


def majority_vote(answers: list[str | None]) -> str:
    votes = [answer for answer in answers if answer]
    return max(votes, key=lambda answer: (votes.count(answer), -votes.index(answer)))


def budget_splice(thought: str, left: int, extensions: int) -> str:
    inner, end, _ = thought.partition("</think>")
    if not end:
        return thought if left else f"{thought}</think><answer>"
    return f"{inner}Wait" if left and extensions else thought


def reverse_kl(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    teacher, student = (torch.distributions.Categorical(logits=x) for x in (teacher_logits, student_logits))
    return torch.distributions.kl_divergence(student, teacher)


def distillation_bill(student: int, teacher: int, prompt_tokens: int, samples: int, new_tokens: int) -> tuple[int, int]:
    rows = sum(prompt_tokens for _ in range(samples)) + new_tokens
    return student * (2 * prompt_tokens + 2 * new_tokens + 6 * rows), teacher * 2 * rows


def sampling_bill(accepted: list[bool], right: list[bool], lengths: list[int], n: int) -> tuple[bool, int]:
    drawn = [*accepted[: n - 1], True].index(True) + 1
    return right[drawn - 1], sum(lengths[:drawn])


def kv_cache_bytes(layers: int, heads: int, kv_heads: int, head_dim: int, rows: int, columns: int, size: int) -> int:
    key = torch.empty(layers, rows, kv_heads, columns, head_dim, device="meta")
    return (key.numel() + key.numel()) * size


def decode_ceiling(
    rows: int, context: int, parameters: float, cache_bytes: float, bandwidth: float, rate: float
) -> float:
    by_memory = bandwidth / (2 * parameters + rows * context * cache_bytes)
    by_arithmetic = rate / (2 * parameters * rows)
    return rows * min(by_memory, by_arithmetic)


def ridge_batch(parameters: float, row_bytes: float, bandwidth: float, rate: float) -> float:
    a_row = 2 * parameters * bandwidth / rate  # bytes that can be read while a row is computed
    return math.inf if row_bytes >= a_row else 2 * parameters / (a_row - row_bytes)


def refill_starts(lengths: list[int], slots: int) -> list[int]:
    """Step by step, as an engine does it."""
    waiting, running, starts, step = list(range(len(lengths))), [], [0] * len(lengths), 0
    while waiting:
        running = [(i, end) for i, end in running if end > step]
        while waiting and len(running) < slots:
            i = waiting.pop(0)
            starts[i] = step
            running.append((i, step + lengths[i]))
        step += 1
    return starts


ALTERNATIVES: dict[str, Callable[..., Any]] = {
    "countdown-verifier": countdown_verifier,
    "pass-at-k": pass_at_k,
    "sample-token": sample_token,
    "bandit-gradient": bandit_gradient,
    "reinforce-estimate": reinforce_estimate,
    "leave-one-out": leave_one_out,
    "chat-template": chat_template,
    "sft-labels": sft_labels,
    "sft-loss": sft_loss,
    "preference-probability": preference_probability,
    "bradley-terry-loss": bradley_terry_loss,
    "calibration-error": calibration_error,
    "gae-advantages": gae_advantages,
    "token-kl-reward": token_kl_reward,
    "adaptive-kl": adaptive_kl,
    "dpo-loss": dpo_loss,
    "implicit-accuracy": implicit_accuracy,
    "boxed-answers": boxed_answers,
    "same-number": same_number,
    "break-verifier": break_verifier,
    "fixed-verifier": fixed_verifier,
    "best-of-n-kl": best_of_n_kl,
    "expected-best-of-n": expected_best_of_n,
    "tilted-policy": tilted_policy,
    "conservative-reward": conservative_reward,
    "token-logprobs": token_logprobs,
    "completion-mask": mask_by_loop,
    "group-advantages": group_advantages,
    "clipped-policy-loss": clipped_policy_loss,
    "count-backtracks": count_backtracks,
    "overlong-penalty": overlong_penalty,
    "readable-share": readable_share,
    "rejection-filter": rejection_filter,
    "reverse-kl": reverse_kl,
    "distillation-bill": distillation_bill,
    "majority-vote": majority_vote,
    "budget-splice": budget_splice,
    "sampling-bill": sampling_bill,
    "rollout-marks": rollout_marks,
    "implicit-process-rewards": implicit_process_rewards,
    "process-returns": process_returns,
    "kv-cache-bytes": kv_cache_bytes,
    "decode-ceiling": decode_ceiling,
    "ridge-batch": ridge_batch,
    "refill-starts": refill_starts,
    "date-verifier": date_verifier,
}
