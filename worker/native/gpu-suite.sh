#!/usr/bin/env bash
# Builds and runs all that needs a GPU, on a machine with CMake, a C++ compiler and CUDA alone. Its steps, in this order: conformance (every case of test/native on
# CUDA, against float64 references and the processor), ladder (the bench of each operation), torch (the ladder's rungs in PyTorch, where a Python has it with CUDA),
# blocks (four blocks of a 7B-shaped model), recipes (the command line end to end on every recipe of examples/, where Node and dist/ were carried along), memcheck and
# racecheck (a reduced set of cases under compute-sanitizer).
# Writes FOLDER/gpu-suite.json and FOLDER/gpu-suite.log, both after each step: what is there when the machine is taken away is whole. The JSON also goes to
# bench/results/gpu-suite-DEVICE.json beside the repository's benches, which is to be committed.
#
#   worker/native/gpu-suite.sh [FOLDER [STEP...]]   FOLDER: build/gpu-suite unless named; the build itself goes to build/gpu-native
#                                                   STEP: these alone; results of the others stay as the last call has left them
#   BITWRIGHT_SUITE_SECONDS                         when to end, counted from the beginning, build and all: what has not begun by then is left out; no end unless set
#   BITWRIGHT_PYTHON                                the Python that has PyTorch: else python3, then python
#   BITWRIGHT_NODE                                  the Node for the command line: else node
#
# Exit codes: 0 all passed, 1 something failed or was not finished, 2 cannot be built here, 3 built, but there is no CUDA device that can be used (the cases are
# listed as skipped).
set -euo pipefail

native=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$native/../../build/gpu-suite}
all_steps=(conformance ladder torch blocks recipes memcheck racecheck)
steps=("${@:2}")
mkdir -p "$out"
out=$(cd "$out" && pwd)
build=$native/../../build/gpu-native
mkdir -p "$build"
build=$(cd "$build" && pwd)
log=$out/gpu-suite.log
# What steps have found: NAME.json their own file, NAME.outcome how they ended.
found=$build/found
mkdir -p "$found"

refuse() {
  echo "gpu-suite: $1" >&2
  exit 2
}

is_among() {
  local wanted=$1 one
  shift
  for one in "$@"; do [ "$one" = "$wanted" ] && return 0; done
  return 1
}
for name in ${steps[@]+"${steps[@]}"}; do is_among "$name" "${all_steps[@]}" || refuse "there is no step $name; the steps are ${all_steps[*]}"; done
if [ "${#steps[@]}" -eq 0 ]; then
  # Nothing older than this run.
  steps=("${all_steps[@]}")
  rm -f "$found"/*
fi
rm -f "$log" "$out/gpu-suite.json"

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

# The emulation is for machines without a device.
options=(-DBITWRIGHT_NODE=OFF -DBITWRIGHT_EMULATION=OFF "-DCMAKE_CUDA_COMPILER=$nvcc")
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
cmake -S "$native" -B "$build" "${options[@]}" >"$log" 2>&1 || { tail -n 30 "$log" >&2; refuse "CMake cannot configure the native core (the whole answer: $log)"; }
if [ -f "$build/cuda-absent.txt" ]; then refuse "$(cat "$build/cuda-absent.txt")"; fi
cmake --build "$build" --target native-tests cuda-ladder cuda-blocks --parallel "$(nproc)" >>"$log" 2>&1 || { grep -E 'error|FAILED' "$log" | head -n 30 >&2; refuse "the build failed (the whole answer: $log)"; }

# ---- one file of results, written anew after each step ----------------------------------------------------------------

json_text() { printf '"%s"' "$(printf '%s' "$1" | tr -d '\000-\037' | sed 's/\\/\\\\/g; s/"/\\"/g')"; }
json_file() { if [ -s "$1" ]; then cat "$1"; else printf 'null'; fi; }
nvcc_release=$("$nvcc" --version | sed -n 's/.*release //p')
device=$(ask_device name)
driver=$(ask_device driver_version)
absent=""
write_results() {
  local name separator=""
  {
    printf '{\n"device": %s,\n"driver": %s,\n' "$(json_text "$device")" "$(json_text "$driver")"
    printf '"clocks_mhz_after": {"sm": %s, "memory": %s},\n' "$(json_text "$(ask_device clocks.sm)")" "$(json_text "$(ask_device clocks.mem)")"
    printf '"nvcc": %s,\n"processor_blas": %s,\n' "$(json_text "$nvcc_release")" "$(json_text "$blas")"
    printf '"unusable_because": %s,\n"steps": {' "$(if [ -n "$absent" ]; then json_text "$absent"; else printf 'null'; fi)"
    for name in "${all_steps[@]}"; do
      [ -f "$found/$name.outcome" ] || continue
      printf '%s\n"%s": %s' "$separator" "$name" "$(cat "$found/$name.outcome")"
      separator=,
    done
    printf '},\n"conformance": %s,\n"ladder": %s,\n' "$(json_file "$found/conformance.json")" "$(json_file "$found/ladder.json")"
    printf '"torch": %s,\n"blocks": %s,\n' "$(json_file "$found/torch.json")" "$(json_file "$found/blocks.json")"
    printf '"recipes": %s\n}\n' "$(json_file "$found/recipes.json")"
  } >"$out/gpu-suite.json.part"
  mv "$out/gpu-suite.json.part" "$out/gpu-suite.json"
}

# ---- run ---------------------------------------------------------------------------------------------------------------

verdict=0
# Remembers how a step ended: its name, a sentence, how many seconds it took.
note() {
  echo "$1: $2"
  printf '{"outcome": %s, "seconds": %s}' "$(json_text "$2")" "$3" >"$found/$1.outcome"
  write_results
}
# Runs a step for so many seconds at most, or for what is left of them, with its output in the log. Programs write their files by a rename: what is there is whole.
step() {
  local name=$1 limit=$2 code=0 begin=$SECONDS outcome=passed
  shift 2
  rm -f "$found/$name.json" "$found/$name.outcome" "$build/$name.log"
  if [ -n "${BITWRIGHT_SUITE_SECONDS:-}" ] && [ $((BITWRIGHT_SUITE_SECONDS - SECONDS)) -lt "$limit" ]; then limit=$((BITWRIGHT_SUITE_SECONDS - SECONDS)); fi
  if [ "$limit" -lt 10 ]; then
    note "$name" "not begun, the $BITWRIGHT_SUITE_SECONDS s were over" 0
    verdict=1
    return
  fi
  echo "== $name"
  echo "== $name" >>"$log"
  timeout --kill-after=10 "$limit" "$@" >"$build/$name.log" 2>&1 || code=$?
  cat "$build/$name.log" >>"$log"
  tail -n 3 "$build/$name.log"
  case $code in
    0) ;;
    124 | 137) outcome="not finished in $limit s" ;;
    *) outcome="failed with code $code" ;;
  esac
  if [ "$code" -ne 0 ]; then verdict=1; fi
  note "$name" "$outcome" $((SECONDS - begin))
}

run_conformance() {
  step conformance 300 "$build/native-tests" --backend cuda --json "$found/conformance.json"
  [ -f "$build/conformance.log" ] || return 0
  absent=$(sed -n 's/^The backend cuda cannot be used: //p' "$build/conformance.log")
  if [ -n "$absent" ]; then note conformance "not run, there is no CUDA device" 0; fi
}

# The same rungs right after ours on the same device.
run_torch() {
  local python="" candidate script=$native/../../bench/cuda/torch_ladder.py why=""
  for candidate in "${BITWRIGHT_PYTHON:-}" python3 python; do
    [ -n "$candidate" ] && command -v "$candidate" >/dev/null && "$candidate" -c 'import torch' >/dev/null 2>&1 && python=$candidate && break
  done
  if [ -z "$python" ]; then why="not there (neither BITWRIGHT_PYTHON nor python3 nor python can import torch)"
  elif [ ! -s "$found/ladder.json" ]; then why="not run, there is no ladder of our own"
  elif [ ! -f "$script" ]; then why="not run, bench/cuda/torch_ladder.py was not carried along"
  elif ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' >/dev/null 2>&1; then why="not run, that of $python sees no CUDA device"
  fi
  rm -f "$found/torch.json"
  if [ -n "$why" ]; then note torch "$why" 0; else step torch 300 "$python" "$script" "$found/ladder.json" "$found/torch.json"; fi
}

# Every recipe of examples/ by the command line. A machine for CUDA has neither Node nor what npm makes: both are carried along, or it is said what is missing.
run_recipes() {
  local node=${BITWRIGHT_NODE:-node} root=$native/../.. why="" part
  local is_new='const [major, minor] = process.versions.node.split("."); process.exit(major > 20 || (major == 20 && minor >= 19) ? 0 : 1)'
  local loads='try { require(process.argv[1]) } catch ({ message }) { console.log(message.split("\n")[0]) }'
  if ! command -v "$node" >/dev/null; then why="there is no program $node; BITWRIGHT_NODE names a Node 20.19 or newer"
  elif ! "$node" -e "$is_new" >/dev/null 2>&1; then why="$node is $("$node" --version 2>&1 | tail -n 1 || true), and the command line needs Node 20.19 or newer"
  fi
  for part in bench/cuda/recipes.mjs examples; do
    [ -n "$why" ] || [ -e "$root/$part" ] || why="$part was not carried along"
  done
  for part in cli/bitwright.js server/main.js worker/main.js native/bitwright.node; do
    [ -n "$why" ] || [ -f "$root/dist/$part" ] || why="dist/$part was not carried along; npm run build makes it"
  done
  if [ -z "$why" ]; then
    # Built with a newer glibc than there is here, for one.
    why=$("$node" -e "$loads" "$root/dist/native/bitwright.node" 2>/dev/null || true)
    [ -z "$why" ] || why="dist/native/bitwright.node does not load here: $why"
  fi
  rm -f "$found/recipes.json"
  if [ -n "$why" ]; then note recipes "not run, $why" 0
  else step recipes 420 "$node" "$root/bench/cuda/recipes.mjs" "$build/bitwright-cuda.so" "$found/recipes.json"
  fi
}

# Cases that reach every kind of kernel and stay small: a checked kernel runs many times slower.
reduced=(--only "attention with heads" --only "gptq_factor at full tiles" --only "by permutation and group table" --only "hessian_accumulate where" --only "packing round-trips"
  --only "the mse search per tensor" --only "columns over many rows" --only "cross_entropy agrees" --only "histogram counts" --only "compare gives sums" --only "rmsnorm agrees" --only "told by the next read"
  --only "AWQ's sums" --only "awq_scales" --only "inputs on float grids" --only "NVFP4: both levels" --only "4-bit codes and E8M0" --only "identity Hessian" --only "stack_rows puts"
  --only "hadamard_transform is" --only "rotate is" --only "logit_divergence is" --only "argmax is" --only "store_rows writes" --only "cached_attention is" --only "column_moments_accumulate"
  --only "from rounded parts" --only "corrected_weight solves" --only "quantize_gpfq follows" --only "COMQ's output error" --only "COMQ, GPFQ and Qronos with dead" --only "Beacon's start is" --only "Beacon with dead"
  --only "blockwise: the nearest value" --only "blockwise: zeros" --only "GGUF blocks: importance" --only "low_rank_residual finds" --only "prune_magnitude" --only "prune_sparsegpt: zeros that are there"
  --only "prune_sparsegpt with a grid: rounds" --only "clip_cells cuts" --only "vptq: outliers and groups" --only "vptq_pack" --only "streams: ")
run_sanitizer() {
  local sanitizer
  sanitizer=$(command -v compute-sanitizer || true)
  if [ -z "$sanitizer" ] && [ -x "$(dirname "$nvcc")/compute-sanitizer" ]; then sanitizer=$(dirname "$nvcc")/compute-sanitizer; fi
  if [ -z "$sanitizer" ]; then note "$1" "not run, compute-sanitizer is missing" 0
  else step "$1" 300 "$sanitizer" --tool "$1" --error-exitcode 9 "$build/native-tests" --backend cuda "${reduced[@]}"
  fi
}

write_results
for name in "${steps[@]}"; do
  # Without a device the first step has said so; the others would say it again.
  if [ -n "$absent" ]; then note "$name" "not run, there is no CUDA device" 0
  else
    case $name in
      conformance) run_conformance ;;
      ladder) step ladder 300 "$build/cuda-ladder" "$build/bitwright-cuda.so" "$found/ladder.json" ;;
      torch) run_torch ;;
      blocks) step blocks 300 "$build/cuda-blocks" "$build/bitwright-cuda.so" "$found/blocks.json" ;;
      recipes) run_recipes ;;
      *) run_sanitizer "$name" ;;
    esac
  fi
done
echo "Results: $out/gpu-suite.json"
if [ -n "$absent" ]; then
  echo "No CUDA device can be used: $absent"
  exit 3
fi
results=$native/../../bench/results
if [ -d "$results" ]; then
  kept=$results/gpu-suite-$(printf '%s' "${device:-unknown}" | tr '[:upper:] ' '[:lower:]-' | tr -cd 'a-z0-9-').json
  cp "$out/gpu-suite.json" "$kept"
  echo "To be committed: bench/results/$(basename "$kept")"
fi
exit "$verdict"
