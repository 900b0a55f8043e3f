"""Teachers: what torch would train, kept, found again, and taken up where they were left."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from tests.unit.laboratory.toys import toy_data, toy_recipe
from workers.distill import networks
from workers.distill.augment import augment, operations_for
from workers.distill.batches import RealBatches
from workers.distill.errors import NotFinite
from workers.distill.events import Finished, Preparing
from workers.distill.loop import run
from workers.distill.rng import Rng
from workers.distill.shelf import FolderShelf, MemoryShelf
from workers.distill.teachers import LOADING, TRAINING, TeacherKnobs, Teachers, TeacherTraining

REAL = toy_data()
BATCHES = RealBatches(REAL, device="cpu")
HOW = TeacherTraining(
    epochs=4, batch=25, learning_rate=0.05, momentum=0.9, weight_decay=5e-4, augment="dsa", seed=0
)  # 3 steps an epoch
NETS = ("convnet1-w4-batch", "mlp-w8")


class Counting(MemoryShelf):
    """A shelf that tells what was put there."""

    def __init__(self):
        super().__init__()
        self.saved = []

    def save(self, key, tensors):
        self.saved.append((key, len(tensors)))
        super().save(key, tensors)


def teachers(training=HOW, names=NETS):
    return Teachers(training, networks=names, space=REAL.space, device="cpu")


def prepared(shelf=None, *, training=HOW, names=NETS):
    """Teachers that are ready, and what was told on the way, each once."""
    made = teachers(training, names)
    told = list(made.prepare(BATCHES, shelf=shelf or MemoryShelf()))
    return made, list(dict.fromkeys((event.what, event.done, event.total) for event in told))


def same(one, other):
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_they_are_frozen_and_in_evaluation_mode_in_the_order_of_their_names():
    made, _ = prepared()
    assert [type(net).__name__ for net in made.nets] == ["ConvNet", "MLP"]
    assert not any(net.training for net in made.nets)
    assert not any(parameter.requires_grad for net in made.nets for parameter in net.parameters())
    assert all(0.5 < accuracy <= 1 for accuracy in made.accuracies)


@pytest.mark.parametrize("vary", ["none", "dsa"])
def test_a_teacher_is_what_torch_would_train(vary):
    training = replace(HOW, augment=vary)
    made, _ = prepared(training=training, names=NETS[:1])
    rng = Rng(0).child("teacher", NETS[0], 0)
    net = networks.make(NETS[0], space_shape=(1, 8, 8), num_classes=3, rng=rng.child("network").generator())
    optimiser = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=4)
    for epoch in range(4):
        right, variations = 0, rng.child("augment", epoch).generator()
        for batch in BATCHES.epoch(25, rng=rng.child("order", epoch)):
            images = batch.images_NCHW
            if vary == "dsa":
                images = augment(images, rng=variations, operations=operations_for(REAL.space))
            optimiser.zero_grad()
            logits = net(images)
            functional.cross_entropy(logits, batch.targets).backward()
            optimiser.step()
            right += int((logits.argmax(1) == batch.targets).sum())
        schedule.step()
    found = made.nets[0].state_dict()
    for name, value in net.state_dict().items():  # running statistics among them
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)
    assert "blocks.1.running_var" in found
    assert made.accuracies == [pytest.approx(right / 60)]


def test_the_rate_falls_on_a_cosine():
    rates = [HOW.rate(epoch) for epoch in range(4)]
    assert rates == pytest.approx([0.05 * (1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4)])
    assert rates[0] == 0.05


def test_a_name_that_comes_again_is_another_teacher_and_the_first_is_shared():
    shelf = MemoryShelf()
    twice, _ = prepared(shelf, names=("mlp-w8", "mlp-w8"))
    assert not same(*twice.nets)
    once, told = prepared(shelf, names=("mlp-w8",))
    assert told == [(LOADING, 1, 1)]
    assert same(once.nets[0], twice.nets[0])


def test_a_second_run_trains_none_and_keeps_none():
    shelf = Counting()
    first, told = prepared(shelf)
    assert told[0] == (TRAINING, 0, 8)
    assert told[-1] == (TRAINING, 8, 8)
    shelf.saved.clear()
    second, told = prepared(shelf)
    assert told == [(LOADING, 1, 2), (LOADING, 2, 2)]
    assert shelf.saved == []
    assert all(same(one, other) for one, other in zip(first.nets, second.nets, strict=True))
    assert second.accuracies == first.accuracies


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 3},
        {"batch": 20},
        {"learning_rate": 0.04},
        {"momentum": 0.5},
        {"weight_decay": 0.1},
        {"augment": "none"},
        {"seed": 1},
    ],
)
def test_a_teacher_that_would_come_out_otherwise_is_another(change):
    other = replace(HOW, **change)
    assert teachers(other).key(1, BATCHES) != teachers().key(1, BATCHES)
    assert not same(prepared(training=other, names=NETS[1:])[0].nets[0], prepared(names=NETS[1:])[0].nets[0])


def test_the_knobs_are_the_training():
    knobs = TeacherKnobs(
        teacher_epochs=4,
        teacher_batch=25,
        teacher_learning_rate=0.05,
        teacher_momentum=0.9,
        teacher_weight_decay=5e-4,
        teacher_augment="dsa",
        teacher_seed=0,
    )
    assert knobs.teacher_training() == HOW


def test_a_teacher_that_was_left_is_taken_up_and_ends_as_if_it_had_not_been():
    shelf, long = Counting(), replace(HOW, epochs=20)  # kept every 2 epochs
    running = teachers(long, NETS[:1]).prepare(BATCHES, shelf=shelf)
    while next(running).done < 5:
        pass
    running.close()
    made, told = prepared(shelf, training=long, names=NETS[:1])
    assert told[0] == (TRAINING, 4, 20)
    alone, _ = prepared(training=long, names=NETS[:1])
    assert same(made.nets[0], alone.nets[0])
    assert made.accuracies == alone.accuracies


def test_what_was_kept_on_the_way_is_let_go_in_the_end():
    shelf = Counting()
    made, _ = prepared(shelf, names=NETS[:1])
    stop = made.key(0, BATCHES, unfinished=True)
    assert [count > 0 for key, count in shelf.saved if key == stop] == [True] * 3 + [False]
    assert shelf.load(stop) == {}


def test_a_damaged_teacher_is_trained_anew(tmp_path):
    alone, _ = prepared(FolderShelf(tmp_path), names=NETS[:1])
    path = tmp_path / f"{alone.key(0, BATCHES)}.safetensors"
    bits = bytearray(path.read_bytes())
    bits[-3] ^= 1
    path.write_bytes(bits)
    again, told = prepared(FolderShelf(tmp_path), names=NETS[:1])
    assert told[0][0] == TRAINING
    assert same(alone.nets[0], again.nets[0])


def test_what_leaves_the_finite_numbers_says_which_knob_to_lower():
    wild = replace(HOW, learning_rate=1e30)
    with pytest.raises(NotFinite, match=r"teacher 1 of 1 \(`mlp-w8`\).*lower `objective.teacher_learning_rate`"):
        prepared(training=wild, names=("mlp-w8",))
    made = Teachers(wild, networks=["mlp-w8"], space=REAL.space, device="cpu", slot="penalties/0")
    with pytest.raises(NotFinite, match=r"lower `penalties/0\.teacher_learning_rate`"):
        list(made.prepare(BATCHES, shelf=MemoryShelf()))


def test_a_job_killed_over_its_teacher_goes_on_and_ends_in_the_same_bytes(tmp_path):
    asked = toy_recipe("sre2l")

    def content(shelf):
        finished = list(run(asked, REAL, code_version="test", shelf=shelf))[-1]
        assert isinstance(finished, Finished)
        return finished.content

    running = run(asked, REAL, code_version="test", shelf=FolderShelf(tmp_path))
    while next(running) != Preparing(what=TRAINING, done=2, total=3):
        pass
    running.close()
    assert len(list(tmp_path.iterdir())) == 1
    assert content(FolderShelf(tmp_path)) == content(None)
