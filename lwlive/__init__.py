"""lwlive: a live instrument that walks through an image model's latent space without stopping.

    keys, OSC -> Command -> Controls -> Params -> Walk -> Sampler -> Ring -> Supply -> outputs

Everything flows one way. The stage (window, clock, controls) and the engine (every torch call)
are two processes; frames come up through a ring in shared memory, snapshots go down a pipe.
"""

__version__ = "0.1.0"
