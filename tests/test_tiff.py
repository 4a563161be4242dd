"""TIFF files: every layout gives the stored values, or a refusal that says what is stored."""

import lzma
import subprocess
import sys
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import tifffile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

import tiff_files
from ddcnn.base.errors import InputError
from ddcnn.data import images
from ddcnn.data import pixels as pixels_module
from ddcnn.data.options import ReadOptions
from own_data import class_folders, pixels, read, save, smooth
from tiff_files import DEFLATE, LZMA, NONE, PACKBITS, write_tiff

GRAY, RGB = pixels(9, 7), pixels(9, 7, 3)
ALPHA, PREMULTIPLIED, UNKNOWN = 2, 1, 0
PLAIN_UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}
TYPES = [
    "u1",
    "u2",
    "u4",
    "u8",
    "u12",
    "u16",
    "u24",
    "u32",
    "i8",
    "i16",
    "i32",
    "f16",
    "f32",
    "f64",
]


def decode(path, channels=1, **options):
    return images.decode_image(path, ReadOptions(**options), channels)


def header(path, **options):
    return images.read_header(path, ReadOptions(**options))


def refusal(path, **options) -> str:
    with pytest.raises(InputError) as error:
        decode(path, **options)
    print(error.value)
    return str(error.value)


def scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """In float64, one value after the other: what 8 bit should be, up to rounding."""
    return np.clip((values.astype(np.float64) - low) * 255 / (high - low), 0, 255)


def stored_values(kind: str, bits: int, shape: tuple[int, ...], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "f":
        return rng.normal(0, 100, shape).astype(f"f{bits // 8}")
    low = 0 if kind == "u" else -(2 ** (bits - 1))
    size = {1: 1, 2: 1, 4: 1, 12: 2, 24: 4}.get(bits, bits // 8)
    return rng.integers(low, low + 2**bits, shape).astype(f"{kind}{size}")


@settings(max_examples=300, deadline=None)
@given(
    kind_bits=st.sampled_from(TYPES),
    samples=st.sampled_from([1, 3]),
    planar=st.sampled_from([1, 2]),
    order=st.sampled_from("<>"),
    compression=st.sampled_from([NONE, DEFLATE, PACKBITS, LZMA]),
    predictor=st.sampled_from([1, 2]),
    orientation=st.integers(1, 8),
    rows=st.sampled_from([1, 4, 100]),
    white_is_zero=st.booleans(),
    size=st.tuples(st.integers(1, 11), st.integers(1, 11)),
    seed=st.integers(0, 100),
)
@example("u8", 1, 1, "<", NONE, 1, 6, 100, False, (12, 20), 0)  # Pillow garbles it
@example("i16", 1, 1, ">", DEFLATE, 1, 1, 100, False, (16, 16), 0)  # Pillow swaps its bytes
@example("u16", 3, 2, "<", DEFLATE, 1, 1, 100, False, (9, 7), 0)  # Pillow, OpenCV: wrong values
@example("f16", 1, 1, "<", NONE, 1, 1, 100, False, (9, 7), 0)  # SimpleITK: bit patterns
@example("u12", 1, 1, ">", NONE, 1, 1, 100, False, (9, 7), 0)  # OpenCV: 16 times the values
def test_every_layout(
    kind_bits, samples, planar, order, compression, predictor, orientation, rows, white_is_zero,
    size, seed,
):  # fmt: skip
    kind, bits = kind_bits[0], int(kind_bits[1:])
    has_white = kind == "u" and bits <= 16
    white_is_zero &= has_white and samples == 1
    if bits not in (8, 16, 32, 64) or compression in (NONE, PACKBITS):
        predictor = 1
    values = stored_values(kind, bits, (*size, samples), seed)
    window = None if has_white else (-100.0, 155.0)
    with TemporaryDirectory() as folder:
        path = write_tiff(
            Path(folder, "a.tif"), values, bits, 2 if samples == 3 else 1 - white_is_zero, order,
            compression, planar if samples == 3 else 1, predictor, rows,
            {274: (3, [orientation])},
        )  # fmt: skip
        found = decode(path, samples, window=window)
        said = header(path, window=window)
    plain = values.astype(np.float64)
    plain = 2**bits - 1 - plain if white_is_zero else plain
    expected = PLAIN_UPRIGHT[orientation](scaled(plain, *(window or (0, 2**bits - 1))))
    assert (said.shape, said.channels) == (found.shape[:2], samples)
    np.testing.assert_allclose(found, expected, atol=0.51)


@pytest.mark.parametrize("compression", [
    None, "tiff_lzw", "tiff_deflate", "packbits", "lzma", "zstd",
])  # fmt: skip
@pytest.mark.parametrize("values", [GRAY, RGB])
def test_files_that_pillow_writes(tmp_path, compression, values):
    path = save(tmp_path / "a.tif", values, compression=compression)
    channels = 1 if values.ndim == 2 else 3
    np.testing.assert_array_equal(decode(path, channels), values.reshape(9, 7, channels))


def test_jpeg_within_tiff_is_close_to_what_was_saved(tmp_path):
    path = save(tmp_path / "a.tif", smooth(64, 80), compression="jpeg", quality=95)
    close = np.abs(decode(path, 3).astype(int) - smooth(64, 80))
    assert close.mean() < 3
    assert header(path).channels == 3


@pytest.mark.parametrize("compression", ["group3", "group4"])
@pytest.mark.parametrize("shape", [(9, 7), (40, 64)])
def test_fax_compression(tmp_path, compression, shape):
    bits = pixels(*shape) > 128
    path = save(tmp_path / "a.tif", bits, compression=compression)
    np.testing.assert_array_equal(decode(path)[..., 0], np.where(bits, 255, 0))
    assert header(path).changes == ("1 bit turned into 0 and 255",)


@pytest.mark.parametrize("values", [GRAY, RGB, GRAY.astype(np.float32), RGB.astype(np.uint16)])
def test_tiles_and_bigtiff_of_tifffile(tmp_path, values):
    path = tmp_path / "a.tif"
    large = np.repeat(np.repeat(values, 5, 0), 5, 1)
    tifffile.imwrite(path, large, tile=(16, 32), compression="zlib", predictor=True, bigtiff=True)
    channels, window = 1 if values.ndim == 2 else 3, (0, 255)
    found = decode(path, channels, window=window)
    np.testing.assert_array_equal(found.reshape(large.shape), large)


def test_a_tiff_is_known_by_its_content(tmp_path):
    path = write_tiff(tmp_path / "a.png", GRAY[..., None], order=">")
    np.testing.assert_array_equal(decode(path)[..., 0], GRAY)


# Palettes, transparency, further channels


@pytest.mark.parametrize("factor", [1, 256, 257])
def test_palettes_of_8_and_16_bit(tmp_path, factor):
    """Some programs store colours of 8 bit in its 16; multiples of 256 and 257 are both seen."""
    colours = pixels(3, 256, seed=5)
    entries = (colours.astype(int) * factor).ravel().tolist()
    path = write_tiff(tmp_path / "a.tif", GRAY[..., None], photometric=3, tags={320: (3, entries)})
    np.testing.assert_array_equal(decode(path, 3), colours.T[GRAY])
    assert header(path).changes == ("palette replaced by its colours",)


@pytest.mark.parametrize("kind", [ALPHA, PREMULTIPLIED])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("planar", [1, 2])
def test_transparency_is_laid_on_white(tmp_path, kind, dtype, colours, planar):
    top = np.iinfo(dtype).max
    values = np.random.default_rng(0).integers(0, top + 1, (9, 7, colours + 1)).astype(dtype)
    seen, alpha = values[..., :-1].astype(float), values[..., -1:].astype(float)
    if kind == PREMULTIPLIED:
        seen = np.floor(seen * alpha / top)
        values[..., :-1] = seen
    else:
        seen = seen * alpha / top
    photometric = 1 if colours == 1 else 2
    path = write_tiff(tmp_path / "a.tif", values, photometric=photometric, planar=planar,
                      tags={338: (3, [kind])})  # fmt: skip
    expected = (seen + top - alpha) * 255 / top
    np.testing.assert_allclose(decode(path, colours), expected, atol=0.51)
    assert "with transparency, laid on white" in header(path).changes


@pytest.mark.parametrize("further", [[UNKNOWN], [UNKNOWN, UNKNOWN], [UNKNOWN, ALPHA]])
def test_channels_beyond_rgb_are_noted(tmp_path, further):
    values = np.dstack([RGB, pixels(9, 7, len(further), seed=1)])
    path = write_tiff(tmp_path / "a.tif", values, photometric=2, tags={338: (3, further)})
    assert "channels beyond RGB left out" in header(path).changes
    if ALPHA not in further:
        np.testing.assert_array_equal(decode(path, 3), RGB)
        return
    alpha = values[..., 4:].astype(float)
    expected = RGB * (alpha / 255) + 255 - alpha
    np.testing.assert_allclose(decode(path, 3), expected, atol=0.51)


def test_cmyk_as_pillow_turns_it_into_rgb(tmp_path):
    inks = pixels(9, 7, 4)
    expected = np.asarray(Image.fromarray(inks, "CMYK").convert("RGB"))
    path = write_tiff(tmp_path / "a.tif", inks, photometric=5)
    np.testing.assert_array_equal(decode(path, 3), expected)
    assert header(path).changes == ("CMYK turned into RGB",)
    deep = write_tiff(tmp_path / "b.tif", inks.astype(np.uint16) * 257, photometric=5)
    np.testing.assert_array_equal(decode(deep, 3), expected)


# Pages


@pytest.mark.parametrize(("pages", "notes"), [
    ([0, 1, 1], ()),
    ([0, 4, 1, 5], ("mask beside the image left out",)),
    ([1, 0], ()),
])  # fmt: skip
def test_overviews_and_masks_are_no_further_images(tmp_path, pages, notes):
    path = write_tiff(tmp_path / "a.tif", GRAY[..., None], copies=pages)
    np.testing.assert_array_equal(decode(path)[..., 0], GRAY)
    assert header(path).changes == notes


def test_the_page_that_counts_is_not_always_the_first(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(GRAY[::2, ::2], subfiletype=1, metadata=None)
        writer.write(GRAY, subfiletype=0, metadata=None)
    np.testing.assert_array_equal(decode(path)[..., 0], GRAY)


@pytest.mark.parametrize(("pages", "words"), [
    ([0, 0, 1, 0], "holds 3 pages or frames"),
    ([0] * 100, "holds 100 pages or frames"),
    ([1, 4], "holds overviews or masks alone"),
])  # fmt: skip
def test_other_pages(tmp_path, pages, words):
    assert words in refusal(write_tiff(tmp_path / "a.tif", GRAY[..., None], copies=pages))


@pytest.mark.parametrize("options", [{"imagej": True}, {}, {"truncate": True}])
def test_stacks_of_tifffile(tmp_path, options):
    tifffile.imwrite(tmp_path / "a.tif", pixels(5, 9, 7), photometric="minisblack", **options)
    assert "holds 5 pages or frames" in refusal(tmp_path / "a.tif")


@pytest.mark.parametrize("slices", [3, 4])
def test_a_volume_that_tifffile_wrote_as_colours_is_noted(tmp_path, slices):
    """Nothing in the file tells slices from colours; other programs write planes of colours."""
    with pytest.warns(DeprecationWarning, match="photometric"):
        tifffile.imwrite(tmp_path / "a.tif", pixels(slices, 9, 7))
    said = header(tmp_path / "a.tif")
    assert said.channels == 3
    assert any("tifffile writes a volume of 3 or 4 slices" in change for change in said.changes)
    tifffile.imwrite(tmp_path / "b.tif", pixels(9, 7, 3), photometric="rgb")
    assert header(tmp_path / "b.tif").changes == ()
    planar = write_tiff(tmp_path / "c.tif", RGB, photometric=2, planar=2)
    assert header(planar).changes == ()


# Refusals name what is stored


@pytest.mark.parametrize(("values", "options", "words"), [
    (pixels(9, 7, 2), {}, ["2 channels", "2 samples of 8 bit", "MINISBLACK"]),
    (pixels(9, 7, 2), {"photometric": 0, "tags": {338: (3, [2])}}, ["transparency", "MINISWHITE"]),
    (pixels(9, 7, 4).astype("f4"), {"photometric": 2, "tags": {338: (3, [2])}}, ["transparency"]),
    (pixels(9, 7, 5), {}, ["5 channels", "with or without alpha"]),
    (pixels(9, 7, 3), {"photometric": 8}, ["colour space", "3 samples of 8 bit", "CIELAB"]),
    (pixels(9, 7, 3), {"photometric": 6}, ["YCBCR", "save it in RGB"]),
    (pixels(9, 7, 1).astype("i2"), {"photometric": 0}, ["16 bit (signed)", "without a sign"]),
    (pixels(9, 7, 1), {"tags": {259: (3, [34887])}}, ["LERC", "accepted: compressions none"]),
    (pixels(9, 7, 1), {"tags": {259: (3, [61234])}}, ["compression 61234"]),
    (pixels(9, 7, 1), {"tags": {339: (3, [3])}}, ["type of values", "1 samples of 8 bit (real)"]),
    (pixels(9, 7, 1), {"predictor": 2}, ["its predictor 2", "compression NONE"]),
    (pixels(9, 7, 1), {"predictor": 3, "compression": DEFLATE}, ["its predictor 3"]),
    (pixels(9, 7, 3), {"photometric": 2, "tags": {258: (3, [5, 6, 5])}}, ["different bit"]),
    (pixels(9, 7, 1), {"tags": {32997: (4, [9])}}, ["a depth of 9 slices"]),
    (pixels(9, 7, 4), {"photometric": 5, "tags": {332: (3, [2])}}, ["colour space", "SEPARATED"]),
])  # fmt: skip
def test_what_is_not_read(tmp_path, values, options, words):
    message = refusal(write_tiff(tmp_path / "a.tif", values, **options))
    assert all(word in message for word in ["a.tif", *words])
    assert "\n" not in message


def test_complex_values(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GRAY.astype(np.complex64))
    assert "64 bit (complex)" in refusal(tmp_path / "a.tif", window=(0, 1))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_where_zero_is_white_the_image_is_inverted_and_said_to_be(tmp_path, dtype):
    """As the format says; Pillow, OpenCV, SimpleITK and tifffile leave 16 bit as stored."""
    values = pixels(9, 7, 1).astype(dtype) * (np.iinfo(dtype).max // 255)
    path = write_tiff(tmp_path / "a.tif", values, photometric=0)
    np.testing.assert_array_equal(decode(path), 255 - pixels(9, 7, 1))
    assert "zero is white, inverted" in header(path).changes


def test_a_window_where_zero_is_white(tmp_path):
    path = write_tiff(tmp_path / "a.tif", GRAY[..., None], photometric=0)
    assert "zero is white" in refusal(path, window=(0, 9))


@pytest.mark.parametrize("compression", [NONE, DEFLATE, PACKBITS, LZMA])
@pytest.mark.parametrize("rows", [3, 100])
def test_a_file_cut_anywhere_is_refused(tmp_path, compression, rows):
    path = write_tiff(tmp_path / "a.tif", GRAY[..., None], compression=compression, rows=rows)
    content = path.read_bytes()
    for keep in range(8, len(content) - 1, 3):  # the last byte may only be there for alignment
        path.write_bytes(content[:keep])
        refusal(path)


def test_fewer_parts_than_the_image_has(tmp_path):
    path = write_tiff(tmp_path / "a.tif", GRAY[..., None], rows=3)
    content = bytearray(path.read_bytes())
    place = content.index(np.array([278, 4], "<u2").tobytes()) + 8
    content[place] = 1  # one row a strip: there should be 9
    path.write_bytes(content)
    assert "holds 3 of 9 parts" in refusal(path)


def test_a_jpeg_that_claims_more_than_its_page(tmp_path):
    path = save(tmp_path / "a.tif", smooth(16, 16), compression="jpeg")
    content = bytearray(path.read_bytes())
    place = content.index(b"\xff\xc0") + 5  # start of frame: rows and columns
    content[place : place + 4] = b"\xfd\xe8\xfd\xe8"
    path.write_bytes(content)
    assert "holds a JPEG of another size than its header says" in refusal(path)


@pytest.mark.parametrize("compression", [DEFLATE, PACKBITS, LZMA])
def test_what_unpacks_to_more_is_never_unpacked_whole(tmp_path, compression, monkeypatch):
    """256 MB in a part of 63 bytes; the limit leaves room for the libraries alone."""
    runs = {
        DEFLATE: lambda: zlib.compress(bytes(2**28), 1),
        PACKBITS: lambda: b"\x81\0" * 2**21,  # each pair stands for 128 zeros
        LZMA: lambda: lzma.compress(bytes(2**28), preset=0),
    }
    monkeypatch.setattr(tiff_files, "compressed", lambda data, _: runs[compression]())
    path = write_tiff(tmp_path / "a.tif", GRAY[..., None], compression=compression)
    code = (
        "import sys, resource, numpy, tifffile, imagecodecs\n"
        "from pathlib import Path\n"
        "from ddcnn.base.errors import InputError\n"
        "from ddcnn.data import images, options\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: images.decode_image(Path(sys.argv[1]), options.ReadOptions(), 1)\n"
        "except InputError: pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=True)
    assert int(done.stdout) < 2**16  # KiB


@pytest.mark.parametrize(("tags", "words"), [
    ({256: (4, [60_000]), 257: (4, [60_000])}, "60000 x 60000 pixels, more than most_megapixels"),
    ({277: (3, [60_000]), 257: (4, [60_000])}, "too many channels"),
    ({322: (4, [2**31]), 323: (4, [2**31])}, "too large tiles"),
])  # fmt: skip
def test_bombs_are_refused_by_their_header(tmp_path, tags, words):
    path = write_tiff(tmp_path / "a.tif", RGB, photometric=2, compression=DEFLATE, tags=tags)
    assert words in refusal(path)


# Colour profiles: a note, whatever the format


def test_only_the_name_of_srgb_and_its_short_forms_count():
    """Not whatever has c2 in its name, as the wide colours of television do."""
    for name, foreign in [("sRGB IEC61966-2.1", False), ("c2", False), ("Rec2020", True)]:
        content = profile("sRGB")
        old = content.index("sRGB built-in".encode("utf-16-be"))
        text = name.ljust(13).encode("utf-16-be")[:26]
        assert (
            pixels_module.has_foreign_profile(content[:old] + text + content[old + 26 :]) == foreign
        )


def profile(kind: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(kind)).tobytes()


@pytest.mark.parametrize("suffix", ["tif", "png", "jpg", "webp"])
def test_colour_profiles(tmp_path, suffix):
    other = "colour profile other than sRGB, not applied"
    for content, notes in [(profile("sRGB"), ()), (profile("XYZ"), (other,)), (b"x", (other,))]:
        path = save(tmp_path / f"a.{suffix}", RGB, icc_profile=content)
        assert header(path).changes == notes


def test_notes_of_a_folder_count_each_change(tmp_path):
    class_folders(tmp_path, shape=(9, 7))
    deep = np.dstack([RGB.astype(np.uint16) * 257, np.full((9, 7), 65535)]).astype(np.uint16)
    for i in range(2):
        write_tiff(tmp_path / "cat" / f"x{i}.tif", deep, photometric=2, tags={338: (3, [ALPHA])})
    write_tiff(tmp_path / "dog" / "x.tif", deep, photometric=2, tags={338: (3, [UNKNOWN])})
    notes = read(tmp_path).notes
    for start in (
        "2 of 13 images: with transparency, laid on white (cat/x0.tif, cat/x1.tif)",
        "3 of 13 images: 65535 scaled to 255",
        "1 of 13 images: channels beyond RGB left out (dog/x.tif)",
        "10 of 13 images: gray repeated in three channels",
    ):
        assert any(note.startswith(start) for note in notes), notes
