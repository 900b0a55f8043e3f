"""What the benchmark of penalties makes of its record."""

import pytest

from benchmarks.penalty import accuracies, costs, difference


def line(arm, seed, network, accuracy, *, held=100):
    penalties = [{"kind": "architecture_invariance", "networks": "convnet3", "backbone": ""}] if arm == "with" else []
    return {
        "host": "h",
        "arm": arm,
        "seed": seed,
        "recipe": {"objective": {"network": "convnet3"}, "penalties": penalties},
        "cost": {"step_seconds": 0.01 if arm == "without" else 0.03, "held_bytes": held},
        "result": {"network": network, "distilled": {"hard": {"mean": accuracy}}},
    }


def test_the_interval_is_students_over_paired_differences():
    # 1, 2 and 3 points: mean 2, deviation 1, and Student's t with two degrees of freedom is 4.303.
    assert difference([(0.5, 0.51), (0.6, 0.62), (0.7, 0.73)]) == "+2.00 (-0.48 to +4.48)"
    assert difference([(0.5, 0.4)]).startswith("-10.00")


def test_seen_and_unseen_networks_are_told_apart_and_half_a_pair_does_not_count():
    record = [
        line(arm, seed, network, accuracy + 0.01 * (arm == "with"))
        for arm in ("without", "with")
        for seed in (0, 1)
        for network, accuracy in (("convnet3", 0.9), ("mlp", 0.5), ("vgg11", 0.7))
    ]
    told = accuracies([*record, line("with", 2, "mlp", 0.1)]).splitlines()
    rows = {cells[1]: cells[2:] for cells in (row.split(" | ") for row in told) if len(cells) > 1}
    assert rows["**unseen, mean**"] == ["60.00 ± 0.00", "61.00 ± 0.00", "+1.00 (+1.00 to +1.00)", "2 |"]
    assert rows["convnet3 (seen)"][0] == "90.00 ± 0.00"
    assert rows["mlp"][3] == "2 |"


@pytest.mark.parametrize(("held", "ratio"), [(0, "–"), (200, "2.00")])
def test_costs_are_told_as_ratios(held, ratio):
    record = [line("without", 0, "mlp", 0.5, held=held), line("with", 0, "mlp", 0.5, held=400)]
    assert costs(record).splitlines()[-1] == f"| h | 10.0 | 30.0 | 3.00 | {held / 1e6:.2f} | 0.00 | {ratio} |"
