"""A small catalog of the shape that the laboratory generates."""

from typing import Any


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


IMAGES = _object(
    storage={"type": "string", "description": "precision", "default": "uint8", "enum": ["uint8", "float16", "float32"]},
    labels={"type": "string", "description": "hard or soft", "default": "hard", "enum": ["hard", "soft"]},
)
DISTRIBUTION = _object(
    real_batch={"type": "integer", "description": "real images", "default": 64, "unit": "images", "minimum": 1},
    learning_rate={"type": "number", "description": "step size", "default": 1.0, "exclusiveMinimum": 0},
    network={"type": "string", "description": "the embedding", "default": "convnet3"},
)
PENALTY = _object(
    weight={"type": "number", "description": "weight", "default": 1.0, "minimum": 0},
    networks={"type": "string", "description": "who shall agree", "default": "convnet3"},
)
KERNEL = _object(ridge={"type": "number", "description": "ridge", "default": 1e-3, "exclusiveMinimum": 0})

CATALOG: dict[str, Any] = {
    "version": 1,
    "presets": {
        "dm": {
            "title": "Distribution matching",
            "summary": "Matches class means.",
            "paper": {
                "title": "DM",
                "authors": "Zhao, Bilen",
                "venue": "WACV",
                "year": 2023,
                "url": "https://a.test/1",
            },
            "fills": {
                "steps": 100,
                "parametrization": {"kind": "images"},
                "objective": {"kind": "distribution", "real_batch": 32},
                "selection": {"start": "random", "batches": "random"},
            },
        }
    },
    "parametrizations": {"images": {"summary": "Pixels.", "schema": IMAGES}},
    "objectives": {
        "distribution": {"summary": "Means.", "source": "DM", "schema": DISTRIBUTION},
        "kernel": {"summary": "Ridge regression.", "source": "KIP", "schema": KERNEL},
    },
    "selections": {
        "start": {"random": {"summary": "by chance"}, "herding": {"summary": "near the mean"}},
        "batches": {"random": {"summary": "by chance", "schema": _object()}},
    },
    "penalties": {
        "invariance": {
            "summary": "Networks agree.",
            "source": "P, eq. 1",
            "paper": {"title": "P", "authors": "A", "venue": "arXiv", "year": 2024, "url": "https://p.test/1"},
            "schema": PENALTY,
        }
    },
    "networks": {
        "convnet": {"summary": "Blocks.", "pattern": "^convnet([1-9])$", "example": "convnet3", "halvings": "depth"},
        "mlp": {"summary": "Layers.", "pattern": "^mlp$", "example": "mlp", "halvings": 0, "maps": "none"},
    },
    "evaluation": {
        "networks": ["convnet3"],
        "schema": _object(repeats={"type": "integer", "description": "seeds", "default": 5, "minimum": 1}),
    },
    "recipe": {
        "schema": {
            "type": "object",
            "additionalProperties": False,
            "required": ["dataset"],
            "properties": {
                "dataset": {"type": "string", "description": "name"},
                "method": {"type": "string", "description": "preset", "enum": ["dm"]},
                "ipc": {"type": "integer", "description": "images per class", "minimum": 1, "maximum": 100000},
                "ratio": {"type": "number", "description": "share", "exclusiveMinimum": 0, "maximum": 1},
                "bytes": {"type": "integer", "description": "size", "minimum": 1},
                "seed": {"type": "integer", "description": "seed", "default": 0, "minimum": 0, "maximum": 2**53 - 1},
                "steps": {"type": "integer", "description": "steps", "minimum": 1, "maximum": 10**7},
                "parametrization": {"type": "object", "description": "what is stored"},
                "objective": {"type": "object", "description": "what is minimised"},
                "selection": {"type": "object", "description": "which real images"},
                "penalties": {"type": "array", "description": "what is added", "default": []},
                "evaluation": {"type": "object", "description": "how it is measured"},
                "base_artifact": {"type": "string", "description": "to continue from"},
                "priority": {
                    "type": "integer",
                    "description": "higher first",
                    "default": 0,
                    "minimum": -100,
                    "maximum": 100,
                },
                "device": {
                    "type": "string",
                    "description": "kind of device",
                    "default": "auto",
                    "enum": ["auto", "cpu", "gpu"],
                },
                "webhook": {"type": "string", "description": "told at the end"},
            },
        }
    },
    "conflicts": [],
    "datasets": {
        "digits": {
            "name": "digits",
            "torchvision": None,
            "shape": [1, 8, 8],
            "classes": list("0123456789"),
            "train_counts": [140] * 10,
            "test_counts": [36] * 10,
            "train": 1400,
            "val": 155,
            "test": 360,
            "mean": [0.3],
            "std": [0.4],
            "licence": "CC BY 4.0",
            "homepage": "https://digits.test",
            "files": [],
        },
        "cifar10": {
            "name": "CIFAR10",
            "torchvision": "CIFAR10",
            "shape": [3, 32, 32],
            "classes": ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
            "train_counts": [4500] * 10,
            "test_counts": [1000] * 10,
            "train": 45000,
            "val": 5000,
            "test": 10000,
            "mean": [0.5, 0.5, 0.5],
            "std": [0.2, 0.2, 0.2],
            "licence": "none stated",
            "homepage": "https://cifar.test",
            "files": ["cifar-10-batches-py/data_batch_1", "cifar-10-batches-py/test_batch"],
        },
    },
}

RECIPE: dict[str, Any] = {"dataset": "digits", "method": "dm", "ipc": 2}
