"""The command predict: what it takes, what it refuses, and what it says of the rest."""

import csv
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from markdown_it import MarkdownIt
from PIL import Image

import ddcnn
from ddcnn import nets
from ddcnn.__main__ import main
from ddcnn.base.errors import InputError
from ddcnn.bundle.card import card_text
from ddcnn.bundle.file import Bundle, read_bundle, write_bundle
from ddcnn.coarse.net import CoarseNet
from ddcnn.coarse.settings import CoarseSettings
from ddcnn.tiles.geometry import Tiling
from ddcnn.tiles.shards import plan_of
from own_data import save_volume
from stage_runs import SETTINGS, StageRun
from workflow_runs import small_fashion, synthetic_volumes


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> StageRun:
    """Gray images of 28 x 28 that were not resized."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("fashion")
    entry = {"name": "fashion", "path": str(small_fashion(folder / "fashion.npz", 240))}
    return StageRun(folder / "results", entry, Tiling.of("blocks", "2x1", 4), True).write()


@pytest.fixture(scope="module")
def volumes(tmp_path_factory) -> StageRun:
    """Volumes of 12 x 16 x 8 voxels that were not resized."""
    folder = tmp_path_factory.mktemp("volumes")
    entry = {"name": "volumes", "path": str(synthetic_volumes(folder / "volumes.npz"))}
    return StageRun(folder / "results", entry, Tiling.of("blocks", "2x1x2", "2x0x4"), True).write()


def with_reading(run: StageRun, path: Path, card: dict | None = None, **reading) -> Path:
    """The model of a run whose data had been read in another way."""
    bundle = read_bundle(run.model)
    data = bundle.description["data"] | (card or {})
    data["counts"] = {
        split: dict(zip(data["classes"], counts.values(), strict=True))
        for split, counts in data["counts"].items()
    }
    changed = bundle.description | {
        "reading": bundle.description["reading"] | reading,
        "data": data,
    }
    write_bundle(path, Bundle(changed, bundle.tensors))
    return path


def predict(model: Path, *arguments: object, out: Path | None = None) -> tuple[int, list[dict]]:
    table = ["--csv", str(out)] if out else []
    status = main(["predict", str(model), *map(str, arguments), *table, "--device", "cpu"])
    rows = list(csv.DictReader(out.open(encoding="utf-8"))) if out and out.exists() else []
    return status, rows


def values(rows: list[dict]) -> np.ndarray:
    return np.array([[float(x) for x in list(row.values())[2:]] for row in rows])


def pictures(run: StageRun, folder: Path, count: int = 5) -> np.ndarray:
    """Test images as PNG files in folders of folders; returns their predictions."""
    for index, image in enumerate(np.load(run.data / "x_test.npy")[:count]):
        path = folder / "deep" / "er" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(path)
    return run.predictions()[:count]


# --- what it takes -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 64])
def test_predictions_are_those_of_the_pipeline(run, tmp_path, size):
    array = run.data / "x_test.npy"
    status, rows = predict(run.model, array, "--batch-size", size, out=tmp_path / "out.csv")
    assert status == 0
    assert rows[1]["file"] == f"{array}[1]"
    assert list(rows[0]) == ["file", "prediction", *map(str, range(10))]
    expected = run.predictions()
    np.testing.assert_allclose(values(rows), expected, atol=1e-6)
    assert [row["prediction"] for row in rows] == [str(k) for k in expected.argmax(axis=1)]


def test_files_folders_and_tables_are_predicted_in_their_order(run, tmp_path):
    expected = pictures(run, tmp_path)
    (tmp_path / "list.csv").write_text("label;file\nx;deep/er/4.png\ny;deep/er/0.png\n")
    inputs = [tmp_path / "deep/er/2.png", tmp_path / "deep", tmp_path / "list.csv"]
    status, rows = predict(run.model, *inputs, out=tmp_path / "out.csv")
    assert status == 0
    np.testing.assert_allclose(values(rows), expected[[2, 0, 1, 2, 3, 4, 4, 0]], atol=1e-6)
    assert rows[-1]["file"] == str(tmp_path / "deep/er/0.png")


PREDICT = """
import sys
from ddcnn.__main__ import main
status = main(["predict", *sys.argv[1:]])
sys.exit(status or sorted({"torch", "nibabel", "pandas"}.intersection(sys.modules)) or 0)
"""


def test_pictures_do_not_wait_for_torch(run, tmp_path):
    expected = pictures(run, tmp_path, 2)
    command = [sys.executable, "-c", PREDICT, run.model, tmp_path / "deep", "--device", "cpu"]
    subprocess.run([*command, "--csv", tmp_path / "out.csv"], check=True)
    rows = list(csv.DictReader((tmp_path / "out.csv").open(encoding="utf-8")))
    np.testing.assert_allclose(values(rows), expected, atol=1e-6)


def test_a_table_is_printed_without_a_file(run, tmp_path, capsys):
    expected = pictures(run, tmp_path, 1)[0]
    assert predict(run.model, tmp_path / "deep")[0] == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["file", "prediction", "probability"]
    assert row.split()[1:] == [str(expected.argmax()), f"{expected.max():.4f}"]


def test_arrays_of_any_name_are_predicted(run, tmp_path):
    x = np.load(run.data / "x_test.npy")
    np.savez(tmp_path / "one.npz", anything=x[:2, ..., 0])
    np.savez(tmp_path / "two.npz", x_train=x[:1], x_test=x[1:3])
    status, rows = predict(
        run.model, tmp_path / "one.npz", tmp_path / "two.npz", out=tmp_path / "out.csv"
    )
    assert status == 0
    np.testing.assert_allclose(values(rows), run.predictions()[[0, 1, 1, 2, 0]], atol=1e-6)


# --- what it refuses ---------------------------------------------------------------------------


def test_others_are_predicted_beside_what_cannot_be_read(run, tmp_path, capsys):
    expected, folder = pictures(run, tmp_path), tmp_path / "deep/er"
    (folder / "00.png").write_bytes(b"no picture")
    content = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(content[: len(content) // 2])
    (folder / "3.png").unlink()
    (folder / "3.png").symlink_to("nowhere.png")
    Image.new("L", (30, 28)).save(folder / "size.png")
    Image.new("RGB", (28, 28)).save(folder / "colour.png")
    (folder / "hidden.txt").write_text("not of a known kind")
    status, rows = predict(
        run.model, folder, tmp_path / "missing.png", folder / "hidden.txt", out=tmp_path / "o.csv"
    )
    assert status == 1
    np.testing.assert_allclose(values(rows), expected[[0, 2, 4]], atol=1e-6)
    error = capsys.readouterr().err
    assert "error: 7 of 10 inputs were not predicted, nor what follows" in error
    for words in (
        "00.png holds no image of a known kind",
        "1.png cannot be read as an image",
        "3.png is a link to nothing",
        "size.png is 28 x 30, the model takes 28 x 28",
        "colour.png is in colour (RGB), the model takes images gray",
        "missing.png does not exist",
        "hidden.txt is of no known kind",
    ):
        assert words in error
    assert "Traceback" not in error


def test_only_asked_for_are_images_brought_to_the_model(run, tmp_path, capsys):
    pictures(run, tmp_path, 1)
    picture = tmp_path / "deep/er/0.png"
    large = Image.open(picture).resize((56, 56), Image.Resampling.NEAREST).convert("RGB")
    large.save(tmp_path / "large.png")
    status, rows = predict(
        run.model, tmp_path / "large.png", "--adapt", "stretch", out=tmp_path / "out.csv"
    )
    assert status == 0
    assert abs(values(rows)[0] - run.predictions()[0]).max() < 0.3
    notes = capsys.readouterr().err
    assert "stretched to 28 x 28" in notes
    assert "1 of 1 images: turned into gray" in notes


def test_what_the_preparation_changed_is_changed_here_too(run, tmp_path, capsys):
    model = with_reading(run, tmp_path / "model.safetensors", shape=[28, 28], fit="pad", channels=1)
    Image.new("RGB", (60, 50), "white").save(tmp_path / "white.png")
    status, rows = predict(model, tmp_path / "white.png", out=tmp_path / "out.csv")
    assert status == 0
    padded = np.zeros((1, 1, 28, 28), np.float32)
    padded[:, :, 2:25] = 255  # 50 of 60 rows
    with torch.no_grad():
        expected = ddcnn.load(model)(torch.from_numpy(padded)).numpy()
    np.testing.assert_allclose(values(rows), expected, atol=0.05)
    assert "padded with black to 28 x 28" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("x.npy", np.zeros((2, 27, 28), np.uint8), "is 27 x 28, the model takes 28 x 28"),
        ("x.npy", np.zeros((2, 28, 28, 3), np.uint8), "is in colour"),
        ("x.npy", np.zeros((2, 28, 28, 2), np.uint8), "has 2 channels, the model takes 1"),
        ("x.npy", np.zeros((28, 28), np.uint8), "also for a single one (N = 1)"),
        ("x.npy", np.zeros((2, 28, 28), np.float32), "no window is set"),
        ("x.npy", np.array([{}, {}]), "Python objects, which are never loaded"),
        ("x.npz", b"PK", "not a readable .npz"),
        ("x.npy", b"\x93NUMPY", "truncated or broken"),
        ("scan.nii", b"no scan", "is not a NIfTI file"),
    ],
)
def test_arrays_and_other_kinds_are_one_clear_error(run, tmp_path, capsys, name, array, words):
    if isinstance(array, bytes):
        (tmp_path / name).write_bytes(array)
    else:
        np.save(tmp_path / name, array)
    status, rows = predict(run.model, tmp_path / name, out=tmp_path / "out.csv")
    assert (status, rows) == (1, [])
    error = capsys.readouterr().err
    assert words in error
    assert "nothing was predicted" in error
    assert not (tmp_path / "out.csv").exists()


def test_volumes_are_no_images(run, volumes, tmp_path, capsys):
    nib.save(nib.Nifti1Image(np.zeros((12, 16, 8), np.uint8), np.eye(4)), tmp_path / "scan.nii")
    assert predict(run.model, tmp_path / "scan.nii")[0] == 1
    assert "is 3D (16 x 12 x 8), the model takes images of 28 x 28" in capsys.readouterr().err
    Image.new("L", (28, 28)).save(tmp_path / "image.png")
    assert predict(volumes.model, tmp_path / "image.png")[0] == 1
    assert "is 2D (28 x 28), the model takes volumes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "names or holds nothing to predict"),
        ("", "list.csv is empty"),
        ("path\na.png\n", "no column 'file'"),
        ("file\n", "names or holds nothing to predict"),
        (b"\xff\xfe", "list.csv, line 1 is not UTF-8"),
    ],
)
def test_an_empty_folder_or_table_is_one_clear_error(run, tmp_path, capsys, content, words):
    path = tmp_path / ("folder" if content is None else "list.csv")
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert predict(run.model, path)[0] == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--batch-size", "0"], "accepted: 1 or more"),
        (["--device", "cuda"], "finds no GPU"),
        (["--device", "toaster"], "accepted: auto, cpu, cuda"),
    ],
)
def test_wrong_options_are_one_clear_error(run, capsys, monkeypatch, arguments, words):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["predict", str(run.model), str(run.data / "x_test.npy"), *arguments]) == 1
    assert words in capsys.readouterr().err


# --- explanations ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["images", "volumes"])
def test_every_image_is_drawn_with_its_votes(run, volumes, tmp_path, kind):
    made = run if kind == "images" else volumes
    np.save(tmp_path / "x.npy", np.load(made.data / "x_test.npy")[:2])
    status, rows = predict(
        made.model, tmp_path / "x.npy", "--explain", tmp_path / "why", out=tmp_path / "out.csv"
    )
    assert status == 0
    drawings = sorted(path.name for path in (tmp_path / "why").glob("*.svg"))
    assert drawings == ["0001-x.npy_0_.svg", "0002-x.npy_1_.svg"]
    table = list(csv.DictReader((tmp_path / "why/tiles.csv").open()))
    subdomains = made.decomposition.subdomains
    assert [row["tile"] for row in table] == subdomains * 2
    x = torch.from_numpy(np.load(tmp_path / "x.npy")).float().movedim(-1, 1)
    explained = ddcnn.load(made.model).explain(x)
    decided = explained.predictions.argmax(dim=1)
    expected = [float(explained.weights[n, t, decided[n]]) for n in range(2) for t in
                range(len(subdomains))]  # fmt: skip
    np.testing.assert_allclose([float(row["weight"]) for row in table], expected, atol=1e-6)
    svg = (tmp_path / "why" / drawings[0]).read_text()
    # For those who cannot see it, and what it shows as text.
    assert f"<title>{rows[0]['file']}: {rows[0]['prediction']}, probability" in svg
    assert all(f"{tile}: " in svg for tile in subdomains)


# --- volumes -----------------------------------------------------------------------------------


def scan(run: StageRun, path: Path, affine: np.ndarray, index: int = 0) -> Path:
    """A test volume as a scanner with this affine would have stored it."""
    volume = np.load(run.data / "x_test.npy")[index, ..., 0]
    target = nib.orientations.axcodes2ornt(("P", "L", "S"))
    stored = nib.io_orientation(affine)
    turn = nib.orientations.ornt_transform(target, stored)
    nib.save(nib.Nifti1Image(nib.apply_orientation(volume, turn).copy(), affine), path)
    return path


AFFINES = {
    "as they are": np.diag([-1.0, -1, 1, 1])[[1, 0, 2, 3]],
    "mirrored": np.diag([1.0, 1, -1, 1]),
    "turned": np.array([[0, 0, 1.0, 0], [1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]]),
}


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_volumes_are_predicted_however_they_are_stored(
    volumes, tmp_path, monkeypatch, affine, tiled
):
    """As a whole, and tile by tile from the places in the file."""
    if tiled:
        monkeypatch.setattr("ddcnn.bundle.expected.LARGE_VOXELS", 10)
    files = [scan(volumes, tmp_path / f"{i}.nii{'.gz' * i}", affine, i) for i in (0, 1)]
    status, rows = predict(volumes.model, *files, out=tmp_path / "out.csv")
    assert status == 0
    np.testing.assert_allclose(values(rows), volumes.predictions()[:2], atol=1e-6)


def test_interleaved_tiles_are_read_from_their_places(volumes, tmp_path, monkeypatch):
    other = StageRun(volumes.results, volumes.entry, Tiling.of("interleaved", "1x2x1")).write()
    monkeypatch.setattr("ddcnn.bundle.expected.LARGE_VOXELS", 10)
    path = scan(other, tmp_path / "scan.nii", AFFINES["turned"])
    _, rows = predict(other.model, path, out=tmp_path / "out.csv")
    np.testing.assert_allclose(values(rows), other.predictions()[:1], atol=1e-6)


def test_another_spacing_is_refused_or_noted(volumes, tmp_path, capsys):
    path = scan(volumes, tmp_path / "scan.nii", AFFINES["mirrored"] * 2)
    known = {"spacing_mm": {"min": [1, 1, 1], "median": [1, 1, 1], "max": [1, 1, 1.5]}}
    model = with_reading(volumes, tmp_path / "strict.safetensors", known)
    assert predict(model, path)[0] == 1
    error = capsys.readouterr().err
    assert "has voxels of 2 x 2 x 2 mm, those of the training 1 x 1 x 1 to 1 x 1 x 1.5 mm" in error
    resizing = with_reading(volumes, tmp_path / "lax.safetensors", known, shape=[12, 16, 8])
    assert predict(resizing, path)[0] == 0
    assert "1 volumes have voxels of a size that the training did not" in capsys.readouterr().err


def test_with_spacing_the_middle_is_cut_and_a_series_is_refused(volumes, tmp_path, capsys):
    path = save_volume(tmp_path / "a.nii", np.zeros((20, 20, 8), np.uint8), np.diag([2, 2, 1, 1]))
    model = with_reading(volumes, tmp_path / "spaced.safetensors", spacing=[1, 1, 1])
    assert predict(model, path)[0] == 0
    said = capsys.readouterr().err
    assert (
        "sizes in the files: 20 x 20 x 8 (rows, columns, slices); resampled by spacing: "
        "40 x 40 x 8; middle cut, or padded with black, to 12 x 16 x 8" in said
    )
    card = card_text(read_bundle(model).description)
    words = "resampled to voxels of 1 x 1 x 1 mm, then middle cut, or padded with black, to this"
    assert f"other sizes: {words}" in card
    series = save_volume(tmp_path / "b.nii", np.zeros((20, 20, 8, 3), np.uint8))
    assert predict(model, series)[0] == 1
    said = capsys.readouterr().err
    assert "b.nii is a series of volumes, and the model was made of single ones; save one" in said
    assert "to dataset" not in said


def test_a_packed_volume_beyond_the_memory_says_what_is_needed(
    volumes, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("ddcnn.bundle.expected.LARGE_VOXELS", 10)
    monkeypatch.setattr("ddcnn.base.memory.memory_left", lambda: 3000)
    for copies in ("file.COPIES", "fit.VIEW_BYTES"):  # as if the model took none
        monkeypatch.setattr(f"ddcnn.bundle.{copies}", 0)
    path = scan(volumes, tmp_path / "scan.nii.gz", AFFINES["mirrored"])
    assert predict(volumes.model, path)[0] == 1
    assert "it needs 3.1 kB of memory, 3.0 kB are left; unpack it" in capsys.readouterr().err


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np, psutil, torch
from ddcnn.bundle.expected import Expected
from ddcnn.bundle.inputs import Inputs
from ddcnn.bundle.prediction import open_model, predict

path, volume, allowed = *sys.argv[1:3], int(sys.argv[3])
opened = open_model(path, None, "cpu")
model = opened.model
# What the libraries take at their first use is no part of the question.
np.ones((512, 512)) @ np.ones((512, 512))
*spatial, _ = model.description["nets"][0]["input_shape"]
model.net.local_output(0, model.net.normalised(torch.zeros(1, 1, *spatial)))
limit = psutil.Process().memory_info().vms + allowed
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    np.ones(3 * allowed, np.uint8)
    sys.exit("the limit does not hold")
except MemoryError:
    inputs = Inputs.find([Path(volume)], Expected.of(model.description))
    found = [float(each.values.sum()) for each in predict(opened, inputs, 1)]
    print(found, inputs.failures)
"""


def large_model(run: StageRun, path: Path, shape: list[int], tiling: Tiling) -> Path:
    """A model with random weights for volumes of another shape, among them the coarse view."""
    facts = read_bundle(run.model).description
    plan = facts["plan"] | plan_of(tiling, tuple(shape))
    net = {"architecture": "vit-patch16", "width": 4, "dropout": 0}
    net |= {"input_shape": [*plan["tile_shape"], 1]}
    names = [*plan["tiles"], "view"]
    facts |= {"plan": plan, "subdomains": names, "nets": [net] * len(names)}
    facts |= {"data": facts["data"] | {"shape": shape}}
    places = {"tiling": tiling.slug, "decomposition": f"{tiling.slug}-view"}
    facts |= {"run": facts["run"] | places}
    facts |= {"reading": facts["reading"] | {"window": [-1000, 400]}}
    coarse = CoarseNet.of(CoarseSettings(**facts["coarse"]), 2 * len(names), 2)
    parts = {"net.coarse.": coarse}
    for number in range(len(names)):
        parts[f"net.nets.{number}."] = nets.build("vit-patch16", net["input_shape"], 2, 4, 0)
    tensors = {"mean_outputs": np.zeros((len(names), 2), np.float32)}
    for before, part in parts.items():
        tensors |= {before + name: value.numpy() for name, value in part.state_dict().items()}
    write_bundle(path, Bundle(facts, tensors))
    return path


@pytest.mark.slow
def test_a_volume_of_eight_times_the_allowed_memory_is_predicted(volumes, tmp_path):
    """The limit is set beyond what the program and the model take before the volume is opened."""
    shape = [256, 256, 320]
    model = large_model(
        volumes, tmp_path / "model.safetensors", shape, Tiling.of("blocks", "4x4x4")
    )
    header = nib.Nifti1Image(np.zeros((1, 1, 1)), AFFINES["as they are"]).header
    header.set_data_dtype(np.float64)
    header.set_data_shape(shape)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    volume, size = tmp_path / "scan.nii", 8 * int(np.prod(shape))
    with volume.open("wb") as file:
        file.write(header.binaryblock)
        file.truncate(352 + size)  # zeros that take no room on the disk
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, model, volume, str(size // 8)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    probabilities, failures = done.stdout[1:].split("] ")
    assert (float(probabilities), failures) == (pytest.approx(1, abs=1e-6), "[]\n")


def test_too_little_memory_is_one_clear_error(run):
    from ddcnn.bundle.prediction import enough_memory

    with pytest.raises(InputError, match="--batch-size below 64"), enough_memory(64):
        torch.empty(2**60, dtype=torch.uint8)
    with pytest.raises(ZeroDivisionError), enough_memory(64):
        raise ZeroDivisionError


# Never a wrong prediction in silence


def test_a_result_that_is_no_number_is_a_failure_and_no_class(run, tmp_path, capsys):
    bundle = read_bundle(run.model)
    huge = np.finfo(np.float32).max
    tensors = {k: np.full_like(v, huge) if v.dtype == np.float32 else v
               for k, v in bundle.tensors.items()}  # fmt: skip
    write_bundle(tmp_path / "broken.safetensors", Bundle(bundle.description, tensors))
    Image.new("L", (28, 28)).save(tmp_path / "a.png")
    assert main(["predict", str(tmp_path / "broken.safetensors"), str(tmp_path / "a.png")]) == 1
    assert "gives no number" in capsys.readouterr().err


@pytest.mark.parametrize("card", ["[]", '{"checksums": {"x.npy": "sha256:0"}}', "{"])
def test_a_card_beside_an_array_does_not_switch_off_its_checks(run, tmp_path, capsys, card):
    """Floating-point images are refused without a window, whatever lies beside them."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((3, 28, 28, 1), np.float32))
    (tmp_path / "card.json").write_text(card)
    assert main(["predict", str(run.model), str(tmp_path / "x.npy")]) == 1
    assert "window" in capsys.readouterr().err


def test_a_list_of_inputs_is_not_replaced_by_the_predictions(run, tmp_path, capsys):
    Image.new("L", (28, 28)).save(tmp_path / "a.png")
    (tmp_path / "q.csv").write_text("file,mine\na.png,1\n")
    assert main(["predict", str(run.model), str(tmp_path / "q.csv"), "--csv",
                 str(tmp_path / "q.csv")]) == 1  # fmt: skip
    assert "also read" in capsys.readouterr().err
    assert (tmp_path / "q.csv").read_text() == "file,mine\na.png,1\n"


def test_what_is_predicted_is_not_replaced(run, tmp_path, capsys):
    pictures(run, tmp_path, 1)
    (tmp_path / "tiles.csv").write_text("file\ndeep/er/0.png\n")
    folder, picture, table = tmp_path / "deep", tmp_path / "deep/er/0.png", tmp_path / "tiles.csv"
    before = [picture.read_bytes(), table.read_bytes()]
    for arguments in (
        [folder, "--csv", picture],
        [table, "--csv", picture],
        [picture, "--csv", run.model],
        [table, "--explain", tmp_path],
    ):
        assert main(["predict", str(run.model), *map(str, arguments)]) == 1
        assert "is also read" in capsys.readouterr().err
    assert [picture.read_bytes(), table.read_bytes()] == before
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["0.png", "tiles.csv"]


def test_a_missing_table_does_not_stop_the_other_inputs(run, tmp_path, capsys):
    Image.new("L", (28, 28)).save(tmp_path / "a.png")
    out = tmp_path / "p.csv"
    inputs = [str(tmp_path / name) for name in ("a.png", "missing.csv", "x" * 300)]
    assert main(["predict", str(run.model), *inputs, "--csv", str(out)]) == 1
    said = capsys.readouterr().err
    assert "missing.csv" in said
    assert "cannot be reached" in said
    assert len(out.read_text().splitlines()) == 2


# --- intensities -------------------------------------------------------------------------------


SCALES = (1, 255, 4000)  # of three scanners: MRI has no unit


def scanned(seed: int, scanner: int) -> np.ndarray:
    """A volume with a bright blob, left or right, as a scanner would give it."""
    rng, shape = np.random.default_rng(seed), (16, 16, 8)
    values, (x, y, z) = rng.normal(0.35, 0.05, shape), np.indices(shape)
    centre = (4 + 7 * (seed % 2) + rng.integers(-1, 2), 8 + rng.integers(-2, 3), 4)
    place = zip((x, y, z), centre, strict=True)
    values += 0.5 * np.exp(-sum((axis - middle) ** 2 for axis, middle in place) / 6)
    values = np.clip(values, 0, 1) * SCALES[scanner]
    return values.astype(np.float32 if scanner == 0 else np.int16)


@pytest.fixture(scope="module", params=["2x2x1", "1x1x1"], ids=["cnn-dnn", "global"])
def scanners(request, tmp_path_factory) -> StageRun:
    """Scans without any setting; those of the test split come from a scanner of their own."""
    torch.set_num_threads(1)
    folder, rows = tmp_path_factory.mktemp("scanners"), ["file,label,split"]
    for i in range(70):
        split = "test" if i >= 50 else "val" if i % 5 == 0 else "train"
        scanner = 2 if i >= 50 else i // 2 % 2
        nib.save(nib.Nifti1Image(scanned(i, scanner), AFFINES["mirrored"]), folder / f"{i}.nii.gz")
        rows.append(f"{i}.nii.gz,{'ab'[i % 2]},{split}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    entry = {"name": "scanners", "path": str(folder / "labels.csv")}
    return StageRun(folder / "results", entry, Tiling.of("blocks", request.param)).write()


def raw_files(run: StageRun) -> list[Path]:
    return [Path(run.entry["path"]).with_name(f"{i}.nii.gz") for i in range(50, 70)]


def test_what_two_scanners_taught_holds_for_a_third(scanners):
    right = scanners.predictions().argmax(axis=1) == np.load(scanners.data / "y_test.npy")
    assert right.mean() >= 0.95
    reading = read_bundle(scanners.model).description["reading"]
    assert (reading["intensity"], reading["window"]) == ("percentile", None)
    card = scanners.model.with_suffix(".md").read_text()
    assert "intensity: black and white are every image's own 0.5 and 99.5 percentile" in card


@pytest.mark.parametrize("tiled", [False, True])
def test_raw_scans_are_predicted_as_the_pipeline_did(scanners, tmp_path, monkeypatch, tiled):
    """As a whole, and tile by tile with the window that the whole volume gets."""
    files = raw_files(scanners)
    if tiled:
        monkeypatch.setattr("ddcnn.bundle.expected.LARGE_VOXELS", 10)
        for path in files:
            nib.save(nib.load(path), tmp_path / path.stem)
        files = sorted(tmp_path.glob("*.nii"))
    status, rows = predict(scanners.model, *files, out=tmp_path / "out.csv")
    assert status == 0
    np.testing.assert_allclose(values(rows), scanners.predictions(), atol=1e-6)


def test_nets_that_hardly_learned_are_met_as_well(scanners, tmp_path):
    """Their outputs are nearly alike, and what tells them apart is made 100 times as large."""
    few = replace(SETTINGS, epochs=1, learning_rate=1e-3)
    run = replace(scanners, results=tmp_path / "results", settings=few).write()
    _, rows = predict(run.model, *raw_files(run), out=tmp_path / "out.csv")
    np.testing.assert_allclose(values(rows), run.predictions(), atol=1e-6)


def hounsfield(shape: tuple[int, ...]) -> np.ndarray:
    """Soft tissue in air."""
    scan = np.random.default_rng(0).normal(-1000, 5, shape)
    scan[shape[0] // 2 :] += 1040
    return scan.astype(np.int16)


@pytest.mark.parametrize("tiled", [False, True])
def test_a_ct_is_no_input_for_a_model_of_mr_images(scanners, tmp_path, monkeypatch, capsys, tiled):
    if tiled:
        monkeypatch.setattr("ddcnn.bundle.expected.LARGE_VOXELS", 10)
    nib.save(nib.Nifti1Image(hounsfield((16, 16, 8)), np.eye(4)), tmp_path / "ct.nii")
    assert predict(scanners.model, tmp_path / "ct.nii", *raw_files(scanners)[:2])[0] == 0
    error = capsys.readouterr().err
    assert "warning: 1 of 3 inputs are of another kind than those of the training" in error
    assert f"(Hounsfield units (CT)): {tmp_path / 'ct.nii'}; do not trust" in error


def test_a_constant_volume_is_named(scanners, tmp_path, capsys):
    nib.save(nib.Nifti1Image(np.full((16, 16, 8), 7.0), np.eye(4)), tmp_path / "flat.nii")
    assert predict(scanners.model, tmp_path / "flat.nii")[0] == 0
    assert "(of one value only)" in capsys.readouterr().err


@pytest.fixture(scope="module")
def fractions(tmp_path_factory) -> StageRun:
    """Images from 0 to 1."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("fractions")
    x = np.load(small_fashion(folder / "bytes.npz", 240))
    np.savez(folder / "data.npz", **{k: v / 255 if k[0] == "x" else v for k, v in x.items()})
    entry = {"name": "fractions", "path": str(folder / "data.npz"), "window": [0, 1]}
    return StageRun(folder / "results", entry, Tiling.of("blocks", "2x1", 4)).write()


@pytest.mark.parametrize("kind", ["png", "bytes", "fractions"])
def test_values_to_255_are_no_input_for_a_model_of_values_to_1(fractions, tmp_path, capsys, kind):
    x = np.load(fractions.data / "x_test.npy")[:4, ..., 0]
    if kind == "png":
        for index, image in enumerate(x):
            Image.fromarray(image).save(tmp_path / f"{index}.png")
    else:
        np.save(tmp_path / "x.npy", x if kind == "bytes" else x / 255)
    inputs = sorted(tmp_path.iterdir())
    status, rows = predict(fractions.model, *inputs, out=tmp_path / "out.csv")
    assert status == 0
    error = capsys.readouterr().err
    if kind == "fractions":
        assert "warning" not in error
        np.testing.assert_allclose(values(rows), fractions.predictions()[:4], atol=1e-6)
    else:
        assert "4 of 4 inputs are of another kind than those of the training" in error
        assert "(more values white than in any training image)" in error


def test_names_of_files_are_shown_and_obeyed_by_nobody(run, tmp_path, monkeypatch, capsys):
    """In the table, the CSV, the drawings and the list of failures; a list is read back."""
    image, classes = (
        np.load(run.data / "x_test.npy")[0, ..., 0],
        ["=1+1", "$x^{$", "-a", *"defghij"],
    )
    model = with_reading(run, tmp_path / "a.safetensors", {"classes": classes})
    monkeypatch.chdir(tmp_path)
    names = ["=1+1.png", "@a\x1b[2J\u202e.png", os.fsdecode(b"\xff$a$.png")]
    for name in names:
        Image.fromarray(image).save(name)
    Path("bad\x9b31m.png").write_bytes(b"no image")
    inputs = [Path(name) for name in (*names, "bad\x9b31m.png")]
    status, rows = predict(model, *inputs, "--explain", "why", out=tmp_path / "a.csv")
    shown = ["=1+1.png", "@a\\x1b[2J\\u202e.png", "\\xff$a$.png"]
    assert status == 1
    assert [row["file"] for row in rows] == [f"'{shown[0]}", f"'{shown[1]}", shown[2]]
    assert list(rows[0])[2:5] == ["'=1+1", "$x^{$", "'-a"]
    assert "bad\\x9b31m.png" in capsys.readouterr().err
    drawings = [file.read_text("utf-8") for file in sorted(Path("why").glob("*.svg"))]
    for name, drawing in zip(shown, drawings, strict=True):
        assert name in "".join(ElementTree.fromstring(drawing).itertext())
    tiles = csv.DictReader(Path("why/tiles.csv").read_text(encoding="utf-8").splitlines())
    assert {row["file"] for row in tiles} == {row["file"] for row in rows}
    assert predict(model, *inputs[:3]) == (0, [])
    said = capsys.readouterr()
    assert all(name in said.out for name in shown)
    assert "\x1b" not in said.out + said.err
    Path("a.csv").write_text("file\n" + rows[0]["file"] + "\n", encoding="utf-8")
    alone = predict(model, inputs[0], out=tmp_path / "alone.csv")[1]
    assert [row["file"] for row in alone] == [rows[0]["file"]]
    assert predict(model, "a.csv", out=tmp_path / "b.csv")[1] == alone


def test_a_card_is_text_whatever_the_data_say(run, tmp_path):
    """By the parser of Markdown: no link, picture, markup or code of others."""
    hostile = "<b>x</b> [a](b) ![i](u) `c` _d_ **e** | f\n# g"
    card = {"title": hostile, "licence": hostile, "notes": [hostile], "warnings": [hostile]}
    model = with_reading(
        run,
        tmp_path / "a.safetensors",
        card | {"classes": [hostile.replace("\n", " "), *"bcdefghij"]},
    )
    tokens = MarkdownIt("commonmark", {"html": True}).parse(
        card_text(read_bundle(model).description)
    )
    inline = [token for token in tokens if token.type == "inline"]
    assert sum("<b>x</b> [a](b) ![i](u) `c` _d_ **e** | f # g" in "".join(
        child.content for child in token.children) for token in inline) == 5  # fmt: skip
    children = [child for token in inline for child in token.children]
    own = {child.content for child in children if child.type == "code_inline"}
    assert own == {"ddcnn export", "--opset"}
    kinds = {child.type for child in children} - {"code_inline"}
    assert kinds <= {"text", "text_special", "softbreak", "strong_open", "strong_close"}
    assert not [token for token in tokens if token.type == "html_block"]
