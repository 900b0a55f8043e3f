"""Read distilled datasets: open artifacts, draw batches, talk to the service that makes them.

`open(path)` gives an `Artifact`; `Client(url)` speaks to a service; `DistilledDataset` and `DistilledStream` go into a
torch DataLoader. All are imported on first use, so that `import distilled` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distilled.client import Client
    from distilled.files import Artifact, open_artifact
    from distilled.files import open_artifact as open
    from distilled.torch_data import DistilledDataset, DistilledStream

__version__ = "0.1.0"
__all__ = ["Artifact", "Client", "DistilledDataset", "DistilledStream", "open", "open_artifact"]

_WHERE = {
    "Client": "distilled.client:Client",
    "DistilledDataset": "distilled.torch_data:DistilledDataset",
    "DistilledStream": "distilled.torch_data:DistilledStream",
    "Artifact": "distilled.files:Artifact",
    "open_artifact": "distilled.files:open_artifact",
    "open": "distilled.files:open_artifact",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'distilled' has no attribute {name!r}")
    module, attribute = _WHERE[name].split(":")
    return getattr(import_module(module), attribute)
