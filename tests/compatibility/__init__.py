"""What ``playbooks/compatibility.md`` says of the shim, written from both libraries and from the code's own tables.

``python -m tests.compatibility`` writes the marked sections anew; with ``--check`` it writes nothing and fails when
they are out of date, or when the original has a name that the shim lacks without a word in ``judgements.toml``.
"""
