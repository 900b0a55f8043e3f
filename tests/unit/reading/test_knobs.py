"""One declaration gives the schema, the defaults and the refusals; and it agrees with a JSON Schema validator."""

from dataclasses import dataclass

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilled.errors import RecipeError
from distilled.knobs import build, fill, knob, schema


@dataclass(frozen=True, kw_only=True)
class Config:
    width: int = knob(128, "filters of a layer", unit="filters", ge=1, le=512)
    rate: float = knob(0.1, "learning rate", gt=0, lt=1)
    norm: str = knob("instance", "normalisation", choices=("instance", "batch"))
    augment: bool = knob(True, "augment the images")


def test_defaults_fill_what_is_absent():
    assert build(Config, {"width": 64}) == Config(width=64, rate=0.1, norm="instance", augment=True)


def test_whole_numbers_serve_as_numbers_and_integral_floats_as_integers():
    made = build(Config, {"width": 64.0, "rate": 0.5})
    assert made.width == 64
    assert isinstance(made.width, int)


@pytest.mark.parametrize(
    ("values", "pointer", "words"),
    [
        ({"width": 0}, "/objective/width", "at least 1 filters"),
        ({"width": 513}, "/objective/width", "at most 512"),
        ({"width": "64"}, "/objective/width", "a whole number, not '64'"),
        ({"width": True}, "/objective/width", "a whole number, not true"),
        ({"width": None}, "/objective/width", "not null"),
        ({"rate": 0}, "/objective/rate", "above 0"),
        ({"rate": 1}, "/objective/rate", "below 1"),
        ({"rate": float("nan")}, "/objective/rate", "finite"),
        ({"norm": "layer"}, "/objective/norm", "one of instance, batch"),
        ({"augment": 1}, "/objective/augment", "true or false"),
        ({"depth": 3}, "/objective/depth", "unknown option; known are: augment, norm, rate, width"),
    ],
)
def test_each_fault_names_its_field_and_the_fix(values, pointer, words):
    with pytest.raises(RecipeError) as caught:
        build(Config, values, pointer="/objective")
    (problem,) = caught.value.problems
    assert problem.pointer == pointer
    assert words in problem.detail


def test_all_faults_are_told_at_once():
    with pytest.raises(RecipeError) as caught:
        build(Config, {"width": 0, "rate": 2, "depth": 3})
    assert len(caught.value.problems) == 3


values = st.dictionaries(
    st.sampled_from(["width", "rate", "norm", "augment", "other"]),
    st.one_of(
        st.none(), st.booleans(), st.integers(-2, 600), st.floats(-2, 2), st.sampled_from(["instance", "batch", "x"])
    ),
)


@given(values)
def test_the_check_agrees_with_a_json_schema_validator(value):
    declared = schema(Config)
    valid = jsonschema.Draft202012Validator(declared).is_valid(value)
    assert (fill(value, declared, pointer="")[1] == []) == valid
