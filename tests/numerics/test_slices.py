"""Real batches that are taken in parts, for devices with little memory, lead where whole ones lead."""

import pytest
import torch
from safetensors.torch import load

from tests.unit.laboratory.toys import toy_data, toy_recipe
from workers.distill import loop
from workers.distill.batches import RealBatches
from workers.distill.events import Finished
from workers.distill.rng import Rng


def made(method: str, *, slices: int) -> Finished:
    recipe = toy_recipe(method, steps=2, parametrization={"storage": "float32"})
    *_, last = loop.run(recipe, toy_data(), code_version="1", slices=slices)
    assert isinstance(last, Finished)
    return last


@pytest.mark.parametrize("method", ["dm", "dsa", "frepo", "bptt"])
def test_parts_lead_where_the_whole_leads_and_the_header_says_so(method: str) -> None:
    whole, parts = made(method, slices=1), made(method, slices=3)
    assert "slices" not in whole.header
    assert parts.header["slices"] == 3
    one, other = (load(one.content) for one in (whole, parts))
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=1e-4, atol=1e-5)


def test_what_looks_at_a_whole_batch_is_never_cut() -> None:
    assert not loop.sliceable(toy_recipe("dm", objective={"network": "convnet2-w8-batch"}))
    assert not loop.sliceable(toy_recipe("sre2l"))
    assert not loop.sliceable(toy_recipe("dim"))
    assert made("sre2l", slices=3).content == made("sre2l", slices=1).content


def test_parts_are_the_batch_in_its_order() -> None:
    batch = RealBatches(toy_data(), device="cpu").mixed(10, rng=Rng(0))
    parts = batch.parts(3)
    assert [len(part.index_N) for part in parts] == [4, 3, 3]
    assert torch.equal(torch.cat([part.index_N for part in parts]), batch.index_N)
    assert len(batch.parts(99)) == 10
