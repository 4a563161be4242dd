"""Damaged results are put aside, so that the next run makes them again.

Snakemake believes every file that exists. The job that reads a file and finds it damaged renames
it: for Snakemake it is missing then, and the same command makes it and what stands on it anew.
Nothing is deleted, and nothing but results is touched.
"""

from pathlib import Path

from ddcnn.base.errors import DamagedResult

RESULTS = Path("results")
SUFFIX = ".damaged"


def put_aside(error: DamagedResult) -> str:
    """Rename the damaged result, and return what to tell the user.

    Downloaded files and whatever lies outside of ``results`` stay where they are.
    """
    files = dict.fromkeys([error.path, error.stands_for])
    if not all(_is_result(file) for file in files):
        return str(error)
    try:
        for file in files:
            if file.exists():
                file.replace(file.with_name(file.name + SUFFIX))
    except OSError as failed:
        return f"{error} (it could not be renamed: {failed.strerror})"
    return (
        f"{error.problem}; it is put aside ({error.stands_for.name}{SUFFIX}): run the same command "
        "again, and it is made anew with all that stands on it"
    )


def was_put_aside(error: FileNotFoundError) -> bool:
    """Whether another job of the same run has just put the missing file aside."""
    return error.filename is not None and Path(f"{error.filename}{SUFFIX}").exists()


def _is_result(path: Path) -> bool:
    folders = path.absolute().parents
    downloaded = path.parent.name == "raw" and path.name != "manifest.json"
    return RESULTS.absolute() in folders and not downloaded
