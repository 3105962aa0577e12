#!/usr/bin/env bash
# Builds and runs all that needs a GPU, on a machine with CMake, a C++ compiler and CUDA alone: every case of test/native on CUDA (against float64 references
# and the processor), a reduced set under compute-sanitizer, the bench ladder, four blocks of a 7B-shaped model, and where a Python has PyTorch with CUDA the ladder's
# rungs in it. Writes FOLDER/gpu-suite.json, and beside the repository's benches bench/results/gpu-suite-DEVICE.json, which is to be committed.
#
#   worker/native/gpu-suite.sh [FOLDER]      FOLDER: build/gpu-suite unless named; the build itself goes to build/gpu-native
#   BITWRIGHT_PYTHON                         the Python that has PyTorch: else python3, then python
#   BITWRIGHT_SANITIZER_SECONDS              how long each of the two sanitizer runs may take: 300 unless set
#
# Exit codes: 0 all passed, 1 something failed, 2 cannot be built here, 3 built, but there is no CUDA device that can be used (the cases are listed as skipped).
set -euo pipefail

native=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$native/../../build/gpu-suite}
mkdir -p "$out"
out=$(cd "$out" && pwd)
build=$native/../../build/gpu-native
mkdir -p "$build"
build=$(cd "$build" && pwd)
conformance=$build/conformance.json
ladder=$build/ladder.json
blocks=$build/blocks.json
torch=$build/torch.json
# Nothing older than this run.
rm -f "$conformance" "$ladder" "$blocks" "$torch" "$out/gpu-suite.json"

refuse() {
  echo "gpu-suite: $1" >&2
  exit 2
}

# ---- what the machine has ----------------------------------------------------------------------------------------------

command -v cmake >/dev/null || refuse "cmake is not on the PATH; the suite needs CMake 3.20 or newer, a C++20 compiler and a CUDA toolkit 12.0 or newer"
command -v c++ >/dev/null || command -v g++ >/dev/null || refuse "there is no C++ compiler (c++ or g++) on the PATH"
nvcc=$(command -v nvcc || true)
if [ -z "$nvcc" ] && [ -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ]; then nvcc=${CUDA_HOME:-/usr/local/cuda}/bin/nvcc; fi
[ -n "$nvcc" ] || refuse "nvcc is neither on the PATH nor in ${CUDA_HOME:-/usr/local/cuda}/bin; install a CUDA toolkit 12.0 or newer, or set CUDA_HOME"

# What nvidia-smi says of the first device, empty where it is missing.
ask_device() {
  command -v nvidia-smi >/dev/null || return 0
  nvidia-smi --query-gpu="$1" --format=csv,noheader,nounits --id=0 2>/dev/null | head -n 1 || true
}
capability=$(ask_device compute_cap | tr -cd '0-9')

options=(-DBITWRIGHT_NODE=OFF "-DCMAKE_CUDA_COMPILER=$nvcc")
# Code for the device at hand compiles in a fraction of the time; without one, for all.
[ -z "$capability" ] || options+=("-DCMAKE_CUDA_ARCHITECTURES=$capability")
has_openblas() {
  local folder
  for folder in /usr/lib/*/openblas-pthread /usr/lib/openblas; do
    [ -f "$folder/libopenblas.a" ] && return 0
  done
  return 1
}
blas=openblas
has_openblas || blas=plain
options+=("-DBITWRIGHT_BLAS=$blas")
if command -v ninja >/dev/null; then options+=(-G Ninja); fi

# ---- build -------------------------------------------------------------------------------------------------------------

echo "== build (processor's BLAS: $blas, devices: ${capability:-all})"
cmake -S "$native" -B "$build" "${options[@]}" >"$out/configure.log" 2>&1 || { tail -n 30 "$out/configure.log" >&2; refuse "CMake cannot configure the native core (the whole answer: $out/configure.log)"; }
if [ -f "$build/cuda-absent.txt" ]; then refuse "$(cat "$build/cuda-absent.txt")"; fi
cmake --build "$build" --target native-tests cuda-ladder cuda-blocks --parallel "$(nproc)" >"$out/build.log" 2>&1 || { grep -E 'error|FAILED' "$out/build.log" | head -n 30 >&2; refuse "the build failed (the whole answer: $out/build.log)"; }

# ---- run ---------------------------------------------------------------------------------------------------------------

verdict=0
last_code=0
# Runs a step, keeps its output in FOLDER/NAME.log, and remembers whether it failed.
step() {
  local name=$1
  shift
  echo "== $name"
  last_code=0
  "$@" >"$out/$name.log" 2>&1 || last_code=$?
  tail -n 3 "$out/$name.log"
  if [ "$last_code" -ne 0 ]; then verdict=1; fi
}

step conformance "$build/native-tests" --backend cuda --json "$conformance"
absent=$(sed -n 's/^The backend cuda cannot be used: //p' "$out/conformance.log")

sanitizer_outcomes=()
sanitizer=$(command -v compute-sanitizer || true)
if [ -z "$sanitizer" ] && [ -x "$(dirname "$nvcc")/compute-sanitizer" ]; then sanitizer=$(dirname "$nvcc")/compute-sanitizer; fi
# Cases that reach every kind of kernel and stay small: a checked kernel runs many times slower.
reduced=(--only "attention with heads" --only "gptq_factor at full tiles" --only "by permutation and group table" --only "hessian_accumulate where" --only "packing round-trips"
  --only "the mse search per tensor" --only "columns over many rows" --only "cross_entropy agrees" --only "histogram counts" --only "compare gives sums" --only "rmsnorm agrees" --only "told by the next read"
  --only "AWQ's sums" --only "awq_scales" --only "inputs on float grids" --only "NVFP4: both levels" --only "4-bit codes and E8M0" --only "identity Hessian" --only "stack_rows puts"
  --only "hadamard_transform is" --only "rotate is" --only "logit_divergence is" --only "argmax is" --only "store_rows writes" --only "cached_attention is" --only "column_moments_accumulate"
  --only "from rounded parts" --only "corrected_weight solves" --only "quantize_gpfq follows" --only "COMQ's output error" --only "COMQ, GPFQ and Qronos with dead" --only "Beacon's start is" --only "Beacon with dead"
  --only "blockwise: the nearest value" --only "blockwise: zeros" --only "GGUF blocks: importance" --only "low_rank_residual finds" --only "prune_magnitude" --only "prune_sparsegpt: zeros that are there"
  --only "prune_sparsegpt with a grid: rounds" --only "clip_cells cuts" --only "vptq: outliers and groups" --only "vptq_pack")
if [ -n "$absent" ]; then
  echo "No CUDA device can be used: $absent"
elif [ -z "$sanitizer" ]; then
  echo "compute-sanitizer is missing: memory and races are not checked"
else
  for tool in memcheck racecheck; do
    step "$tool" timeout "${BITWRIGHT_SANITIZER_SECONDS:-300}" "$sanitizer" --tool "$tool" --error-exitcode 9 "$build/native-tests" --backend cuda "${reduced[@]}"
    case $last_code in
      0) outcome=clean ;;
      124) outcome="not finished in ${BITWRIGHT_SANITIZER_SECONDS:-300} s" ;;
      *) outcome="failed with code $last_code" ;;
    esac
    sanitizer_outcomes+=("\"$tool\": \"$outcome\"")
  done
fi
if [ -z "$absent" ]; then
  step ladder "$build/cuda-ladder" "$build/bitwright-cuda.so" "$ladder"
  step blocks "$build/cuda-blocks" "$build/bitwright-cuda.so" "$blocks"
fi

# The same rungs in PyTorch, right after ours on the same device.
torch_ladder=$native/../../bench/cuda/torch_ladder.py
torch_absent=""
python=""
for candidate in "${BITWRIGHT_PYTHON:-}" python3 python; do
  [ -n "$candidate" ] && command -v "$candidate" >/dev/null && "$candidate" -c 'import torch' 2>/dev/null && python=$candidate && break
done
if [ -z "$python" ]; then
  torch_absent="torch: not there (neither BITWRIGHT_PYTHON nor python3 nor python can import it)"
elif [ -n "$absent" ]; then
  torch_absent="torch: not run, there is no CUDA device"
elif [ ! -s "$ladder" ]; then
  torch_absent="torch: not run, the ladder of our own did not end"
elif [ ! -f "$torch_ladder" ]; then
  torch_absent="torch: not run, bench/cuda/torch_ladder.py was not carried along"
elif ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  torch_absent="torch: not run, that of $python sees no CUDA device"
else
  step torch "$python" "$torch_ladder" "$ladder" "$torch"
fi
[ -z "$torch_absent" ] || echo "$torch_absent"

# ---- one file of results -----------------------------------------------------------------------------------------------

json_text() { printf '"%s"' "$(printf '%s' "$1" | tr -d '\000-\037' | sed 's/\\/\\\\/g; s/"/\\"/g')"; }
json_file() { if [ -s "$1" ]; then cat "$1"; else printf 'null'; fi; }
join_with_comma() {
  local IFS=,
  printf '%s' "$*"
}
{
  printf '{\n"device": %s,\n"driver": %s,\n' "$(json_text "$(ask_device name)")" "$(json_text "$(ask_device driver_version)")"
  printf '"clocks_mhz_after": {"sm": %s, "memory": %s},\n' "$(json_text "$(ask_device clocks.sm)")" "$(json_text "$(ask_device clocks.mem)")"
  printf '"nvcc": %s,\n"processor_blas": %s,\n' "$(json_text "$("$nvcc" --version | sed -n 's/.*release //p')")" "$(json_text "$blas")"
  printf '"unusable_because": %s,\n' "$(if [ -n "$absent" ]; then json_text "$absent"; else printf 'null'; fi)"
  printf '"conformance": %s,\n' "$(json_file "$conformance")"
  printf '"sanitizer": {%s},\n' "$(join_with_comma ${sanitizer_outcomes[@]+"${sanitizer_outcomes[@]}"})"
  printf '"ladder": %s,\n' "$(json_file "$ladder")"
  printf '"blocks": %s,\n' "$(json_file "$blocks")"
  printf '"torch": %s\n}\n' "$(if [ -n "$torch_absent" ]; then json_text "$torch_absent"; else json_file "$torch"; fi)"
} >"$out/gpu-suite.json"
echo "Results: $out/gpu-suite.json"
if [ -n "$absent" ]; then exit 3; fi
results=$native/../../bench/results
if [ -d "$results" ]; then
  kept=$results/gpu-suite-$(ask_device name | tr '[:upper:] ' '[:lower:]-' | tr -cd 'a-z0-9-').json
  cp "$out/gpu-suite.json" "$kept"
  echo "To be committed: bench/results/$(basename "$kept")"
fi
exit "$verdict"
