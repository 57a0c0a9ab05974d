"""Configuration: a TOML file and options in, the core's settings out.

Theory of operation: ``schema`` says which keys exist, ``load`` reads a file
and names every fault in it, ``listen`` understands listener addresses,
``build`` turns the result into ``StackConfig``, and ``reference`` writes
docs/configuration.md from the same schema.
"""

from __future__ import annotations
