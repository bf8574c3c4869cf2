"""Syntax errors in Go's words: whatever Python's parser refuses is refused, and nothing else."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cluster.embedded.apiserver import gojson

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
_PIECES = st.lists(
    st.sampled_from(["{", "}", "[", "]", ",", ":", '"a"', '"', "1", "-", "0", ".5", "e9", "tru", "true", "null", " "]),
    max_size=8,
).map("".join)


@given(_VALUES)
def test_what_is_json_has_no_error(value: object) -> None:
    assert gojson.syntax_error(json.dumps(value)) == ""


@given(_PIECES)
@example('{"a":1}x')
@example("[1,]")
@example("01")
def test_what_is_not_json_has_one(text: str) -> None:
    try:
        json.loads(text)
    except ValueError:
        assert gojson.syntax_error(text)
    else:
        assert gojson.syntax_error(text) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "unexpected end of JSON input"),
        ("{not", "invalid character 'n' looking for beginning of object key string"),
        ("not json", "invalid character 'o' in literal null (expecting 'u')"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ('{"a":1 "b"', "invalid character '\"' after object key:value pair"),
        ("[1 2]", "invalid character '2' after array element"),
        ("{} x", "invalid character 'x' after top-level value"),
        ("'", "invalid character '\\'' looking for beginning of value"),
        ('"\n"', "invalid character '\\n' in string literal"),
        ('"\\x"', "invalid character 'x' in string escape code"),
        ("-x", "invalid character 'x' in numeric literal"),
        ("1.x", "invalid character 'x' after decimal point in numeric literal"),
        ("1ex", "invalid character 'x' in exponent of numeric literal"),
    ],
)
def test_errors_are_told_in_the_words_of_go(text: str, said: str) -> None:
    assert gojson.syntax_error(text) == said


@given(st.dictionaries(st.text(max_size=3), _VALUES, max_size=4))
def test_a_mapping_has_no_key_twice(value: dict[str, object]) -> None:
    assert gojson.duplicate_fields(json.dumps(value).encode()) == []


def test_keys_that_are_there_twice_are_named_by_their_path() -> None:
    raw = b'{"a": {"b": 1, "b": 2}, "l": [{"x": 1}, {"x": 1, "x": 1, "x": 1}], "a": 3}'
    assert gojson.duplicate_fields(raw) == ["a.b", "l[1].x", "a"]
    assert gojson.duplicate_fields(b"{") == []
