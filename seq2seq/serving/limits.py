"""The limits of a server."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How much a server does at once, and for one request.

    Attributes:
        latency: The maximum milliseconds that a request waits for others, to form a batch.
        batch_size: The maximum number of inputs in a batch.
        queue: The maximum number of inputs that wait; more get 429.
        characters: The maximum number of characters of an input, or of its JSON.
        hypotheses: The maximum beam size and `n_best`.
        horizon: The maximum steps of a forecast.
        length: The maximum tokens of a continuation, and of a piece of a session.
        observed: The maximum characters of an input whose states are returned.
        body: The maximum bytes of a request's body.
        timeout: The seconds after which a request gets 503.
        drain: The seconds that requests have to finish after SIGTERM, and continuations after a
            reload.
        reload: The seconds between two looks at whether the alias of a registered model has moved;
            0 for never.
        sessions: The maximum number of open sessions of a model.
        session_timeout: The seconds after which a session ends that is not used.
    """

    latency: float = 0.0
    batch_size: int = 64
    queue: int = 1024
    characters: int = 100_000
    hypotheses: int = 20
    horizon: int = 1000
    length: int = 5000
    observed: int = 300
    body: int = 10_000_000
    timeout: float = 30.0
    drain: float = 30.0
    reload: float = 0.0
    sessions: int = 1000
    session_timeout: float = 600.0
