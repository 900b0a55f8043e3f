"""`make faults`: the long run, on both stacks. `python -m tests.faults --help` names what can be chosen."""

import argparse
import logging
import platform
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from tests.faults.campaign import Outcome, Plan, references, run, told
from tests.faults.stacks import STACKS, Machine


def main() -> int:
    """Run the campaigns. Returns 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, help="of the faults and their order; drawn and printed if not given")
    parser.add_argument("--jobs", type=int, default=200, help="jobs on each stack")
    parser.add_argument("--faults", type=int, default=100, help="faults on each stack, at most")
    parser.add_argument("--at-once", type=int, default=6, help="jobs that are alive at a time")
    parser.add_argument("--patience", type=float, default=300.0, help="seconds from the last fault to the end")
    parser.add_argument("--stack", choices=[*STACKS, "both"], default="both")
    parser.add_argument("--out", type=Path, help="file for the table, in Markdown")
    given = parser.parse_args()
    seed: int = random.SystemRandom().randrange(2**31) if given.seed is None else given.seed
    _say(f"seed {seed}")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # of the bucket
    torch.set_num_threads(1)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="distilled-faults-") as folder:
        limits = {"at_once": given.at_once, "patience_seconds": given.patience}
        plan = Plan(jobs=given.jobs, seed=seed, faults=given.faults, **limits)
        expected = references(Path(folder), jobs=plan.jobs, kinds=plan.kinds)
        for name in STACKS if given.stack == "both" else (given.stack,):
            machine = Machine()
            try:
                with STACKS[name](machine, Path(folder) / name) as stack:
                    outcomes.append(run(stack, plan, expected=expected, say=_say))
                _say(text := table(outcomes))
                if given.out:
                    given.out.write_text(text, encoding="utf-8")
            finally:
                machine.close()
    return int(any(outcome.wrong for outcome in outcomes))


def table(outcomes: Sequence[Outcome]) -> str:
    """The campaigns side by side, in Markdown."""
    names = " | ".join(outcome.stack for outcome in outcomes)
    rule = "|---" * (len(outcomes) + 1) + "|"
    figures = [told(outcome) for outcome in outcomes]
    lines = [f"Python {platform.python_version()}, torch {torch.__version__}, {platform.machine()}, CPU.", ""]
    lines += [f"| | {names} |", rule]
    lines += [f"| {name} | {' | '.join(str(one[name]) for one in figures)} |" for name in figures[0]]
    lines += ["", f"| fault | {names} |", rule]
    kinds = sorted(sum((outcome.faults for outcome in outcomes), Counter[str]()))
    lines += [f"| {kind} | {' | '.join(str(one.faults[kind]) for one in outcomes)} |" for kind in kinds]
    for outcome in outcomes:
        if outcome.failures:
            lines += ["", f"{outcome.stack}: reasons of failures: {dict(outcome.failures)}"]
        if outcome.wrong:
            lines += ["", f"{outcome.stack}: broken promises:", *(f"- {wrong}" for wrong in outcome.wrong)]
    return "\n".join(lines) + "\n"


def _say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
