"""The methods that SnMpNet is compared with, a file each: heads for the same trainer, so that backbone, sampler, steps,
stopping and evaluation are those of SnMpNet. Only option files and model definitions of these were ever released, not
their training: each file says what we had to choose.
"""
