"""Every kind of broken or hostile input: one line that names the file and says what to do.

``pytest -rP tests/test_bad_data.py`` shows the messages.
"""

import gzip
import os
import struct
import zipfile
import zlib
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from ddcnn.base.errors import InputError
from ddcnn.data import images, own, volumes
from ddcnn.data.options import ReadOptions
from own_data import (
    CT,
    class_folders,
    good_rows,
    pixels,
    read,
    save,
    save_volume,
    smooth,
    snapshot,
    table,
)


def problem(path: Path, **options) -> str:
    """The one message about ``path``: of the reader, or of the only unreadable file."""
    before = snapshot(path if path.is_dir() else path.parent)
    unreadable = []
    try:
        collection = read(path, **options)
        for samples in collection.splits.values():
            unreadable += [item for chunk in samples.chunks() for item in chunk.unreadable]
        (item,) = unreadable
        message = item.reason
    except InputError as error:
        message = str(error)
    print(message)
    assert "\n" not in message
    assert snapshot(path if path.is_dir() else path.parent) == before
    return message


def expect(path: Path, *words: str, **options) -> None:
    message = problem(path, **options)
    for word in words:
        assert word in message


def with_file(folder: Path, name: str, content: bytes) -> Path:
    """Good class folders and one more file in the class cat."""
    class_folders(folder)
    (folder / "cat" / name).write_bytes(content)
    return folder


def bytes_of(array: np.ndarray, suffix: str, folder: Path, **options) -> bytes:
    path = save(folder.parent / f"{folder.name}-scratch.{suffix}", array, **options)
    content = path.read_bytes()
    path.unlink()
    return content


# Images


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "pgm"])
def test_truncated_image(tmp_path, suffix):
    content = bytes_of(pixels(64, 64), suffix, tmp_path)
    with_file(tmp_path, f"9.{suffix}", content[: len(content) * 2 // 3])
    expect(tmp_path, f"cat/9.{suffix}", "replace or remove it", shape=(8, 8))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "packbits"])
def test_truncated_compressed_tiff(tmp_path, compression):
    content = bytes_of(smooth(64, 64), "tif", tmp_path, compression=compression)
    with_file(tmp_path, "9.tif", content[: len(content) // 3])
    expect(tmp_path, "cat/9.tif", "replace or remove it", shape=(8, 8))


def test_zero_bytes(tmp_path):
    expect(with_file(tmp_path, "9.png", b""), "cat/9.png", "empty (0 bytes)")


def test_text_named_png(tmp_path):
    expect(with_file(tmp_path, "9.png", b"hello world"), "cat/9.png", "b'hello world'", "PNG, JPEG")


def test_html_page_named_jpg(tmp_path):
    expect(with_file(tmp_path, "9.jpg", b"<!DOCTYPE html><p>404"), "cat/9.jpg", "<!DOCTYPE html>")


def test_png_with_a_wrong_checksum(tmp_path):
    content = bytearray(bytes_of(pixels(64, 64), "png", tmp_path))
    content[200] ^= 0xFF
    expect(with_file(tmp_path, "9.png", bytes(content)), "cat/9.png", shape=(8, 8))


def test_different_sizes_without_a_shape(tmp_path):
    class_folders(tmp_path)
    save(tmp_path / "dog" / "9.png", pixels(10, 12))
    expect(tmp_path, "cat/0.png is 8 x 8", "dog/9.png is 10 x 12", "give shape: [rows, columns]")


def test_shape_with_another_number_of_axes(tmp_path):
    expect(
        class_folders(tmp_path), "shape: [8, 8, 8]", "accepted: [rows, columns]", shape=(8, 8, 8)
    )


def png(side: int, bits: int, rows: bytes) -> bytes:
    """A colour PNG, chunk by chunk, whatever its header claims."""
    header = struct.pack(">IIBBBBB", side, side, bits, 2, 0, 0, 0)
    chunks = [b"IHDR" + header, b"IDAT" + zlib.compress(rows), b"IEND"]
    packed = (struct.pack(f">I{len(c)}sI", len(c) - 4, c, zlib.crc32(c)) for c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_image_bomb_is_refused_by_its_header(tmp_path):
    with_file(tmp_path, "9.png", png(60_000, 8, bytes(1000)))
    expect(tmp_path, "cat/9.png has 60000 x 60000 pixels", "most_megapixels: 500", shape=(8, 8))


def test_limit_can_be_set_below_and_above_pillows(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    path = save(tmp_path / "a.png", pixels(20, 20))
    assert images.decode_image(path, ReadOptions(), 1).shape == (20, 20, 1)
    with pytest.raises(InputError, match="20 x 20 pixels, more than most_megapixels"):
        images.decode_image(path, ReadOptions(most_megapixels=1e-4), 1)
    assert Image.MAX_IMAGE_PIXELS == 50


@pytest.mark.parametrize("name", ["9.tif", "9.png"])
def test_several_pages_or_frames(tmp_path, name):
    class_folders(tmp_path)
    pages = [Image.fromarray(pixels(8, 8, seed=i)) for i in range(3)]
    pages[0].save(tmp_path / "cat" / name, save_all=True, append_images=pages[1:])
    expect(tmp_path, f"cat/{name} holds 3 pages or frames", "split it")


def test_floats_without_a_window(tmp_path):
    class_folders(tmp_path)
    save(tmp_path / "cat" / "9.tif", np.zeros((8, 8), np.float32))
    expect(tmp_path, "cat/9.tif", "floating point", "window: [low, high]")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_in_a_float_image(tmp_path, value):
    class_folders(tmp_path)
    image = np.zeros((8, 8), np.float32)
    image[3, 3] = value
    save(tmp_path / "cat" / "9.tif", image)
    expect(tmp_path, "cat/9.tif", "NaN or infinite values (1)", window=(0, 1))


def test_16_bit_colours_and_a_window(tmp_path):
    with_file(tmp_path, "9.png", png(8, 16, bytes(8 * (1 + 8 * 6))))
    expect(tmp_path, "cat/9.png has colours of 16 bit", "remove window", window=(0, 9))
    assert any("16 bit reduced to the upper 8" in note for note in read(tmp_path).notes)


def test_colour_space_that_is_not_known(tmp_path):
    class_folders(tmp_path)
    Image.new("LAB", (8, 8)).save(tmp_path / "cat" / "9.tif")
    expect(tmp_path, "cat/9.tif", "CIELAB", "accepted: gray, RGB, palette, CMYK")


def test_tiff_of_signed_bytes(tmp_path):
    class_folders(tmp_path)
    Image.fromarray(pixels(8, 8)).save(tmp_path / "cat" / "9.tif", tiffinfo={339: 2})
    expect(tmp_path, "cat/9.tif holds values of 32 bit or with a sign", "window: [low, high]")


def test_nothing_readable_at_all(tmp_path):
    for name in ("cat/1.png", "dog/1.png"):
        for i in range(4):
            path = tmp_path / f"{name}{i}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_text("text")
    expect(tmp_path, "none of 8 images can be read", "cat/1.png0.png")


@pytest.mark.timeout(20)
def test_a_pipe_is_not_waited_for(tmp_path):
    class_folders(tmp_path)
    os.mkfifo(tmp_path / "cat" / "9.png")
    (item,) = [i for c in read(tmp_path).splits["all"].chunks() for i in c.unreadable]
    print(item.reason)
    assert "cat/9.png is no file" in item.reason


# Folders


def test_empty_class(tmp_path):
    (class_folders(tmp_path) / "bird").mkdir()
    expect(tmp_path, "/bird holds no image (0 files of other kinds)", ".png", "remove the folder")


def test_class_of_other_files_only(tmp_path):
    class_folders(tmp_path)
    save(tmp_path / "bird" / "1.gif", pixels(8, 8))
    expect(tmp_path, "/bird holds no image (1 files of other kinds)")


def test_one_class_only(tmp_path):
    expect(class_folders(tmp_path, ["cat"]), "one class only ('cat')", "at least two")


def test_too_few_images_of_a_class(tmp_path):
    class_folders(tmp_path)
    class_folders(tmp_path, ["rare"], count=3)
    expect(tmp_path, "too few images", "'rare' (3)", "at least 4")


def test_too_few_to_take_validation_from(tmp_path):
    class_folders(tmp_path / "train", count=2)
    class_folders(tmp_path / "test")
    expect(tmp_path, "too few training images", "'cat' (2), 'dog' (2)", "at least 3")


def test_class_that_train_lacks(tmp_path):
    class_folders(tmp_path / "train")
    class_folders(tmp_path / "test", ["cat", "dgo"])
    expect(tmp_path, "class 'dgo' is in the split test, but not in train", "'cat', 'dog'")


def test_train_and_val_without_test(tmp_path):
    class_folders(tmp_path / "train")
    class_folders(tmp_path / "val")
    expect(tmp_path, "has the split train, val, but no test", "rename val to test")


def test_two_folders_for_validation(tmp_path):
    for split in ("train", "val", "valid", "test"):
        class_folders(tmp_path / split)
    expect(tmp_path, "several folders for validation (val, valid)")


def test_split_folder_without_classes(tmp_path):
    class_folders(tmp_path / "train")
    save(tmp_path / "test" / "1.png", pixels(8, 8))
    expect(tmp_path, "/test has no class folders")


def test_other_folder_beside_the_splits(tmp_path):
    for split in ("train", "test", "backup"):
        class_folders(tmp_path / split)
    expect(tmp_path, "'backup' beside test, train", "move or rename it")


def test_images_mixed_with_volumes(tmp_path):
    class_folders(tmp_path)
    save_volume(tmp_path / "dog" / "9.nii.gz", np.zeros((4, 4, 4), np.uint8))
    expect(tmp_path, "mixes images (cat/0.png) and volumes (dog/9.nii.gz)")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_link_that_leaves_the_folder(tmp_path, kind):
    outside = class_folders(tmp_path / "outside") / "cat"
    inside = class_folders(tmp_path / "inside")
    target = outside if kind == "folder" else outside / "0.png"
    (inside / "dog" / "link.png").symlink_to(target)
    what = "a link to a folder" if kind == "folder" else "a link that leaves"
    expect(inside, f"dog/link.png is {what}", "copy what it points to")


def test_class_folder_that_is_a_link_in_a_circle(tmp_path):
    (class_folders(tmp_path) / "loop").symlink_to(tmp_path)
    expect(tmp_path, "/loop is a link to a folder")


def test_link_to_nothing(tmp_path):
    (class_folders(tmp_path) / "cat" / "9.png").symlink_to(tmp_path / "gone.png")
    expect(tmp_path, "cat/9.png is a link to nothing")


@pytest.mark.parametrize("name", ["a\nb", b"\xff\xfe".decode(errors="surrogateescape")])
def test_names_that_would_break_a_log(tmp_path, name):
    expect(class_folders(tmp_path, ["cat", name]), repr(name), "rename it")


# Paths of no known kind


@pytest.mark.parametrize(("name", "words"), [
    ("gone", ["does not exist", "a folder with one folder per class"]),
    ("a.zip", ["unpack it"]),
    ("a.nii.gz", ["give the folder"]),
    ("a.pt", ["of no known kind", ".npz"]),
])  # fmt: skip
def test_path_of_no_known_kind(tmp_path, name, words):
    if name != "gone":
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError) as error:
        own.recognise(tmp_path / name)
    print(error.value)
    assert all(word in str(error.value) for word in [name, *words])


def test_folder_without_folders(tmp_path):
    save(tmp_path / "1.png", pixels(8, 8))
    expect(tmp_path, "has no folders in it", "one folder per class")
    (tmp_path / "labels.csv").write_text("file,label\n")
    expect(tmp_path, "for its table give path:", "labels.csv")


# Tables


@pytest.mark.parametrize(("text", "words"), [
    ("file,size\n", ["line 1: no column 'label' among 'file', 'size'", "file, label and option"]),
    ("file,class\n", ["line 1: no column 'label' among 'file', 'class'"]),
    ("file,split\n", ["line 1: no column 'label'"]),
    ("file,label,label\n", ["line 1: a column twice"]),
    ("", ["is empty", "file,label[,split]"]),
    ("file,label\n", ["no rows"]),
    ("file,label\n" + good_rows() + "a1.png,class b\n", ["line 12: 'a1.png' stands in line 3"]),
    ("file,label\n" + good_rows() + "./a1.png,class a\n", ["line 12: './a1.png' stands in line 3"]),
    ("file,label\na0.png,\n", ["line 2: the label is missing"]),
    ("file,label\n,class a\n", ["line 2: the file is missing"]),
    ("file,label\na0.png\n", ["line 2 has 1 fields, the first line 2"]),
    ("file,label\na0.png,a,b\n", ["line 2 has 3 fields", "quotes"]),
    ('file,label\na0.png,"a\n', ["line 2: no valid CSV"]),
    ("file,label,split\na0.png,a,dev\n", ["line 2: unknown split 'dev'", "train, training, val"]),
    ("file,label,split\na0.png,a,\n", ["line 2: the split is missing"]),
    ("file,label\n../out.png,a\n", ["line 2: '../out.png' leaves the table's folder"]),
    ("file,label\nsub/../../out.png,a\n", ["line 2: 'sub/../../out.png' leaves"]),
    ("file,label\n/etc/passwd.png,a\n", ["line 2: '/etc/passwd.png' leaves"]),
    ("file,label\na0.gif,a\nb.gif,b\n", ["no file is of a kind that is read", ".png"]),
    ("file,label\n" + good_rows().replace("class b", "class a"), ["one class only ('class a')"]),
    ("file,label\n" + "x" * 70_000, ["line 2 is longer than"]),
    ("file,label\na0.png,a\0b\n", ["line 2"]),
    ('file,label\na0.png,"a\nb"\n', ["line 3: label 'a\\nb' has control characters"]),
])  # fmt: skip
def test_bad_table(tmp_path, text, words):
    expect(table(tmp_path, text), "labels.csv", *words)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_table_that_is_not_utf_8(tmp_path, encoding):
    text = ("file,label\n" + good_rows() + "a9.png,été\n").encode(encoding)
    line = {"latin-1": 12, "utf-16": 1}[encoding]
    expect(table(tmp_path, text), f"labels.csv, line {line} is not UTF-8", "CSV UTF-8")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_link_in_a_table_that_leaves_its_folder(tmp_path, kind):
    save(tmp_path / "outside" / "x.png", pixels(8, 8))
    path = table(tmp_path / "inside", "file,label\n" + good_rows() + "link/x.png,class a\n")
    link = tmp_path / "inside" / "link"
    if kind == "folder":
        link.symlink_to(tmp_path / "outside")
    else:
        link.mkdir()
        (link / "x.png").symlink_to(tmp_path / "outside" / "x.png")
    expect(path, "line 12: 'link/x.png' goes through a link out of the table's folder")


def test_table_that_mixes_kinds(tmp_path):
    save_volume(tmp_path / "v.nii", np.zeros((4, 4, 4), np.uint8))
    expect(
        table(tmp_path, "file,label\n" + good_rows() + "v.nii,class a\n"), "mixes images (a0.png)"
    )


# Volumes

SHAPE = (8, 7, 6)


def scans(folder: Path) -> Path:
    for label, i in product("ab", range(4)):
        volume = np.random.default_rng(i).integers(-1000, 400, SHAPE).astype(np.int16)
        save_volume(folder / label / f"{i}.nii.gz", volume)
    return folder


def test_no_window(tmp_path):
    """Where nothing has chosen a rule, as in a prediction of a model of 8-bit volumes."""
    with pytest.raises(InputError, match=r"a/0.nii.gz holds int16 values, .* window: \[low, high"):
        volumes.decode_volume(scans(tmp_path) / "a/0.nii.gz", ReadOptions())


@pytest.mark.parametrize("keep", [5, 200, 0.5, 0.97, -4])
def test_truncated_gzip(tmp_path, keep):
    """Down to the last bytes, which hold only gzip's checksum."""
    content = (scans(tmp_path) / "a" / "0.nii.gz").read_bytes()
    keep = int(keep * len(content)) if isinstance(keep, float) else keep
    (tmp_path / "a" / "9.nii.gz").write_bytes(content[:keep])
    expect(tmp_path, "a/9.nii.gz is truncated or broken", "get it again or remove it", **CT)


def test_gzip_with_a_wrong_checksum(tmp_path):
    content = bytearray((scans(tmp_path) / "a" / "0.nii.gz").read_bytes())
    content[-8] ^= 0xFF
    (tmp_path / "a" / "9.nii.gz").write_bytes(content)
    expect(tmp_path, "a/9.nii.gz is truncated or broken", "CRC", **CT)


def test_truncated_plain_nifti(tmp_path):
    content = gzip.decompress((scans(tmp_path) / "a" / "0.nii.gz").read_bytes())
    (tmp_path / "a" / "9.nii").write_bytes(content[:-10])
    expect(tmp_path, "a/9.nii claims 8 x 7 x 6 voxels (1,024 bytes), but its 1,014 bytes", **CT)


@pytest.mark.parametrize("content", [b"", b"hello world", b"x" * 4000, b"\x1f\x8b hello"])
def test_no_nifti(tmp_path, content):
    (scans(tmp_path) / "a" / "9.nii.gz").write_bytes(content)
    expect(tmp_path, "a/9.nii.gz", "remove it", **CT)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_or_infinite_voxels(tmp_path, value):
    volume = np.zeros(SHAPE, np.float32)
    volume[3, 3, 3] = value
    save_volume(scans(tmp_path) / "a" / "9.nii", volume)
    expect(tmp_path, "a/9.nii holds NaN or infinite values (1)", **CT)


def claim(path: Path, shape: tuple[int, ...], content: bytes = b"") -> None:
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(shape)
    header["vox_offset"], header["magic"], header["sform_code"] = 352, b"n+1", 1
    header.set_sform(np.eye(4), 1)
    block = header.binaryblock + bytes(4) + content
    path.write_bytes(gzip.compress(block) if path.suffix == ".gz" else block)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_header_that_claims_more_than_the_file_can_hold(tmp_path, suffix):
    claim(scans(tmp_path) / "a" / f"9{suffix}", (500, 500, 500), bytes(1000))
    expect(tmp_path, f"a/9{suffix} claims 500 x 500 x 500 voxels", "cannot hold them", **CT,
           shape=(4, 4, 4))  # fmt: skip


def test_header_that_claims_more_than_the_limit(tmp_path):
    claim(scans(tmp_path) / "a" / "9.nii", (30000, 30000, 30000))
    words = "claims 30000 x 30000 x 30000 voxels, more than most_megapixels: 500"
    expect(tmp_path, f"a/9.nii {words}", **CT, shape=(4, 4, 4))


def test_gzip_that_is_shorter_than_its_header_claims(tmp_path):
    """Within what deflate could unpack to: only reading shows it."""
    claim(scans(tmp_path) / "a" / "9.nii.gz", (30, 30, 30), bytes(20_000))
    expect(tmp_path, "a/9.nii.gz ends in slab 12 of 30", **CT, shape=(4, 4, 4))


@pytest.mark.parametrize(("shape", "words", "advice"), [
    ((4, 4, 4, 3), "is a series of 3 volumes (4 x 4 x 4 x 3)", "add frame: 0"),
    ((4, 4), "has 2 axes (4 x 4)", "volumes of three axes"),
])  # fmt: skip
def test_other_numbers_of_axes(tmp_path, shape, words, advice):
    save_volume(scans(tmp_path) / "a" / "9.nii", np.zeros(shape, np.int16))
    expect(tmp_path, f"a/9.nii {words}", advice, **CT)


def test_volumes_of_different_shapes(tmp_path):
    save_volume(scans(tmp_path) / "b" / "9.nii", np.zeros((8, 7, 9), np.int16))
    expect(tmp_path, "a/0.nii.gz is 7 x 8 x 6", "b/9.nii is 7 x 8 x 9",
           "give shape: [rows, columns, slices]", **CT)  # fmt: skip


def test_colour_or_complex_voxels(tmp_path):
    save_volume(scans(tmp_path) / "a" / "9.nii", np.zeros(SHAPE, np.complex64))
    expect(tmp_path, "a/9.nii holds complex64 voxels", "accepted: integers and real", **CT)


@pytest.mark.parametrize("value", [np.nan, 0])
def test_orientation_that_is_none(tmp_path, value):
    image = nib.Nifti1Image(np.zeros(SHAPE, np.int16), np.eye(4))
    image.header["srow_x"] = value
    image.header["sform_code"] = 1
    path = scans(tmp_path) / "a" / "9.nii"
    block = image.header.binaryblock
    image.to_filename(path)
    content = bytearray(path.read_bytes())
    content[280:296] = block[280:296]
    path.write_bytes(content)
    expect(tmp_path, "a/9.nii has an orientation", "repair its header", **CT)


def test_volumes_in_colour(tmp_path):
    expect(scans(tmp_path), "channels: 3", "volumes are gray", **CT, channels=3)


# Arrays

LABELS = np.arange(20) % 4
IMAGES = pixels(20, 8, 6)


@pytest.mark.parametrize(("content", "words"), [
    ({"a": IMAGES}, ["no arrays of known names (found: a)", "x_train"]),
    ({"x": IMAGES}, ["lacks the array y"]),
    ({"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES}, ["lacks the array y_test"]),
    ({"x_train": IMAGES, "y_train": LABELS}, ["has the split train, but no test"]),
    ({"x": IMAGES, "y": LABELS - 1}, ["y[0] is -1", "from 0"]),
    ({"x": IMAGES, "y": LABELS * 1.5}, ["y has the type float64", "integers from 0"]),
    ({"x": IMAGES, "y": LABELS * 2}, ["label 1 does not occur, but 6 does", "0 to 3"]),
    ({"x": IMAGES, "y": LABELS.astype(np.uint64) + 2**40}, ["y[0] is 1099511627776"]),
    ({"x": IMAGES, "y": np.eye(4)[LABELS]}, ["y has the shape (20, 4) for 20 images"]),
    ({"x": IMAGES, "y": LABELS[:-1]}, ["y has the shape (19,) for 20 images"]),
    ({"x": IMAGES, "y": LABELS * 0}, ["one class only ('0')"]),
    ({"x": IMAGES, "y": LABELS, "classes": ["a", "b"]}, ["classes has 2 names, but label 3"]),
    ({"x": IMAGES, "y": LABELS, "classes": list("aabb")}, ["classes has a name twice"]),
    ({"x": IMAGES * 1.0, "y": LABELS}, ["x holds float64 values", "window: [low, high]"]),
    ({"x": IMAGES.astype("U"), "y": LABELS}, ["x has the type <U3"]),
    ({"x": IMAGES[..., 0], "y": LABELS}, ["x has the shape (20, 8)", "N, rows, columns"]),
    ({"x": pixels(20, 3, 32, 32), "y": LABELS}, ["channels before rows", "np.moveaxis(x, 1, -1)"]),
    ({"x": np.asfortranarray(IMAGES), "y": LABELS}, ["x is in Fortran order"]),
    ({"x": IMAGES[:0], "y": LABELS[:0]}, ["x has the shape (0, 8, 6)", "at least one image"]),
])  # fmt: skip
def test_bad_arrays(tmp_path, content, words):
    np.savez(tmp_path / "a.npz", **content)
    expect(tmp_path / "a.npz", "a.npz", *words)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_in_arrays(tmp_path, value):
    images = IMAGES.astype(np.float32)
    images[3, 3, 3] = value
    np.savez(tmp_path / "a.npz", x=images, y=LABELS)
    expect(tmp_path / "a.npz", "a.npz: x[3] holds NaN or infinite values (1)", window=(0, 255))


def test_splits_of_different_shapes(tmp_path):
    np.savez(
        tmp_path / "a.npz", x_train=IMAGES, y_train=LABELS, x_test=pixels(20, 9, 9), y_test=LABELS
    )
    expect(tmp_path / "a.npz", "x_train 8 x 6 x 1, x_test 9 x 9 x 1", "with one shape")


class Hostile:
    """Unpickling an object of this class makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("name", ["x", "y", "classes"])
def test_objects_are_never_unpickled(tmp_path, name):
    arrays = {"x": IMAGES, "y": LABELS, "classes": np.array(list("abcd"))}
    arrays[name] = np.array([Hostile(tmp_path / "made")] * 20, dtype=object)
    np.savez(tmp_path / "a.npz", **arrays)
    expect(tmp_path / "a.npz", f"a.npz: {name} holds Python objects", "never loaded")
    assert not (tmp_path / "made").exists()


def test_truncated_npz(tmp_path):
    np.savez_compressed(tmp_path / "whole.npz", x=IMAGES, y=LABELS)
    content = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content[:-50])
    expect(tmp_path / "a.npz", "a.npz is not a readable .npz", "truncated")


def test_npz_with_a_broken_member(tmp_path):
    np.savez(tmp_path / "a.npz", x=IMAGES, y=LABELS)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[500] ^= 0xFF
    (tmp_path / "a.npz").write_bytes(content)
    expect(tmp_path / "a.npz", "a.npz: x is truncated or broken (Bad CRC-32")


@pytest.mark.parametrize("content", [b"", b"hello world", b"<!DOCTYPE html>"])
def test_no_zip(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    expect(tmp_path / "a.npz", "a.npz is not a readable .npz")


def test_truncated_npy(tmp_path):
    np.save(tmp_path / "y.npy", LABELS)
    np.save(tmp_path / "x.npy", IMAGES)
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-100])
    expect(tmp_path / "x.npy", "x.npy claims the shape (20, 8, 6) of uint8 (960 bytes), but 860")


def test_npy_header_that_claims_more_than_there_is(tmp_path):
    np.savez(tmp_path / "a.npz", y=LABELS)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive, archive.open("x.npy", "w") as member:
        header = {"descr": "|u1", "fortran_order": False, "shape": (20, 10**6, 10**6)}
        np.lib.format.write_array_header_1_0(member, header)
    expect(
        tmp_path / "a.npz", "x claims the shape (20, 1000000, 1000000)", "but 0 bytes are stored"
    )


def test_images_of_an_array_above_the_limit(tmp_path):
    np.savez(tmp_path / "a.npz", x=IMAGES, y=LABELS)
    expect(tmp_path / "a.npz", "images of 8 x 6 pixels, more than most_megapixels: 1e-05",
           most_megapixels=1e-5)  # fmt: skip


def test_npz_with_a_password(tmp_path):
    np.savez(tmp_path / "a.npz", x=IMAGES, y=LABELS)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    for start in (b"PK\x03\x04", b"PK\x01\x02"):
        content[content.index(start) + (6 if start.endswith(b"\x04") else 8)] |= 1
    (tmp_path / "a.npz").write_bytes(content)
    expect(tmp_path / "a.npz", "a.npz: x is truncated or broken", "encrypted")
