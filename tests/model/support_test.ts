import { assertEquals, assertThrows } from "@std/assert";
import { ModelError } from "../../src/errors.ts";
import { JsonFields } from "../../src/io/json.ts";
import { parseModelConfig } from "../../src/model/config.ts";
import type {
  AttentionPlan,
  LayerPlan,
  ModelPlan,
  NormPlan,
  RopePlan,
} from "../../src/model/plan.ts";
import { planTensorShapes } from "../../src/model/plan_tensors.ts";
import type { DeltaNetPlan } from "../../src/model/delta_net_plan.ts";
import { expectSupported } from "../../src/model/support.ts";

const { plan } = parseModelConfig({
  model_type: "llama",
  vocab_size: 100,
  hidden_size: 64,
  intermediate_size: 172,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
}, "");

/** The plan with another last layer: one layer that asks for more is enough. */
function withLayer(change: (layer: LayerPlan) => Partial<LayerPlan>): ModelPlan {
  const last = plan.layers[2];
  return { ...plan, layers: [...plan.layers.slice(0, 2), { ...last, ...change(last) }] };
}

function withAttention(change: Partial<AttentionPlan>): ModelPlan {
  return withLayer(({ attention }) => ({ attention: { ...attention!, ...change } }));
}

function withRope(change: Partial<RopePlan>): ModelPlan {
  return withAttention({ rope: { ...plan.layers[2].attention!.rope!, ...change } });
}

function longrope(originalMaxPositionEmbeddings: number): RopePlan["scaling"] {
  const factors = Array.from({ length: 8 }, (_, i) => i + 1);
  const [shortFactors, longFactors] = [factors, factors];
  return { type: "longrope", shortFactors, longFactors, originalMaxPositionEmbeddings };
}

function withNorms(change: Partial<Record<keyof LayerPlan["norms"], NormPlan | null>>): ModelPlan {
  return withLayer(({ norms }) => ({ norms: { ...norms, ...change } }));
}

/** The plan with delta nets in place of attention in the last layers. */
function withDeltaNets(...changes: Partial<DeltaNetPlan>[]): ModelPlan {
  const tensors = { conv: "conv", dtBias: "dt", aLog: "a", norm: "norm" };
  const sizes = {
    keyHeads: 1,
    keyDim: 8,
    valueHeads: 2,
    valueDim: 8,
    convWidth: 4,
    eps: 1,
    tensors,
  };
  const [first, ...others] = plan.layers;
  const layers = changes.map((change, i): LayerPlan => ({
    ...others[i],
    attention: null,
    deltaNet: { ...sizes, ...change },
  }));
  return { ...plan, layers: [first, ...layers] };
}

Deno.test("a plan that asks for what no kernel computes is refused, whichever family made it", () => {
  const cases: [string, ModelPlan, field: string][] = [
    ["two original contexts", {
      ...plan,
      layers: [64, 128].flatMap((length) => withRope({ scaling: longrope(length) }).layers),
    }, "rope_parameters"],
    [
      "branches that are scaled and normed",
      withLayer(({ norms }) => ({
        residualScale: 0.22,
        norms: { ...norms, mlpOut: plan.finalNorm },
      })),
      "residual_multiplier",
    ],
    ["parallel branches", withLayer(() => ({ parallel: true })), "model_type"],
    ["LayerNorm", withNorms({ mlpIn: { ...plan.finalNorm, kind: "layer" } }), "model_type"],
    ["long keys of a delta net", withDeltaNets({ keyDim: 257 }), "linear_key_head_dim"],
    [
      "keys that are values as they are",
      withLayer(({ tensors: { v: _, ...tensors } }) => ({ tensors })),
      "attention_k_eq_v",
    ],
    [
      "keys and values of another layer",
      withAttention({ sharedWith: 0 }),
      "num_kv_shared_layers",
    ],
  ];
  const fields = new JsonFields({ model_type: "another" }, '"config.json"');
  expectSupported(plan, fields);
  expectSupported(withDeltaNets({}, {}), fields);
  for (const [what, wanted, field] of cases) {
    const start = `${field} in "config.json" must be `;
    assertThrows(() => expectSupported(wanted, fields), ModelError, start, what);
  }
});

Deno.test("a refusal shows the field that the config has", () => {
  const fields = new JsonFields({ model_type: "another" }, "x");
  assertThrows(
    () => expectSupported(withLayer(() => ({ parallel: true })), fields),
    ModelError,
    'model_type in x must be false: found "another"; choose',
  );
});

Deno.test("weights that are stored as one tensor have the shape of all their rows", () => {
  const { tensors } = plan.layers[2];
  const fused = withLayer(() => ({
    tensors: {
      ...tensors,
      q: { name: "qkv", firstRow: 0, rows: 64 },
      k: { name: "qkv", firstRow: 64, rows: 32 },
      v: { name: "qkv", firstRow: 96, rows: 32 },
    },
  }));
  const shapes = planTensorShapes(fused);
  assertEquals(shapes.get("qkv"), [128, 64]);
  assertEquals(shapes.has(tensors.q.name), false);
  assertEquals(shapes.get(tensors.o.name), [64, 64]);
});
