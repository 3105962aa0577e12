// Hadamard matrices: for which sizes this version can make one, and the matrices themselves. Used by the checks of a rotation and by the rotation.
//
// A size b is K · 2^m with a factor of order K: the matrix of b is Sylvester's of order 2^m ⊗ that of K. Factors are those of Paley (J. Math. Phys. 12, 1933):
//   I    q + 1      for prime powers q ≡ 3 mod 4     [[0, 1], [-1, Q]] + identity
//   II   2 (q + 1)  for prime powers q ≡ 1 mod 4     [[0, 1], [1, Q]] with ±1 → ±[[1, 1], [1, -1]] and 0 → [[1, -1], [-1, -1]]
// with Q_ij = χ(a_i − a_j), 1 for squares of the field of q elements, −1 for others, 0 for 0; and those of Williamson (Duke Math. J. 11, 1944), four circulants
// found by search, for 92 and 116, which Paley's do not reach. compressed-tensors has tables up to 256 that hold 156, 172, 184, 188, 232 and 236 too.

/** Larger factors would cost more than the power of two saves. */
const largestFactor = 256;

/** Order of the factor for a rotation of this size: 1 for powers of two; null where this version has no Hadamard matrix of it. */
export function hadamardFactor(size: number): number | null {
  if (!Number.isInteger(size) || size < 1) return null;
  if (isPowerOfTwo(size)) return 1;
  for (let order = oddPart(size) * 4; order <= Math.min(size, largestFactor); order *= 2)
    if (size % order === 0 && originOf(order) !== null) return order;
  return null;
}

/** The largest divisor of a width that is a size with a Hadamard matrix: what a block size can be. */
export function largestHadamardBlock(width: number): number {
  for (let pieces = 1; pieces <= width; pieces += 1)
    if (width % pieces === 0 && hadamardFactor(width / pieces) !== null) return width / pieces;
  return 1;
}

/** H with H Hᵀ = order · I, row by row; order is one that `hadamardFactor` answers. */
export function hadamardMatrix(order: number): Int8Array {
  if (order === 1) return Int8Array.of(1);
  const origin = originOf(order);
  if (origin === null) throw new Error(`There is no construction of a Hadamard matrix of order ${order}.`);
  if (origin === 'paley-1') return paleyOne(order - 1);
  if (origin === 'paley-2') return paleyTwo(order / 2 - 1);
  return williamson(origin);
}

export const isPowerOfTwo = (n: number): boolean => Number.isInteger(n) && n > 0 && Number.isInteger(Math.log2(n));

function oddPart(n: number): number {
  let odd = n;
  while (odd % 2 === 0) odd /= 2;
  return odd;
}

function originOf(order: number): 'paley-1' | 'paley-2' | readonly string[] | null {
  if ((order - 1) % 4 === 3 && primePower(order - 1) !== null) return 'paley-1';
  const q = order / 2 - 1;
  if (q % 4 === 1 && primePower(q) !== null) return 'paley-2';
  return williamsonRows[order] ?? null;
}

/** q = p^k; null for other numbers. Of powers above the third none is needed below the largest factor. */
function primePower(q: number): { p: number; k: number } | null {
  let p = 2;
  while (q % p !== 0) p += 1;
  const k = Math.round(Math.log(q) / Math.log(p));
  return p ** k === q && k <= 3 ? { p, k } : null;
}

/** χ of the differences of all pairs of elements of the field of q = p^k elements; element number Σ c_i p^i is the polynomial Σ c_i x^i. */
function characters(q: number): (i: number, j: number) => number {
  const field = primePower(q);
  if (field === null) throw new Error(`${q} is no power of a prime.`);
  const { p, k } = field;
  const digits = (n: number): number[] => Array.from({ length: k }, (_, i) => Math.floor(n / p ** i) % p);
  const number = (c: readonly number[]): number => c.reduce((sum, digit, i) => sum + digit * p ** i, 0);
  const modulus = k === 1 ? [] : irreducible(p, k);
  const squares = new Set<number>();
  for (let a = 1; a < q; a += 1) squares.add(number(square(digits(a), modulus, p)));
  return (i, j) => {
    const [a, b] = [digits(i), digits(j)];
    const difference = number(a.map((digit, at) => (digit - b[at]! + p) % p));
    return difference === 0 ? 0 : squares.has(difference) ? 1 : -1;
  };
}

/** Lower coefficients of a monic polynomial of degree 2 or 3 without a root, which is then irreducible. */
function irreducible(p: number, k: number): number[] {
  for (let n = 0; n < p ** k; n += 1) {
    const lower = Array.from({ length: k }, (_, i) => Math.floor(n / p ** i) % p);
    const hasRoot = Array.from({ length: p }, (_, x) => (lower.reduce((sum, c, i) => sum + c * x ** i, 0) + x ** k) % p).includes(0);
    if (!hasRoot) return lower;
  }
  throw new Error(`There is no irreducible polynomial of degree ${k} modulo ${p}.`);
}

/** a² modulo x^k + modulus. */
function square(a: readonly number[], modulus: readonly number[], p: number): number[] {
  const k = a.length;
  const product = Array.from({ length: 2 * k - 1 }, () => 0);
  for (const [i, x] of a.entries()) for (const [j, y] of a.entries()) product[i + j] = (product[i + j]! + x * y) % p;
  for (let at = product.length - 1; at >= k; at -= 1) {
    for (const [i, c] of modulus.entries()) product[at - k + i] = (product[at - k + i]! + (p - c) * product[at]!) % p;
    product[at] = 0;
  }
  return product.slice(0, k);
}

function filled(order: number, entry: (i: number, j: number) => number): Int8Array {
  return Int8Array.from({ length: order * order }, (_, at) => entry(Math.floor(at / order), at % order));
}

function paleyOne(q: number): Int8Array {
  const chi = characters(q);
  return filled(q + 1, (i, j) => (i === j || i === 0 ? 1 : j === 0 ? -1 : chi(i - 1, j - 1)));
}

function paleyTwo(q: number): Int8Array {
  const chi = characters(q);
  const ofConference = (i: number, j: number): number => (i === j ? 0 : i === 0 || j === 0 ? 1 : chi(i - 1, j - 1));
  return filled(2 * (q + 1), (i, j) => {
    const c = ofConference(i >> 1, j >> 1);
    const [odd, both] = [(i & 1) + (j & 1), (i & 1) * (j & 1)];
    if (c === 0) return odd === 0 ? 1 : -1;
    return both === 1 ? -c : c;
  });
}

/** First rows of A, B, C, D: symmetric circulants with A² + B² + C² + D² = order · I. */
const williamsonRows: Readonly<Record<number, readonly string[]>> = {
  92: ['+-+--+++++----+++++--+-', '+-+++--++-+--+-++--+++-', '+--++-+-+------+-+-++--', '+++++-++---++---++-++++'],
  116: ['++-+++--+-++------++-+--+++-+', '++-+-+++-++-+----+-++-+++-+-+', '+--+++--++-+------+-++--+++--', '+++-+---++++-++++-++++---+-++'],
};

/** [[A, B, C, D], [-B, A, -D, C], [-C, D, A, -B], [-D, -C, B, A]] */
function williamson(rows: readonly string[]): Int8Array {
  const n = rows[0]?.length ?? 0;
  const places = [
    [0, 1, 2, 3],
    [1, 0, 3, 2],
    [2, 3, 0, 1],
    [3, 2, 1, 0],
  ];
  const signs = [
    [1, 1, 1, 1],
    [-1, 1, -1, 1],
    [-1, 1, 1, -1],
    [-1, -1, 1, 1],
  ];
  return filled(4 * n, (i, j) => {
    const [u, v] = [Math.floor(i / n), Math.floor(j / n)];
    const entry = rows[places[u]![v]!]![(((j - i) % n) + n) % n] === '+' ? 1 : -1;
    return signs[u]![v]! * entry;
  });
}
