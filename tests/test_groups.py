"""The tests that share a warehouse run in one worker; else each worker builds all of them."""

from __future__ import annotations

import os

import pytest

GROUP = "kept-together"


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs all tests")
@pytest.mark.xdist_group(GROUP)
def test_the_workers_know_the_groups_of_tests(request: pytest.FixtureRequest) -> None:
    # Where xdist loses the groups (3.8 with pytest 9.2) it says nothing, and the suite takes much longer.
    assert request.node.nodeid.endswith(f"@{GROUP}")
