"""The store: videos scaled once and laid out so that a clip costs little more than the frames it shows.

`prepare` writes one, `reader` reads one; `packets` says how frames are laid out, `shards` how items lie in tars.
"""

from mv2mae.data.store.shards import stream_shard

__all__ = ["stream_shard"]
