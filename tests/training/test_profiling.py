from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from seq2seq.errors import UserError
from seq2seq.training.profiler_trace import OVERHEAD, STEP, WAITING, Span, Trace, read_trace
from seq2seq.training.profiling import BETWEEN, IDLE, OTHER, as_text, group_of, step_times

MILLISECOND = 10**9
MATMUL = "dense/MatMul:MatMul"


def trace_of(folder, *lines):
    """Writes threads of events `(start, end, name, stats)`, in milliseconds, and reads them."""
    space = xplane_pb2.XSpace()
    plane = space.planes.add(name="/host:CPU")
    names, stat_names = {}, {}
    for title, events in lines:
        line = plane.lines.add(name=title)
        for start, end, name, stats in events:
            event = line.events.add(
                metadata_id=names.setdefault(name, len(names)),
                offset_ps=int(start * MILLISECOND),
                duration_ps=int((end - start) * MILLISECOND),
            )
            for key, value in stats.items():
                number = stat_names.setdefault(key, len(stat_names))
                event.stats.add(metadata_id=number, uint64_value=value)
    for name, number in names.items():
        plane.event_metadata[number].name = name
    for name, number in stat_names.items():
        plane.stat_metadata[number].name = name
    path = folder / "plugins" / "profile" / "now" / "host.xplane.pb"
    path.parent.mkdir(parents=True)
    path.write_bytes(space.SerializeToString())
    return read_trace(folder)


def steps(*pairs):
    return "python", [(start, end, STEP, {}) for start, end in pairs]


def times_of(trace):
    times = step_times(trace, "adam")
    return {part.name: pytest.approx(part.milliseconds) for part in times.groups}


def test_an_op_inside_another_event_counts_and_its_details_do_not(tmp_path):
    events = [
        (0, 10, "ExecutorState::Process", {}),
        (2, 8, "StatefulPartitionedCall/dense/MatMul:MatMul", {}),
        (3, 5, "ParallelFor", {}),
        (3, 3, "MemoryAllocation", {}),
    ]
    trace = trace_of(tmp_path, steps((0, 10)), ("tf_Compute/1", events))
    ms = MILLISECOND
    assert trace.threads[1] == [
        Span(0, 2 * ms, OVERHEAD),
        Span(2 * ms, 8 * ms, MATMUL),
        Span(8 * ms, 10 * ms, OVERHEAD),
    ]
    assert times_of(trace) == {"matrix products": 6, OVERHEAD: 4}


def test_an_op_is_charged_for_itself_without_the_ops_inside_it(tmp_path):
    events = [(0, 10, "outer:If", {}), (1, 4, MATMUL, {}), (4, 9, "adam/mul:Mul", {})]
    trace = trace_of(tmp_path, steps((0, 10)), ("tf_Compute/1", events))
    assert times_of(trace) == {"optimizer": 5, "matrix products": 3, OTHER: 2}


def test_work_handed_to_other_threads_counts_for_the_op_that_handed_it_out(tmp_path):
    ops = [(0, 10, MATMUL, {}), (1, 1, "ThreadpoolListener::Record", {"_p": 7})]
    first = [
        (2, 2, "ThreadpoolListener::StartRegion", {"_c": 7}),
        (3, 3, "ThreadpoolListener::Record", {"_p": 8}),
        (6, 6, "ThreadpoolListener::StopRegion", {}),
    ]
    second = [
        (10, 10, "ThreadpoolListener::StartRegion", {"_c": 8}),
        (14, 14, "ThreadpoolListener::StopRegion", {}),
        (14, 14, "ThreadpoolListener::StartRegion", {"_c": 99}),  # by nobody we know of
        (16, 16, "ThreadpoolListener::StopRegion", {}),
    ]
    trace = trace_of(
        tmp_path, steps((0, 20)), ("a", ops), ("tf_numa_Eigen/1", first), ("Eigen/2", second)
    )
    assert times_of(trace) == {"matrix products": 14, OVERHEAD: 2, IDLE: 4}
    assert step_times(trace, "adam").threads == pytest.approx((10 + 4 + 4 + 2) / 20)


def test_waiting_and_time_between_steps_are_told_from_work_and_from_making_batches(tmp_path):
    python = [
        (0, 10, STEP, {}),
        (0, 3, WAITING, {}),
        (15, 25, STEP, {}),
        (15, 16, WAITING, {}),
    ]
    data = [(0, 20, "PyFuncStateless:PyFuncStateless", {})]
    ops = [(3, 9, "encoder/Seq2seqLstmForward:Seq2seqLstmForward", {}), (16, 25, MATMUL, {})]
    outside = [(25, 40, MATMUL, {})]
    trace = trace_of(
        tmp_path, ("python", python), ("tf_data_private/1", data), ("a", ops), ("b", outside)
    )
    assert times_of(trace) == {
        WAITING: 2,
        "recurrent loops": 3,
        "matrix products": 4.5,
        IDLE: 0.5,
        BETWEEN: 2.5,
    }


def spans(draw_lengths):
    """A thread's spans, one behind the other, with gaps."""
    result, now = [], 0
    for gap, length, what in draw_lengths:
        result.append(Span(now + gap, now + gap + length, what))
        now += gap + length
    return result


whats = st.sampled_from([MATMUL, OVERHEAD, "adam/mul:Mul", "x:Add"])
threads = st.lists(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9), whats), max_size=6).map(spans),
    max_size=4,
)
traced_steps = st.lists(
    st.tuples(st.integers(0, 5), st.integers(1, 20), st.just("")), min_size=1, max_size=4
).map(lambda drawn: [(span.start, span.end) for span in spans(drawn)])


@given(threads=threads, steps=traced_steps)
@settings(derandomize=True, deadline=None)
def test_shares_equal_a_count_of_each_moment(threads, steps):
    expected = defaultdict(float)
    for moment in range(steps[0][0], steps[-1][1]):
        work = [s.activity for thread in threads for s in thread if s.start <= moment < s.end]
        inside = any(start <= moment < end for start, end in steps)
        for what in work or [IDLE if inside else BETWEEN]:
            expected[group_of(what, "adam")] += 1 / max(len(work), 1)
    total = steps[-1][1] - steps[0][0]
    times = step_times(Trace(steps, threads), "adam")
    shares = {part.name: part.share for part in times.groups}
    assert shares == pytest.approx({name: count / total for name, count in expected.items()})
    assert sum(shares.values()) == pytest.approx(1)
    assert times.milliseconds == pytest.approx(total / len(steps) / MILLISECOND)


@pytest.mark.parametrize(
    ("op", "group"),
    [
        ("model/decoder/while/body/_394/model/decoder/while/MatMul:_MklMatMul", "recurrent loops"),
        ("while_2/body/_724/while_2/concat_1:ConcatV2", "recurrent loops"),
        ("Seq2seqGruBackward_1:Seq2seqGruBackward", "recurrent loops"),
        ("meanwhile/Mul:Mul", OTHER),
        ("Seq2seqLogitStatistics:Seq2seqLogitStatistics", "loss"),
        ("gradient_tape/SparseSoftmaxCrossEntropyWithLogits/Exp:Exp", "loss"),
        ("adam/mul_1/x:UnsortedSegmentSum", "optimizer"),
        ("adamantine/Mul:Mul", OTHER),
        ("Seq2seqClippingScale:Seq2seqClippingScale", "optimizer"),
        ("Seq2seqAdam_3:Seq2seqAdam", "optimizer"),
        ("Seq2seqMergedSlices:Seq2seqMergedSlices", "optimizer"),
        ("Seq2seqDotAttentionGradient:Seq2seqDotAttentionGradient", "attention"),
        ("model/source_embedding/Seq2seqRows:Seq2seqRows", "embedding lookups"),
        ("ResourceApplyAdam_3:ResourceApplyAdam", "optimizer"),
        ("Seq2seqDenseGradient:Seq2seqDenseGradient", "matrix products"),
        ("Seq2seqDropout_1:Seq2seqDropout", "dropout"),
        ("model/target_embedding_3/Tensordot/MatMul:_MklMatMul", "matrix products"),
        ("model/layer_0/add:_MklNativeFusedMatMul", "matrix products"),
        ("model/source_embedding_1/GatherV2:GatherV2", "embedding lookups"),
        ("gradient_tape/UnsortedSegmentSum:UnsortedSegmentSum", "embedding lookups"),
        ("model/output_dropout_1/stateless_dropout/Mul:Mul", "dropout"),
    ],
)
def test_groups_of_ops(op, group):
    assert group_of(op, "adam") == group


def test_the_table_shows_groups_and_the_top_ops(tmp_path):
    ops = [(n, n + 1 + n / 100, f"op_{n}:Add", {}) for n in range(20)]
    trace = trace_of(tmp_path, steps((0, 10), (10, 21)), ("tf_Compute/1", ops))
    lines = as_text(step_times(trace, "adam"), cores=2).splitlines()
    assert lines[0].startswith("10.5 ms a step, measured over 2 steps")
    assert lines[0].endswith("1.0 threads at work on 2 cores")
    assert sum(line.endswith(":Add") for line in lines) == 15
    assert lines[-15].split() == ["0.59", "5.7%", "op_19:Add"]


def test_a_folder_without_a_trace_is_refused(tmp_path):
    with pytest.raises(UserError, match="no trace of a training step"):
        read_trace(tmp_path)
    with pytest.raises(UserError, match="no trace of a training step"):
        trace_of(tmp_path, ("python", [(0, 1, "something", {})]))
