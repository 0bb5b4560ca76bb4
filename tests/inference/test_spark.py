"""Spark answers with a run's predictions, in worker processes of its own."""

import shutil
import sys

import mlflow
import pytest

from seq2seq.inference.predictor import Predictor
from seq2seq.tracking.logged_models import Registry
from seq2seq.tracking.mlflow_tracker import MlflowTracker

sql = pytest.importorskip("pyspark.sql", reason="pip install 'keras-seq2seq[spark]'")
if shutil.which("java") is None:
    pytest.skip("there is no Java here", allow_module_level=True)


@pytest.fixture
def spark(monkeypatch):
    """Spark in this process, with two workers."""
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    session = sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    session = session.getOrCreate()
    yield session
    session.stop()


def test_a_column_of_texts_gets_the_runs_predictions(spark, run_folder, dates, tmp_path):
    sources = [source for source, _ in dates]
    rows = Predictor.load(run_folder)(sources, decoding="beam", beam_size=3)
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    tracker = MlflowTracker(store, system_metrics=False)
    tracker.start(tmp_path, {}, {})
    row = {"source": sources[0], **rows[0]}
    tracker.log_model(run_folder / "model", sources[0], row, 0)
    tracker.finish()
    Registry(store).register(tracker.run_id, "dates", "champion")
    mlflow.set_tracking_uri(store)
    try:
        predict = mlflow.pyfunc.spark_udf(
            spark,
            "models:/dates@champion",
            result_type="prediction string, score double",
            params={"decoding": "beam", "beam_size": 3},
            env_manager="local",
        )
    finally:
        mlflow.set_tracking_uri(None)
    frame = spark.createDataFrame([(source,) for source in sources], ["text"]).repartition(2)
    answers = {
        row.text: row.answer for row in frame.withColumn("answer", predict("text")).collect()
    }
    assert {text: answer.prediction for text, answer in answers.items()} == {
        row["source"]: row["prediction"] for row in rows
    }
    assert [answers[row["source"]].score for row in rows] == pytest.approx(
        [row["score"] for row in rows], rel=1e-4
    )
