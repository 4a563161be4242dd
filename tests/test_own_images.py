"""Image files of one's own: every format and mode, fitting, folders and tables."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

import tiff_files
from ddcnn.base.errors import InputError
from ddcnn.data import images, own
from ddcnn.data.options import ReadOptions
from own_data import class_folders, decoded, good_rows, pixels, read, save, smooth, snapshot, table

GRAY = pixels(9, 7)
RGB = pixels(9, 7, 3)
DEEP = np.random.default_rng(1).integers(0, 65536, (9, 7), dtype=np.uint16)


def png(path, values, bits=8, before=None, after=None):
    """A gray or RGB(A) PNG, chunk by chunk; ``before``, ``after``: chunks around the pixels."""
    channels = 1 if values.ndim == 2 else values.shape[-1]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = [b"\0" + row for row in tiff_files.packed_rows(values, bits, ">")]
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), *(before or {}).items(), (b"IDAT", zlib.compress(b"".join(rows)))]
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in [*chunks, *(after or {}).items(), (b"IEND", b"")]:
        content += struct.pack(">I", len(data)) + name + data
        content += struct.pack(">I", zlib.crc32(name + data))
    path.write_bytes(content)
    return path


def decode(path, channels=1, **options):
    return images.decode_image(path, ReadOptions(**options), channels)


def change(path, **options):
    return ", ".join(images.read_header(path, ReadOptions(**options)).changes)


# Formats and modes


@pytest.mark.parametrize("suffix", ["png", "pgm", "tif", "bmp"])
def test_gray_is_kept_exactly(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}", GRAY)
    header = images.read_header(path, ReadOptions())
    assert (header.shape, header.channels, header.changes) == ((9, 7), 1, ())
    np.testing.assert_array_equal(decode(path)[..., 0], GRAY)


@pytest.mark.parametrize("suffix", ["png", "ppm", "tif", "bmp"])
def test_rgb_is_kept_exactly(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}", RGB)
    assert images.read_header(path, ReadOptions()).channels == 3
    np.testing.assert_array_equal(decode(path, channels=3), RGB)


def test_jpeg_is_what_pillow_decodes(tmp_path):
    path = save(tmp_path / "a.jpg", smooth(40, 30))
    np.testing.assert_array_equal(decode(path, channels=3), np.asarray(Image.open(path)))


def test_format_is_recognised_by_content_not_by_name(tmp_path):
    path = save(tmp_path / "really.png", GRAY)
    np.testing.assert_array_equal(decode(path.rename(tmp_path / "named.jpg"))[..., 0], GRAY)


def test_webp(tmp_path):
    path = save(tmp_path / "a.webp", RGB, lossless=True)
    np.testing.assert_array_equal(decode(path, channels=3), RGB)
    lossy = save(tmp_path / "b.webp", smooth(40, 30), quality=90)
    np.testing.assert_array_equal(decode(lossy, channels=3), np.asarray(Image.open(lossy)))
    seen = save(tmp_path / "c.webp", np.dstack([RGB, GRAY]), lossless=True, exact=True)
    share = GRAY[..., None] / 255
    np.testing.assert_allclose(decode(seen, channels=3), RGB * share + 255 * (1 - share), atol=1)


def test_a_moving_webp_is_refused(tmp_path):
    frames = [Image.fromarray(pixels(9, 7, 3, seed=i)) for i in range(3)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="holds 3 pages or frames"):
        decode(tmp_path / "a.webp")


def test_other_formats_are_refused_whatever_their_name(tmp_path):
    path = save(tmp_path / "a.gif", GRAY).rename(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png holds no image of a known kind"):
        decode(path)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_exif_orientation(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"a.{suffix}", smooth(16, 24), exif=exif, **lossless)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    found = decode(path, channels=3)
    np.testing.assert_array_equal(found, expected)
    assert images.read_header(path, ReadOptions()).shape == found.shape[:2]
    assert found.shape[:2] == ((24, 16) if orientation > 4 else (16, 24))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_behind_the_pixels_of_a_png(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = exif.tobytes().removeprefix(b"Exif\0\0")
    path = png(tmp_path / "a.png", smooth(16, 24), after={b"eXIf": content})
    in_front = png(tmp_path / "b.png", smooth(16, 24), before={b"eXIf": content})
    expected = np.asarray(ImageOps.exif_transpose(Image.open(in_front)))
    np.testing.assert_array_equal(decode(path, channels=3), expected)
    assert images.read_header(path, ReadOptions()).shape == expected.shape[:2]


def test_broken_exif_does_not_hide_a_good_image(tmp_path):
    path = save(tmp_path / "a.jpg", smooth(16, 24), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode(path, channels=3).shape == (16, 24, 3)


def test_palettes_become_their_colours(tmp_path):
    colours = Image.fromarray(RGB).quantize(8)
    colours.save(tmp_path / "colours.png")
    path = tmp_path / "colours.png"
    np.testing.assert_array_equal(decode(path, channels=3), np.asarray(colours.convert("RGB")))
    assert "palette" in change(path)
    assert images.read_header(path, ReadOptions()).channels == 3


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_palette_of_grays_is_gray(tmp_path, suffix):
    image = Image.fromarray(GRAY % 4)
    image.putpalette([v for level in (200, 30, 90, 0) for v in (level,) * 3])
    image.save(tmp_path / f"a.{suffix}")
    path = tmp_path / f"a.{suffix}"
    assert images.read_header(path, ReadOptions()).channels == 1
    np.testing.assert_array_equal(decode(path)[..., 0], np.array([200, 30, 90, 0])[GRAY % 4])


def test_transparent_parts_are_laid_on_white(tmp_path):
    rgba = np.dstack([RGB, np.where(GRAY > 128, 255, 0).astype(np.uint8)])
    path = save(tmp_path / "a.png", rgba)
    expected = np.where(GRAY[..., None] > 128, RGB, 255)
    np.testing.assert_array_equal(decode(path, channels=3), expected)
    assert change(path) == "with transparency, laid on white"


def test_gray_with_transparency_stays_gray(tmp_path):
    path = save(tmp_path / "a.png", np.dstack([GRAY, np.full_like(GRAY, 255)]))
    assert images.read_header(path, ReadOptions()).channels == 1
    np.testing.assert_array_equal(decode(path)[..., 0], GRAY)


def test_one_bit(tmp_path):
    path = save(tmp_path / "a.png", GRAY > 128)
    np.testing.assert_array_equal(decode(path)[..., 0], np.where(GRAY > 128, 255, 0))
    assert "1 bit" in change(path)


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk(tmp_path, suffix):
    image = Image.fromarray(smooth(16, 16)).convert("CMYK")
    path = tmp_path / f"a.{suffix}"
    image.save(path)
    close = np.abs(decode(path, channels=3).astype(int) - smooth(16, 16))
    assert close.mean() < 6
    assert "CMYK" in change(path)


def test_several_views_of_one_photo_are_one_image(tmp_path):
    views = [Image.fromarray(smooth(16, 24)), Image.fromarray(smooth(16, 24)[::-1].copy())]
    path = tmp_path / "phone.jpg"
    views[0].save(path, format="MPO", save_all=True, append_images=views[1:])
    assert np.abs(decode(path, channels=3).astype(int) - smooth(16, 24)).mean() < 6


def test_colour_profile_chunks_and_colours_to_gray(tmp_path):
    path = save(tmp_path / "a.png", RGB)
    expected = np.asarray(Image.fromarray(RGB).convert("L"))
    np.testing.assert_array_equal(decode(path, channels=1)[..., 0], expected)


# Transparency and few bits, as PNG's own rules say


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_a_gray_that_is_transparent(tmp_path, bits):
    """The value in the file counts, with all its bits."""
    top = 2**bits - 1
    values = (DEEP & top).astype(np.uint16 if bits == 16 else np.uint8)
    values[0, 0] = key = top // 3
    values[0, 1] = key + (256 if bits == 16 else 1)  # another gray with an equal lower half
    path = png(tmp_path / "a.png", values, bits, before={b"tRNS": key.to_bytes(2)})
    expected = np.where(values == key, 255, values * (255 / top))
    np.testing.assert_allclose(decode(path)[..., 0], expected, atol=0.51)
    assert "with transparency, laid on white" in change(path)


def test_a_transparent_colour_of_8_and_of_16_bit(tmp_path):
    key = b"".join(int(v).to_bytes(2) for v in RGB[0, 0])
    path = png(tmp_path / "a.png", RGB, before={b"tRNS": key})
    expected = np.where(np.all(RGB[0, 0] == RGB, axis=-1, keepdims=True), 255, RGB)
    np.testing.assert_array_equal(decode(path, channels=3), expected)
    deep = png(tmp_path / "b.png", RGB.astype(np.uint16), 16, before={b"tRNS": key})
    with pytest.raises(InputError, match=r"b\.png has colours of 16 bit, one of which is transp"):
        decode(deep, channels=3)


@pytest.mark.parametrize("bits", [2, 4])
def test_gray_of_few_bits_and_its_window(tmp_path, bits):
    top = 2**bits - 1
    path = png(tmp_path / "a.png", DEEP & top, bits)
    np.testing.assert_array_equal(decode(path)[..., 0], (DEEP & top) * (255 // top))
    assert f"{top} scaled to 255" in change(path)
    expected = np.clip(((DEEP & top) - 1.0) * 255, 0, 255)
    np.testing.assert_array_equal(decode(path, window=(1, 2))[..., 0], expected)
    assert not change(path, window=(1, 2))


@pytest.mark.parametrize("kind", [4, 6])
def test_16_bit_with_alpha_is_reduced_and_said_to_be(tmp_path, kind):
    channels = {4: 2, 6: 4}[kind]
    values = np.random.default_rng(2).integers(0, 65536, (9, 7, channels)).astype(np.uint16)
    path = png(tmp_path / "a.png", values, 16)
    alpha = values[..., -1:] / 65535
    expected = values[..., :-1] / 257 * alpha + 255 * (1 - alpha)
    np.testing.assert_allclose(decode(path, channels - 1), expected, atol=2)
    assert change(path) == "with transparency, laid on white, 16 bit reduced to the upper 8"


def test_bmp_of_16_bit_a_pixel_is_not_called_deep(tmp_path):
    """Five or six bits a colour: nothing is reduced, and a window may be given."""
    colours = (GRAY.astype("<u2") * 128) & 0x7FFF
    rows = np.pad(colours, [(0, 0), (0, 1)])[::-1]
    head = struct.pack("<2sIHHI", b"BM", 54 + rows.nbytes, 0, 0, 54)
    head += struct.pack("<IiiHHIIiiII", 40, 7, 9, 1, 16, 0, rows.nbytes, 0, 0, 0, 0)
    path = tmp_path / "a.bmp"
    path.write_bytes(head + rows.tobytes())
    parts = np.stack([colours >> 10, colours >> 5 & 31, colours & 31], axis=-1)
    np.testing.assert_allclose(decode(path, 3), parts * (255 / 31), atol=1)
    assert change(path) == ""
    assert decode(path, 3, window=(0, 255)).max() > 200


# Above 8 bit


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bit_gray_from_its_full_range(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}", DEEP)
    np.testing.assert_array_equal(decode(path)[..., 0], np.rint(DEEP / 257))
    assert "65535 scaled to 255" in change(path)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bit_gray_through_a_window(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}", DEEP)
    expected = np.clip((DEEP - 1000.0) * 255 / 3000, 0, 255)
    np.testing.assert_allclose(decode(path, window=(1000, 4000))[..., 0], expected, atol=0.51)
    assert not change(path, window=(1000, 4000))


def test_big_endian_16_bit_tiff(tmp_path):
    image = Image.frombytes("I;16B", (7, 9), DEEP.astype(">u2").tobytes())
    image.save(tmp_path / "a.tif")
    np.testing.assert_array_equal(decode(tmp_path / "a.tif")[..., 0], np.rint(DEEP / 257))


def test_12_bit_pgm_uses_its_own_white_and_window(tmp_path):
    values = DEEP % 4096
    content = b"P5\n7 9\n4095\n" + values.astype(">u2").tobytes()
    (tmp_path / "a.pgm").write_bytes(content)
    full = decode(tmp_path / "a.pgm")[..., 0]
    np.testing.assert_allclose(full, values * (255 / 4095), atol=0.51)
    windowed = decode(tmp_path / "a.pgm", window=(1000, 2000))[..., 0]
    np.testing.assert_allclose(windowed, np.clip((values - 1000.0) * 0.255, 0, 255), atol=0.52)


@pytest.mark.parametrize("white", [1, 100, 254, 256, 1000])
@pytest.mark.parametrize("kind", ["P2", "P5"])
def test_pgm_with_any_white_speaks_of_its_own_values(tmp_path, white, kind):
    """Others keep the values (OpenCV) or scale them to 65535 (Pillow)."""
    values = DEEP % (white + 1)
    raw = values.astype(">u2" if white > 255 else "u1").tobytes()
    raw = raw if kind == "P5" else " ".join(map(str, values.ravel())).encode()
    path = tmp_path / "a.pgm"
    path.write_bytes(f"{kind}\n7 9\n{white}\n".encode() + raw)
    np.testing.assert_allclose(decode(path)[..., 0], values * (255 / white), atol=0.51)
    assert f"{white} scaled to 255" in change(path)
    window = (white / 4, white / 2)
    expected = np.clip((values - window[0]) * 255 / (window[1] - window[0]), 0, 255)
    np.testing.assert_allclose(decode(path, window=window)[..., 0], expected, atol=0.51)


def test_float_tiff_needs_a_window_and_takes_it(tmp_path):
    values = np.linspace(-2, 3, 63, dtype=np.float32).reshape(9, 7)
    path = save(tmp_path / "a.tif", values)
    with pytest.raises(InputError, match="floating point values, but no window"):
        decode(path)
    expected = np.clip((values + 1) * 255 / 2, 0, 255)
    np.testing.assert_allclose(decode(path, window=(-1, 1))[..., 0], expected, atol=0.51)


def test_signed_16_bit_tiff_through_a_window(tmp_path):
    values = DEEP.astype(np.int32) - 32768
    path = save(tmp_path / "a.tif", values)
    expected = np.clip((values + 1000.0) * 255 / 1400, 0, 255)
    np.testing.assert_allclose(decode(path, window=(-1000, 400))[..., 0], expected, atol=0.51)


def test_window_of_8_bit(tmp_path):
    path = save(tmp_path / "a.png", RGB)
    expected = np.clip((RGB - 100.0) * 255 / 50, 0, 255)
    np.testing.assert_allclose(decode(path, 3, window=(100, 150)), expected, atol=0.51)


# Fitting


def test_stretch_crop_and_pad_of_a_wide_image(tmp_path):
    image = np.zeros((20, 60), np.uint8)
    image[:, 20:40] = 200
    path = save(tmp_path / "a.png", image)
    assert (decode(path, shape=(20, 20), fit="crop") == 200).all()
    stretched = decode(path, shape=(20, 30), fit="stretch")[..., 0]
    assert (stretched[:, 12:18] == 200).all()
    assert (stretched[:, :8] == 0).all()
    padded = decode(path, shape=(60, 60), fit="pad")[..., 0]
    assert (padded[20:40, 25:35] == 200).all()
    assert (padded[:20] == 0).all()
    assert (padded[40:] == 0).all()


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (33, 77), (5, 5)])
def test_every_size_can_be_fitted(tmp_path, fit, size):
    path = save(tmp_path / "a.png", pixels(*size))
    assert decode(path, shape=(17, 31), fit=fit).shape == (17, 31, 1)


def test_shrinking_does_not_alias(tmp_path):
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    path = save(tmp_path / "a.png", stripes)
    inner = decode(path, shape=(16, 16))[2:-2, 2:-2]
    assert np.abs(inner.astype(int) - 128).max() < 8


def test_faster_jpeg_decoding_changes_next_to_nothing(tmp_path):
    path = save(tmp_path / "a.jpg", smooth(480, 640), quality=95)
    found = decode(path, 3, shape=(48, 64)).astype(int)
    slow = Image.open(path).resize((64, 48), Image.Resampling.BICUBIC)
    assert np.abs(found - np.asarray(slow)).mean() < 1.5


# Folders


def test_class_folders_without_splits(tmp_path):
    class_folders(tmp_path, ["dog", "cat"])
    collection = read(tmp_path)
    assert collection.classes == ["cat", "dog"]
    assert list(collection.splits) == ["all"]
    samples = collection.splits["all"]
    np.testing.assert_array_equal(samples.labels, [0] * 5 + [1] * 5)
    assert samples.name(5) == "dog/0.png"
    found = decoded(samples)
    assert found.shape == (10, 8, 8, 1)
    np.testing.assert_array_equal(found[5, ..., 0], pixels(8, 8, seed=0))


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_folders_with_splits(tmp_path, val):
    for split in ("train", val, "test"):
        class_folders(tmp_path / split)
    collection = read(tmp_path)
    assert set(collection.splits) == {"train", "val", "test"}
    assert {len(samples.labels) for samples in collection.splits.values()} == {10}


def test_train_and_test_alone(tmp_path):
    for split in ("train", "test"):
        class_folders(tmp_path / split)
    assert list(read(tmp_path).splits) == ["train", "test"]


def test_a_class_may_be_called_train(tmp_path):
    assert read(class_folders(tmp_path, ["bus", "train"])).classes == ["bus", "train"]


def test_nested_hidden_and_other_files(tmp_path):
    class_folders(tmp_path)
    save(tmp_path / "cat" / "more" / "deep" / "x.PNG", pixels(8, 8))
    save(tmp_path / "cat" / ".hidden.png", pixels(3, 3))
    save(tmp_path / ".cache" / "x.png", pixels(3, 3))
    save(tmp_path / "__MACOSX" / "x.png", pixels(3, 3))
    save(tmp_path / "loose.png", pixels(3, 3))
    (tmp_path / "cat" / "notes.txt").write_text("hello")
    collection = read(tmp_path)
    assert collection.classes == ["cat", "dog"]
    names = [collection.splits["all"].name(i) for i in range(11)]
    assert names[:6] == [f"cat/{i}.png" for i in range(5)] + ["cat/more/deep/x.PNG"]
    assert any("1 .txt" in note for note in collection.notes)
    assert any("loose.png" in note for note in collection.notes)


def test_class_names_with_spaces_unicode_and_html(tmp_path):
    names = ["<b>bold</b>".replace("/", "∕"), "großer Hund", "猫", "a & b", "été"]
    class_folders(tmp_path, names)
    assert read(tmp_path).classes == sorted(names)


def test_one_class_name_in_two_unicode_forms(tmp_path):
    class_folders(tmp_path / "train", ["caf\u00e9", "bar"])
    class_folders(tmp_path / "test", ["cafe\u0301", "bar"])
    assert read(tmp_path).classes == ["bar", "caf\u00e9"]


def test_classes_that_are_numbers_are_in_the_order_of_numbers(tmp_path):
    assert read(class_folders(tmp_path, ["10", "9", "1"])).classes == ["1", "9", "10"]


def test_links_inside_the_folder_are_files_like_others(tmp_path):
    class_folders(tmp_path)
    (tmp_path / "cat" / "same.png").symlink_to(tmp_path / "cat" / "0.png")
    assert len(read(tmp_path).splits["all"].labels) == 11


def test_a_class_that_test_lacks_is_noted(tmp_path):
    class_folders(tmp_path / "train", ["cat", "dog"])
    class_folders(tmp_path / "test", ["cat"])
    assert any("'dog'" in note for note in read(tmp_path).notes)


# What the headers of a whole set decide


def test_conversions_are_noted_with_counts_and_names(tmp_path):
    class_folders(tmp_path)
    for i in range(4):
        save(tmp_path / "dog" / f"rgba{i}.png", pixels(8, 8, 4))
    collection = read(tmp_path)
    print("\n".join(collection.notes))
    assert (
        "4 of 14 images: with transparency, laid on white (dog/rgba0.png, dog/rgba1.png, "
        "dog/rgba2.png, ...)" in collection.notes
    )
    assert any(n.startswith("10 of 14 images: gray repeated") for n in collection.notes)
    assert decoded(collection.splits["all"]).shape == (14, 8, 8, 3)


def test_channels_can_be_set(tmp_path):
    for name in ("cat", "dog"):
        for i in range(4):
            save(tmp_path / name / f"{i}.png", pixels(8, 8, 3, seed=i))
    collection = read(tmp_path, channels=1)
    assert decoded(collection.splits["all"]).shape == (8, 8, 8, 1)
    assert "8 of 8 images: colour turned into gray" in " ".join(collection.notes)


def test_many_headers_are_read_by_several_processes(tmp_path):
    class_folders(tmp_path, count=250)
    save(tmp_path / "dog" / "999.png", pixels(8, 8, 3))
    survey = images.survey(sorted(tmp_path.rglob("*.png")), ReadOptions())
    assert (survey.shape, survey.channels) == ((8, 8), 3)
    assert survey.notes[0].startswith("500 of 501 images: gray repeated")


def test_image_shape_looks_at_one_header(tmp_path):
    class_folders(tmp_path, shape=(12, 10))
    assert own.image_shape(tmp_path, ReadOptions()) == (12, 10, 1)
    assert own.image_shape(tmp_path, ReadOptions(shape=(4, 6), channels=3)) == (4, 6, 3)
    (tmp_path / "cat" / "0.png").write_bytes(b"")  # a broken first file is no obstacle
    assert own.image_shape(tmp_path, ReadOptions()) == (12, 10, 1)


# Tables


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_table(tmp_path, separator, start):
    path = table(tmp_path, f"{start}file{separator}label\n" + good_rows(separator))
    collection = read(path)
    assert collection.classes == ["class a", "class b"]
    assert decoded(collection.splits["all"]).shape == (10, 8, 8, 1)
    assert collection.splits["all"].name(9) == "b4.png"
    assert own.image_shape(path, ReadOptions()) == (8, 8, 1)


def test_table_with_splits_quotes_and_windows_line_ends(tmp_path):
    splits = ["train", "train", "valid", "test", "test"]
    rows = ['label,split,"file"'] + [
        f'"{c}, the <{c}>",{splits[i]},./{c}{i}.png' for c in "ab" for i in range(5)
    ] + ["", ",,"]  # fmt: skip
    collection = read(table(tmp_path, "\r\n".join(rows)))
    assert collection.classes == ["a, the <a>", "b, the <b>"]
    assert {s: len(x.labels) for s, x in collection.splits.items()} == {
        "train": 4, "val": 2, "test": 4,
    }  # fmt: skip


def test_nothing_is_written_into_the_folder(tmp_path):
    class_folders(tmp_path / "folders")
    csv = table(tmp_path / "table", "file,label\n" + good_rows())
    before = snapshot(tmp_path)
    for path in (tmp_path / "folders", csv):
        decoded(read(path, shape=(4, 4)).splits["all"])
        own.image_shape(path, ReadOptions())
    assert snapshot(tmp_path) == before
