"""For each problem of the task `code`: a right solution, and a plausible one that the hidden tests must refuse.

`test_task_code.py` runs both. Neither is shipped with the problems.
"""

SOLUTIONS = {
    "count_vowels": (
        """
def count_vowels(text):
    return sum(c in 'aeiouAEIOU' for c in text)
""",
        """
def count_vowels(text):
    return sum(c in 'aeiou' for c in text)
""",
    ),
    "is_leap_year": (
        """
def is_leap_year(year):
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
""",
        """
def is_leap_year(year):
    return year % 4 == 0 and year % 100 != 0
""",
    ),
    "second_largest": (
        """
def second_largest(numbers):
    distinct = sorted(set(numbers))
    return distinct[-2] if len(distinct) > 1 else None
""",
        """
def second_largest(numbers):
    return sorted(numbers)[-2] if len(numbers) > 1 else None
""",
    ),
    "running_total": (
        """
def running_total(numbers):
    out, total = [], 0
    for n in numbers:
        total += n
        out.append(total)
    return out
""",
        """
def running_total(numbers):
    return [sum(numbers[:i]) for i in range(len(numbers))]
""",
    ),
    "is_palindrome": (
        """
def is_palindrome(text):
    kept = [c.lower() for c in text if c.isalnum()]
    return kept == kept[::-1]
""",
        """
def is_palindrome(text):
    text = text.lower()
    return text == text[::-1]
""",
    ),
    "digit_sum": (
        """
def digit_sum(n):
    return sum(int(d) for d in str(abs(n)))
""",
        """
def digit_sum(n):
    total = 0
    while n > 0:
        total += n % 10
        n //= 10
    return total
""",
    ),
    "word_lengths": (
        """
def word_lengths(sentence):
    return [len(word) for word in sentence.split()]
""",
        """
def word_lengths(sentence):
    return [len(word) for word in sentence.split(' ')]
""",
    ),
    "most_common_letter": (
        """
def most_common_letter(text):
    letters = [c for c in text.lower() if c.isalpha()]
    return min(letters, key=lambda c: (-letters.count(c), c)) if letters else ''
""",
        """
def most_common_letter(text):
    letters = [c for c in text.lower() if c.isalpha()]
    return max(letters, key=letters.count) if letters else ''
""",
    ),
    "gcd_of_list": (
        """
def gcd_of_list(numbers):
    a = 0
    for b in numbers:
        while b:
            a, b = b, a % b
    return abs(a)
""",
        """
def gcd_of_list(numbers):
    return min(n for n in numbers if n)
""",
    ),
    "flatten": (
        """
def flatten(items):
    out = []
    for item in items:
        out += flatten(item) if isinstance(item, list) else [item]
    return out
""",
        """
def flatten(items):
    out = []
    for item in items:
        out += item if isinstance(item, list) else [item]
    return out
""",
    ),
    "rotate_left": (
        """
def rotate_left(items, k):
    k = k % len(items) if items else 0
    return items[k:] + items[:k]
""",
        """
def rotate_left(items, k):
    return items[k:] + items[:k]
""",
    ),
    "binary_search": (
        """
def binary_search(numbers, target):
    low, high = 0, len(numbers)
    while low < high:
        mid = (low + high) // 2
        if numbers[mid] < target:
            low = mid + 1
        else:
            high = mid
    return low if low < len(numbers) and numbers[low] == target else -1
""",
        """
def binary_search(numbers, target):
    low, high = 0, len(numbers) - 1
    while low < high:
        mid = (low + high) // 2
        if numbers[mid] == target:
            return mid
        if numbers[mid] < target:
            low = mid + 1
        else:
            high = mid - 1
    return -1
""",
    ),
    "merge_sorted": (
        """
def merge_sorted(a, b):
    return sorted(a + b)
""",
        """
def merge_sorted(a, b):
    return sorted(set(a) | set(b))
""",
    ),
    "to_roman": (
        """
def to_roman(n):
    out = ''
    values = (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1)
    for value, sign in zip(values, 'M CM D CD C XC L XL X IX V IV I'.split()):
        while n >= value:
            out += sign
            n -= value
    return out
""",
        """
def to_roman(n):
    out = ''
    for value, sign in [(1000, 'M'), (500, 'D'), (100, 'C'), (50, 'L'), (10, 'X'), (5, 'V'), (1, 'I')]:
        while n >= value:
            out += sign
            n -= value
    return out
""",
    ),
    "balanced_brackets": (
        """
def balanced_brackets(text):
    stack = []
    for c in text:
        if c in '([{':
            stack.append(c)
        elif c in ')]}':
            if not stack or stack.pop() + c not in ('()', '[]', '{}'):
                return False
    return not stack
""",
        """
def balanced_brackets(text):
    return all(text.count(a) == text.count(b) for a, b in ('()', '[]', '{}'))
""",
    ),
    "primes_below": (
        """
def primes_below(n):
    return [p for p in range(2, n) if all(p % d for d in range(2, int(p ** 0.5) + 1))]
""",
        """
def primes_below(n):
    return [p for p in range(2, n + 1) if all(p % d for d in range(2, int(p ** 0.5) + 1))]
""",
    ),
    "caesar": (
        """
def caesar(text, shift):
    out = ''
    for c in text:
        if c.isascii() and c.isalpha():
            base = 97 if c.islower() else 65
            c = chr((ord(c) - base + shift) % 26 + base)
        out += c
    return out
""",
        """
def caesar(text, shift):
    return ''.join(chr((ord(c) - 97 + shift) % 26 + 97) if c.isalpha() else c for c in text)
""",
    ),
    "run_length": (
        """
def run_length(text):
    out = []
    for c in text:
        if out and out[-1][0] == c:
            out[-1] = (c, out[-1][1] + 1)
        else:
            out.append((c, 1))
    return out
""",
        """
def run_length(text):
    return [(c, text.count(c)) for c in sorted(set(text))]
""",
    ),
    "transpose": (
        """
def transpose(matrix):
    return [list(column) for column in zip(*matrix)]
""",
        """
def transpose(matrix):
    return [[matrix[j][i] for j in range(len(matrix[0]))] for i in range(len(matrix))]
""",
    ),
    "anagrams": (
        """
def anagrams(a, b):
    return sorted(a.lower().replace(' ', '')) == sorted(b.lower().replace(' ', ''))
""",
        """
def anagrams(a, b):
    return set(a.lower()) == set(b.lower())
""",
    ),
    "fibonacci": (
        """
def fibonacci(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a
""",
        """
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)
""",
    ),
    "missing_number": (
        """
def missing_number(numbers):
    return len(numbers) * (len(numbers) + 1) // 2 - sum(numbers)
""",
        """
def missing_number(numbers):
    return [i for i in range(len(numbers)) if i not in numbers][0]
""",
    ),
    "longest_run": (
        """
def longest_run(numbers):
    best = now = 0
    last = None
    for n in numbers:
        now = now + 1 if last is not None and n > last else 1
        best, last = max(best, now), n
    return best
""",
        """
def longest_run(numbers):
    best = now = 1
    for a, b in zip(numbers, numbers[1:]):
        now = now + 1 if b > a else 1
        best = max(best, now)
    return best
""",
    ),
    "count_words": (
        """
def count_words(text):
    counts = {}
    for word in text.lower().split():
        word = word.strip('.,;:!?')
        if word:
            counts[word] = counts.get(word, 0) + 1
    return counts
""",
        """
def count_words(text):
    counts = {}
    for word in text.split():
        counts[word] = counts.get(word, 0) + 1
    return counts
""",
    ),
    "two_sum": (
        """
def two_sum(numbers, target):
    for i in range(len(numbers)):
        for j in range(i + 1, len(numbers)):
            if numbers[i] + numbers[j] == target:
                return (i, j)
    return None
""",
        """
def two_sum(numbers, target):
    for i, n in enumerate(numbers):
        if target - n in numbers:
            return (i, numbers.index(target - n))
    return None
""",
    ),
    "chunks": (
        """
def chunks(items, size):
    return [items[i:i + size] for i in range(0, len(items), size)]
""",
        """
def chunks(items, size):
    return [items[i:i + size] for i in range(0, len(items) - size + 1, size)]
""",
    ),
    "median": (
        """
def median(numbers):
    s = sorted(numbers)
    m = len(s) // 2
    return s[m] if len(s) % 2 else (s[m - 1] + s[m]) / 2
""",
        """
def median(numbers):
    return sorted(numbers)[len(numbers) // 2]
""",
    ),
    "title_case": (
        """
def title_case(text):
    return ' '.join(w[:1].upper() + w[1:].lower() for w in text.split(' '))
""",
        """
def title_case(text):
    return text.title()
""",
    ),
    "max_subarray": (
        """
def max_subarray(numbers):
    best = now = numbers[0]
    for n in numbers[1:]:
        now = max(n, now + n)
        best = max(best, now)
    return best
""",
        """
def max_subarray(numbers):
    best = now = 0
    for n in numbers:
        now = max(0, now + n)
        best = max(best, now)
    return best
""",
    ),
    "collatz_steps": (
        """
def collatz_steps(n):
    steps = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps
""",
        """
def collatz_steps(n):
    steps = 1
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps
""",
    ),
    "intersection": (
        """
def intersection(a, b):
    out = []
    for x in a:
        if x in b and x not in out:
            out.append(x)
    return out
""",
        """
def intersection(a, b):
    return sorted(set(a) & set(b))
""",
    ),
    "from_binary": (
        """
def from_binary(bits):
    value = 0
    for bit in bits:
        if bit not in '01':
            return None
        value = value * 2 + (bit == '1')
    return value if bits else None
""",
        """
def from_binary(bits):
    try:
        return int(bits, 2)
    except ValueError:
        return None
""",
    ),
    "compress_ranges": (
        """
def compress_ranges(numbers):
    out = []
    for n in sorted(set(numbers)):
        if out and out[-1][1] == n - 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return ','.join(str(a) if a == b else f'{a}-{b}' for a, b in out)
""",
        """
def compress_ranges(numbers):
    out = []
    for n in sorted(numbers):
        if out and out[-1][1] == n - 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return ','.join(f'{a}-{b}' for a, b in out)
""",
    ),
    "spiral": (
        """
def spiral(matrix):
    out = []
    while matrix:
        out += matrix[0]
        matrix = [list(row) for row in zip(*matrix[1:])][::-1]
    return out
""",
        """
def spiral(matrix):
    return [x for i, row in enumerate(matrix) for x in (row if i % 2 == 0 else row[::-1])]
""",
    ),
    "edit_distance": (
        """
def edit_distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        new = [i]
        for j, y in enumerate(b, 1):
            new.append(min(new[-1] + 1, row[j] + 1, row[j - 1] + (x != y)))
        row = new
    return row[-1]
""",
        """
def edit_distance(a, b):
    return sum(x != y for x, y in zip(a, b)) + abs(len(a) - len(b))
""",
    ),
    "coin_ways": (
        """
def coin_ways(amount, coins):
    ways = [1] + [0] * amount
    for coin in coins:
        for total in range(coin, amount + 1):
            ways[total] += ways[total - coin]
    return ways[amount]
""",
        """
def coin_ways(amount, coins):
    ways = [1] + [0] * amount
    for total in range(1, amount + 1):
        ways[total] = sum(ways[total - c] for c in coins if c <= total)
    return ways[amount]
""",
    ),
    "fewest_coins": (
        """
def fewest_coins(amount, coins):
    best = [0] + [None] * amount
    for total in range(1, amount + 1):
        options = [best[total - c] for c in coins if c <= total and best[total - c] is not None]
        best[total] = min(options) + 1 if options else None
    return best[amount]
""",
        """
def fewest_coins(amount, coins):
    used = 0
    for c in sorted(coins, reverse=True):
        used += amount // c
        amount %= c
    return used if amount == 0 else None
""",
    ),
    "group_by_length": (
        """
def group_by_length(words):
    out = {}
    for w in words:
        out.setdefault(len(w), []).append(w)
    return out
""",
        """
def group_by_length(words):
    out = {}
    for w in words:
        known = out.setdefault(len(w), [])
        if w not in known:
            known.append(w)
    return out
""",
    ),
    "valid_password": (
        """
def valid_password(text):
    kinds = (str.isdigit, str.isupper, str.islower)
    return len(text) >= 8 and all(any(map(kind, text)) for kind in kinds) and ' ' not in text
""",
        """
def valid_password(text):
    return len(text) > 8 and any(c.isdigit() for c in text) and any(c.isupper() for c in text)
""",
    ),
    "clock_angle": (
        """
def clock_angle(hour, minute):
    a = abs((hour % 12) * 30 + minute * 0.5 - minute * 6)
    return min(a, 360 - a)
""",
        """
def clock_angle(hour, minute):
    return abs((hour % 12) * 30 - minute * 6)
""",
    ),
    "evaluate_rpn": (
        """
def evaluate_rpn(tokens):
    stack = []
    for t in tokens:
        if t in ('+', '-', '*'):
            b, a = stack.pop(), stack.pop()
            stack.append(a + b if t == '+' else a - b if t == '-' else a * b)
        else:
            stack.append(int(t))
    return stack[0]
""",
        """
def evaluate_rpn(tokens):
    stack = []
    for t in tokens:
        if t in ('+', '-', '*'):
            a, b = stack.pop(), stack.pop()
            stack.append(a + b if t == '+' else a - b if t == '-' else a * b)
        else:
            stack.append(int(t))
    return stack[0]
""",
    ),
    "remove_duplicates": (
        """
def remove_duplicates(items):
    out = []
    for x in items:
        if x not in out:
            out.append(x)
    return out
""",
        """
def remove_duplicates(items):
    return sorted(set(items), key=str)
""",
    ),
    "islands": (
        """
def islands(grid):
    left = {(r, c) for r, row in enumerate(grid) for c, x in enumerate(row) if x == '#'}
    count = 0
    while left:
        count += 1
        todo = [left.pop()]
        while todo:
            r, c = todo.pop()
            for n in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
                if n in left:
                    left.remove(n)
                    todo.append(n)
    return count
""",
        """
def islands(grid):
    return sum(len([p for p in row.split('.') if p]) for row in grid)
""",
    ),
    "pascal_row": (
        """
def pascal_row(n):
    row = [1]
    for _ in range(n):
        row = [a + b for a, b in zip([0] + row, row + [0])]
    return row
""",
        """
def pascal_row(n):
    row = [1]
    for _ in range(n - 1):
        row = [a + b for a, b in zip([0] + row, row + [0])]
    return row
""",
    ),
    "prime_factors": (
        """
def prime_factors(n):
    out, d = [], 2
    while d * d <= n:
        while n % d == 0:
            out.append(d)
            n //= d
        d += 1
    return out + [n] if n > 1 else out
""",
        """
def prime_factors(n):
    return [d for d in range(2, n + 1) if n % d == 0 and all(d % k for k in range(2, d))]
""",
    ),
    "interleave": (
        """
def interleave(a, b):
    out = []
    for i in range(max(len(a), len(b))):
        out += a[i:i + 1] + b[i:i + 1]
    return out
""",
        """
def interleave(a, b):
    return [x for pair in zip(a, b) for x in pair]
""",
    ),
    "seconds_to_clock": (
        """
def seconds_to_clock(seconds):
    return f'{seconds // 3600:02}:{seconds % 3600 // 60:02}:{seconds % 60:02}'
""",
        """
def seconds_to_clock(seconds):
    return f'{seconds // 3600}:{seconds % 3600 // 60}:{seconds % 60}'
""",
    ),
    "add_lines": (
        """
total = 0
n = int(input())
for _ in range(n):
    total += int(input())
print(total)
""",
        """
import sys
print(sum(int(line) for line in sys.stdin))
""",
    ),
    "triangle_of_stars": (
        """
for i in range(1, int(input()) + 1):
    print('*' * i)
""",
        """
for i in range(int(input())):
    print('*' * i)
""",
    ),
    "reverse_lines": (
        """
import sys
for line in reversed(sys.stdin.read().splitlines()):
    print(line)
""",
        """
import sys
for line in sys.stdin.read().splitlines():
    print(line[::-1])
""",
    ),
}
