"""What tests of several rooms need around them."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture
def pyplot_closed():
    """statsmodels brings pyplot in, which keeps its figures."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
