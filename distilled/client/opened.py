"""An artifact of a service, opened: to look at, to download, to train on."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distilled.client.samples import Sample
from distilled.client.values import Artifact
from distilled.extras import require_torch

if TYPE_CHECKING:
    from distilled.client.client import Client
    from distilled.torch_data import DistilledDataset, DistilledStream


class OpenedArtifact:
    """What `client.open` gives. `manifest` is the registry's word on it; an alias that moves later changes nothing."""

    def __init__(self, client: "Client", manifest: Artifact) -> None:
        self.client = client
        self.manifest = manifest

    @property
    def held(self) -> int | None:
        """Images that a fixed set holds of each class; None where any number is drawn."""
        return (self.manifest.document.get("budget") or {}).get("images_per_class")

    def sample(self, **query: Any) -> Sample:
        """A batch as numpy arrays: `Client.sample`."""
        return self.client.sample(self.manifest.id, **query)

    def download(self, path: Path | str, **query: Any) -> Path:
        """A finished set as a file: `Client.download`."""
        return self.client.download(self.manifest.id, path, **query)

    def dataset(self, *, ipc: int | None = None, ratio: float | None = None, **options: Any) -> "DistilledDataset":
        """The set in memory, made here from the artifact's own file, which the cache keeps.

        ipc or ratio: how much of it; a ratio is of the real training images. options: those of `DistilledDataset`.
        Raises MissingExtra without PyTorch, InvalidInput or Invalid for what cannot be had.
        """
        require_torch("a dataset")
        from distilled.files import open_artifact  # noqa: PLC0415 -- torch is optional
        from distilled.torch_data import DistilledDataset  # noqa: PLC0415

        if ratio is not None:
            ipc = self.client.images_per_class(self.manifest, ratio=ratio, ipc=ipc)
        return DistilledDataset(open_artifact(self.client.read(self.manifest)), ipc=ipc, **options)

    def stream(
        self,
        *,
        batch_size: int = 256,
        seed: int = 0,
        ipc: int | None = None,
        ratio: float | None = None,
        classes: Sequence[str | int] | str | None = None,
        dtype: str = "float32",
        soft: bool | None = None,
        **options: Any,
    ) -> "DistilledStream":
        """Batches without end, as `DistilledStream`, whose options these are beside those of `DistilledDataset`.

        A fixed set is fetched once and dealt here, batch i as the service's `…/stream` has it; so is what `ipc` or
        `ratio` names of a generator.
        Without them a generator's batches are drawn by the service, batch i by `GET …/samples?count=&seed=&index=i`,
        and are new images every time.
        """
        require_torch("a stream")
        from distilled.torch_data import DistilledStream  # noqa: PLC0415 -- torch is optional
        from distilled.torch_data.served import Served  # noqa: PLC0415

        if self.held is None and ipc is None and ratio is None:
            source = Served(self.client, self.manifest, classes=classes, dtype=dtype, soft=soft)
        else:
            source = self.dataset(ipc=ipc, ratio=ratio, classes=classes, dtype=dtype, soft=soft)
        return DistilledStream(source, batch_size=batch_size, seed=seed, **options)
