"""JSON as it is sent: the same values come back, and what JSON cannot say is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microscoped.daemon.protocol import dumps

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_values_come_back_as_they_were(value: Any) -> None:  # noqa: ANN401 - JSON
    assert json.loads(dumps(value)) == value


@pytest.mark.parametrize("text", ["NaN", "is -Infinity a number?", "half of a pair: \ud83d", "µm\u2028\x00"])
def test_texts_come_back_whatever_they_look_like(text: str) -> None:
    assert json.loads(dumps({text: [text]})) == {text: [text]}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("text", ["", "NaN"])
def test_what_is_no_number_is_refused(number: float, text: str) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        dumps({"text": text, "values": [1.0, number]})


@pytest.mark.parametrize("value", [np.float32(1.0), np.zeros(2), object()])
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        dumps({"value": value})
