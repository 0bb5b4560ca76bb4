"""The bodies of requests, as they are checked and documented."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from seq2seq.request import PredictionRequest

Input = str | list[str] | dict[str, Any]

SETTINGS = ("beam_size", "temperature", "top_k", "top_p", "seed")
"""The fields that are settings of the search."""

PREDICT_EXAMPLES: list[JsonValue] = [
    {"inputs": ["7 May 2031"]},
    {"inputs": [{"source": "a red car", "prefix": "ein"}], "decoding": "beam", "beam_size": 5},
]
SCORE_EXAMPLES: list[JsonValue] = [{"pairs": [{"source": "7 May 2031", "target": "2031-05-07"}]}]
GENERATE_EXAMPLES: list[JsonValue] = [{"prompt": "ROMEO:", "length": 300, "temperature": 0.8}]
STATES_EXAMPLES: list[JsonValue] = [{"input": "7 May 2031", "units": 16}]
FEED_EXAMPLES: list[JsonValue] = [{"text": "7 May", "n_best": 3}, {"values": [315.7, 317.4]}]
SERIES_EXAMPLES: list[JsonValue] = [{"csv": "unique_id,ds,y\na,2001-01-01,3\na,2001-02-01,5\n"}]


class PredictBody(BaseModel):
    """Inputs, and how to predict; options that a task does not have are refused."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": PREDICT_EXAMPLES})

    inputs: list[Input] = Field(
        min_length=1,
        description="texts, lists of tokens, or records with the fields of the task, such as "
        "`source` and `prefix`, or of a series `unique_id`, `ds` and the target",
    )
    decoding: Literal["greedy", "beam", "sampling"] | None = None
    n_best: int | None = Field(None, ge=1)
    beam_size: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, allow_inf_nan=False)
    top_k: int | None = Field(None, ge=0)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=0, lt=2**31)
    alignments: bool = False
    token_scores: bool = False
    attention: bool = False
    horizon: int | None = Field(None, ge=1)
    levels: list[Annotated[float, Field(gt=0, lt=100)]] = Field([], max_length=20)

    def request(self) -> PredictionRequest:
        """Returns the request without its inputs."""
        values = self.model_dump(exclude={"inputs"}, exclude_none=True)
        settings = {name: values.pop(name) for name in SETTINGS if name in values}
        return PredictionRequest(**values, settings=settings)


class Pair(BaseModel):
    """A source and a target."""

    model_config = ConfigDict(extra="forbid")
    source: str
    target: str


class ScoreBody(BaseModel):
    """Pairs whose targets are scored."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": SCORE_EXAMPLES})
    pairs: list[Pair] = Field(min_length=1)
    alignments: bool = False


class GenerateBody(BaseModel):
    """A text to continue, and how; the options are those of `seq2seq generate`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": GENERATE_EXAMPLES})
    prompt: str = ""
    length: int = Field(200, ge=1, description="the maximum number of tokens")
    temperature: float = Field(1.0, ge=0, le=100, description="0 takes the most probable tokens")
    top_k: int = Field(0, ge=0, description="0 for all")
    top_p: float = Field(1.0, gt=0, le=1)
    seed: int = Field(0, ge=0, lt=2**31)
    stop: list[Annotated[str, Field(min_length=1)]] = Field(
        [], max_length=20, description="strings that end the text; they are not part of it"
    )


class StatesBody(BaseModel):
    """An input, and the number of units whose states are returned: those that vary most."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": STATES_EXAMPLES})
    input: Input
    units: int = Field(32, ge=1, le=256)


class SeriesBody(BaseModel):
    """A CSV file of series, in the columns of the training data."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": SERIES_EXAMPLES})
    csv: str


Number = Annotated[float, Field(allow_inf_nan=False)]
Step = Number | None | list[Number | None]


class FeedBody(BaseModel):
    """A piece of a stream: a text or its tokens, or the values of a series."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": FEED_EXAMPLES})
    text: str | None = None
    tokens: list[str] | None = Field(None, description="the words of a run that tags")
    values: list[Step] | None = Field(
        None, description="of each step a number, or one for each target; null where it is missing"
    )
    n_best: int = Field(1, ge=1, description="predictions for each token")
    horizon: int | None = Field(None, ge=1)
    levels: list[Annotated[float, Field(gt=0, lt=100)]] = Field([], max_length=20)

    @model_validator(mode="after")
    def _has_one_piece(self) -> "FeedBody":
        if [self.text, self.tokens, self.values].count(None) != 2:
            raise ValueError("needs one of text, tokens and values")
        return self
