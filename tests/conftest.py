"""Where CI is set, a skipped test is a failed run: everything it needs is installed there."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# How long an example takes says more of what else the machine does, and of kernels that are compiled.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
