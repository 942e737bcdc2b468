"""Exercise of notebook 17: how large is the KV cache?"""

from __future__ import annotations

import random

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def kv_cache_bytes(layers: int, heads: int, kv_heads: int, head_dim: int, rows: int, columns: int, size: int) -> int:
    keys_and_values = 2
    return keys_and_values * layers * kv_heads * head_dim * rows * columns * size


def _random_shape(generator: random.Random) -> Case:
    kv_heads = generator.choice([1, 2, 4, 8])
    heads = kv_heads * generator.choice([2, 3, 7])
    sizes = generator.choice([32, 64, 128]), generator.randint(2, 300), generator.randint(2, 900)
    return Case((generator.randint(2, 40), heads, kv_heads, *sizes, generator.choice([2, 4])))


EXERCISE = Exercise(
    name="kv-cache-bytes",
    title="How large is the KV cache?",
    notebook="17_scaling_up",
    spec=(
        "A model has `layers` layers; in each, `heads` query heads share `kv_heads` heads of keys and values, each of "
        "`head_dim` numbers. Its cache holds `rows` rows of `columns` tokens, in numbers of `size` bytes. Return the "
        "cache's bytes (int).\n\n"
        "- Every token leaves one key and one value in every layer.\n"
        "- What is cached is keys and values, not queries."
    ),
    stub=(
        "def kv_cache_bytes(layers: int, heads: int, kv_heads: int, head_dim: int, rows: int, columns: int, "
        "size: int) -> int:\n"
        "    raise NotImplementedError\n"
    ),
    reference=kv_cache_bytes,
    literal=(
        Case((1, 4, 2, 8, 1, 1, 4), "one token: a key and a value, 2 heads of 8 numbers of 4 bytes"),
        Case((3, 4, 2, 8, 1, 1, 4), "the same in each of 3 layers"),
        Case((30, 9, 3, 64, 1, 1, 2), "a token of SmolLM2-135M in bfloat16"),
        Case((30, 9, 3, 64, 1024, 384, 2), "1,024 rows of 384 tokens of it"),
    ),
    random=_random_shape,
    misconceptions=(
        Misconception(
            "query-heads",
            lambda layers, heads, kv_heads, head_dim, rows, columns, size: (
                2 * layers * heads * head_dim * rows * columns * size
            ),
            "This counts the query heads. Queries are used once and forgotten; what stays are keys and values, and "
            "several query heads share one head of those (grouped-query attention saves exactly this).",
        ),
        Misconception(
            "keys-only",
            lambda layers, heads, kv_heads, head_dim, rows, columns, size: (
                layers * kv_heads * head_dim * rows * columns * size
            ),
            "Half of it: a token leaves a key AND a value.",
        ),
        Misconception(
            "one-layer",
            lambda layers, heads, kv_heads, head_dim, rows, columns, size: (
                2 * kv_heads * head_dim * rows * columns * size
            ),
            "That is one layer's cache. Each layer attends to keys and values of its own.",
        ),
        Misconception(
            "one-row",
            lambda layers, heads, kv_heads, head_dim, rows, columns, size: (
                2 * layers * kv_heads * head_dim * columns * size
            ),
            "That is one row's cache: rows have different completions, so each keeps keys and values of its own.",
        ),
        Misconception(
            "numbers-not-bytes",
            lambda layers, heads, kv_heads, head_dim, rows, columns, size: (
                2 * layers * kv_heads * head_dim * rows * columns
            ),
            "That is how many NUMBERS there are; each takes `size` bytes.",
        ),
        Misconception(
            "bits",
            lambda layers, heads, kv_heads, head_dim, rows, columns, size: (
                2 * layers * kv_heads * head_dim * rows * columns * size * 8
            ),
            "Eight times too much: these are bits. `size` is given in bytes already.",
        ),
    ),
    hints=(
        "Begin with one token in one layer: how many numbers are its key and its value?",
        "kv_heads x head_dim numbers a key, and as many a value.",
        "Then times layers, rows, columns, and the bytes of a number.",
    ),
    sources=("labkit.bench.roofline:Shape",),
)
