"""The training process, on TRL: what is started, what it says while it works, and what it leaves.

It knows a job, not a run: nothing here looks into the pipeline.
"""
