"""Forecasts many series in one call, and in calls of one: `... programs.forecast_calls JOB`."""

import json
import sys
import time

import numpy as np
import pandas as pd

import seq2seq


def main() -> None:
    """Forecasts and reports."""
    job = json.loads(sys.argv[1])
    with np.load(job["histories"]) as arrays:
        values, offsets = arrays["values"], arrays["offsets"]
    histories = np.split(values, offsets[1:-1])
    repeated = [histories[number % len(histories)] for number in range(job["series"])]
    lengths = [len(history) for history in repeated]
    names = [f"series {number}" for number in range(job["series"])]
    frame = pd.DataFrame(
        {
            "unique_id": np.repeat(names, lengths),
            "ds": np.concatenate([np.arange(1, length + 1) for length in lengths]),
            "y": np.concatenate(repeated),
        }
    )
    forecast = seq2seq.load(job["run"])
    ends = np.cumsum(lengths)
    alone = [frame.iloc[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    for one in alone[: job["warm_up"]]:
        forecast(one)
    start = time.perf_counter()
    for one in alone[: job["calls"]]:
        forecast(one)
    each = (time.perf_counter() - start) / job["calls"]
    start = time.perf_counter()
    table = forecast(frame)
    together = time.perf_counter() - start
    print(
        json.dumps(
            {
                "rows": len(table),
                "seconds_together": together,
                "seconds_one_by_one": each * job["series"],
                "milliseconds_alone": 1000 * each,
            }
        )
    )


if __name__ == "__main__":
    main()
