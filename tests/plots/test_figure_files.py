"""Figures are written atomically."""

import multiprocessing
import os

from matplotlib.figure import Figure

from seq2seq.plots.figure import save_figure


def write_often(path, started):
    figure = Figure(figsize=(1, 1))
    started.wait()
    for _ in range(30):
        save_figure(figure, path, 20)


def test_two_processes_write_the_same_picture(tmp_path):
    context = multiprocessing.get_context("spawn")
    path, started = tmp_path / "plots" / "one.png", context.Barrier(2)
    writers = [context.Process(target=write_often, args=(path, started)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert os.listdir(path.parent) == ["one.png"]
    assert path.read_bytes().endswith(b"IEND\xaeB`\x82")
