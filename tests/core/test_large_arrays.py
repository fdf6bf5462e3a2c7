"""Large arrays that come and go keep their memory."""

import platform
import subprocess
import sys

import pytest

CODE = """
import resource
import numpy as np
from uf_diffusion.core.large_arrays import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(2**22 + 1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

usual = faults()
keep_freed_memory(8 * (2**22 + 1))
faults()
print(usual, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is a feature of glibc")
def test_pages_are_kept():
    """Arrays of 32 MiB: hardly any page is cleared again, where otherwise all are."""
    words = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    usual, kept = map(int, words.stdout.split())
    assert kept < usual / 10
