"""Lines to paste, with the right names filled in. A test runs each of them as it stands."""

import shlex
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Snippet:
    """One way to use an artifact. slug: for ids; language: `python` or `sh`."""

    slug: str
    title: str
    language: str
    code: str


def key_header(keyed: bool) -> str:
    """What curl says where a key is needed."""
    return ' -H "Authorization: Bearer $DISTILLED_API_KEY"' if keyed else ""


def snippets(base: str, name: str, *, ipc: int, soft: bool, keyed: bool, pictures: bool) -> list[Snippet]:
    """Ways to use the artifact of this id or alias.

    base: the service's address. ipc: images of each class that it holds or was made for. keyed: a key is needed, which
    is taken from DISTILLED_API_KEY and never written into a line. pictures: its images can be pictures.
    """
    url = f"{base}/v1/artifacts/{name}"
    header = key_header(keyed)
    token = 'os.environ["HF_TOKEN"] = os.environ["DISTILLED_API_KEY"]\n' if keyed else ""
    label = "soft.npy" if soft else "cls"
    tar = f"{url}/download?format=webdataset&ipc={ipc}"
    source = f"pipe:curl -sf{header} {shlex.quote(tar)}"
    hugging_face = (
        f'import os\n\nos.environ["HF_ENDPOINT"] = "{base}/hf"  # before the import\n{token}'
        f'from datasets import load_dataset\n\ntrain = load_dataset("distilled/{name}", "ipc{ipc}", split="train")\n'
        "print(train)"
    )
    torch = (
        "import distilled\nfrom torch.utils.data import DataLoader\n\n"
        f'artifact = distilled.Client("{base}").open("{name}")\n'
        "for images, labels in DataLoader(artifact.stream(batch_size=256, batches=10)):\n"
        "    print(images.shape, labels.shape)  # without `batches` it never ends"
    )
    web = (
        f"import webdataset\n\nsource = {source!r}\n"
        f'flow = webdataset.WebDataset(source, shardshuffle=False).decode("rgb8").to_tuple("png", "{label}")\n'
        "for image, label in flow:\n    print(image.shape, label)\n    break"
    )
    curl = (
        f"curl -f{header} -o samples.npz {shlex.quote(f'{url}/samples?ipc={ipc}&seed=7&format=npz')}\n"
        f"curl -f{header} -o artifact.safetensors {shlex.quote(f'{url}/content')}"
    )
    command = (
        f"distilled pull {name} -o pulled.npz --format npz --url {shlex.quote(base)}\n"
        f"distilled sample {name} --ipc {ipc} --seed 7 -o batch.npz --url {shlex.quote(base)}"
    )
    made = [
        Snippet(slug="hugging-face", title="Hugging Face", language="python", code=hugging_face),
        Snippet(slug="pytorch", title="PyTorch", language="python", code=torch),
        Snippet(slug="webdataset", title="WebDataset", language="python", code=web),
        Snippet(slug="curl", title="curl", language="sh", code=curl),
        Snippet(slug="cli", title="Command line", language="sh", code=command),
    ]
    return [one for one in made if pictures or one.slug not in ("hugging-face", "webdataset")]
