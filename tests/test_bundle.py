"""The model in one file: its predictions, the library, the exports, and files that are none."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from scipy.special import logsumexp

import ddcnn
from ddcnn import nets
from ddcnn.__main__ import main
from ddcnn.base.errors import DamagedResult, InputError
from ddcnn.base.files import read_json, read_npz
from ddcnn.bundle.card import RUNTIMES, card_text
from ddcnn.bundle.export import export_onnx, export_torch, real_images
from ddcnn.bundle.file import Bundle, read_bundle, write_bundle
from ddcnn.bundle.fit import read_model
from ddcnn.bundle.onnx_graph import graph_of
from ddcnn.bundle.served import Served
from ddcnn.bundle.stage import bundle_run
from ddcnn.tiles.geometry import Tiling
from ddcnn.training.weights import load_weights
from full_disk import largest_file
from stage_runs import StageRun
from workflow_runs import PROJECT, small_fashion, synthetic_volumes


def signals(path: Path) -> Path:
    """Synthetic waves whose frequency and height are the targets."""
    rng = np.random.default_rng(0)
    y = rng.uniform(1, 3, (160, 2)).astype(np.float32)
    time = np.linspace(0, 6, 42)
    x = y[:, 1:, None] * np.sin(y[:, :1, None] * time + np.arange(2)[:, None]) * 40 - 7
    np.savez(path, x=x.transpose(0, 2, 1).astype(np.float32), y=1000 + 50 * y)
    return path


def make(kind: str, folder: Path) -> StageRun:
    results = folder / "results"
    if kind == "volumes":
        entry = {"name": "volumes", "path": str(synthetic_volumes(folder / "volumes.npz"))}
        return StageRun(results, entry, Tiling.of("blocks", "2x1x1", "2x0x0"), True, "logits")
    if kind == "signals":
        entry = {"name": "waves", "path": str(signals(folder / "waves.npz")), "shape": [42]}
        return StageRun(results, entry | {"task": "regression"}, Tiling.of("blocks", "2", 4), True)
    entry = {"name": "fashion", "path": str(small_fashion(folder / "fashion.npz", 240))}
    tiling = {
        "view": Tiling.of("blocks", "2x2", 4),
        "interleaved": Tiling.of("interleaved", "1x2"),
        "whole": Tiling.whole(2),
        "lda": Tiling.of("blocks", "1x2"),
        "recurrent": Tiling.of("blocks", "1x2"),
        "transformer": Tiling.of("blocks", "1x2"),
    }[kind]
    seen = {"interleaved": "features", "transformer": "probabilities"}.get(
        kind, "log-probabilities"
    )
    net = {"transformer": "vit-patch4", "recurrent": "gru", "lda": "lda"}.get(kind, "vgg")
    return StageRun(results, entry, tiling, kind == "view", seen, net)


KINDS = ["view", "interleaved", "volumes", "signals", "whole", "lda", "recurrent", "transformer"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, StageRun]:
    torch.set_num_threads(1)
    return {kind: make(kind, tmp_path_factory.mktemp(kind)).write() for kind in KINDS}


@pytest.fixture
def run(runs) -> StageRun:
    return runs["view"]


def pixels(run: StageRun, split: str = "test") -> torch.Tensor:
    return torch.from_numpy(np.load(run.data / f"x_{split}.npy")).float().movedim(-1, 1)


# --- the same decisions ----------------------------------------------------------------------


# The transformer has learned nothing yet; the pipeline computes lda in double precision, and
# test_discriminant.py compares it.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("lda", "transformer")])
def test_the_model_says_what_the_pipeline_said(runs, kind):
    model = ddcnn.load(runs[kind].model)
    for split in ("val", "test"):
        with torch.no_grad():
            found = model(pixels(runs[kind], split)).numpy()
        expected = runs[kind].predictions(split)
        np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-6)
        assert np.ptp(expected, axis=0).max() > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_without_torch_the_model_says_the_same(runs, kind):
    served = Served.of(read_model(runs[kind].model))
    if kind in ("recurrent", "transformer"):  # no chains of layers
        assert served is None
        return
    images = np.load(runs[kind].data / "x_test.npy")
    with torch.no_grad():
        expected = ddcnn.load(runs[kind].model)(pixels(runs[kind])).numpy()
    for some in (images, images[:5], images[:1]):
        found = served.predict(some)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected[: len(some)], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_graphs_are_as_onnx_has_them(axes):
    onnx = pytest.importorskip("onnx")
    shape = (*[48] * axes, 2)
    for name in ("vgg", "ct3d", "lda"):
        plan, net = nets.planned(name, shape, 5, 4), nets.build(name, shape, 5, 4)
        weights = {key: value.numpy() for key, value in net.state_dict().items()}
        one = np.ones((2, *[1] * axes), np.float32)
        content = graph_of([weights, weights], plan, one, one, "uint8")
        model = onnx.load_model_from_string(content)
        onnx.checker.check_model(model, full_check=True)
        assert [each.name for each in model.graph.input] == ["x0", "x1"]
        stored = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
        for key, value in weights.items():
            if value.dtype == np.float32:
                np.testing.assert_array_equal(stored[f"1.{key}"], value)


@pytest.mark.parametrize("grid", ["1x1", "1x2"])
def test_a_model_of_refitted_nets_decides_on_test_and_its_card_says_so(grid, tmp_path):
    entry = {"name": "fashion", "path": str(small_fashion(tmp_path / "fashion.npz", 100))}
    tiling = Tiling.whole(2) if grid == "1x1" else Tiling.of("blocks", grid)
    run = StageRun(tmp_path / "results", entry, tiling, refit=True).write()
    model = ddcnn.load(run.model)
    with torch.no_grad():
        found = {split: model(pixels(run, split)).numpy() for split in ("val", "test")}
    np.testing.assert_allclose(found["test"], run.predictions("test"), atol=1e-6, rtol=1e-6)
    assert np.abs(found["val"] - run.predictions("val")).max() > 0.01  # by other nets
    assert read_json(run.folder / "evaluation.json")["refit"] is True
    card = run.model.with_suffix(".md").read_text()
    assert "trained again with the validation split" in card
    assert "The validation scores are of nets that had not seen this split" in card


@pytest.mark.parametrize("kind", KINDS)
def test_exports_say_what_the_model_says(runs, kind, tmp_path, monkeypatch):
    runtime = pytest.importorskip("onnxruntime")
    monkeypatch.chdir(runs[kind].results.parent)
    model = ddcnn.load(runs[kind].model)
    images = real_images(model, [])
    assert len(images) > 2
    export_onnx(model, tmp_path / "model.onnx", images)
    export_torch(model, tmp_path / "model.pt2", images)
    # Other numbers of images than at the export.
    for some in (images[:1], images[:5]):
        with torch.no_grad():
            expected = model(torch.from_numpy(some)).numpy()
        session = runtime.InferenceSession(tmp_path / "model.onnx")
        (by_onnx,) = session.run(None, {"pixels": some})
        by_torch = torch.export.load(tmp_path / "model.pt2").module()(torch.from_numpy(some))
        for found in (by_onnx, by_torch.numpy()):
            np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["view", "recurrent", "transformer"])
def test_an_export_with_an_older_opset_is_of_it_and_says_the_same(
    runs, kind, tmp_path, monkeypatch, capsys
):
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    monkeypatch.chdir(runs[kind].results.parent)
    target = tmp_path / "model.onnx"
    assert main(["export", str(runs[kind].model), "--onnx", str(target), "--opset", "18"]) == 0
    assert "ONNX opset 18: for onnxruntime 1.15 and later" in capsys.readouterr().out
    written = onnx.load(target)
    assert [(each.domain, each.version) for each in written.opset_import] == [("", 18)]
    assert written.ir_version == 8  # the oldest that has this opset
    model = ddcnn.load(runs[kind].model)
    images = real_images(model, [])
    with torch.no_grad():
        expected = model(torch.from_numpy(images)).numpy()
    (found,) = runtime.InferenceSession(target).run(None, {"pixels": images})
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)


def test_an_opset_that_torch_does_not_write_is_refused(run, tmp_path, monkeypatch):
    """torch logs that its converter failed, and writes 18."""
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(run.results.parent)
    model = ddcnn.load(run.model)
    with pytest.raises(InputError, match="cannot write this model with opset 17, only with 18"):
        export_onnx(model, tmp_path / "model.onnx", real_images(model, []), 17)
    assert list(tmp_path.iterdir()) == []


def test_the_card_names_for_each_opset_the_first_release_that_ran_it(run):
    rows = read_json(PROJECT / "benchmarks/results/runtimes.json")["rows"]
    assert {row["opset"] for row in rows} == set(RUNTIMES)
    for row in rows:
        ran = [key for key, value in row.items() if key[:2] == "1." and value != "refused"]
        assert ran[0].startswith(f"{RUNTIMES[row['opset']]}.")
        assert f"{row['opset']} " in run.model.with_suffix(".md").read_text()


def test_an_export_replaces_neither_the_model_nor_an_image(runs, tmp_path, monkeypatch, capsys):
    run = runs[KINDS[0]]
    monkeypatch.chdir(run.results.parent)
    np.save(tmp_path / "x.npy", np.load(run.data / "x_test.npy")[:3])
    before = run.model.read_bytes(), (tmp_path / "x.npy").read_bytes()
    other = str(tmp_path / "other")
    for arguments, words in (
        (["--torch-export", str(run.model)], "is also read"),
        (["--onnx", str(tmp_path / "x.npy"), "--images", str(tmp_path)], "is also read"),
        (["--onnx", other, "--torch-export", other], "are one file"),
    ):
        assert main(["export", str(run.model), *arguments]) == 1
        assert words in capsys.readouterr().err
    assert before == (run.model.read_bytes(), (tmp_path / "x.npy").read_bytes())


def test_a_full_disk_is_one_line_of_a_torch_export(run, tmp_path, monkeypatch):
    monkeypatch.chdir(run.results.parent)
    model = ddcnn.load(run.model)
    path = tmp_path / "model.pt2"
    with pytest.raises(InputError, match=r"the disk of .*model\.pt2 is full"), largest_file(1000):
        export_torch(model, path, real_images(model, []))
    assert not list(tmp_path.iterdir())


def test_an_export_that_differs_is_not_kept(run, tmp_path, monkeypatch):
    monkeypatch.chdir(run.results.parent)
    monkeypatch.setattr("ddcnn.bundle.export.TOLERANCE", -1.0)
    model = ddcnn.load(run.model)
    with pytest.raises(InputError, match="was not written: it differs"):
        export_torch(model, tmp_path / "model.pt2", real_images(model, []))
    assert list(tmp_path.iterdir()) == []


def test_without_real_images_there_is_no_export(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="--images FOLDER"):
        real_images(ddcnn.load(run.model), [])


def test_missing_packages_are_one_clear_error(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(run.results.parent)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert main(["export", str(run.model), "--onnx", str(tmp_path / "a.onnx")]) == 1
    assert "ddcnn[export]" in capsys.readouterr().err


# --- votes and weights -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["view", "interleaved", "volumes", "signals"])
def test_votes_are_the_local_decisions(runs, kind):
    run = runs[kind]
    explained = ddcnn.load(run.model).explain(pixels(run))
    local = run.results / "local" / run.name / "net-w8" / run.tiling.slug / "seed0"
    for index, tile in enumerate(run.decomposition.subdomains):
        expected = read_npz(local / tile / "probabilities.npz")["test"]
        np.testing.assert_allclose(explained.votes[:, index], expected, atol=1e-6, rtol=1e-6)
    np.testing.assert_allclose(explained.predictions, run.predictions(), atol=1e-6, rtol=1e-6)


def test_the_weight_of_a_tile_is_what_changes_without_it(runs):
    """By hand: the coarse net of the run on stored probabilities, one tile's replaced."""
    run = runs["view"]
    local = run.results / "local" / run.name / "net-w8" / run.tiling.slug / "seed0"
    stored = [read_npz(local / t / "probabilities.npz") for t in run.decomposition.subdomains]
    weights = load_file(run.folder / "coarse/model.safetensors")

    def decide(p_NTK: np.ndarray) -> np.ndarray:
        log_p = np.log(np.clip(p_NTK.astype(np.float64), 1e-6, 1))
        rows = (log_p.reshape(len(log_p), -1) - weights["shift"]) * weights["scale"]
        logits = rows @ weights["layers.0.weight"].T + weights["layers.0.bias"]
        logits = logits + np.log(p_NTK.mean(axis=1))
        others = np.stack([np.delete(logits, k, axis=1) for k in range(logits.shape[1])], axis=1)
        return logits - logsumexp(others, axis=2)

    p_NTK = np.stack([each["test"] for each in stored], axis=1)
    found = ddcnn.load(run.model).explain(pixels(run)).weights.numpy()
    assert np.abs(found).max() > 0.1
    for index, each in enumerate(stored):
        without = p_NTK.copy()
        without[:, index] = each["train"].mean(axis=0)
        np.testing.assert_allclose(found[:, index], decide(p_NTK) - decide(without), atol=1e-4)


# --- the library -----------------------------------------------------------------------------


def test_importing_the_package_does_not_import_torch():
    code = "import ddcnn, sys; ddcnn.load; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_bundling_does_not_import_torch():
    code = "import ddcnn.bundle.stage, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_loading_draws_no_random_numbers(run):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    ddcnn.load(run.model)
    assert torch.equal(torch.rand(2), expected)


def test_images_of_another_shape_are_refused(run):
    with pytest.raises(InputError, match=r"accepted: \(N, 1, 28, 28\)"):
        ddcnn.load(run.model)(torch.zeros(2, 28, 28, 1))


def test_the_same_run_gives_the_same_bytes(run):
    before = run.model.read_bytes()
    bundle = read_bundle(run.model)
    write_bundle(run.model, bundle)
    assert run.model.read_bytes() == before


def test_damaged_weights_are_not_bundled(run, tmp_path):
    """A wrong bit in a local net must not get a fresh digest."""
    for name in ("metrics.json", "probabilities.npz", "model.safetensors"):
        folder = run.results / "local/fashion/net-w8" / run.tiling.slug / "seed0/0-0"
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    content = bytearray((tmp_path / "model.safetensors").read_bytes())
    content[-10] ^= 1
    (tmp_path / "model.safetensors").write_bytes(content)
    plan = run.results / "tiles/fashion" / run.tiling.slug / "plan.json"
    nets, card = ({"0-0": tmp_path}, run.folder / "coarse"), run.data / "card.json"
    with pytest.raises(DamagedResult, match="digest"):
        bundle_run(*nets, plan, card, run.folder, {}, "", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("kind", ["view", "signals", "whole"])
def test_the_card_says_what_must_be_known(runs, kind, capsys):
    run = runs[kind]
    assert main(["info", str(run.model)]) == 0
    text = capsys.readouterr().out
    assert text == run.model.with_suffix(".md").read_text()
    result = read_json(run.folder / "evaluation.json")["methods"]
    score = "r2_test" if kind == "signals" else "accuracy_test"
    digits = 4 if kind == "signals" else 2  # of few images
    assert f"{next(iter(result.values()))[score]:.{digits}f} |" in text
    for words in ("licence: not stated", "Intended use", "Limits", "95 % interval", "one device"):
        assert words in text


def test_the_card_names_warnings_and_groups(run):
    description = read_bundle(run.model).description
    data = description["data"]
    assert "every image is taken for an independent one" in card_text(description)
    assert "**warning**" not in card_text(description)
    baseline = description["baseline"]
    assert f"Always saying {baseline['majority_class']}, " in card_text(description)
    assert f"accuracy of {baseline['accuracy_test']:.2f}, " in card_text(description)
    scores = description["scores"] | {"auc_test": None}
    assert "| not defined |" in card_text(description | {"scores": scores})
    data |= {"group": "patient", "warnings": ["the column 'site' may name groups", "2 are alike"]}
    text = card_text(description | {"data": data})
    assert "groups: patient; each is in one split" in text
    for warning in data["warnings"]:
        assert f"\n- **warning**: {warning}\n" in text


def test_the_card_says_what_was_changed_and_not_where_the_data_lie(run):
    description = read_bundle(run.model).description
    folder = "/home/ann/my scans"
    notes = {"source": folder, "notes": [f"{folder}/a.png was laid on white"]}
    kind = {"kind": "truncated", "count": 3, "files": [f"{folder}/b.png"], "reason": "it ends"}
    notes["left_out"] = {"count": 3, "kinds": [kind]}
    assert "\n- left out: nothing\n" in card_text(description)
    text = card_text(description | {"data": description["data"] | notes})
    assert "\n- source: my scans\n" in text
    assert "\n- note: a.png was laid on white\n" in text
    assert "\n- left out: 3 truncated: b.png and 2 more\n" in text
    assert "/home" not in text


# --- files that are no model, or not a whole one ---------------------------------------------


def refused(path: Path, words: str) -> None:
    for command in ("info", "predict"):
        with pytest.raises(InputError, match=words) as error:
            read_bundle(path) if command == "info" else ddcnn.load(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [0, 7, 8, 500, -1, -4000])
def test_a_truncated_file_is_refused(run, tmp_path, size):
    path = tmp_path / "model.safetensors"
    path.write_bytes(run.model.read_bytes()[:size])
    refused(path, "truncated|damaged")


def test_any_flipped_bit_is_refused(run, tmp_path):
    content = run.model.read_bytes()
    path = tmp_path / "model.safetensors"
    rng = np.random.default_rng(0)
    for place in [*range(64), *rng.integers(64, len(content), 200)]:
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        with pytest.raises(InputError):
            ddcnn.load(path)


def test_other_files_are_refused(run, tmp_path):
    refused(run.folder / "coarse/model.safetensors", "no model of ddcnn")
    refused(run.folder / "evaluation.json", "safetensors")
    refused(tmp_path, "is no file")
    refused(tmp_path / "nothing", "does not exist")
    (tmp_path / "link").symlink_to("nowhere")
    refused(tmp_path / "link", "link to nothing")


def test_another_version_is_named(run, tmp_path, monkeypatch):
    monkeypatch.setattr("ddcnn.bundle.file.FORMAT", 2)
    write_bundle(tmp_path / "new.safetensors", Bundle({}, {"a": np.zeros(1, np.float32)}))
    monkeypatch.undo()
    refused(tmp_path / "new.safetensors", "has the format 2, this version of ddcnn reads 1")


@pytest.mark.parametrize("key", ["nets", "plan", "data", "coarse", "subdomains"])
def test_a_description_that_does_not_fit_is_one_error(run, tmp_path, key):
    bundle = read_bundle(run.model)
    forged = {k: v for k, v in bundle.description.items() if k != key}
    write_bundle(tmp_path / "forged.safetensors", Bundle(forged, bundle.tensors))
    with pytest.raises(InputError, match="does not fit"):
        ddcnn.load(tmp_path / "forged.safetensors")


def test_weights_that_do_not_fit_are_refused_without_torch_too(run, tmp_path, capsys):
    bundle, path = read_bundle(run.model), tmp_path / "forged.safetensors"
    name = "net.nets.1.classifier.bias"
    others = [
        {name: bundle.tensors[name][:-1]},
        {name: bundle.tensors[name].astype(np.float64)},
        {name: bundle.tensors[name] * np.float32(np.nan)},
        {"net.coarse.layers.0.bias": np.zeros(3, np.float32)},
        {"net.nets.9.more": np.zeros(3, np.float32)},
        {"mean_outputs": np.zeros((1, 10), np.float32)},
    ]
    for other in others:
        write_bundle(path, Bundle(bundle.description, bundle.tensors | other))
        for load in (ddcnn.load, lambda path: Served.of(read_model(path))):
            with pytest.raises(InputError):
                load(path)
        assert main(["predict", str(path), str(run.data / "x_test.npy"), "--device", "cpu"]) == 1
        assert "does not fit its weights" in capsys.readouterr().err


# --- no code -----------------------------------------------------------------------------------

EVIL = """
from pathlib import Path
Path("ran").write_text("")
from torch import nn
def net(shape, classes, width, dropout):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1], classes))
"""


class Evil:
    def __reduce__(self):
        return (Path("ran").write_text, ("",))


def test_a_pickle_is_not_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"net": Evil()}, "model.safetensors")
    refused(Path("model.safetensors"), "safetensors")
    assert not Path("ran").exists()


def with_nets(run: StageRun, path: Path, architecture: str) -> Path:
    bundle = read_bundle(run.model)
    changed = [net | {"architecture": architecture} for net in bundle.description["nets"]]
    write_bundle(path, Bundle(bundle.description | {"nets": changed}, bundle.tensors))
    return path


@pytest.mark.parametrize("name", ["evil:net", "evil.package:net", "os:system", "../evil", "vgg:x"])
def test_a_name_in_the_file_imports_nothing(run, tmp_path, monkeypatch, name):
    """Although the module lies beside the user and on the path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for file in ("evil.py", "vgg.py"):
        Path(file).write_text(EVIL)
    path = with_nets(run, tmp_path / "model.safetensors", name)
    with pytest.raises(InputError, match=r"trust it|does not know"):
        ddcnn.load(path)
    assert main(["info", str(path)]) == 0
    assert not Path("ran").exists()
    assert "evil" not in sys.modules


def test_an_own_net_is_run_where_the_user_names_its_file(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    Path("mine/trusted.py").write_text(EVIL)
    entry = runs["whole"].entry
    monkeypatch.syspath_prepend(tmp_path / "mine")
    own = StageRun(tmp_path / "results", entry, Tiling.of("blocks", "1x2"), False,
                   architecture="trusted:net").write()  # fmt: skip
    with pytest.raises(InputError, match=r"--net-file my_nets\.py"):
        ddcnn.load(own.model)
    Path("other.py").write_text(EVIL)
    with pytest.raises(InputError, match=r"so in trusted\.py"):
        ddcnn.load(own.model, net_file="other.py")
    model = ddcnn.load(own.model, net_file="mine/trusted.py")
    with torch.no_grad():
        np.testing.assert_allclose(model(pixels(own)), own.predictions(), atol=1e-6)


def test_metadata_of_others_are_only_text(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tensors = load_file(run.model)
    facts = {"format": 1, "description": "__import__('os').system('touch ran')", "sha256": "0"}
    save_file(tensors, "evil.safetensors", {"ddcnn": json.dumps(facts)})
    refused(Path("evil.safetensors"), "damaged")
    assert not Path("ran").exists()


def test_the_weights_are_those_of_the_run(run):
    """The digest of the bundle's reader is that of the pipeline's."""
    model = ddcnn.load(run.model)
    folder = run.results / "local/fashion/net-w8" / run.tiling.slug / "seed0/1-0"
    net = load_weights(ddcnn.load(run.model).net.nets[2], folder / "model.safetensors")
    for name, value in model.net.nets[2].state_dict().items():
        assert torch.equal(net.state_dict()[name], value)
    assert json.loads(json.dumps(model.description)) == model.description
