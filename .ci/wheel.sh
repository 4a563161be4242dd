#!/usr/bin/env bash
# The wheel in an environment of its own and far from the checkout, as those use it who were given a
# trained model. Needs the tools of .venv on PATH, and the model that `make run` trains.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly model=results/runs/fashion-mnist-10k/vgg-w16/blocks-2x2-overlap4/seed0/ddcnn.safetensors
there=$(mktemp -d)
readonly here=$PWD there
trap 'rm -rf "$there"' EXIT

# Usage: fail WORD...
fail() {
    echo "wheel: $*" >&2
    exit 1
}

# Usage: expect_refusal WORDS COMMAND...: status 1 and one line with these words.
expect_refusal() {
    local words=$1 status=0
    shift
    "$@" >said.txt 2>&1 || status=$?
    cat said.txt
    ((status == 1)) || fail "$* ends with status $status"
    [[ $(wc -l <said.txt) == 1 && $(<said.txt) == "error: "*"$words"* ]] || fail "$* says otherwise"
}

[[ -f $model ]] || fail "there is no $model; run: make run"

# The wheel is built from the source distribution, which therefore holds all that it needs.
python -m build --no-isolation --outdir "$there/dist" >"$there/build.log" 2>&1 || {
    cat "$there/build.log"
    fail "it cannot be built"
}
uv venv --quiet --python "$(command -v python)" "$there/env"
uv pip install --quiet --python "$there/env/bin/python" --constraint envs/requirements.txt \
    "$there"/dist/*.whl
# Nobody has imported it yet: no byte-code, no kernels.
diff <(find workflow/ddcnn -type f ! -path "*/__pycache__/*" ! -name "*.so" -printf "%P\n" | sort) \
    <(find "$there"/env/lib/python*/site-packages/ddcnn -type f -printf "%P\n" | sort) ||
    fail "its files are not those of the checkout"
mkdir "$there/folder"
cp config/config.yaml docs/examples/*.png "$there/folder"
cp "$model" "$there/folder/model.safetensors"

cd "$there/folder"
PYTHONPATH=$here/workflow python -m ddcnn predict model.safetensors ./*.png >of_checkout.txt
unset PYTHONPATH
export PATH=$there/env/bin:$PATH
[[ $(command -v ddcnn) == "$there/env/bin/ddcnn" ]] || fail "ddcnn is not on the path"
[[ $(python -c "import ddcnn; print(ddcnn.__file__)") == "$there/env/lib/"* ]] ||
    fail "Python imports another ddcnn"
ddcnn --version
ddcnn check config.yaml
ddcnn info model.safetensors
ddcnn predict model.safetensors ./*.png | tee of_wheel.txt
diff of_checkout.txt of_wheel.txt || fail "the checkout predicts otherwise"
expect_refusal "nowhere.yaml cannot be read" ddcnn check nowhere.yaml
expect_refusal "nowhere.yaml cannot be read" python -m ddcnn check nowhere.yaml
expect_refusal "config/README.md of a checkout" ddcnn docs
kernels=$(python -m ddcnn.nets.kernels)
[[ $kernels == "$there/env/lib/"*.so ]] || fail "no kernels: $kernels"
ls -l "$there"/dist/*
echo "wheel: works in a folder without the checkout"
