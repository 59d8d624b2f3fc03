import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { ModelError } from "../../src/errors.ts";
import { JsonFields } from "../../src/io/json.ts";
import type { RopePlan } from "../../src/model/plan.ts";
import { parseRope } from "../../src/model/rope_config.ts";
import type { RopeOptions } from "../../src/model/rope_types.ts";
import { ropeInverseFrequencies } from "../../src/model/rope_frequencies.ts";
import { inverseFrequencies } from "../oracle/rope.ts";

const HEAD_DIM = 16;

const PLAIN: RopePlan = {
  theta: 10000,
  scaling: null,
  rotatedDims: HEAD_DIM,
  factor: 1,
  interleaved: false,
  queryScale: null,
};

type Json = Record<string, unknown>;

function parse(json: Json, options?: RopeOptions, layerType?: string): RopePlan {
  const fields = new JsonFields({ max_position_embeddings: 256, ...json }, '"config.json"');
  return parseRope(fields, HEAD_DIM, layerType, options);
}

const yarn = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 32 };
const YARN = {
  type: "yarn",
  factor: 4,
  betaFast: 32,
  betaSlow: 1,
  truncate: true,
  originalMaxPositionEmbeddings: 32,
} as const;

const short_factor = [1, 1.1, 1.2, 1.3, 1.4, 1.5];
const long_factor = [1, 8, 16, 24, 32, 40];
const longrope = { type: "longrope", short_factor, long_factor };
const LONGROPE = {
  type: "longrope",
  shortFactors: short_factor,
  longFactors: long_factor,
  originalMaxPositionEmbeddings: 64,
} as const;

Deno.test("a config without settings turns whole heads, by the family's base", () => {
  assertEquals(parse({}), PLAIN);
  assertEquals(parse({ rope_scaling: null }, { theta: 2e6 }), { ...PLAIN, theta: 2e6 });
  assertEquals(parse({ rope_theta: 5 }, { theta: 2e6 }), { ...PLAIN, theta: 5 });
  assertEquals(parse({ rope_parameters: { rope_theta: 5 } }).theta, 5);
  assertEquals(parse({}, { absent: { ...yarn, rope_theta: 1e6 } }).scaling, YARN);
  assertEquals(parse({ original_max_position_embeddings: 4096 }), PLAIN);
});

Deno.test("yarn: the defaults of transformers, and the factor of cosines and sines", () => {
  const usual = 0.1 * Math.log(4) + 1;
  assertEquals(parse({ rope_scaling: yarn }), { ...PLAIN, scaling: YARN, factor: usual });
  const first = { ...yarn, finetuned: true }; // Yarn-Llama-2
  assertEquals(parse({ rope_scaling: first }), parse({ rope_scaling: yarn }));
  const { original_max_position_embeddings, ...rest } = yarn;
  const beside = { rope_scaling: { ...rest, type: "yarn" }, original_max_position_embeddings };
  assertEquals(parse(beside), parse({ rope_scaling: yarn }));
  // Without a factor, how much longer the context is.
  const { factor: _, ...unstretched } = yarn;
  assertEquals(parse({ rope_scaling: unstretched }).scaling, { ...YARN, factor: 8 });
  const set = { ...yarn, beta_fast: 16, beta_slow: 2, truncate: false };
  assertEquals(
    parse({ rope_parameters: set }).scaling,
    { ...YARN, betaFast: 16, betaSlow: 2, truncate: false },
  );
  const factors: [Json, number][] = [
    [{ attention_factor: 1.25 }, 1.25],
    [{ attention_factor: null }, usual],
    [{ mscale: 1, mscale_all_dim: 1 }, 1],
    [{ mscale: 2, mscale_all_dim: 1 }, (0.2 * Math.log(4) + 1) / usual],
    [{ mscale: 0.707 }, usual],
    [{ mscale: 0.707, mscale_all_dim: 0 }, usual],
    [{ factor: 1 }, 1],
  ];
  for (const [more, factor] of factors) {
    assertAlmostEquals(parse({ rope_scaling: { ...yarn, ...more } }).factor, factor, 1e-15);
  }
});

Deno.test("longrope: every place of its length, its old names, and its factor", () => {
  const partial = { partialRotaryFactor: 1 };
  const factor = Math.sqrt(1 + Math.log(4) / Math.log(64));
  const expected = { ...PLAIN, scaling: LONGROPE, rotatedDims: 12, factor };
  const original_max_position_embeddings = 64;
  const inside = { ...longrope, original_max_position_embeddings, partial_rotary_factor: 0.75 };
  const beside = { partial_rotary_factor: 0.75, original_max_position_embeddings };
  for (
    const json of [
      { rope_scaling: inside },
      { rope_parameters: inside },
      { ...beside, rope_scaling: longrope },
      { ...beside, rope_scaling: longrope, rope_parameters: inside },
      { ...beside, rope_scaling: { ...longrope, type: "su" } },
      { ...beside, rope_scaling: { ...longrope, type: "yarn" } },
    ]
  ) assertEquals(parse(json, { ...partial, yarnIsLongrope: true }), expected);
  const set = (more: Json) => parse({ ...beside, rope_scaling: { ...longrope, ...more } }, partial);
  assertEquals(set({ attention_factor: 1.5 }).factor, 1.5);
  assertAlmostEquals(set({ factor: 8 }).factor, Math.sqrt(1.5), 1e-15);
  assertEquals(set({ factor: 1 }).factor, 1);
  const unsaid = { partial_rotary_factor: 0.75, rope_scaling: longrope };
  assertEquals(parse(unsaid, { ...partial, originalMaxPositionEmbeddings: 64 }), expected);
});

Deno.test("the turned part of a head stands in the settings, beside them, or in the family", () => {
  const half = { partialRotaryFactor: 0.5 };
  for (
    const json of [
      {},
      { partial_rotary_factor: 0.5 },
      { rope_parameters: { partial_rotary_factor: 0.5 } },
      { partial_rotary_factor: 0.5, rope_parameters: { partial_rotary_factor: 0.5 } },
    ]
  ) {
    const expected = { ...PLAIN, rotatedDims: 8, interleaved: true };
    assertEquals(parse(json, { ...half, interleaved: true }), expected);
  }
  assertEquals(parse({ partial_rotary_factor: 1 }, half).rotatedDims, 16);
  const proportional = { rope_type: "proportional", partial_rotary_factor: 0.25, rope_theta: 1e6 };
  assertEquals(parse({ rope_parameters: proportional }), {
    ...PLAIN,
    theta: 1e6,
    scaling: { type: "proportional", factor: 1, turnedPlanes: 2 },
  });
});

Deno.test("layer types have settings of their own, in the spellings of today and before", () => {
  const rope_parameters = {
    full_attention: { rope_type: "linear", factor: 8, rope_theta: 1e6 },
    sliding_attention: { rope_type: "default", rope_theta: 1e4 },
  };
  const full = { ...PLAIN, theta: 1e6, scaling: { type: "linear", factor: 8 } } as const;
  const gemma3 = {
    full_attention: { theta: 1e6 },
    sliding_attention: { theta: 1e4, thetaField: "rope_local_base_freq", scaled: false },
  };
  const older = { rope_scaling: { rope_type: "linear", factor: 8 } };
  for (
    const json of [
      { rope_parameters },
      older,
      { ...older, rope_theta: 1e6, rope_local_base_freq: 1e4 },
      { ...older, rope_parameters },
    ]
  ) {
    assertEquals(parse(json, gemma3.full_attention, "full_attention"), full);
    assertEquals(parse(json, gemma3.sliding_attention, "sliding_attention"), PLAIN);
  }
  // OLMo 3: one base, scaled in the layers of full attention only.
  const olmo3 = { rope_theta: 5e5, rope_scaling: yarn };
  assertEquals(parse(olmo3, { scaled: false }, "sliding_attention"), { ...PLAIN, theta: 5e5 });
  assertEquals(parse(olmo3, {}, "full_attention").scaling, YARN);
  // One set is for all layers.
  const one = { rope_parameters: { rope_theta: 5 } };
  assertEquals(parse(one, {}, "sliding_attention"), parse(one, {}, "full_attention"));
});

Deno.test("queries are scaled by position where the family does so", () => {
  const set = { ...yarn, llama_4_scaling_beta: 0.1, max_position_embeddings: 256 };
  const { queryScale } = parse({ rope_parameters: set }, { queryScale: true });
  assertEquals(queryScale, { beta: 0.1, originalMaxPositionEmbeddings: 32 });
  assertEquals(parse({ rope_parameters: yarn }, { queryScale: true }).queryScale, null);
  assertThrows(() => parse({ rope_parameters: set }), ModelError, "llama_4_scaling_beta");
});

Deno.test("parameters that are unknown, bad or in contradiction are refused by name", () => {
  const typed = { full_attention: { rope_theta: 5 }, sliding_attention: null };
  const cases: [Json, string, RopeOptions?, string?][] = [
    [
      { rope_scaling: { rope_type: "dynamic", factor: 2 } },
      'rope_type in rope_scaling in "config.json" must be default, linear, llama3, yarn, longrope ' +
      'or proportional: found "dynamic"; choose a model with one of these',
    ],
    [{ rope_scaling: { type: "ntk" } }, "type in rope_scaling"],
    [{ rope_scaling: { ...yarn, short_factor } }, "short_factor in rope_scaling"],
    [{ rope_scaling: { ...yarn, factor: 0.5 } }, "factor in rope_scaling"],
    [{ rope_scaling: { ...yarn, beta_fast: 0.5 } }, "at least beta_slow (1): found 0.5"],
    [{ rope_scaling: { ...yarn, attention_factor: -1 } }, "attention_factor"],
    [{ rope_scaling: { ...yarn, mscale: "1" } }, "mscale in rope_scaling"],
    [{ rope_scaling: { ...yarn, truncate: 0 } }, "truncate"],
    [
      { rope_scaling: yarn, original_max_position_embeddings: 64 },
      'original_max_position_embeddings in "config.json" must be the same as in rope_scaling in ' +
      '"config.json" (32), or absent: found 64',
    ],
    [
      { rope_scaling: { type: "longrope", short_factor, long_factor } },
      "8 numbers from 0.000001 to 1000000",
    ],
    [{ rope_scaling: { type: "su", short_factor: "1", long_factor } }, "short_factor"],
    [
      {
        partial_rotary_factor: 0.75,
        rope_scaling: { ...longrope, long_factor: [1, 2, 3, 4, 5, 0] },
      },
      "long_factor in rope_scaling",
      { partialRotaryFactor: 1 },
    ],
    [{ rope_scaling: { ...longrope, short_mscale: 1.2 } }, "8 numbers from"],
    [{ partial_rotary_factor: 0.5 }, "must be 1: found 0.5; models of this model_type"],
    [{ partial_rotary_factor: 1.5 }, "at most 1", { partialRotaryFactor: 1 }],
    [{ partial_rotary_factor: 0.2 }, "that is even: found 0.2", { partialRotaryFactor: 1 }],
    [
      { partial_rotary_factor: 0.5, rope_scaling: { ...yarn, partial_rotary_factor: 0.75 } },
      "(0.75): found 0.5",
      { partialRotaryFactor: 1 },
    ],
    [{ rope_parameters: typed }, "it has a set of its own for full_attention"],
    [{ rope_parameters: typed }, "sliding_attention in rope_parameters", {}, "sliding_attention"],
    [{ rope_parameters: { ...typed, rope_theta: 5 } }, "rope_theta in", {}, "full_attention"],
    [
      { rope_parameters: yarn, rope_scaling: { ...yarn, factor: 8 } },
      "the same as rope_parameters",
    ],
    [{ rope_parameters: { mrope_section: [1, 1, 0] } }, "mrope_section"],
  ];
  for (const [json, message, options, layerType] of cases) {
    assertThrows(() => parse(json, options, layerType), ModelError, message);
  }
  assertEquals(
    parse({ rope_parameters: { mrope_section: [1, 1, 0] } }, { unused: ["mrope_section"] }),
    PLAIN,
  );
});

Deno.test("inverse frequencies equal those of transformers", () => {
  const plain = ropeInverseFrequencies({ ...PLAIN, rotatedDims: 8 }, 8);
  assertEquals(plain, Float32Array.of(1, 0.1, 0.01, 0.001));
  const linear = { ...PLAIN, rotatedDims: 8, scaling: { type: "linear", factor: 4 } } as const;
  assertEquals(ropeInverseFrequencies(linear, 8), plain.map((frequency) => frequency / 4));
  // Llama 3.2's settings; printed by transformers 5.18, which computes in float32.
  const llama3 = ropeInverseFrequencies({
    ...PLAIN,
    rotatedDims: 64,
    theta: 500000,
    scaling: {
      type: "llama3",
      factor: 32,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPositionEmbeddings: 8192,
    },
  }, 64);
  const printed: [number, number][] = [
    [0, 1],
    [1, 0.663601279258728],
    [14, 0.0032114461064338684],
    [15, 0.0012905480107292533],
    [16, 0.000429556705057621],
    [17, 9.708286233944818e-5],
    [18, 1.9461638657958247e-5],
    [31, 9.418306490260875e-8],
  ];
  assertEquals(llama3.length, 32);
  for (const [i, value] of printed) assertAlmostEquals(llama3[i] / value, 1, 2e-6, `${i}`);
});

Deno.test("inverse frequencies of every type, whole heads and parts, are the oracle's", () => {
  const llama3 = {
    type: "llama3",
    factor: 8,
    lowFreqFactor: 1,
    highFreqFactor: 4,
    originalMaxPositionEmbeddings: 64,
  } as const;
  const wide = Array.from({ length: 32 }, (_, i) => 1 + i / 3);
  for (
    const [headDim, rotatedDims] of [[128, 128], [64, 64], [96, 48], [16, 12], [10, 6], [8, 2]]
  ) {
    const factors = { shortFactors: [...wide, ...wide], longFactors: [...wide, ...wide].reverse() };
    for (
      const scaling of [
        null,
        { type: "linear", factor: 3 } as const,
        llama3,
        { type: "proportional", factor: 2, turnedPlanes: 1 } as const,
        { type: "longrope", ...factors, originalMaxPositionEmbeddings: 64 } as const,
        ...[32, 4096, 16384].flatMap((originalMaxPositionEmbeddings) =>
          [true, false].flatMap((truncate) =>
            [[32, 1], [3, 3], [8, 0.25]].map(([betaFast, betaSlow]) => ({
              ...YARN,
              betaFast,
              betaSlow,
              truncate,
              originalMaxPositionEmbeddings,
            }))
          )
        ),
      ]
    ) {
      for (const theta of [100, 1e4, 1e6]) {
        for (const long of [false, true]) {
          const plan = { ...PLAIN, theta, scaling, rotatedDims };
          const got = ropeInverseFrequencies(plan, headDim, long);
          const wanted = inverseFrequencies(plan, headDim, long);
          assertEquals(got.length, headDim / 2);
          for (const [i, frequency] of wanted.entries()) {
            const what = `${headDim} ${rotatedDims} ${theta} ${JSON.stringify(scaling)} ${i}`;
            assertAlmostEquals(got[i], frequency, 1e-6 * frequency, what);
          }
        }
      }
    }
  }
});
