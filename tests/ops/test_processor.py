"""The kernels' instructions, by what processors say of themselves in /proc/cpuinfo."""

import pytest

from seq2seq.ops import processor

AVX512 = "fpu sse2 avx avx2 fma avx512f avx512dq avx512cd avx512bw avx512vl"

# Excerpts of the files of real machines.
MACHINES = {
    "Xeon Platinum 8488C (Sapphire Rapids)": f"""vendor_id\t: GenuineIntel
flags\t\t: {AVX512} avx512_vnni avx512_bf16 avx512_fp16 amx_bf16 amx_tile amx_int8
""",
    "Xeon, AMX hidden by its hypervisor": f"""vendor_id\t: GenuineIntel
flags\t\t: {AVX512} avx512_vnni avx512_bf16 avx512_fp16
""",
    "EPYC 9R14 (Zen 4)": f"""vendor_id\t: AuthenticAMD
flags\t\t: {AVX512} avx512_bf16 avx512_vnni
""",
    "Xeon Platinum 8175M (Skylake)": f"vendor_id\t: GenuineIntel\nflags\t\t: {AVX512}\n",
    "Core i7-8650U": "vendor_id\t: GenuineIntel\nflags\t\t: fpu sse2 fma avx f16c avx2\n",
    "Core i5-2410M": "vendor_id\t: GenuineIntel\nflags\t\t: fpu sse2 avx\n",
    "Graviton 3": "processor\t: 0\nFeatures\t: fp asimd evtstrm aes bf16 i8mm\n",
}


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A function that makes this machine look like one of the above."""
    monkeypatch.delenv("SEQ2SEQ_KERNEL_FLAGS", raising=False)

    def pretend(name, grants_amx=True):
        monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
        monkeypatch.setattr(processor, "_may_use_amx", lambda: grants_amx)
        processor.CPUINFO.write_text(MACHINES[name])

    return pretend


@pytest.mark.parametrize(
    ("name", "description", "flags"),
    [
        (
            "Xeon Platinum 8488C (Sapphire Rapids)",
            "AMX (bfloat16, int8), AVX-512",
            {processor.AMX, processor.INT8_QUADS},
        ),
        ("Xeon, AMX hidden by its hypervisor", "AVX-512 (int8)", {processor.INT8_QUADS}),
        (
            "EPYC 9R14 (Zen 4)",
            "AVX-512 (bfloat16, int8)",
            {processor.BFLOAT16_PAIRS, processor.INT8_QUADS},
        ),
        ("Xeon Platinum 8175M (Skylake)", "AVX-512", set()),
        ("Core i7-8650U", "AVX2", set()),
        ("Core i5-2410M", "AVX", set()),
        ("Graviton 3", "NEON", set()),
    ],
)
def test_kernels_of_machines(machine, name, description, flags):
    machine(name)
    assert processor.describe_instructions() == description
    assert {flag for flag in processor.compiler_flags() if flag.startswith("-D")} == flags


def test_amx_is_not_used_where_the_system_does_not_grant_it(machine):
    machine("Xeon Platinum 8488C (Sapphire Rapids)", grants_amx=False)
    assert processor.describe_instructions() == "AVX-512 (int8)"


def test_own_flags_are_last(machine, monkeypatch):
    machine("Core i7-8650U")
    monkeypatch.setenv("SEQ2SEQ_KERNEL_FLAGS", "-O1 -g")
    assert processor.compiler_flags()[-2:] == ("-O1", "-g")
