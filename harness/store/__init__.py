"""The ground floor: what is kept, and the types in which everything else speaks.

Records, the run directory, secrets and escapes, versions. Nothing here knows a recipe, a model or a test.
"""
