"""The catalog: everything a recipe may say, as plain data, from the laboratory's own declarations.

The front end cannot import the laboratory, so it reads the same thing from `app/catalog.json`, which
`python -m workers.distill.catalog` writes and a contract test keeps current.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distilled.knobs import schema
from distilled.parametrizations.base import PARAMETRIZATIONS, parametrization_class
from workers.distill import networks, selection
from workers.distill.data import DATASETS
from workers.distill.evaluate import EvaluationConfig
from workers.distill.objectives.base import OBJECTIVES, Objective, objective_class
from workers.distill.penalties.base import PENALTIES, penalty_class
from workers.distill.presets import PRESETS

#: Where the front end reads it, from the root of a checkout.
PATH = Path("app/catalog.json")
#: Combinations that cannot work: dotted field -> value, and why. The last field is the one that is blamed. In place of
#: a value may stand several, {"unlike": a pattern} for texts in which the pattern is not found, or {"above": a number}.
CONFLICTS: list[dict[str, Any]] = [
    {
        "when": {"objective.kind": "statistics", "objective.network": {"unlike": "-batch$"}},
        "reason": (
            "the statistics that are matched are those of batch normalisations, and this network has none: use one "
            "such as `convnet3-batch` or `resnet18-batch`"
        ),
    },
    {
        "when": {"parametrization.kind": {"unlike": "^memory$"}, "base_artifact": {"unlike": "^$"}},
        "reason": "only a memory can be continued: leave it out, or set `parametrization.kind` to `memory`",
    },
    {
        "when": {"base_artifact": {"unlike": "^$"}, "parametrization.start": "xavier"},
        "reason": "what is continued begins with what its base recalls: use `components`",
    },
    {
        "when": {"parametrization.kind": "generator", "selection.start": {"unlike": "^random$"}},
        "reason": "a generator starts from random weights, and no real image takes part in it: leave it at `random`",
    },
    {
        "when": {
            "parametrization.kind": "generator",
            "objective.kind": ["distribution", "statistics"],
            "parametrization.labels": "soft",
        },
        "reason": "this objective learns no labels of a class: use `hard`",
    },
    {
        "when": {
            "objective.kind": "logits",
            "objective.match": ["logits", "features"],
            "parametrization.labels": "soft",
        },
        "reason": "what is matched has no labels in it, and none would be learnt: use `hard`, or match `gradients`",
    },
    {
        "when": {
            "parametrization.kind": {"unlike": "^generator$"},
            "objective.kind": "logits",
            "objective.warmup_steps": {"above": 0},
        },
        "reason": "a warm-up is that of a generator, and there is none: set it to 0",
    },
    {
        "when": {
            "parametrization.kind": {"unlike": "^generator$"},
            "objective.kind": "logits",
            "objective.adversarial_weight": {"above": 0},
        },
        "reason": "the adversarial loss is that of a generator, and there is none: set it to 0",
    },
    {
        "when": {"objective.kind": "logits", "objective.match_weight": 0, "objective.adversarial_weight": 0},
        "reason": "nothing would be left to learn from: give it, or `objective.match_weight`, a weight above 0",
    },
]
#: Numbers that must not exceed another in sum: dotted fields, the field that has to be at least their sum, and why.
LIMITS: list[dict[str, Any]] = [
    {
        "sum": ["objective.max_start_epoch", "objective.match_epochs"],
        "at_most": "objective.expert_epochs",
        "reason": "experts have to be trained as far as they are matched",
    }
]
RECIPE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["dataset"],
    "properties": {
        "dataset": {"type": "string", "description": "name of the data set to distil"},
        "method": {"type": "string", "description": "preset that fills in the rest", "enum": sorted(PRESETS)},
        "ipc": {"type": "integer", "description": "budget: images per class", "minimum": 1, "maximum": 100000},
        "ratio": {
            "type": "number",
            "description": "budget: share of the training images",
            "exclusiveMinimum": 0,
            "maximum": 1,
        },
        "bytes": {
            "type": "integer",
            "description": "budget: size of the stored tensors",
            "unit": "bytes",
            "minimum": 1,
            "maximum": 2**40,
        },
        "seed": {
            "type": "integer",
            "description": "seed of the run",
            "default": 0,
            "minimum": 0,
            "maximum": 2**53 - 1,
        },
        "steps": {
            "type": "integer",
            "description": "optimisation steps",
            "unit": "steps",
            "minimum": 1,
            "maximum": 10**7,
        },
        "parametrization": {"type": "object", "description": "what is learnt and stored"},
        "objective": {"type": "object", "description": "what is minimised"},
        "selection": {"type": "object", "description": "which real images start it, and which each step sees"},
        "penalties": {"type": "array", "description": "what else is added to the loss", "default": []},
        "evaluation": {"type": "object", "description": "on which networks the result is measured, and how"},
        "base_artifact": {"type": "string", "description": "memory to continue with these classes: id or alias"},
        "priority": {
            "type": "integer",
            "description": "higher goes first; it changes nothing of the result",
            "default": 0,
            "minimum": -100,
            "maximum": 100,
        },
        "device": {
            "type": "string",
            "description": "kind of device that it runs on; auto: a GPU where one works, or is what it takes",
            "default": "auto",
            "enum": ["auto", "cpu", "gpu"],
        },
        "webhook": {"type": "string", "description": "address told when the job ends"},
    },
}


def build() -> dict[str, Any]:
    """The catalog as JSON-able data."""
    parametrizations = {kind: parametrization_class(kind) for kind in PARAMETRIZATIONS}
    objectives = {kind: objective_class(kind) for kind in OBJECTIVES}
    return {
        "version": 1,
        "presets": PRESETS,
        "parametrizations": {
            kind: {"summary": _first_line(made), "schema": schema(made.Config)}
            for kind, made in parametrizations.items()
        },
        "objectives": {
            kind: {"summary": made.summary, "source": made.source, "schema": schema(made.Config)}
            for kind, made in objectives.items()
        },
        "selections": {
            "start": {name: {"summary": sentence} for name, (_, sentence) in selection.STARTS.items()},
            "batches": {
                name: {"summary": sentence, "schema": schema(selection.batches_config(name))}
                for name, (_, sentence) in selection.BATCHES.items()
            },
        },
        "penalties": {
            kind: {
                "summary": made.summary,
                "source": made.source,
                "paper": made.paper,
                "schema": schema(made.Config),
            }
            for kind, made in ((kind, penalty_class(kind)) for kind in PENALTIES)
        },
        "networks": networks.PATTERNS,
        "evaluation": {"networks": ["convnet3"], "schema": schema(EvaluationConfig)},
        "recipe": {"schema": RECIPE},
        "conflicts": CONFLICTS + _unweighted(objectives) + _one_network(objectives),
        "limits": LIMITS,
        "datasets": DATASETS,
    }


def _unweighted(objectives: Mapping[str, type[Objective]]) -> list[dict[str, Any]]:
    """Batches by importance are refused for objectives whose losses leave weights out of account."""
    kinds = sorted(kind for kind, made in objectives.items() if made.real_losses is None)
    reason = (
        "this objective does not take a mean over single real images, which is what weights can keep unbiased: "
        "use `random` batches"
    )
    return [{"when": {"objective.kind": kinds, "selection.batches": "importance"}, "reason": reason}] if kinds else []


def _one_network(objectives: Mapping[str, type[Objective]]) -> list[dict[str, Any]]:
    """Several networks are refused for objectives that work with one."""
    kinds = sorted(kind for kind, made in objectives.items() if not made.several_networks)
    reason = "this objective works with one network: name one"
    return [{"when": {"objective.kind": kinds, "objective.network": {"unlike": "^[^,]*$"}}, "reason": reason}]


def _first_line(made: type) -> str:
    return (made.__doc__ or "").strip().splitlines()[0]


def dumps(catalog: dict[str, Any]) -> str:
    """The catalog as the text of its file."""
    return json.dumps(catalog, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the catalog's file, or with --check say whether it is current (exit code 1 if it is not)."""
    current = dumps(build())
    if "--check" in arguments:
        return int(not PATH.exists() or PATH.read_text(encoding="utf-8") != current)
    PATH.write_text(current, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
