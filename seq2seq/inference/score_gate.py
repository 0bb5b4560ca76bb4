"""A condition on a score, for use in CI: `bleu >= champion - 0.3`."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from seq2seq.errors import UserError
from seq2seq.nearest_name import nearest

CHAMPION = "champion"
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
NUMBER = r"\d+(?:\.\d*)?(?:[eE]-?\d+)?"
GATE = re.compile(
    rf"\s*(?P<metric>[\w+]+)\s*(?P<comparison>[<>]=?)\s*"
    rf"(?:(?P<number>-?{NUMBER})|(?P<champion>{CHAMPION})"
    rf"(?:\s*(?P<sign>[+-])\s*(?P<margin>{NUMBER}))?)\s*"
)


@dataclass(frozen=True)
class Gate:
    """A condition on a score.

    Attributes:
        metric: The score's name.
        comparison: `>=`, `<=`, `>` or `<`.
        limit: A number; if `champion` is true, relative to the champion's score.
        champion: Whether the limit is relative to the champion.
    """

    metric: str
    comparison: str
    limit: float
    champion: bool

    @classmethod
    def parse(cls, text: str) -> "Gate":
        """Parses a condition, or raises UserError.

        Example:
            >>> Gate.parse("bleu >= champion - 0.3")
            Gate(metric='bleu', comparison='>=', limit=-0.3, champion=True)
        """
        match = GATE.fullmatch(text)
        if match is None:
            raise UserError(
                f"--gate {text!r}: must be METRIC >= NUMBER or METRIC >= champion - NUMBER, with "
                ">=, <=, > or <"
            )
        if match["champion"] is None:
            return cls(match["metric"], match["comparison"], float(match["number"]), False)
        limit = float(match["margin"] or 0) * (-1 if match["sign"] == "-" else 1)
        return cls(match["metric"], match["comparison"], limit, True)

    def check(
        self, scores: Mapping[str, float], champion: Mapping[str, float] | None
    ) -> tuple[bool, str]:
        """Returns whether a model passes, and a line that explains it.

        Args:
            scores: The model's scores.
            champion: The champion's scores on the same data, if the limit is relative to them.

        Raises:
            UserError: If there is no such score.
        """
        for known in (scores, champion) if champion is not None else (scores,):
            if self.metric not in known:
                raise UserError(
                    f"--gate: there is no score {self.metric!r}{nearest(self.metric, known)}; "
                    f"there are {', '.join(known)}"
                )
        score = scores[self.metric]
        base = champion[self.metric] if champion is not None else 0.0
        passed = COMPARISONS[self.comparison](score, base + self.limit)
        relative = f" (champion {base:.6g} {self.limit:+g})" if champion is not None else ""
        verdict = "passed" if passed else "failed"
        return passed, (
            f"gate {verdict}: {self.metric} {score:.6g} {self.comparison} "
            f"{base + self.limit:.6g}{relative}"
        )
