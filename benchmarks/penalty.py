"""What a penalty does to the methods it is added to, in the laboratory alone: accuracy, time and memory.

    python -m benchmarks.penalty pairs.json --data FOLDER --out results/NAME.jsonl [--device cuda] [--only WORD]

`pairs.json`: {"penalties": [{…}], "seeds": [0, 1, …], "evaluation": {…}, "hosts": [{"name": …, "recipe": {…}}]}.
Each host is distilled without and with the penalties from each seed, and every network of the evaluation is trained
on both results from the same seeds. A line is written as each ends; what is in the file already is not made again. At
the end two Markdown tables of the whole file: accuracies on unseen and on seen networks with the paired difference
and its 95 % confidence interval (Student's t over seeds), and what a step costs.
"""

import argparse
import json
import shlex
import sys
import time
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

import torch
from scipy.stats import t as student  # scikit-learn brings it

from benchmarks import _record
from benchmarks._held import Held
from benchmarks._machine import machine
from distilled import knobs
from distilled.recipe import expand
from distilled.transfer import is_seen, seen_networks
from workers.distill.catalog import build
from workers.distill.data import RealData, load
from workers.distill.evaluate import EvaluationConfig, baseline_keys_of, evaluate
from workers.distill.events import Finished, Progress
from workers.distill.loop import run
from workers.distill.memory import keep_freed_memory
from workers.distill.shelf import MemoryShelf, Shelf

ARMS = ("without", "with")
#: Steps of the run in which the memory of graphs is counted.
WATCHED_STEPS = 3


def main(arguments: list[str]) -> int:
    """Measure what is missing, then print the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default="", help="hosts whose name has this in it")
    asked = parser.parse_args(arguments)
    keep_freed_memory()
    plan = json.loads(asked.pairs.read_text(encoding="utf-8"))
    data: dict[str, RealData] = {}
    shelf = MemoryShelf()  # networks and experts are trained once for all hosts on one data set
    for host in plan["hosts"]:
        for seed in plan["seeds"] if asked.only in host["name"] else ():
            for arm in ARMS:
                recipe = _recipe(plan, host, seed=seed, arm=arm)
                name = recipe["dataset"]
                data[name] = data.get(name) or load(name, data_dir=asked.data, download=False)
                _measure(host["name"], arm, recipe, data[name], device=asked.device, shelf=shelf, out=asked.out)
    print(f"- machine: {machine()}\n- command: `python -m benchmarks.penalty {shlex.join(arguments)}`\n")
    record = _record.lines(asked.out)
    print(accuracies(record), costs(record), sep="\n\n")
    return 0


def _recipe(plan: dict[str, Any], host: dict[str, Any], *, seed: int, arm: str) -> dict[str, Any]:
    penalties = plan["penalties"] if arm == "with" else []
    evaluation = {**plan["evaluation"], **host["recipe"].get("evaluation", {})}
    return expand({**host["recipe"], "seed": seed, "penalties": penalties, "evaluation": evaluation}, build())


def _measure(
    host: str, arm: str, recipe: dict[str, Any], real: RealData, *, device: str, shelf: Shelf, out: Path
) -> None:
    """Distil, and train each network that the record lacks."""
    done = {(line["host"], line["arm"], line["seed"], line["result"]["network"]) for line in _record.lines(out)}
    missing = [one for one in recipe["evaluation"]["networks"] if (host, arm, recipe["seed"], one) not in done]
    if not missing:
        return
    content, cost = _distil(recipe, real, device=device, shelf=shelf)
    config = knobs.build(EvaluationConfig, {k: v for k, v in recipe["evaluation"].items() if k != "networks"})
    for network in missing:
        keys, known = baseline_keys_of(content, real, network=network, config=config, seed=0), _record.baselines(out)
        given = {baseline: known[key] for baseline, key in keys.items() if key in known}
        result = evaluate(content, real, network=network, config=config, seed=0, device=device, baselines=given)
        line = {"host": host, "arm": arm, "seed": recipe["seed"], "recipe": recipe, "cost": cost, "result": result}
        _record.add(out, line | {"machine": machine(), "device": device})
        print(f"{host}, {arm}, seed {recipe['seed']}, {network}: {_labelled(result)['mean']:.3f}", file=sys.stderr)


def _distil(recipe: dict[str, Any], real: RealData, *, device: str, shelf: Shelf) -> tuple[bytes, dict[str, Any]]:
    """The artifact, and what a step cost: seconds (median), bytes that graphs held at most, and of a GPU its peak."""
    with Held().watched() as held:
        brief = {**recipe, "steps": min(WATCHED_STEPS, recipe["steps"])}
        for event in run(brief, real, device=device, code_version="benchmark", shelf=shelf):
            if isinstance(event, Progress) and event.step == 1:
                held.peak = held.now  # what was made before the first step, and that step, do not count
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
    ends: list[float] = []
    for event in run(recipe, real, device=device, code_version="benchmark", shelf=shelf):
        if isinstance(event, Progress):
            ends.append(time.perf_counter())
        if isinstance(event, Finished):
            steps = [after - before for before, after in pairwise(ends)]
            cost = {"step_seconds": median(steps), "held_bytes": held.peak}
            if device.startswith("cuda"):
                cost["device_bytes"] = torch.cuda.max_memory_allocated(device)
            return event.content, cost
    raise RuntimeError("the run ended without an artifact")


def accuracies(record: list[dict[str, Any]]) -> str:
    """Markdown: per host the networks that the penalty did not see, those it saw, and each; in per cent."""
    out = ["| host | networks | without | with | difference (95 % CI) | seeds |", "|---|---|---|---|---|---|"]
    for host in dict.fromkeys(line["host"] for line in record):
        mine = [line for line in record if line["host"] == host]
        seen = [name for line in mine if line["arm"] == "with" for name in seen_networks(line["recipe"])]
        names = list(dict.fromkeys(line["result"]["network"] for line in mine))
        groups = {
            "**unseen, mean**": [name for name in names if not is_seen(name, seen)],
            "seen, mean": [name for name in names if is_seen(name, seen)],
            **{f"{name}{' (seen)' * is_seen(name, seen)}": [name] for name in names},
        }
        for title, members in groups.items():
            pairs = _pairs(mine, members)
            if pairs:
                without, with_penalty = ([pair[arm] for pair in pairs] for arm in (0, 1))
                cells = [host, title, _spread(without), _spread(with_penalty), difference(pairs), str(len(pairs))]
                out.append(f"| {' | '.join(cells)} |")
    return "\n".join(out)


def _pairs(record: list[dict[str, Any]], networks: list[str]) -> list[tuple[float, float]]:
    """Of each seed that has all of these networks in both arms: the mean accuracies without and with."""
    found: dict[tuple[int, str], dict[str, float]] = {}
    for line in record:
        at = found.setdefault((line["seed"], line["arm"]), {})
        at[line["result"]["network"]] = _labelled(line["result"])["mean"]
    out: list[tuple[float, float]] = []
    for seed in dict.fromkeys(line["seed"] for line in record):
        arms = [found.get((seed, arm), {}) for arm in ARMS]
        if networks and all(name in arm for arm in arms for name in networks):
            without, with_penalty = (fmean(arm[name] for name in networks) for arm in arms)
            out.append((without, with_penalty))
    return out


def difference(pairs: list[tuple[float, float]]) -> str:
    """The mean of what the second of each pair is above the first, in points, and its 95 % confidence interval."""
    gains = [100 * (after - before) for before, after in pairs]
    if len(gains) < 2:
        return f"{gains[0]:+.2f} (one seed: none)"
    half = float(student.ppf(0.975, len(gains) - 1)) * stdev(gains) / len(gains) ** 0.5
    mean = fmean(gains)
    return f"{mean:+.2f} ({mean - half:+.2f} to {mean + half:+.2f})"


def costs(record: list[dict[str, Any]]) -> str:
    """Markdown: per host milliseconds of a step and memory of graphs, in the median over seeds, and their ratios."""
    out = ["| host | ms a step: without | with | ratio | MB of graphs: without | with | ratio |", "|---" * 7 + "|"]
    for host in dict.fromkeys(line["host"] for line in record):
        arms = [[line["cost"] for line in record if (line["host"], line["arm"]) == (host, arm)] for arm in ARMS]
        if all(arms):
            cells = [host]
            for name, unit, digits in (("step_seconds", 1e-3, 1), ("held_bytes", 1e6, 2)):
                without, with_penalty = (median(cost[name] for cost in arm) for arm in arms)
                cells += [f"{without / unit:.{digits}f}", f"{with_penalty / unit:.{digits}f}"]
                cells.append(f"{with_penalty / without:.2f}" if without else "–")
            out.append(f"| {' | '.join(cells)} |")
    return "\n".join(out)


def _labelled(result: dict[str, Any]) -> dict[str, Any]:
    """The score with the labels that the artifact has."""
    return result["distilled"]["soft" if "soft" in result["distilled"] else "hard"]


def _spread(values: list[float]) -> str:
    return f"{100 * fmean(values):.2f} ± {100 * (stdev(values) if len(values) > 1 else 0):.2f}"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
