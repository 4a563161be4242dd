"""A worker of :func:`namespaces.run_joined`: ``python at_an_end.py FOLDER RANK``."""

import os
import sys
from pathlib import Path

from namespaces import work_at_an_end

work_at_an_end(Path(sys.argv[1]), int(sys.argv[2]))
os._exit(0)  # threads of gloo may wait for the other end
