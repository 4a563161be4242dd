"""Bring the published files of a data set into its ``raw`` folder, verified.

A file gets its final name when it is complete and verified. The folder that the environment
variable ``DDCNN_DATA`` names is shared by projects and processes: what it holds is not downloaded
again.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event
from typing import Any

from ddcnn.base.errors import InputError
from ddcnn.data.download.source import SourceFile, file_sha256

__all__ = ["SourceFile", "fetch_all", "file_sha256"]

MOST_AT_ONCE = 4


def fetch_all(files: Sequence[SourceFile], folder: Path) -> list[dict[str, Any]]:
    """Put ``files`` into ``folder`` unless they are there, several at once, and verify them.

    Args:
        files: with different names.
        folder: ``raw``; a file that a person placed there is taken if it fits.

    Returns:
        One entry of ``raw/manifest.json`` each: ``path`` (relative to ``folder``; absolute for a
        user's own data), ``bytes`` and ``sha256``, or the number of ``files`` of an own folder.

    Raises:
        InputError: what could not be brought and why, and the steps that a person can take.
    """
    # Imported here: requests takes 0.1 s, and every job imports this module.
    from ddcnn.data.download.fetch import manifest_entry

    assert len({file.name for file in files}) == len(files), files
    cache = os.environ.get("DDCNN_DATA")
    options = (Path(folder), Path(cache).expanduser() if cache else None, stop := Event())
    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        jobs = [pool.submit(manifest_entry, file, *options) for file in files]
        try:
            wait(jobs)
        except BaseException:  # Ctrl-C: what has arrived is kept
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    errors = [error for job in jobs if (error := job.exception())]
    if errors and all(isinstance(error, InputError) for error in errors):
        raise InputError("\n".join(map(str, errors)))
    return [job.result() for job in jobs]
