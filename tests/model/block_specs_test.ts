import { assert, assertEquals, assertThrows } from "@std/assert";
import { toMerged } from "../../src/layers/row_order.ts";
import { blockSpecs, qkvColumns } from "../../src/model/block_specs.ts";
import { parseModelConfig } from "../../src/model/config.ts";
import { headOrder } from "../../src/model/head_order.ts";
import type { AttentionPlan, LayerPlan } from "../../src/model/plan.ts";
import type { TensorMap } from "../../src/model/tensor_map.ts";
import { applyRope } from "../oracle/rope.ts";
import { randomValues } from "../support/random.ts";

/** Heads of 12: neither the queries nor the keys end at a multiple of 16. */
const HIDDEN = 24;
const { plan: { layers: [layer] } } = parseModelConfig({
  model_type: "llama",
  vocab_size: 10,
  hidden_size: HIDDEN,
  intermediate_size: 20,
  num_hidden_layers: 1,
  num_attention_heads: 3,
  num_key_value_heads: 1,
  head_dim: 12,
}, "");

function withTensors(tensors: Partial<TensorMap>): LayerPlan {
  return { ...layer, tensors: { ...layer.tensors, ...tensors } };
}

function withRope(rotatedDims: number, interleaved: boolean): AttentionPlan {
  const attention = layer.attention!;
  return { ...attention, rope: { ...attention.rope!, rotatedDims, interleaved } };
}

const FUSED: Partial<TensorMap> = {
  q: { name: "a.qkv_proj.weight", firstRow: 0, rows: 36 },
  k: { name: "a.qkv_proj.weight", firstRow: 36, rows: 12 },
  v: { name: "a.qkv_proj.weight", firstRow: 48, rows: 12 },
  gate: { name: "b.input_linear.weight", firstRow: 0, rows: 20 },
  up: { name: "b.input_linear.weight", firstRow: 20, rows: 20 },
  down: { name: "b.output_linear.weight", firstRow: 0, rows: HIDDEN },
};

Deno.test("weights that are stored one by one are parts with their rows in place", () => {
  const { qkv, o } = blockSpecs(layer, HIDDEN, 7);
  const module = (name: string) => `model.layers.0.self_attn.${name}`;
  assertEquals(qkv, {
    name: "layers.7.qkv",
    inFeatures: HIDDEN,
    width: 80,
    parts: [
      { module: module("q_proj"), kind: "q_proj", rows: 36, start: 0 },
      { module: module("k_proj"), kind: "k_proj", rows: 12, start: 48 },
      { module: module("v_proj"), kind: "v_proj", rows: 12, start: 64 },
    ],
  });
  assertEquals([o.inFeatures, o.width], [36, 32]);
});

Deno.test("weights that are stored as one are one part, and lie where they do otherwise", () => {
  const plain = blockSpecs(layer, HIDDEN, 0);
  const fused = blockSpecs(withTensors(FUSED), HIDDEN, 0);
  for (const name of ["qkv", "o", "gateUp", "down"] as const) {
    const { parts: _, ...merged } = plain[name];
    const { parts: __, ...other } = fused[name];
    assertEquals(other, merged);
  }
  const [qkv, ...none] = fused.qkv.parts;
  assertEquals(none, []);
  const { order, ...rest } = qkv;
  assertEquals(rest, { module: "a.qkv_proj", kind: "qkv_proj", rows: 76, start: 0 });
  assertEquals([...order!], [...range(0, 36), ...range(48, 12), ...range(64, 12)]);
  assertEquals(
    qkvColumns(layer.attention!),
    plain.qkv.parts.map(({ start, rows }) => ({ start, rows })),
  );
  const [gateUp] = fused.gateUp.parts;
  assertEquals([...gateUp.order!], [...range(0, 20), ...range(32, 20)]);
  assertEquals(fused.down.parts[0].kind, "output_linear");
});

Deno.test("a tensor in another order than the kernels', and one beside others, are parts too", () => {
  const up = { name: "up_gate.weight", firstRow: 0, rows: 20 };
  const turned = withTensors({ up, gate: { ...up, firstRow: 20 } });
  assertEquals([...blockSpecs(turned, HIDDEN, 0).gateUp.parts[0].order!], [
    ...range(32, 20),
    ...range(0, 20),
  ]);
  const kv = { name: "kv.weight", firstRow: 0, rows: 12 };
  const { qkv } = blockSpecs(withTensors({ k: kv, v: { ...kv, firstRow: 12 } }), HIDDEN, 0);
  assertEquals(qkv.parts.map(({ kind, start, rows }) => [kind, start, rows]), [
    ["q_proj", 0, 36],
    ["kv", 48, 28],
  ]);
  assertEquals([...qkv.parts[1].order!], [...range(0, 12), ...range(16, 12)]);
});

Deno.test("rows that follow each other need no order", () => {
  const gate = { name: "x.weight", firstRow: 0, rows: 32 };
  const specs = blockSpecs(withTensors({ gate, up: { ...gate, firstRow: 32 } }), HIDDEN, 0);
  assertEquals(specs.gateUp.parts, [{ module: "x", kind: "x", rows: 64, start: 0 }]);
});

Deno.test("a plan that leaves rows of a tensor out is a mistake", () => {
  const up = { name: "gate_up.weight", firstRow: 24, rows: 20 };
  const wrong = withTensors({ gate: { ...up, firstRow: 0 }, up });
  assertThrows(
    () => blockSpecs(wrong, HIDDEN, 0),
    TypeError,
    'leaves rows of "gate_up.weight" out',
  );
});

Deno.test("scores of reordered heads that the kernels rotate are those that the family computes", () => {
  const headDim = 12;
  assertEquals(headOrder(withRope(headDim, false)), null);
  assertEquals(headOrder({ ...withRope(8, true), rope: null }), null);
  for (const rotatedDims of [2, 4, 6, 8, 10, headDim]) {
    for (const interleaved of [false, true]) {
      const order = headOrder(withRope(rotatedDims, interleaved));
      if (!order) continue;
      assertEquals([...order].sort((a, b) => a - b), [...range(0, headDim)]);
      const [q, k] = [randomValues(headDim, 1), randomValues(headDim, 2)];
      const frequencies = Float64Array.from({ length: rotatedDims / 2 }, (_, i) => 1 / (i + 1));
      // The kernels' planes: those beyond the rotated ones stand still.
      const planes = new Float64Array(headDim / 2);
      planes.set(frequencies);
      const turned = (head: Float32Array, position: number) => {
        const values = toMerged({ rows: headDim, order }, Float32Array.from(head));
        return applyRope(Float64Array.from(values), [position], planes);
      };
      const want = dot(
        family(q, 5, frequencies, interleaved),
        family(k, 2, frequencies, interleaved),
      );
      const error = Math.abs(dot(turned(q, 5), turned(k, 2)) - want);
      assert(error < 1e-12, `${rotatedDims} ${interleaved}: ${error}`);
    }
  }
});

/** A head as a family rotates it: its first components, in planes of neighbours or of halves. */
function family(
  head: Float32Array,
  position: number,
  frequencies: Float64Array,
  interleaved: boolean,
): Float64Array {
  const out = Float64Array.from(head);
  frequencies.forEach((frequency, i) => {
    const [a, b] = interleaved ? [2 * i, 2 * i + 1] : [i, i + frequencies.length];
    const [cos, sin] = [Math.cos(position * frequency), Math.sin(position * frequency)];
    out[a] = head[a] * cos - head[b] * sin;
    out[b] = head[b] * cos + head[a] * sin;
  });
  return out;
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, x, i) => sum + x * b[i], 0);
}

function* range(first: number, count: number): Generator<number> {
  for (let i = 0; i < count; i++) yield first + i;
}
