"""The Python face: what ``harness.run`` and ``harness.evaluate`` show and give back, in a notebook or a script.

A thin layer over :class:`harness.pipeline.run.Run`: recipes from a call's arguments, a live bar, HTML of a result.
Nothing is decided here, and nothing here knows pytest.
"""
