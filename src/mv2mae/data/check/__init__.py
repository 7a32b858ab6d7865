"""Is a manifest fit for use: `check_manifest` opens every video and compares those of a group."""

from mv2mae.data.check.check import check_manifest, write_fixed
from mv2mae.data.check.report import KINDS, CheckReport, Finding

__all__ = ["KINDS", "CheckReport", "Finding", "check_manifest", "write_fixed"]
