"""Seeds: which seed each keyframe of a walk has. Arithmetic on whole numbers, nothing else."""

MOST = 2**63 - 1
FIRST_PHASE = -1.0  # of a walk: a bend towards a new seed begins a segment before its keyframe 0


def seed_of(seed: int, index: int) -> int:
    """A seed of its own for each keyframe; keyframe 0 has the walk's seed itself (SplitMix64).

    A walk of `seed_of(seed, index)` begins with the very keyframe `index` of the walk of `seed`.
    """
    if index == 0:
        return seed
    z = (seed + index * 0x9E3779B97F4A7C15) & (2**64 - 1)
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return (z ^ (z >> 31)) & MOST
