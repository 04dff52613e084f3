"""What every importer owes to a file it cannot read."""

import pytest

from stylegan_toon.checkpoint.importers import read_any
from stylegan_toon.errors import ModelError


def refused(path, *words):
    """Reading path ends in a ModelError of one line that names the file and holds words."""
    with pytest.raises(ModelError) as caught:
        read_any(path)
    line = str(caught.value)
    assert "\n" not in line and len(line) <= 200 and path.name in line, line
    assert all(word in line for word in words), line
