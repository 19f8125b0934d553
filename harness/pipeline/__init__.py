"""One recipe and seed: evaluate, train, evaluate, judge.

It hands plain values to the rooms below; none of them knows :class:`Run`. Nothing here knows pytest or a page.
"""
