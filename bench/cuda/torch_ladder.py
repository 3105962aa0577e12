# The rungs of worker/native/bench/cuda-ladder.cc in PyTorch, on the same device and sizes, and beside each of ours the ratio. The algorithms are written here from the
# papers and from what each operation of ours says it does: eager PyTorch, as a quantization library in Python would run it.
#
#   python bench/cuda/torch_ladder.py LADDER_JSON OUT_JSON [--device cuda|cpu]
#
# LADDER_JSON is what cuda-ladder wrote: sizes, our times, floors. --device cpu tries the script itself, with a ladder of cuda-ladder --small.
import argparse
import json
import math
import os
import time

import torch
import torch.nn.functional as F

INPUTS_AS_BF16 = "inputs rounded to BF16 before; ours keeps all bits of F32 inputs"


class Clock:
    """Time of a function: two runs to warm up, then the shortest mean of three rounds."""

    def __init__(self, device, is_small):
        self.device = device
        self.is_small = is_small

    def settle(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, work, n):
        self.settle()
        begin = time.perf_counter()
        for _ in range(n):
            work()
        self.settle()
        return time.perf_counter() - begin

    def milliseconds(self, work):
        self.seconds(work, 1)
        once = self.seconds(work, 1)
        if self.is_small:
            return once * 1e3
        n = min(1000, max(3, int(0.3 / max(once, 1e-6))))
        # A function of seconds is timed once more, not nine times.
        rounds = 3 if once < 2 else 1
        return min(self.seconds(work, n if rounds == 3 else 1) / (n if rounds == 3 else 1) for _ in range(rounds)) * 1e3


# ---- integers in groups ------------------------------------------------------------------------------------------------


def group_scales(weight, group, bits=4):
    """Symmetric scale of each group from its largest magnitude: [O, G]."""
    cells = weight.view(weight.shape[0], -1, group)
    largest = torch.maximum(-cells.amin(-1).clamp(max=0), cells.amax(-1).clamp(min=0))
    scale = largest / ((2**bits - 1) / 2)
    return torch.where(scale == 0, torch.finfo(weight.dtype).eps, scale)


def mse_scales(weight, group, bits=4, maxshrink=0.2, grid=100, norm=2.4, patience=5):
    """The shrink search over the range of each group; a step that improves no group is idle."""
    cells = weight.view(weight.shape[0], -1, group)
    low, high = cells.amin(-1).clamp(max=0), cells.amax(-1).clamp(min=0)
    best = torch.full_like(low, math.inf)
    found = torch.zeros_like(low)
    n_idle = 0
    for step in range(int(maxshrink * grid)):
        p = 1 - step / grid
        scale = (torch.maximum(-low * p, high * p) / ((2**bits - 1) / 2)).clamp(min=torch.finfo(weight.dtype).tiny)
        codes = (cells / scale[..., None]).round().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        error = (codes * scale[..., None] - cells).abs().pow(norm).sum(-1)
        is_better = error < best
        if not is_better.any():
            n_idle += 1
            if n_idle >= patience:
                break
            continue
        n_idle = 0
        best = torch.where(is_better, error, best)
        found = torch.where(is_better, scale, found)
    return found


def quantize(weight, scale, group, bits=4):
    cells = weight.view(weight.shape[0], -1, group) / scale[..., None]
    return cells.round().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).to(torch.int8).view(weight.shape)


def dequantize(codes, scale, group):
    return (codes.view(codes.shape[0], -1, group).to(scale.dtype) * scale[..., None]).view(codes.shape)


def clipped_share(weight, scale, group, bits=4):
    codes = weight.view(weight.shape[0], -1, group) / scale[..., None]
    return ((codes < -(2 ** (bits - 1)) - 0.5) | (codes > 2 ** (bits - 1) - 0.5)).double().mean()


def pack_int32(codes, bits=4):
    per_word = 32 // bits
    words = (codes.to(torch.int32) + 2 ** (bits - 1)).view(codes.shape[0], -1, per_word)
    packed = torch.zeros(words.shape[:2], dtype=torch.int32, device=codes.device)
    for i in range(per_word):
        packed |= words[..., i] << (bits * i)
    return packed


# ---- GPTQ (Frantar et al., arXiv 2210.17323, the algorithm box of section 4) -------------------------------------------------


def gptq_factor(hessian, dampening=0.01):
    """Upper R with H + damping = R Rᵀ."""
    damped = hessian.clone()
    diagonal = torch.diagonal(damped)
    diagonal += dampening * diagonal.mean()
    return torch.linalg.cholesky(damped.flip(0, 1)).flip(0, 1).contiguous()


def inverse_factor(factor):
    """Upper U with (H + damping)⁻¹ = Uᵀ U."""
    return torch.linalg.solve_triangular(factor, torch.eye(factor.shape[0], device=factor.device), upper=True)


def quantize_gptq(weight, factor, scale, group, bits=4, block=128):
    """Codes of a weight [O, I]: column by column in blocks, errors spread over the columns behind."""
    W = weight.float().clone()
    columns = W.shape[1]
    codes = torch.empty(W.shape, dtype=torch.int8, device=W.device)
    scale = scale.float()
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    for begin in range(0, columns, block):
        end = min(begin + block, columns)
        part = W[:, begin:end].clone()
        errors = torch.zeros_like(part)
        U = factor[begin:end, begin:end]
        for j in range(end - begin):
            column, s = part[:, j], scale[:, (begin + j) // group]
            q = (column / s).round().clamp(low, high)
            codes[:, begin + j] = q.to(torch.int8)
            error = (column - q * s) / U[j, j]
            part[:, j:] -= error[:, None] * U[j, j:][None, :]
            errors[:, j] = error
        W[:, end:] -= errors @ factor[begin:end, end:]
    return codes


# ---- solvers beside GPTQ: GPFQ (arXiv 2201.11113), COMQ (2403.07134), Qronos (2505.11695), error correction -------------------


def corrected_weight(weight, hessian, cross, factor):
    W = weight.float()
    return W + W @ (cross - hessian) @ factor.T @ factor


def qronos_start(weight, corrected, hessian, cross, factor, scale, bits=4):
    """The first code for the true target, its error spread over the row."""
    W = weight.float()
    target = W[:, 0] + W @ (cross[:, 0] - hessian[:, 0]) / hessian[0, 0]
    s = scale[:, 0].float()
    value = (target / s).round().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) * s
    begun = corrected - ((corrected[:, 0] - value) / factor[0, 0])[:, None] * factor[0][None, :]
    begun[:, 0] = value
    return begun


def quantize_gpfq(weight, hessian, cross, scale, group, bits=4, block=128):
    """Codes of a weight [O, I]; P holds what the columns before leave for each column."""
    W, scale = weight.float(), scale.float()
    columns = W.shape[1]
    P = torch.zeros_like(W)
    codes = torch.empty(W.shape, dtype=torch.int8, device=W.device)
    V = torch.empty_like(W)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    for begin in range(0, columns, block):
        end = min(begin + block, columns)
        for t in range(begin, end):
            s = scale[:, t // group]
            q = ((P[:, t] + W[:, t] * cross[t, t]) / hessian[t, t] / s).round().clamp(low, high)
            codes[:, t] = q.to(torch.int8)
            V[:, t] = q * s
            P[:, t + 1 : end] += W[:, t, None] * cross[t, t + 1 : end] - V[:, t, None] * hessian[t, t + 1 : end]
        P[:, end:] += W[:, begin:end] @ cross[begin:end, end:] - V[:, begin:end] @ hessian[begin:end, end:]
    return codes


def quantize_comq(weight, hessian, scale, bits=4, block=128):
    """One pass over all columns, then the scale of each row."""
    W, scale = weight.float(), scale.float().flatten()
    order = torch.argsort(W.pow(2).sum(0) * torch.diagonal(hessian), descending=True)
    V, rest, codes = W.clone(), torch.zeros_like(W), torch.empty(W.shape, dtype=torch.int8, device=W.device)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    for begin in range(0, W.shape[1], block):
        columns = order[begin : begin + block]
        H, part, changes = hessian[columns][:, columns], rest[:, columns], torch.empty_like(W[:, : len(columns)])
        for k, t in enumerate(columns.tolist()):
            q = ((V[:, t] + part[:, k] / H[k, k]) / scale).round().clamp(low, high)
            codes[:, t] = q.to(torch.int8)
            changes[:, k] = V[:, t] - q * scale
            V[:, t] = q * scale
            part += changes[:, k, None] * H[k]
        rest += changes @ hessian[columns]
    products = W @ hessian
    target, left = (V * products).sum(1), (V * rest).sum(1)
    return codes, scale * target / (target - left)


# ---- Beacon (arXiv 2508.20293), column by column ---------------------------------------------------------------------------


def beacon_step(now, alpha, beta, b, g, S, low, high, nearest):
    """The better of the two neighbours of the best place along one coordinate, by the signed square of the cosine."""
    slope, rise = alpha * S - b * g, b * beta - alpha * g
    best = torch.where(slope > 0, now + rise / slope, torch.where(rise > 0, high, low)).clamp(low, high)
    merit = lambda d: torch.where(beta + 2 * d * g + d * d * S > 0, (alpha + d * b) * (alpha + d * b).abs() / (beta + 2 * d * g + d * d * S), -1e30)
    down, up = best.floor() - now, best.ceil() - now
    step = torch.where(merit(down) > merit(up), down, up)
    return torch.where(beta > 0, torch.where(merit(step) > merit(torch.zeros_like(step)), step, torch.zeros_like(step)), nearest - now)


def beacon_cell(w, S, scale, n_sweeps, bits, block=128):
    """Codes of rows w [O, m] with the Gram matrix S; statistics of the rest are updated by blocks of columns."""
    low, high = float(-(2 ** (bits - 1))), float(2 ** (bits - 1) - 1)
    a, b, g = torch.zeros_like(w), torch.zeros_like(w), torch.zeros_like(w)
    alpha, beta = torch.zeros_like(scale), torch.zeros_like(scale)
    for sweep in range(n_sweeps + 1):
        for begin in range(0, w.shape[1], block):
            end = min(begin + block, w.shape[1])
            steps, part, target = torch.zeros_like(w[:, begin:end]), g[:, begin:end].clone(), b[:, begin:end].clone()
            for t in range(begin, end):
                k, row = t - begin, S[t, begin:end]
                if sweep == 0:
                    alpha += w[:, t] * part[:, k]
                    target += w[:, t, None] * row
                nearest = (w[:, t] / scale).round().clamp(low, high) if sweep == 0 else a[:, t]
                step = beacon_step(a[:, t], alpha, beta, target[:, k], part[:, k], S[t, t], low, high, nearest)
                alpha += step * target[:, k]
                beta += 2 * step * part[:, k] + step * step * S[t, t]
                part += step[:, None] * row
                a[:, t] += step
                steps[:, k] = step
            g += steps @ S[begin:end]
            if sweep == 0:
                b += w[:, begin:end] @ S[begin:end]
        alpha, beta = (a * b).sum(1), (a * g).sum(1)
    return a, torch.where(beta > 0, alpha / beta, scale)


def quantize_beacon(weight, hessian, factor, scale, group, n_sweeps=2, bits=4):
    """Groups one after the other, the error of each spread over the columns behind it."""
    W, scale = weight.float().clone(), scale.float()
    codes = torch.empty(W.shape, dtype=torch.int8, device=W.device)
    scales = torch.empty_like(scale)
    for index, first in enumerate(range(0, W.shape[1], group)):
        behind = first + group
        alone = group == W.shape[1]
        inverse = None if alone else torch.linalg.inv(factor[first:behind, first:behind].double())
        S = hessian if alone else (inverse @ inverse.T).float()
        part = W[:, first:behind]
        a, scales[:, index] = beacon_cell(part, S, scale[:, index].contiguous(), n_sweeps, bits)
        codes[:, first:behind] = a.to(torch.int8)
        if behind < W.shape[1]:
            W[:, behind:] -= (part - a * scales[:, index, None]) @ (inverse.float() @ factor[first:behind, behind:])
    return codes, scales


# ---- floats ------------------------------------------------------------------------------------------------------------

E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
E2M1_MIDDLES = (0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0)


def to_e2m1_code(values):
    middles = torch.tensor(E2M1_MIDDLES, device=values.device, dtype=values.dtype)
    return torch.bucketize(values.abs(), middles).to(torch.uint8) | ((values < 0).to(torch.uint8) << 3)


def round_e2m1(values):
    grid = torch.tensor(E2M1, device=values.device, dtype=values.dtype)
    code = to_e2m1_code(values)
    return torch.where(values < 0, -1.0, 1.0) * grid[(code & 7).int()]


def round_fp8(values):
    return values.clamp(-448, 448).to(torch.float8_e4m3fn)


def fp8_per_token(x):
    scale = (x.abs().amax(-1, keepdim=True) / 448).clamp(min=1e-12)
    return round_fp8(x / scale).float() * scale


def mxfp4(x):
    cells = x.view(x.shape[0], -1, 32)
    scale = torch.exp2(torch.floor(torch.log2(cells.abs().amax(-1, keepdim=True).clamp(min=1e-30))) - 2)
    return (round_e2m1((cells / scale).clamp(-6, 6)) * scale).view(x.shape)


def nvfp4(x, G):
    cells = x.view(x.shape[0], -1, 16)
    scale = round_fp8(cells.abs().amax(-1, keepdim=True) / 6 * G).float() / G
    scale = torch.where(scale == 0, 0.125, scale)
    return (round_e2m1((cells / scale).clamp(-6, 6)) * scale).view(x.shape)


# ---- the rest ------------------------------------------------------------------------------------------------------------


def rms_norm(x, weight, eps=1e-5):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def rope(x, cos, sin, positions, head_dim):
    heads = x.view(x.shape[0], -1, head_dim)
    first, second = heads[..., : head_dim // 2], heads[..., head_dim // 2 :]
    c, s = cos[positions][:, None], sin[positions][:, None]
    return torch.cat((first * c - second * s, second * c + first * s), -1).view(x.shape)


def attention(q, k, v, sizes):
    length, head_dim, n_heads, n_kv_heads = sizes["length"], sizes["head_dim"], sizes["n_heads"], sizes["n_kv_heads"]
    documents = q.shape[0] // length
    heads = lambda x, n: x.view(documents, length, n, head_dim).transpose(1, 2)
    shared = n_heads // max(1, n_kv_heads)
    keys, values = (heads(x, n_kv_heads).repeat_interleave(shared, 1) for x in (k, v))
    mixed = F.scaled_dot_product_attention(heads(q, n_heads), keys, values, is_causal=True, scale=0.088)
    return mixed.transpose(1, 2).reshape(q.shape[0], -1)


def blockwise_codes(weight, values):
    cells = weight.float().view(-1, 64)
    largest = cells.abs().amax(-1)
    scaled = (cells * (1 / largest.clamp(min=1e-38))[:, None]).clamp(-1, 1)
    return torch.bucketize(scaled, (values[1:] + values[:-1]) / 2, out_int32=True).to(torch.uint8), largest


def encode_q8_0(weight):
    cells = weight.float().view(-1, 32)
    d = cells.abs().amax(-1, keepdim=True) / 127
    codes = (cells / d).round().to(torch.int8)
    return torch.cat((d.half().view(torch.uint8), codes.view(torch.uint8)), -1)


def decode_q8_0(blocks):
    return blocks[:, 2:].view(torch.int8).float() * blocks[:, :2].contiguous().view(torch.float16).float()


def decode_q4_k(blocks):
    d, dmin = (blocks[:, i : i + 2].contiguous().view(torch.float16).float() for i in (0, 2))
    first, second, third = blocks[:, 4:8], blocks[:, 8:12], blocks[:, 12:16]
    scale = torch.cat((first & 63, third & 15 | first >> 6 << 4), -1)
    low = torch.cat((second & 63, third >> 4 | second >> 6 << 4), -1)
    nibbles = blocks[:, 16:].reshape(-1, 4, 32)
    codes = torch.stack((nibbles & 15, nibbles >> 4), 2).view(-1, 8, 32)
    return (d * scale)[..., None] * codes - (dmin * low)[..., None]


def encode_q4_k(weight):
    """Scales and mins of sub-blocks by least and range, in six bits: what a Python library does; ours searches for the integers with the least error."""
    cells = weight.float().view(-1, 8, 32)
    low, high = cells.amin(-1).clamp(max=0), cells.amax(-1)
    scale, least = (high - low) / 15, -low
    d, dmin = scale.amax(-1, keepdim=True) / 63, least.amax(-1, keepdim=True) / 63
    scales, mins = ((a / b.clamp(min=1e-30)).round().clamp(0, 63).to(torch.uint8) for a, b in ((scale, d), (least, dmin)))
    steps = (d * scales)[..., None].clamp(min=1e-30)
    codes = ((cells + (dmin * mins)[..., None]) / steps).round().clamp(0, 15).to(torch.uint8)
    high_bits = (scales[:, 4:] >> 4 << 6, mins[:, 4:] >> 4 << 6)
    packed = (scales[:, :4] | high_bits[0], mins[:, :4] | high_bits[1], scales[:, 4:] & 15 | mins[:, 4:] << 4)
    pairs = codes.view(-1, 4, 2, 32)
    return torch.cat((d.half().view(torch.uint8), dmin.half().view(torch.uint8), *packed, (pairs[:, :, 0] | pairs[:, :, 1] << 4).flatten(1)), -1)


# ---- what stands beside the codes: a residual of low rank (arXiv 2402.02446); codebooks of vectors: VPTQ (arXiv 2409.17066) ------------


def low_rank_residual(weight, read, hessian, rank, iterations=8):
    """Leading eigenvectors of E H Eᵀ by subspace iteration on rank + 8 vectors."""
    E = weight.float() - read.float()
    EH = E @ hessian
    Q = torch.linalg.qr(torch.randn(E.shape[0], rank + 8, device=E.device)).Q
    for _ in range(iterations):
        Q = torch.linalg.qr(EH @ (E.T @ Q)).Q
    U = Q @ torch.linalg.eigh((Q.T @ EH) @ (E.T @ Q)).eigenvectors[:, -rank:]
    return U, U.T @ E


def nearest_centroids(points, centroids, at_a_time=1 << 20):
    labels = torch.empty(points.shape[0], dtype=torch.int64, device=points.device)
    distances = torch.empty(points.shape[0], device=points.device)
    for begin in range(0, points.shape[0], at_a_time):
        least = torch.cdist(points[begin : begin + at_a_time], centroids).min(-1)
        labels[begin : begin + at_a_time], distances[begin : begin + at_a_time] = least.indices, least.values
    return labels, distances


def kmeans(points, count, iterations):
    """Lloyd's iterations from a k-means++ start; points alike in weight."""
    centroids = torch.zeros(count, points.shape[1], device=points.device)
    errors = torch.ones(points.shape[0], device=points.device)
    for k in range(count):
        centroids[k] = points[torch.multinomial(errors, 1)[0]]
        distance = (points - centroids[k]).pow(2).sum(-1)
        errors = distance if k == 0 else torch.minimum(errors, distance)
    for iteration in range(iterations + 1):
        labels, _ = nearest_centroids(points, centroids)
        if iteration == iterations:
            break
        sums = torch.zeros_like(centroids).index_add_(0, labels, points)
        counts = torch.zeros(count, device=points.device).index_add_(0, labels, torch.ones_like(errors))
        centroids = torch.where(counts[:, None] > 0, sums / counts[:, None].clamp(min=1), centroids)
    return centroids


def quantize_vptq(weight, factor, length, count, iterations, block=128):
    """Indices of the vectors of every column, the columns walked as GPTQ walks them."""
    W = weight.float().clone()
    rows, columns = W.shape
    bias, scale = W.mean(0), W.std(0, correction=0)
    centroids = kmeans(((W - bias) / scale).T.reshape(-1, length), count, iterations)
    indices = torch.empty(rows // length, columns, dtype=torch.int32, device=W.device)
    for begin in range(0, columns, block):
        end = min(begin + block, columns)
        part = W[:, begin:end].clone()
        errors = torch.zeros_like(part)
        for j in range(end - begin):
            column = begin + j
            found = torch.cdist(((part[:, j] - bias[column]) / scale[column]).view(-1, length), centroids).argmin(-1)
            indices[:, column] = found.to(torch.int32)
            error = (part[:, j] - (centroids[found].view(-1) * scale[column] + bias[column])) / factor[column, column]
            part[:, j:] -= error[:, None] * factor[column, column:end][None, :]
            errors[:, j] = error
        W[:, end:] -= errors @ factor[begin:end, end:]
    return indices


def compare(a, b):
    difference = a.double() - b.double()
    return difference.pow(2).sum(), a.double().pow(2).sum(), (a.double() * b.double()).sum(), b.double().pow(2).sum()


def summary(x):
    return x.isnan().sum(), x.isinf().sum(), *x.aminmax(), x.double().mean(), x.double().std()


def rungs(sizes, device):
    """(operation, shape) as the ladder names them → what makes the tensors and answers the function to time, and a remark."""
    T, I, O, V, group = (sizes[name] for name in ("T", "I", "O", "V", "group"))
    length, head_dim, n_heads, n_kv_heads = sizes["length"], sizes["head_dim"], sizes["n_heads"], sizes["n_kv_heads"]
    by = lambda a, b: f"{a} × {b}"
    noise = lambda *shape, dtype=torch.float32, scale=1.0: (torch.rand(shape, device=device) * 2 - 1).mul_(scale).to(dtype)
    weights = lambda rows, columns: noise(rows, columns, dtype=torch.bfloat16, scale=0.02)
    x = lambda: noise(T, I)
    all_rungs = {}

    def rung(operation, shape, make, remark=None):
        all_rungs[operation, shape] = (make, remark)

    def of(fn, *makers):
        """The tensors are made when the rung is timed, so that no two rungs' lie in memory at once."""

        def make():
            tensors = [maker() for maker in makers]
            return lambda: fn(*tensors)

        return make

    rung("cast", by(T, I) + " to BF16", of(lambda a: a.to(torch.bfloat16), x))
    rung("add", by(T, I), of(torch.add, x, x))
    rung("silu_mul", by(T, O), of(lambda a, b: F.silu(a) * b, lambda: noise(T, O), lambda: noise(T, O)))
    rung("rmsnorm", by(T, I), of(rms_norm, x, lambda: noise(I)))
    positions = lambda: torch.arange(T, device=device) % max(1, T // 4)
    table = lambda: noise(length, head_dim // 2)
    rung("rope", by(T, I), of(lambda a, c, s, p: rope(a, c, s, p, head_dim), x, table, table, positions))
    ids = lambda: torch.arange(T, device=device) * 7919 % V
    rung("embedding", by(T, I), of(lambda t, i: F.embedding(i, t).float(), lambda: weights(V, I), ids))
    rung("cross_entropy", by(T // 4, V), of(lambda a, i: F.cross_entropy(a, i[: T // 4], reduction="none"), lambda: noise(T // 4, V), ids))
    keys = lambda: noise(T, n_kv_heads * head_dim)
    rung("attention", f"{T // length} × {length}, {n_heads} heads", of(lambda q, k, v: attention(q, k, v, sizes), x, keys, keys))
    as_bf16 = lambda: noise(T, I, dtype=torch.bfloat16)
    rung("linear", by(T, I) + " by BF16 " + by(O, I), of(F.linear, as_bf16, lambda: weights(O, I)), INPUTS_AS_BF16)
    rung("linear", by(T, I) + " by F32 " + by(O, I), of(F.linear, x, lambda: noise(O, I)))

    def int8_per_token(a):
        scale = torch.maximum(-a.amin(-1, keepdim=True), a.amax(-1, keepdim=True)) / 127.5
        return (a / scale).round().clamp(-128, 127) * scale

    rung("fake_quantize_dynamic", by(T, I), of(int8_per_token, x))
    rung("column_range_accumulate", by(T, I), of(lambda r, a: torch.stack((torch.minimum(r[0], a.amin(0)), torch.maximum(r[1], a.amax(0)))), lambda: noise(2, I), x))
    rung("range_accumulate", by(T, I), of(lambda a: a.aminmax(), x))
    for n in (I, O):
        rung("hessian_accumulate", by(T, n), of(lambda H, a: H.addmm_(a.T, a, beta=0), lambda n=n: noise(n, n), lambda n=n: noise(T, n)), "in F32, as the peers sum it")

    weight = lambda: weights(O, I)

    def with_scales(fn):
        def make():
            w = weight()
            s = group_scales(w, group)
            return lambda: fn(w, s)

        return make

    rung("weight_scales", "minmax, " + by(O, I), of(lambda w: group_scales(w, group), weight))
    rung("weight_scales", "mse, " + by(O, I), of(lambda w: mse_scales(w, group), weight))
    rung("quantize_rtn", by(O, I), with_scales(lambda w, s: quantize(w, s, group)))
    codes = lambda: torch.randint(-8, 8, (O, I), dtype=torch.int8, device=device)
    rung("dequantize", by(O, I), of(lambda q, s: dequantize(q, s, group), codes, lambda: weights(O, I // group)))
    rung("clipped_share", by(O, I), with_scales(lambda w, s: clipped_share(w, s, group)))
    rung("pack_int32", by(O, I) + ", 4 bits", of(pack_int32, codes))
    rung("compare", by(O, I), of(compare, weight, weight))
    rung("summary", by(O, I), of(summary, weight))

    # ---- floats
    G = lambda: torch.ones(1, device=device)
    rung("fake_quantize_dynamic", "FP8 per token, " + by(T, I), of(fp8_per_token, x))
    rung("fake_quantize_dynamic", "MXFP4, " + by(T, I), of(mxfp4, x))
    rung("fake_quantize_local", "NVFP4, " + by(T, I), of(nvfp4, x, G))
    fp8_scales = lambda w: w.abs().amax(-1, keepdim=True) / 448
    nvfp4_scales = lambda w: w.view(O, -1, 16).abs().amax(-1)
    rung("weight_scales", "FP8 per row, " + by(O, I), of(fp8_scales, weight))
    rung("weight_scales", "NVFP4, " + by(O, I), of(nvfp4_scales, weight))
    rung("quantize_rtn", "FP8 per row, " + by(O, I), of(lambda w, s: round_fp8(w / s), weight, lambda: weights(O, 1).abs() + 1e-3))
    rung("tensor_group_scales", by(O, I // 16), of(lambda a, g: round_fp8(a.float() / 6 * g), lambda: weights(O, I // 16).abs(), G))
    rung("quantize_rtn", "NVFP4, " + by(O, I), of(lambda w, s: to_e2m1_code((w.view(O, -1, 16) / s[..., None]).clamp(-6, 6)), weight, lambda: noise(O, I // 16).abs() + 1e-3))
    bytes_of = lambda columns: torch.randint(0, 16, (O, columns), dtype=torch.uint8, device=device)
    rung("pack_fp4", by(O, I), of(lambda q: q[:, ::2] | (q[:, 1::2] << 4), lambda: bytes_of(I)))
    rung("unpack_fp4", by(O, I), of(lambda q: torch.stack((q & 15, q >> 4), -1).view(O, I), lambda: bytes_of(I // 2)))

    # ---- blocks of a codebook, and of GGUF files
    values = lambda: torch.arange(16, dtype=torch.float32, device=device) / 7.5 - 1
    magnitudes = lambda: noise(O * I // 64).abs()
    nibbles = lambda n: torch.randint(0, 16, (n,), dtype=torch.uint8, device=device)
    rung("blockwise_codes", "16 values, blocks of 64, " + by(O, I), of(blockwise_codes, weight, values))
    rung("blockwise_values", "16 values, blocks of 64, " + by(O, I), of(lambda q, m, v: (v[q.long()].view(-1, 64) * m[:, None]).to(torch.bfloat16), lambda: nibbles(O * I), magnitudes, values))
    rung("center", by(O, I // 64), of(lambda m: m - m.mean(dtype=torch.float64).float(), magnitudes))
    rung("pack_nibbles", by(O, I), of(lambda q: q[::2] << 4 | q[1::2], lambda: nibbles(O * I)))
    rung("unpack_nibbles", by(O, I), of(lambda q: torch.stack((q >> 4, q & 15), -1).view(-1), lambda: nibbles(O * I // 2)))
    rows, columns = (4, 256) if I < 256 else (O, I)
    blocks = lambda width: torch.randint(0, 256, (rows * columns // width[0], width[1]), dtype=torch.uint8, device=device)
    rung("gguf_encode", "Q8_0, " + by(rows, columns), of(encode_q8_0, lambda: weights(rows, columns)))
    rung("gguf_encode", "Q4_K, " + by(rows, columns), of(encode_q4_k, lambda: weights(rows, columns)), "by least and range; ours searches for the integers")
    rung("gguf_decode", "Q8_0, " + by(rows, columns), of(decode_q8_0, lambda: blocks((32, 34))))
    rung("gguf_decode", "Q4_K, " + by(rows, columns), of(decode_q4_k, lambda: blocks((256, 144))))

    # ---- AWQ
    sums = lambda: torch.zeros(I, dtype=torch.float64, device=device)
    rung("column_abs_sum_accumulate", by(T, I), of(lambda s, a: s.add_(a.abs().sum(0, dtype=torch.float64)), sums, x))

    def normalised_sum(s, w):
        cells = w.abs().view(O, -1, group)
        return s.add_((cells / (cells.amax(-1, keepdim=True) + 1e-6)).view(O, I).sum(0, dtype=torch.float64))

    rung("awq_weight_sum_accumulate", by(O, I), of(normalised_sum, sums, weight))
    factors = lambda: noise(I).abs() + 0.5
    rung("multiply_columns", by(O, I), of(lambda w, s: (w.float() * s).to(w.dtype), weight, factors))
    rung("divide_columns", by(O, I), of(lambda w, s: (w.float() / s).to(w.dtype), weight, factors))
    rung("squared_error_accumulate", by(T, I), of(lambda a, b: (a - b).pow(2).sum(dtype=torch.float64), x, x))
    rung("stack_rows", "twice " + by(O, I), of(lambda a, b: torch.cat((a, b)), weight, weight))

    # ---- GPTQ
    def hessian(n):
        rows = noise(max(2 * n, T), n)
        return rows.T @ rows

    def gptq(rows, n):
        def make():
            w, U = weights(rows, n), inverse_factor(gptq_factor(hessian(n)))
            s = group_scales(w, group)
            return lambda: quantize_gptq(w, U, s, group)

        return make

    for rows, n in ((O, I), (I, O)):
        rung("gptq_factor", str(n), of(gptq_factor, lambda n=n: hessian(n)))
        rung("inverse_factor", str(n), of(inverse_factor, lambda n=n: gptq_factor(hessian(n))))
        rung("quantize_gptq", f"4 bits, group {group}, {by(rows, n)}", gptq(rows, n))

    # ---- the other solvers
    def solver(fn):
        """fn(weight, H, C, U, group scales, row scales) → what is timed."""

        def make():
            w, rows = weight(), noise(max(2 * I, T), I)
            H, C = rows.T @ rows, rows.T @ (0.9 * rows)
            return fn(w, H, C, inverse_factor(gptq_factor(H)), group_scales(w, group), group_scales(w, I))

        return make

    rung("cross_hessian_accumulate", by(T, I), of(lambda C, a, b: C.addmm_(a.T, b, beta=0), lambda: noise(I, I), x, x), "in F32")
    rung("corrected_weight", by(O, I), solver(lambda w, H, C, U, *_: lambda: corrected_weight(w, H, C, U)))

    rank, count, vector, iterations = (sizes[name] for name in ("rank", "centroids", "vector_len", "kiter"))
    rung("low_rank_residual", f"rank {rank}, {by(O, I)}", solver(lambda w, H, C, U, *_: lambda: low_rank_residual(w, 0.9 * w, H, rank)))
    rung(
        "quantize_vptq",
        f"{count} centroids of {vector}, {iterations} iterations, {by(O, I)}",
        solver(lambda w, H, C, U, *_: lambda: quantize_vptq(w, U, vector, count, iterations)),
        "distances by products of matrices; ours subtracts",
    )

    def qronos(w, H, C, U, scale, _):
        corrected = corrected_weight(w, H, C, U)
        return lambda: qronos_start(w, corrected, H, C, U, scale)

    rung("qronos_start", by(O, I), solver(qronos))
    rung("quantize_gpfq", f"4 bits, group {group}, {by(O, I)}", solver(lambda w, H, C, U, scale, _: lambda: quantize_gpfq(w, H, C, scale, group)))
    rung("quantize_comq", f"4 bits per row, one pass, {by(O, I)}", solver(lambda w, H, C, U, _, scale: lambda: quantize_comq(w, H, scale)))
    rung("quantize_beacon", f"4 bits per row, two sweeps, {by(O, I)}", solver(lambda w, H, C, U, _, scale: lambda: quantize_beacon(w, H, None, scale, I)))
    rung("quantize_beacon", f"4 bits, group {group}, two sweeps, {by(O, I)}", solver(lambda w, H, C, U, scale, _: lambda: quantize_beacon(w, H, U, scale, group)))
    return all_rungs


def write(path, result):
    """By a rename, rung by rung: what is there is whole whenever the script is ended."""
    with open(path + ".part", "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1, ensure_ascii=False)
    os.replace(path + ".part", path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("ladder")
    parser.add_argument("out")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("torch_ladder: this PyTorch sees no CUDA device; --device cpu tries the script alone")
    # As ours: F32 is F32.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(17)
    with open(arguments.ladder, encoding="utf-8") as file:
        ladder = json.load(file)
    theirs = rungs(ladder["sizes"], device)
    clock = Clock(device, ladder["sizes"]["T"] < 1024)
    found, failed = [], []
    with torch.inference_mode():
        for ours in ladder["rungs"]:
            key = ours["operation"], ours["shape"]
            make, remark = theirs.pop(key, (None, "not in torch_ladder.py"))
            try:
                milliseconds = None if make is None else clock.milliseconds(make())
            except torch.cuda.OutOfMemoryError:
                milliseconds, remark = None, "out of memory"
            except Exception as error:  # a PyTorch without one of the functions loses that rung alone; it is told at the end
                milliseconds, remark = None, f"{type(error).__name__}: {error}".splitlines()[0]
            if milliseconds is None and remark != "out of memory":
                failed.append(f"{' of '.join(key)}: {remark}")
            if device.type == "cuda":
                torch.cuda.empty_cache()
            ratio = None if milliseconds is None else milliseconds / ours["milliseconds"]
            found.append({**ours, "share_of_floor": ours["floor_milliseconds"] / ours["milliseconds"], "torch_milliseconds": milliseconds, "times_faster_than_torch": ratio, "remark": remark})
            write(arguments.out, {"torch": torch.__version__, "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu", "rungs": found})
            print(f"{key[0]:26} {key[1]:40} ours {ours['milliseconds']:10.3f} ms  torch {milliseconds if milliseconds is not None else math.nan:10.3f} ms  {ratio or math.nan:8.2f} ×", flush=True)
    failed += [f"{' of '.join(key)}: not in the ladder" for key in theirs]
    if failed:
        raise SystemExit("torch_ladder: " + "; ".join(failed))


main()
