"""Tables: the same text in a terminal, in a pipe and in a file, with nothing cut."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.errors import UserError
from labkit.tables import html_table, markdown_table, number, show_table, table, with_interval

ROOT = Path(__file__).resolve().parent.parent


def test_columns_are_aligned_and_numbers_stand_at_the_right():
    text = table(["", "before", "n"], [["pass@1", "0.5 [0.4, 0.6]", "7"], ["a", "-", "10"]])
    assert text.splitlines() == [
        "                before   n",
        "--------------------------",
        "pass@1  0.5 [0.4, 0.6]   7",
        "a                    -  10",
    ]


def test_a_cell_is_neither_cut_nor_wrapped_nor_read_as_markup():
    long, strange = "word " * 400, "[red]a[/red] :smile: [/]"
    lines = table(["text", "more"], [[long, strange], ["b", "tab\tand more"]]).splitlines()
    assert len(lines) == 4
    assert long.strip() in lines[2] and lines[2].endswith(strange)
    assert lines[3].endswith("tab and more") and "\t" not in lines[3]


def test_wide_characters_take_two_places():
    _, _, first, second = table(["a", "b"], [["日本", "x"], ["abcd", "x"]]).splitlines()
    assert first.index("x") == 4 and second.index("x") == 6


def test_a_table_without_rows_has_its_header():
    assert table(["name", "n"], []).splitlines() == ["name  n", "-------"]


def test_a_pipe_gets_no_colours_whatever_the_environment_asks_for():
    code = "from labkit.tables import table; print(table(['a', 'b'], [['x' * 300, '1']]))"
    asked = {"FORCE_COLOR": "1", "COLUMNS": "20", "TERM": "xterm-256color", "PYTHONIOENCODING": "ascii"}
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | asked
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"a{' ' * 301}b", "-" * 303, f"{'x' * 300}  1"]


def test_html_and_markdown():
    assert "<td>&lt;b&gt;</td>" in html_table(["a"], [["<b>"]])
    assert markdown_table(["a", "b"], [["x", "1"]]).splitlines() == ["| a | b |", "| --- | ---: |", "| x | 1 |"]


def test_numbers():
    assert (number(None), number(0.12345, 2)) == ("-", "0.12")
    assert with_interval(0.5, [0.4, 0.6], digits=1) == "0.5 [0.4, 0.6]"
    assert with_interval(0.5, None, sign="+") == "+0.500"


def test_a_table_of_a_notebook_is_markdown_there_and_text_in_a_terminal():
    shown = show_table(["what", "n"], [["`a|b`", 1.5], ["**c**", "-"]], "Counts")
    assert repr(shown) == "Counts\n" + table(["what", "n"], [["`a|b`", "1.5"], ["**c**", "-"]])
    assert shown._repr_markdown_().splitlines() == [
        "**Counts**", "", "| what | n |", "| --- | ---: |", "| `a\\|b` | 1.5 |", "| **c** | - |"
    ]  # fmt: skip
    assert show_table(["a"], [])._repr_markdown_().splitlines() == ["| a |", "| --- |"]
    with pytest.raises(UserError, match="row 1 of the table has 1 cells"):
        show_table(["a", "b"], [["x"]])
