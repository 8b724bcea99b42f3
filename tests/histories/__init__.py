"""A history checker in the manner of Jepsen's Kafka test: what clients saw under faults, and what they may not see.

``workload`` is what clients do, each in a process that writes down every operation twice: as it begins, before
anything of it happens, and as it ends (``operation``, ``journal``). An end is ``ok``, ``fail`` (it certainly did not
happen) or ``info`` (nobody knows, as when the process was killed). ``nemesis`` is what strikes them and Postgres, and
counts how often it struck. ``run`` has both at it for a while, then lets every group come to its end and one reader
read everything. ``checker`` knows nothing of all that: it takes a history, and names what should not be in it. So
``tests/unit`` tests it by histories that are made by hand (``stories``), and by those of a correct log (``model``).
"""
