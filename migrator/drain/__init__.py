"""The copy: a topic's records land in ``job_queue`` exactly once, resumable at any moment.

The position lives in Postgres, in the rows' own transaction, and nowhere else. ``prepare`` freezes what is to be
copied, ``reading`` turns what Kafka delivers into batches, ``writing`` commits one batch in one transaction, ``run``
joins them, and ``outcome`` says how it ended.
"""
