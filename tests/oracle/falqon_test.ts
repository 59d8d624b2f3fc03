import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { OptionError } from "../../src/errors.ts";
import { decodeFp8, E4M3, E5M2, encodeFp8Array } from "../../src/numerics/fp8.ts";
import { relativeError } from "./compare.ts";
import { type FalqonLayer, falqonLinear } from "./falqon.ts";
import { type AdapterInit, initialAdapter, mergeWeight, representable } from "./falqon_weight.ts";
import { matmulNT } from "./matmul.ts";
import { dequantize, quantize, quantizeWith } from "./quantize.ts";
import { symmetricEigen } from "../../src/numerics/symmetric_eigen.ts";
import { dot } from "./vector.ts";
import { assertGradient } from "../support/gradient.ts";
import { randomGenerator, randomNormal } from "../support/random.ts";

const [rows, outputs, inputs, rank] = [5, 6, 7, 3];

function normal32(size: number, seed: number, factor = 1): Float32Array {
  return Float32Array.from(randomNormal(size, seed), (x) => x * factor);
}

for (const granularity of ["row", "tensor"] as const) {
  Deno.test(`mergeWeight stacks W and A with one scale a ${granularity}`, () => {
    const w = normal32(outputs * inputs, 1, 0.1);
    const a = normal32(rank * inputs, 2, 0.05);
    const weight = mergeWeight(w, a, inputs, granularity);
    const scales = granularity === "row"
      ? [...quantize(w, inputs, E4M3, "row").scales, ...quantize(a, inputs, E4M3, "row").scales]
      : Array(outputs + rank).fill(quantize(w, inputs, E4M3, "tensor").scales[0]);
    assertEquals([...weight.scales], scales);
    const stacked = Float32Array.of(...w, ...a);
    assertEquals(weight.codes, quantizeWith(stacked, weight.scales, E4M3).codes);
  });

  Deno.test(`with one scale per ${granularity}, gradients are those of the layer the codes stand for`, () => {
    // Inputs, weights and gradients that their format holds without rounding, with scales that
    // are powers of two: then the layer equals its unquantised surrogate, which can be
    // differentiated by differences.
    const exact = (size: number, columns: number, format: typeof E4M3, seed: number) => {
      const random = randomGenerator(seed);
      const values = Float64Array.from({ length: size }, () => {
        const code = Math.floor(random() * 256);
        return (code & 0x7f) > format.maxCode ? 0 : decodeFp8(code, format) / format.max;
      });
      // Every row holds the maximum, and rows differ in size by powers of two.
      const unit = (i: number) => granularity === "row" ? 2 ** (Math.floor(i / columns) % 3) : 1;
      return values.map((x, i) => (i % columns === 0 ? 1 : x) * format.max / 256 * unit(i));
    };
    const w = exact(outputs * inputs, inputs, E4M3, 1);
    const a = exact(rank * inputs, inputs, E4M3, 2);
    const weight = mergeWeight(Float32Array.from(w), Float32Array.from(a), inputs, granularity);
    assertEquals(dequantize(weight), Float64Array.of(...w, ...a));
    const x = exact(rows * inputs, inputs, E4M3, 3);
    const layer: FalqonLayer = {
      weight,
      scaling: 0.25,
      granularity,
      b: Float32Array.from(randomNormal(outputs * rank, 4)),
      dB: new Float64Array(outputs * rank),
    };
    // G is divided by the row scales of the weight, so it is made from what that should give.
    const folded = exact(rows * outputs, outputs, E5M2, 5);
    const dy = folded.map((g, i) => g * weight.scales[i % outputs]);

    const { y, backward } = falqonLinear(x, layer, rows);
    assertEquals(y, matmulNT(x, w, rows, outputs, inputs));
    const surrogate = () => dot(matmulNT(x, w, rows, outputs, inputs), 0, dy, 0, dy.length);
    assertGradient(surrogate, x, backward(dy), "dx");
    // B acts as c·B·A beside W; its gradient is taken at the point where that change is zero.
    const b = new Float64Array(outputs * rank);
    const withB = () => {
      const h = matmulNT(x, a, rows, rank, inputs);
      return 0.25 * dot(matmulNT(h, b, rows, outputs, rank), 0, dy, 0, dy.length);
    };
    assertGradient(withB, b, layer.dB, "dB");
  });

  Deno.test(`with one scale per ${granularity}, the pending change acts in the output and in dx`, () => {
    const w = normal32(outputs * inputs, 1, 0.1).map((x, i) => x * 2 ** Math.floor(i / inputs));
    const a = normal32(rank * inputs, 2, 0.05);
    const weight = mergeWeight(w, a, inputs, granularity);
    const x = randomNormal(rows * inputs, 3);
    const dy = randomNormal(rows * outputs, 4);
    const layer = {
      weight,
      scaling: 2,
      granularity,
      b: normal32(outputs * rank, 5),
      bFlushed: normal32(outputs * rank, 6),
      dB: new Float64Array(outputs * rank),
    };
    const decoded = dequantize(weight);
    const effective = decoded.subarray(0, outputs * inputs).map((value, at) => {
      const [i, k] = [Math.floor(at / inputs), at % inputs];
      let change = 0;
      for (let j = 0; j < rank; j++) {
        const pending = layer.b[i * rank + j] - layer.bFlushed[i * rank + j];
        change += 2 * pending * decoded[(outputs + j) * inputs + k];
      }
      return value + change;
    });
    const { y, backward } = falqonLinear(x, layer, rows);
    const xq = dequantize(quantize(Float32Array.from(x), inputs, E4M3, granularity));
    assert(relativeError(y, matmulNT(xq, effective, rows, outputs, inputs)) < 1e-6);
    const transposed = Float64Array.from(
      { length: inputs * outputs },
      (_, i) => effective[(i % outputs) * inputs + Math.floor(i / outputs)],
    );
    // e5m2 rounds by up to 1/8, about 0.06 in the mean square.
    const error = relativeError(backward(dy), matmulNT(dy, transposed, rows, inputs, outputs));
    assert(error < 0.1, `relative error ${error}`);

    const settled = { ...layer, bFlushed: layer.b };
    const { bFlushed: _, ...plain } = layer;
    assertEquals(falqonLinear(x, settled, rows).y, falqonLinear(x, plain, rows).y);
    assertEquals(
      falqonLinear(x, settled, rows).backward(dy),
      falqonLinear(x, plain, rows).backward(dy),
    );
  });
}

Deno.test("A is left alone at a scale that represents it, else moved by a power of two", () => {
  const a = normal32(500, 1, 0.01);
  assertEquals(representable(a, 1000), a);
  for (const scale of [1e-4, 1, 1e6, 1e9]) {
    const scaled = representable(a, scale);
    const factor = scaled[0] / a[0];
    assertEquals(Math.log2(factor) % 1, 0);
    assertEquals(scaled, a.map((x) => x * factor));
    const codes = encodeFp8Array(scaled.map((x) => x * scale), E4M3);
    assertEquals(codes.filter((code) => (code & 0x7f) === E4M3.maxCode).length <= 1, true);
    const subnormal = codes.filter((code) => (code & 0x7f) < 8).length;
    assert(subnormal < 100, `${subnormal} of 500 are subnormal at scale ${scale}`);
  }
  assertEquals(representable(new Float32Array(3), 7), new Float32Array(3));
});

Deno.test("melded A holds the leading directions of the quantisation error", () => {
  const [n, k, r] = [40, 48, 4];
  const w = normal32(n * k, 1, 0.02);
  const a = Float64Array.from(initialAdapter("melded", w, k, r, "row", randomGenerator(2)));
  const error = dequantize(quantize(w, k, E4M3, "row")).map((x, i) => x - w[i]);
  const { values } = symmetricEigen(matmulNT(error, error, n, n, k), n);
  const gram = matmulNT(a, a, r, r, k); // √S·VᵀV·√S = S
  for (let i = 0; i < r; i++) {
    for (let j = 0; j < r; j++) {
      const expected = i === j ? Math.sqrt(values[i]) : 0;
      assertAlmostEquals(
        gram[i * r + j] / Math.sqrt(values[0]),
        expected / Math.sqrt(values[0]),
        0.05,
      );
    }
  }
});

Deno.test("random-orthogonal and kaiming A have the same size", () => {
  const [n, k, r] = [30, 64, 8];
  const w = normal32(n * k, 1);
  const make = (init: AdapterInit) =>
    Float64Array.from(initialAdapter(init, w, k, r, "tensor", randomGenerator(3)));
  const orthogonal = make("random-orthogonal");
  matmulNT(orthogonal, orthogonal, r, r, k)
    .forEach((g, i) => assertAlmostEquals(g, i % (r + 1) === 0 ? 1 / 3 : 0, 1e-6));
  const kaiming = make("kaiming");
  assert(kaiming.every((x) => Math.abs(x) <= 1 / 8));
  assertAlmostEquals(dot(kaiming, 0, kaiming, 0, r * k) / r, 1 / 3, 0.05);
});

Deno.test("a rank beyond the sides of a weight is refused", () => {
  assertThrows(
    () => initialAdapter("melded", normal32(6 * 9, 1), 9, 7, "row", randomGenerator(1)),
    OptionError,
    "Cannot adapt a weight of 6×9 with rank 7",
  );
});
