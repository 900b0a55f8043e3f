"""Real data: the built-in sets and uploads, split once and for all."""

from workers.distill.data.facts import DATASETS, FACTS, DatasetFacts, canonical
from workers.distill.data.real import RealData
from workers.distill.data.sources import find_npz, from_npz, from_own_npz, load, published

__all__ = [
    "DATASETS",
    "FACTS",
    "DatasetFacts",
    "RealData",
    "canonical",
    "find_npz",
    "from_npz",
    "from_own_npz",
    "load",
    "published",
]
