"""The whole road on a file of real data: upload, distil, evaluate beside the baselines, and time it.

    python -m benchmarks.the_road mnist.npz --name mnist-upload recipe.json recipe2.json > results.md

Each recipe is one job of the service that this script starts; its `dataset` is filled in.
"""

import argparse
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks._machine import machine
from benchmarks._service import service
from distilled.cli.results import rows_of


def main(arguments: list[str]) -> int:
    """Print a Markdown record; exit code 1 if a job failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("npz", type=Path)
    parser.add_argument("--name", required=True, help="name of the uploaded data set")
    parser.add_argument("recipes", nargs="+", type=Path)
    asked = parser.parse_args(arguments)
    print(f"# The road on {asked.name}\n\n- machine: {machine()}")
    print(f"- command: `python -m benchmarks.the_road {shlex.join(arguments)}`")
    failed = False
    with service() as client:
        began = time.monotonic()
        client.upload(asked.npz, name=asked.name)
        print(f"- upload and check of {asked.npz.stat().st_size:,} bytes: {time.monotonic() - began:.1f} s")
        for path in asked.recipes:
            recipe = json.loads(path.read_text(encoding="utf-8")) | {"dataset": asked.name}
            began = time.monotonic()
            job = client.wait(client.submit(recipe))
            made = time.monotonic() - began
            if job.artifact_id is None:
                print(f"\n## {path.stem}\n\nfailed: {job.error}")
                failed = True
                continue
            artifact = client.wait_for_evaluations(job.artifact_id)
            print(f"\n## {path.stem}\n\n`{json.dumps(recipe)}`\n")
            print(f"distilled in {made:.0f} s, measured in {time.monotonic() - began - made:.0f} s\n")
            for evaluation in artifact.evaluations:
                _table(evaluation)
    return int(failed)


def _table(evaluation: dict[str, Any]) -> None:
    result = evaluation.get("result") or {}
    print(f"| {evaluation['network']} | accuracy % | seeds | images | bytes |\n|---|---|---|---|---|")
    for name, score, size in rows_of(result):
        accuracy = f"{100 * score['mean']:.2f} ± {100 * score['std']:.2f}"
        print(f"| {name} | {accuracy} | {len(score['values'])} | {size['images']:,} | {size['bytes']:,} |")
    print(f"\nHLR {100 * result['hlr']:+.2f}, IOR {100 * result['ior']:+.2f} points\n", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
