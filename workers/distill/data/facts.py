"""The built-in data sets: what is known of each without opening it.

The catalog is made from this table, so that the front end can check a budget against class counts it has never loaded.
Normalisations are the published ones; where a set has none (digits), it was computed once on its train split.
"""

from dataclasses import asdict, dataclass
from typing import Any

from distilled.budget import learnt_and_held_out

_DIGITS = tuple("0123456789")
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
"""
_FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_KUZUSHIJI = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """One built-in data set.

    name: as its makers write it. torchvision: the class that downloads it, None where it comes with a library.
    shape: (C, H, W). counts: images per class of the published splits. mean, std: per channel, in [0, 1]. files: what
    torchvision leaves under the data folder; all of them there means that the set is on disk (a `<name>.npz` in
    MedMNIST's keys does as well).
    """

    name: str
    torchvision: str | None
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    train_counts: tuple[int, ...]
    test_counts: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    licence: str
    homepage: str
    files: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As the catalog shows it: `train` and `train_counts` are what training sees, `val` what is held out of it."""
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        learnt, held = learnt_and_held_out(self.train_counts)
        sizes = {"train": sum(learnt), "val": sum(held), "test": sum(self.test_counts)}
        return {**plain, **sizes, "train_counts": list(learnt)}


def _idx_files(folder: str) -> tuple[str, ...]:
    parts = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    return tuple(f"{folder}/raw/{part}-ubyte" for part in parts)


#: Canonical name -> facts. Look names up with `canonical`, which ignores case, `_` and `-`.
FACTS: dict[str, DatasetFacts] = {
    "digits": DatasetFacts(
        name="digits",
        torchvision=None,
        shape=(1, 8, 8),
        classes=_DIGITS,
        train_counts=(142, 146, 142, 146, 145, 146, 145, 143, 139, 144),
        test_counts=(36, 36, 35, 37, 36, 36, 36, 36, 35, 36),
        mean=(0.3052946630669358,),
        std=(0.3758453887577617,),
        licence="CC BY 4.0",
        homepage="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
        files=(),
    ),
    "mnist": DatasetFacts(
        name="MNIST",
        torchvision="MNIST",
        shape=(1, 28, 28),
        classes=_DIGITS,
        train_counts=(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
        test_counts=(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
        mean=(0.1307,),
        std=(0.3081,),
        licence="CC BY-SA 3.0",
        homepage="http://yann.lecun.com/exdb/mnist/",
        files=_idx_files("MNIST"),
    ),
    "fashionmnist": DatasetFacts(
        name="FashionMNIST",
        torchvision="FashionMNIST",
        shape=(1, 28, 28),
        classes=_FASHION,
        train_counts=(6000,) * 10,
        test_counts=(1000,) * 10,
        mean=(0.2861,),
        std=(0.3530,),
        licence="MIT",
        homepage="https://github.com/zalandoresearch/fashion-mnist",
        files=_idx_files("FashionMNIST"),
    ),
    "kmnist": DatasetFacts(
        name="KMNIST",
        torchvision="KMNIST",
        shape=(1, 28, 28),
        classes=_KUZUSHIJI,
        train_counts=(6000,) * 10,
        test_counts=(1000,) * 10,
        mean=(0.1918,),
        std=(0.3483,),
        licence="CC BY-SA 4.0",
        homepage="http://codh.rois.ac.jp/kmnist/",
        files=_idx_files("KMNIST"),
    ),
    "cifar10": DatasetFacts(
        name="CIFAR10",
        torchvision="CIFAR10",
        shape=(3, 32, 32),
        classes=_CIFAR10,
        train_counts=(5000,) * 10,
        test_counts=(1000,) * 10,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),
        licence="none stated by its authors; cite Krizhevsky 2009",
        homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
        files=tuple(
            f"cifar-10-batches-py/{part}"
            for part in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")
        ),
    ),
    "cifar100": DatasetFacts(
        name="CIFAR100",
        torchvision="CIFAR100",
        shape=(3, 32, 32),
        classes=tuple(_CIFAR100.split()),
        train_counts=(500,) * 100,
        test_counts=(100,) * 100,
        mean=(0.5071, 0.4867, 0.4408),
        std=(0.2675, 0.2565, 0.2761),
        licence="none stated by its authors; cite Krizhevsky 2009",
        homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
        files=("cifar-100-python/train", "cifar-100-python/test", "cifar-100-python/meta"),
    ),
    "svhn": DatasetFacts(
        name="SVHN",
        torchvision="SVHN",
        shape=(3, 32, 32),
        classes=_DIGITS,
        train_counts=(4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659),
        test_counts=(1744, 5099, 4149, 2882, 2523, 2384, 1977, 2019, 1660, 1595),
        mean=(0.4377, 0.4438, 0.4728),
        std=(0.1980, 0.2010, 0.1970),
        licence="non-commercial use only",
        homepage="http://ufldl.stanford.edu/housenumbers/",
        files=("train_32x32.mat", "test_32x32.mat"),
    ),
}

#: The same as plain data, for the catalog.
DATASETS: dict[str, dict[str, Any]] = {name: facts.to_json() for name, facts in FACTS.items()}


def canonical(name: str) -> str:
    """The name as it is compared: lower case, without `_` and `-`."""
    return name.lower().replace("_", "").replace("-", "")
