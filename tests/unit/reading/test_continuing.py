"""What plain data tell of a memory that is continued: for the front end and the laboratory alike."""

import pytest

from distilled import continuing
from distilled.errors import ArtifactError, RecipeError
from distilled.manifest import check_header
from distilled.recipe import check_budget, expand, recipe_digest
from workers.distill.catalog import build

CATALOG = build()
HEADER = {
    "kind": "memory",
    "classes": ["a", "b", "c"],
    "space": {"shape": [1, 8, 8]},
    "dataset": {"name": "second", "digest": "2", "licence": "x"},
    "base": {"digest": "d", "datasets": [{"name": "first", "digest": "1", "licence": "y", "classes": 2}]},
}
DATASET = {"name": "third", "classes": ["d", "e"], "train_counts": [10, 21], "shape": [1, 8, 8]}


def expanded(**fields):
    recipe = {"dataset": "third", "method": "kip", "ipc": 2, "parametrization": {"kind": "memory", "bases": 4}}
    return expand(recipe | fields, CATALOG)


def test_the_parts_of_an_artifact_are_its_data_sets_in_order():
    last = {"name": "second", "digest": "2", "licence": "x", "classes": 1}
    assert continuing.parts(HEADER) == [*HEADER["base"]["datasets"], last]
    alone = {name: value for name, value in HEADER.items() if name != "base"}
    assert continuing.parts(alone) == [last | {"classes": 3}]


def test_the_union_has_old_classes_as_large_as_new_ones():
    union = continuing.union(HEADER, DATASET)
    assert union["classes"] == ["a", "b", "c", "d", "e"]
    assert union["train_counts"] == [16, 16, 16, 10, 21]  # 15.5, rounded to the even
    assert (union["name"], union["shape"]) == ("third", [1, 8, 8])


@pytest.mark.parametrize(
    ("header", "dataset", "found"),
    [
        ({}, {}, {}),
        ({"kind": "images"}, {}, {"/base_artifact": "`images`"}),
        ({}, {"shape": [3, 8, 8]}, {"/dataset": "[3, 8, 8]"}),
        ({}, {"classes": ["b", "e"]}, {"/dataset": "('b')"}),
        ({"classes": list("abcdefgh")}, {"classes": list("abcdefg")}, {"/dataset": "'e' …)"}),
    ],
)
def test_what_cannot_be_continued_is_told(header, dataset, found):
    problems = continuing.problems(HEADER | header, DATASET | dataset)
    assert [problem.pointer for problem in problems] == list(found)
    assert all(words in problem.detail for problem, words in zip(problems, found.values(), strict=True))


def test_a_budget_is_that_of_all_classes():
    recipe, union = expanded(base_artifact="art", ipc=None, bytes=4000), continuing.union(HEADER, DATASET)
    held = check_budget(recipe, CATALOG, union)
    assert held.per_class == (4000 - 4 * 16 - 64) // (5 * 4)
    assert held.bytes <= 4000


def test_a_base_goes_with_memories_alone():
    for fields, pointer in (
        ({"parametrization": {"kind": "images"}}, "/base_artifact"),
        ({"parametrization": {"kind": "memory", "bases": 4, "start": "xavier"}}, "/parametrization/start"),
    ):
        expanded(**fields)
        with pytest.raises(RecipeError) as caught:
            expanded(base_artifact="art", **fields)
        assert [problem.pointer for problem in caught.value.problems] == [pointer]


def test_the_digest_follows_the_bytes_of_the_base_and_not_its_name():
    def digest(name, base_digest):
        recipe = expanded(base_artifact=name)
        return recipe_digest(recipe, dataset_digest="d", code_version="1", base_digest=base_digest)

    assert digest("art_1", "x") == digest("best", "x")
    assert len({digest(None, None), digest("art_1", "x"), digest("art_1", "y")}) == 3


def test_a_header_may_name_a_base_but_only_as_an_object():
    header = {
        **{"format": 1, "config": {}, "ipc": 1, "budget": {}, "recipe": {}, "seed": 0, "steps": 1},
        **{"images_seen": 0, "code_version": "1", "device_kind": "cpu"},
        **HEADER,
    }
    assert check_header(header)["base"] == HEADER["base"]
    with pytest.raises(ArtifactError, match="'base'"):
        check_header(header | {"base": "art_1"})
