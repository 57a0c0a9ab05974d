"""The outer half of the module ``lcr``: rates of a file, packed by a helper process, for all workers."""
