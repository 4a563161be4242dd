"""How images are cut: the geometry of tiles, and the shards of every subdomain on disk."""
