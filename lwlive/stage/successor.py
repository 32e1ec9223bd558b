"""An engine that is to take the place of the present one, once it has frames.

It is asked in the stage's main thread and never waits.
"""

from lwlive.messages import Failed
from lwlive.stage.engine import LOADING_S, Engine


class Successor:
    """Loads beside the present engine. What it says is kept until it has taken over."""

    def __init__(self, engine: Engine, now: float) -> None:
        self.engine, self._since = engine, now
        self.said: list[object] = []

    @property
    def frames(self) -> int:
        """How many it has made."""
        return self.engine.ring.queued

    def failure(self, now: float) -> str:
        """Listen to it: why it will never take over, empty where it still may."""
        try:
            self.said.extend(self.engine.messages())
        except (EOFError, OSError):
            return "it has ended"
        if any(isinstance(message, Failed) for message in self.said):
            return "it has failed"
        return "it takes too long" if now - self._since > LOADING_S else ""
