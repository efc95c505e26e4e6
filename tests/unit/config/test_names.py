"""Patterns of names against what they mean, written once more as regular expressions."""

import re

from hypothesis import given
from hypothesis import strategies as st

from mlxd.config.names import MOST_MATCHED, common_name, is_pattern, matches, specificity

PATTERNS = st.text("ab*", max_size=8).map(lambda text: re.sub(r"\*+", "*", text)).filter(is_pattern)


def means(pattern, name):
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None


@given(PATTERNS, st.text("ab", max_size=10))
def test_a_pattern_matches_what_it_means(pattern, name):
    assert matches(pattern, name) == means(pattern, name)


@given(PATTERNS, PATTERNS, st.text("ab", max_size=10))
def test_a_common_name_is_one_and_is_found_where_there_is_one(one, other, name):
    common = common_name(one, other)
    if common is None:
        assert not (means(one, name) and means(other, name))
    else:
        assert means(one, common)
        assert means(other, common)


def test_only_the_star_is_special():
    assert matches("claude-*[1m]", "claude-sonnet-4-5[1m]")
    assert not matches("claude-*[1m]", "claude-sonnet-4-51")
    assert not matches("gpt-?*", "gpt-4o")
    assert matches("*", "")
    assert matches("gpt-4*", "gpt-4")
    assert not matches("gpt-4*", "GPT-4o")


def test_a_star_stands_for_slashes_and_colons_too():
    assert matches("*/llama*", "ollama/meta/llama3:8b")


def test_specificity_is_what_stands_beside_the_stars_and_then_what_stands_before_them():
    ordered = ["*", "*a", "a*", "*-mini", "gpt-4*", "*/llama-*", "claude-*", "claude-*-4"]
    assert sorted(ordered, key=specificity) == ordered


def test_no_pattern_matches_a_name_that_is_too_long():
    assert matches("*", "x" * MOST_MATCHED)
    assert not matches("*", "x" * (MOST_MATCHED + 1))
