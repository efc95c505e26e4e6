import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxd.config.keys import dotted
from mlxd.config.lines import key_lines


def keys_of(value, at=()):
    """Every key and array item of what tomllib read."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for part, below in items:
        yield (*at, part)
        yield from keys_of(below, (*at, part))


names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6)
text_values = st.text(st.sampled_from("ab=#[]{},. \n\"'\\é"), max_size=12)


def basic(text):
    """A TOML basic string."""
    return '"' + "".join(f"\\u{ord(c):04x}" if c in '"\\' or ord(c) < 32 else c for c in text) + '"'


keys = st.one_of(names.map(basic), st.from_regex(r"[A-Za-z0-9_-]{1,5}", fullmatch=True), st.sampled_from(["'a.b'", "'#'", "'['"]))
strings = st.one_of(
    text_values.map(basic),
    st.sampled_from(
        ["'''\na = 1 # ] ''x'''", '"""a\n[b]\nc = "d" \\""""', "''", '""', '"""a"""""', "'[x]'", "'''a'''''", r'"\\"', r'"\""']
    ),
)
scalars = st.one_of(strings, st.integers().map(str), st.sampled_from(["true", "1979-05-27 07:32:00Z", "1979-05-27", "0x1F", "-inf", "1e3"]))
spaces = st.sampled_from(["", " ", "\n", " # ] , x = 1\n  "])


def arrays(items):
    return st.builds(
        lambda inner, space: "[" + space + f"{space},{space}".join(inner) + (f",{space}" if inner else "") + "]",
        st.lists(items, max_size=3),
        spaces,
    )


def inline_tables(items):
    pairs = st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), items, max_size=3)
    return pairs.map(lambda table: "{ " + ", ".join(f"{name} = {value}" for name, value in table.items()) + " }")


values = st.recursive(scalars, lambda inner: st.one_of(arrays(inner), inline_tables(inner)), max_leaves=6)
assignments = st.builds(lambda path, value: f"{'.'.join(path)} = {value}", st.lists(keys, min_size=1, max_size=3), values)
headers = st.builds(
    lambda path, form: form.format(" . ".join(path)), st.lists(keys, min_size=1, max_size=3), st.sampled_from(["[{}]", "[[ {} ]]"])
)
statements = st.one_of(assignments, headers, st.sampled_from(["", "# x = 1", "  "]))


@given(st.lists(statements, max_size=8), st.sampled_from(["\n", "\r\n", "  # [end]\n"]))
def test_it_finds_exactly_the_keys_that_tomllib_finds(lines, end):
    text = end.join(lines)
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        kept = []  # keep the statements that go together
        for line in lines:
            try:
                tomllib.loads("\n".join([*kept, line]))
            except tomllib.TOMLDecodeError:
                continue
            kept.append(line)
        text = "\n".join(kept)
        parsed = tomllib.loads(text)
    assert set(key_lines(text)) == set(keys_of(parsed))


@given(st.lists(st.tuples(st.integers(0, 5), values), max_size=6))
def test_each_key_is_on_the_line_it_was_written_on(entries):
    text, expected = "", {}
    for position, (blanks, value) in enumerate(entries):
        text += "\n" * blanks
        expected[(f"k{position}",)] = text.count("\n") + 1
        text += f"k{position} = {value}\n"
    found = key_lines(text)
    assert {key: found[key] for key in expected} == expected


def test_items_of_arrays_have_lines_of_their_own():
    lines = key_lines('[a]\nb = [\n  "x", # one\n\n  { c = 1 },\n  ["y",\n   "z"],\n]\n')
    assert lines[("a", "b", 0)] == 3
    assert lines[("a", "b", 1, "c")] == 5
    assert lines[("a", "b", 2, 1)] == 7


def test_a_table_that_is_only_implied_has_the_line_that_implies_it():
    lines = key_lines("\n[models.a.sampling]\ntop_k = 1\n[models.a]\nsource = 'x'\n")
    assert lines[("models",)] == 2
    assert lines[("models", "a")] == 2
    assert lines[("models", "a", "source")] == 5


def test_a_table_below_an_array_of_tables_belongs_to_its_last_item():
    lines = key_lines("[[a]]\n[a.b]\nx = 1\n[[a]]\n[[a.c]]\ny = 2\n[a.b]\nx = 3\n")
    assert lines[("a", 0, "b", "x")] == 3
    assert lines[("a", 1, "c", 0, "y")] == 6
    assert lines[("a", 1, "b", "x")] == 8


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (("server", "listen", 1), "server.listen[1]"),
        (("models", "qwen3:8b", "source"), 'models."qwen3:8b".source'),
        (("models", 'a"b'), 'models."a\\"b"'),
        (("models", ""), 'models.""'),
    ],
)
def test_a_key_reads_as_people_write_it(key, text):
    assert dotted(key) == text
