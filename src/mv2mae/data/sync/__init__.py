"""Lays the views of a group together in time: `mv2mae sync`, from sound where files have it, else from motion."""

from mv2mae.data.sync.lines import Place
from mv2mae.data.sync.place import Pair
from mv2mae.data.sync.report import GroupSync, SyncReport
from mv2mae.data.sync.sync import sync_manifest, write_synced

__all__ = ["GroupSync", "Pair", "Place", "SyncReport", "sync_manifest", "write_synced"]
