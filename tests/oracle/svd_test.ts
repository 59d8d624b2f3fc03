import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { relativeError } from "./compare.ts";
import { matmulNN, matmulNT, matmulTN } from "./matmul.ts";
import { gramInverse, orthonormalizeRows } from "../../src/numerics/linear_algebra.ts";
import { truncatedSvd } from "./svd.ts";
import { symmetricEigen } from "../../src/numerics/symmetric_eigen.ts";
import { randomGenerator, randomNormal } from "../support/random.ts";

function assertOrthonormal(matrix: Float64Array, count: number): void {
  const gram = matmulNT(matrix, matrix, count, count, matrix.length / count);
  gram.forEach((g, i) => assertAlmostEquals(g, i % (count + 1) === 0 ? 1 : 0, 1e-12));
}

Deno.test("orthonormalizeRows is exact for nearly dependent rows and zeroes dependent ones", () => {
  const rows = randomNormal(4 * 9, 1);
  for (let i = 9; i < 27; i++) rows[i] = rows[i % 9] + 1e-7 * rows[i];
  for (let i = 27; i < 36; i++) rows[i] = rows[i - 27] + rows[i - 18];
  orthonormalizeRows(rows, 4);
  assertOrthonormal(rows.subarray(0, 27), 3);
  assertEquals(rows.subarray(27), new Float64Array(9));
});

/** Checks that the eigenvectors are orthonormal, in order, and that the matrix only scales them. */
function assertEigen(matrix: Float64Array, size: number): void {
  const { values, vectors } = symmetricEigen(matrix, size);
  assertOrthonormal(vectors, size);
  assertEquals([...values], [...values].sort((a, b) => b - a));
  const image = matmulNT(vectors, matrix, size, size, size);
  const expected = vectors.map((x, i) => x * values[Math.floor(i / size)]);
  assert(relativeError(image, expected) < 1e-12);
}

Deno.test("symmetricEigen diagonalises, the largest eigenvalue first", () => {
  for (const size of [1, 2, 7, 40]) {
    const half = randomNormal(size * size, 1);
    assertEigen(
      half.map((x, i) => x + half[(i % size) * size + Math.floor(i / size)]),
      size,
    );
  }
});

Deno.test("symmetricEigen takes singular, diagonal, zero and widely spread matrices", () => {
  const rows = randomNormal(5 * 9, 2).map((x, i) => x * 10 ** (-3 * Math.floor(i / 9)));
  assertEigen(matmulTN(rows, rows, 9, 9, 5), 9);
  assertEigen(Float64Array.from({ length: 16 }, (_, i) => i % 5 === 0 ? i % 3 : 0), 4);
  const nothing = symmetricEigen(new Float64Array(25), 5);
  assertEquals(nothing.values, new Float64Array(5));
  assertOrthonormal(nothing.vectors, 5);
  assertEigen(Float64Array.of(1, 1, 1, 1), 2);
  assertEquals(
    symmetricEigen(new Float64Array(9).fill(NaN), 3).values,
    new Float64Array(3).fill(NaN),
  );
});

Deno.test("truncatedSvd finds prescribed singular triplets under noise", () => {
  const [rows, columns] = [30, 41];
  const u = randomNormal(3 * rows, 1);
  const v = randomNormal(3 * columns, 2);
  orthonormalizeRows(u, 3);
  orthonormalizeRows(v, 3);
  const s = [5, 3, 2];
  const scaled = u.map((x, i) => x * s[Math.floor(i / rows)]);
  const noise = randomNormal(rows * columns, 3);
  const matrix = matmulTN(scaled, v, rows, columns, 3).map((x, i) => x + 1e-9 * noise[i]);
  const svd = truncatedSvd(matrix, rows, columns, 3, randomGenerator(4));
  svd.s.forEach((value, i) => assertAlmostEquals(value, s[i], 1e-7));
  assertOrthonormal(svd.u, 3);
  assertOrthonormal(svd.v, 3);
  const rebuilt = matmulTN(
    svd.u.map((x, i) => x * svd.s[Math.floor(i / rows)]),
    svd.v,
    rows,
    columns,
    3,
  );
  assert(relativeError(rebuilt, matrix) < 1e-7);
});

Deno.test("truncatedSvd of noise keeps nearly all that the exact decomposition keeps", () => {
  const [size, rank] = [64, 8];
  const matrix = randomNormal(size * size, 5);
  const { values } = symmetricEigen(matmulNT(matrix, matrix, size, size, size), size);
  const exact = values.subarray(0, rank).reduce((a, b) => a + b);
  const { s } = truncatedSvd(matrix, size, size, rank, randomGenerator(6));
  assert(s.reduce((sum, x) => sum + x * x, 0) > 0.99 * exact);
});

Deno.test("truncatedSvd of a matrix with fewer triplets than wanted gives zeros, not NaN", () => {
  const matrix = matmulTN(randomNormal(9, 1), randomNormal(8, 2), 9, 8, 1);
  const { u, s, v } = truncatedSvd(matrix, 9, 8, 2, randomGenerator(3));
  assertAlmostEquals(s[0], Math.hypot(...matrix), 1e-12);
  assertEquals([s[1], ...u.subarray(9), ...v.subarray(8)].filter((x) => x !== 0), []);
});

Deno.test("gramInverse recovers the coefficients of a row in A's row space", () => {
  const a = randomNormal(3 * 10, 1);
  const coefficients = Float64Array.of(1, -2, 0.5);
  const d = matmulNN(coefficients, a, 1, 10, 3);
  const projected = matmulNT(d, a, 1, 3, 10);
  assert(relativeError(matmulNN(projected, gramInverse(a, 3), 1, 3, 3), coefficients) < 1e-12);

  a.fill(0, 20);
  const inverse = gramInverse(a, 3);
  assertEquals([...inverse.subarray(6)], [0, 0, 0], "a row of zeros has no share");
});
