import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxd.config.units import MemoryShare, format_duration, format_size, parse_duration, parse_size


@given(st.floats(min_value=1e-12, max_value=3650 * 86400))
def test_a_duration_survives_printing_and_parsing(seconds):
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(0, 2**60))
def test_a_size_survives_printing_and_parsing(size):
    assert parse_size(format_size(size)) == size


@given(
    st.one_of(
        st.builds(MemoryShare), st.builds(MemoryShare, size=st.integers(1, 2**60)), st.builds(MemoryShare, fraction=st.floats(1e-12, 1))
    )
)
def test_a_share_survives_printing_and_parsing(share):
    assert MemoryShare.parse(str(share)) == share


@pytest.mark.parametrize(
    ("text", "seconds", "printed"),
    [
        ("200ms", 0.2, "200ms"),
        ("30s", 30.0, "30s"),
        ("90s", 90.0, "90s"),
        ("10m", 600.0, "10m"),
        ("60m", 3600.0, "1h"),
        (" 2 d ", 172800.0, "2d"),
        ("1.5s", 1.5, "1.5s"),
        ("1.5ms", 0.0015, "1.5ms"),
        ("0ms", 0.0, "0s"),
        ("1.5h", 5400.0, "90m"),
    ],
)
def test_durations(text, seconds, printed):
    assert parse_duration(text) == seconds
    assert format_duration(seconds) == printed


@pytest.mark.parametrize(
    ("text", "size", "printed"),
    [("32MiB", 2**25, "32MiB"), ("2GB", 2 * 10**9, "2GB"), ("0B", 0, "0B"), ("1.5KiB", 1536, "1536B"), ("1TiB", 2**40, "1TiB")],
)
def test_sizes(text, size, printed):
    assert parse_size(text) == size
    assert format_size(size) == printed


@pytest.mark.parametrize(
    "value",
    [
        "",
        "10",
        "s",
        "10 parsecs",
        "-5s",
        "1e3s",
        "1,5s",
        "1.s",
        ".5s",
        "5 s s",
        "\uff15s",
        "NaNs",
        "infs",
        "9" * 400 + "s",
        "5S",
        True,
        1.5,
        None,
        [],
    ],
)
def test_what_is_no_duration(value):
    with pytest.raises(ValueError, match="must be"):
        parse_duration(value)


@pytest.mark.parametrize(
    "value", ["", "10", "10M", "10mib", "-1B", "1e3MiB", "9" * 400 + "TiB", "99999999TiB", "1.5.5KB", False, 1.0, None]
)
def test_what_is_no_size(value):
    with pytest.raises(ValueError, match="must be"):
        parse_size(value)


@pytest.mark.parametrize("value", ["", "0%", "100.1%", "999%", "-1%", "half", "auto ", 0.5, 1, True, None])
def test_what_is_no_share(value):
    with pytest.raises(ValueError, match="must"):
        MemoryShare.parse(value)


@pytest.mark.parametrize(("value", "example"), [(30, '"30s"'), (0, '"0s"'), (-1, '"200ms"'), (True, '"200ms"')])
def test_a_bare_number_is_shown_with_its_unit(value, example):
    with pytest.raises(ValueError, match=example):
        parse_duration(value)
