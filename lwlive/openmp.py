"""How long OpenMP's threads spin for each other before they sleep: briefly. No torch here.

A thread that waits at a barrier spins, in the hope that the others come soon. Beside another
program on the same cores one of them is not scheduled, and the rest burn the time it needs. These
variables are read once, when torch loads the library, so they are set before, in the environment
that the engine's process inherits.
"""

from collections.abc import MutableMapping

SPINS = "3000"  # some microseconds; none at all costs a quiet machine more than half its speed
BRIEFLY = {
    "GOMP_SPINCOUNT": SPINS,  # GNU's, which comes with torch on Linux
    "KMP_BLOCKTIME": "1",  # milliseconds; LLVM's and Intel's, on macOS and Windows
}
CHOSEN = (*BRIEFLY, "OMP_WAIT_POLICY", "KMP_LIBRARY")  # by a user who knows better


def spin_briefly(environment: MutableMapping[str, str]) -> None:
    """Bound the spinning, unless the user has chosen how threads wait."""
    if not any(name in environment for name in CHOSEN):
        environment.update(BRIEFLY)
