"""The compiled kernels: one shared library per version of their source and kind of processor."""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from ddcnn.base.disk import only_ours
from ddcnn.base.logs import WAITING
from ddcnn.nets.kernels.hooks import MISSING

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent
SOURCES = (
    *("chain.cpp", "convolution.cpp", "first_layer.cpp", "batch_norm.cpp", "sums.cpp"),
    *("dense.cpp", "loss.cpp", "images.cpp"),
)
# Off: DDCNN_KERNELS=torch.
SWITCH = "DDCNN_KERNELS"
# Kinds of processors that the kernels were measured on, by torch's names for them.
PROCESSORS = {
    "AVX512": ("-march=x86-64-v4", "-mprefer-vector-width=512"),
    "AVX2": ("-march=x86-64-v3",),
}
# What is no number must stay so: nothing that assumes finite numbers.
FLAGS = (
    *("-O3", "-std=c++17", "-shared", "-fPIC"),
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros"),
)
DIGEST_BYTES = 32  # a SHA-256 at the end of the file, which loading does not look at
SECONDS = 120  # that a compiler may take
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH

# Arguments of the functions in their order: p pointer, i int, l long, d double.
ARGUMENTS = {
    "chain_forward": "p i p ppp",
    "chain_backward": "p ii p pppp pp",
    "chain_learn": "p i p pp ll p i d ppp",
    "gather_images": "pp pp p l i l i",
}
DONE, NO_MEMORY = 0, 1  # what functions return, among others of their own
TYPES = {"p": ctypes.c_void_p, "i": ctypes.c_int, "l": ctypes.c_long, "d": ctypes.c_double}


@functools.cache
def kernels() -> ctypes.CDLL | None:
    """The library, compiled if need be; None where there is none, and torch's kernels are used."""
    if os.environ.get(SWITCH) == "torch":
        return None
    try:
        return library()
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        log.info("computing with torch's kernels alone: %s", reason(error))
        return None


def library() -> ctypes.CDLL:
    """The library; compiled beside the source or, if that is read-only, in the user's cache.

    Raises:
        OSError: another release of torch or kind of processor, no compiler, no place to write.
        subprocess.SubprocessError: the compiler fails.
    """
    if MISSING:
        raise OSError(f"torch {torch.__version__} has no {', '.join(MISSING)}, which they need")
    kind = torch.backends.cpu.get_cpu_capability()
    if kind not in PROCESSORS or platform.machine() != "x86_64":
        raise OSError(f"they are for processors with {' or '.join(PROCESSORS)}, this is {kind}")
    command = [*FLAGS, *PROCESSORS[kind]]
    name = f"kernels-{_digest(command)}.so"
    for folder in filter(_is_trusted, _folders()):
        # One that is missing, cannot be read or is not what was compiled is made again.
        with suppress(OSError, AttributeError):
            _verify(folder / name)
            return _load(folder / name)
    compilers = (os.environ.get("CXX"), "c++", "g++", "clang++")
    compiler = next((name for name in compilers if name and shutil.which(name)), None)
    if compiler is None:
        raise OSError("there is no C++ compiler (c++, g++, clang++, or what CXX names)")
    folder = next(filter(_is_writable, _folders()), None)
    if folder is None:
        raise OSError(f"neither {FOLDER} nor a cache of the user can be written")
    return _load(_compile([compiler, *command], folder / name))


def reason(error: Exception) -> str:
    """Why there are no kernels, in one line."""
    said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip().splitlines()
    return f"{error}: {said[0]}" if said else str(error)


def _folders() -> list[Path]:
    """Where a library may be: beside the source, and in the user's cache if there is one."""
    folders = [FOLDER]
    with suppress(RuntimeError):  # a user without a home
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        folders += [cache / "ddcnn" / "kernels"] if cache.is_absolute() else []
    return folders


def _is_trusted(folder: Path) -> bool:
    """Whether nobody else can put a library there that this process would run."""
    if folder == FOLDER:  # who can write there can change the source as well
        return True
    with suppress(OSError):
        return only_ours(folder.stat())
    return False


def _is_writable(folder: Path) -> bool:
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return _is_trusted(folder) and os.access(folder, os.W_OK)


def _verify(path: Path) -> None:
    """Raise :class:`OSError` unless this user may trust a library, and it is as it was compiled.

    To load one that was cut off would kill the process.
    """
    found = path.stat()
    # Who owns the folder beside the source can change that as well.
    owners = {os.geteuid(), 0, FOLDER.stat().st_uid if path.parent == FOLDER else 0}
    if found.st_uid not in owners or found.st_mode & WRITABLE_BY_OTHERS:
        raise OSError(f"{path} belongs to somebody else, or others may write to it")
    content = path.read_bytes()
    if hashlib.sha256(content[:-DIGEST_BYTES]).digest() != content[-DIGEST_BYTES:]:
        raise OSError(f"{path} is not what was compiled")


def _load(path: Path) -> ctypes.CDLL:
    found = ctypes.CDLL(str(path))
    for name, arguments in ARGUMENTS.items():
        function = getattr(found, name)
        function.argtypes = [TYPES[kind] for kind in arguments if kind in TYPES]
        function.restype, function.errcheck = ctypes.c_int, _check
    return found


def _check(status: int, function: Any, arguments: tuple) -> int:
    if status == NO_MEMORY:
        raise MemoryError(f"{function.__name__}: no working memory is left")
    return status


def _compile(command: list[str], path: Path) -> Path:
    log.info("%sthe kernels for this kind of processor are compiled, once", WAITING)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".compiling-") as aside:
        out = Path(aside, path.name)
        sources = [str(FOLDER / name) for name in SOURCES]
        subprocess.run(
            [*command, *sources, "-o", str(out)], check=True, capture_output=True, timeout=SECONDS
        )
        digest = hashlib.sha256(out.read_bytes()).digest()
        with out.open("ab") as file:
            file.write(digest)
            file.flush()
            os.fsync(file.fileno())
        out.chmod(0o755)  # whatever the umask: others may use the same installation
        # Several jobs may compile at once: each puts the same file into place.
        os.replace(out, path)
    log.info("compiled %s", path.name)
    return path


def _digest(command: list[str]) -> str:
    digest = hashlib.sha256(" ".join(command).encode())
    for path in sorted((*FOLDER.glob("*.cpp"), *FOLDER.glob("*.h"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
