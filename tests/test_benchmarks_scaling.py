"""The model of many threads, on loops whose times are known."""

import pytest

from benchmarks.scaling import Loop, by_place, loop_cost, read_trace

TRACE = """\
1,/src/gemm.h:87,8,4000
2,/src/layer.h:10,4,1000
2,/src/layer.h:10,4,1000
1,/src/pool.h:196,2,2400
0,/src/dense.cc:43,0,7000
0,/src/adam.cc:102,0,100
"""


def test_a_trace_is_a_tree():
    dense, adam = read_trace(TRACE)
    assert (dense.place, dense.seconds) == ("dense.cc:43", pytest.approx(7e-6))
    assert [loop.place for loop in dense.inner] == ["gemm.h:87", "pool.h:196"]
    assert [loop.iterations for loop in dense.inner[1].inner] == [4, 4]
    assert adam.inner == []


@pytest.mark.parametrize(
    ("threads", "rounds"), [(1, 8), (2, 4), (3, 3), (4, 2), (7, 2), (8, 1), (64, 1)]
)
def test_a_loop_lasts_as_long_as_its_slowest_thread(threads, rounds):
    assert Loop("a:1", 8, 80.0).on(threads, barrier=0) == pytest.approx(10 * rounds)


def test_every_thread_costs_a_barrier():
    assert Loop("a:1", 8, 80.0).on(4, barrier=0.5) == pytest.approx(20 + 3 * 0.5)
    assert Loop("a:1", 2, 80.0).on(64, barrier=0.5) == pytest.approx(40 + 0.5)


def test_halves_share_the_threads():
    inner = [Loop("b:1", 4, 40.0), Loop("b:1", 4, 40.0)]
    halves = Loop("a:1", 2, 84.0, inner)
    assert halves.on(1, barrier=0) == pytest.approx(84)
    assert halves.on(2, barrier=0) == pytest.approx(42)
    assert halves.on(8, barrier=0) == pytest.approx(2 + 10)


def test_serial_code_stays():
    [dense] = read_trace("1,/src/gemm.h:87,8,4000000\n0,/src/dense.cc:43,0,7000000\n")
    assert by_place([dense], threads=4, barrier=0, steps=1) == {
        "dense.cc, serial": pytest.approx(3.0),
        "gemm.h:87": pytest.approx(1.0),
    }


@pytest.mark.compiled
def test_the_cost_of_a_loop_is_measured():
    assert 0 < loop_cost() < 1
