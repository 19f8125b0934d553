"""The ground floor: what is kept, and the types in which everything else speaks.

Records, the run directory, secrets and escapes, versions, errors. Nothing here imports another room, or torch.
"""
