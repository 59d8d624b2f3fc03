/** Sizes and factors that no model has, in every family's own fields. */

import { assert, assertThrows } from "@std/assert";
import { ModelError } from "../../src/errors.ts";
import { MOST } from "../../src/model/accepted_sizes.ts";
import { parseModelConfig } from "../../src/model/config.ts";
import { expectSensible } from "../fuzz/oracle/plan.ts";
import { CONFIGS } from "../fuzz/support/configs.ts";

const LLAMA = CONFIGS[0];

Deno.test("a size beyond the largest is refused by its field, with the largest that is accepted", () => {
  const cases: [Record<string, unknown>, string][] = [
    [{ hidden_size: 64_000_000, head_dim: 8 }, `from 1 to ${MOST.hidden}: found 64000000`],
    [{ intermediate_size: 2e8 }, `from 1 to ${MOST.intermediate}: found 200000000`],
    [{ num_attention_heads: 1e8 }, `from 1 to ${MOST.heads}: found 100000000`],
    [{ num_hidden_layers: 1e6 }, `from 1 to ${MOST.layers}: found 1000000`],
    [{ vocab_size: 1e12 }, `from 1 to ${MOST.vocabulary}: found 1000000000000`],
    [{ max_position_embeddings: 2 ** 31 }, `from 1 to ${MOST.tokens}: found 2147483648`],
    [{ vocab_size: 2 ** 22, hidden_size: 2 ** 16 }, `an embedding of at most ${MOST.embedding}`],
    [{
      hidden_size: 2 ** 16,
      intermediate_size: 2 ** 19,
      num_hidden_layers: 512,
    }, `a model of at most ${MOST.parameters} elements: found`],
    [{ rms_norm_eps: 1e300 }, "a number from 1e-30 to 1: found 1e+300"],
    [{ rope_theta: 1e-300 }, "a number from 2 to 1e+30: found 1e-300"],
    [{ hidden_act: "constructor" }, 'found "constructor"'],
  ];
  for (const [changes, message] of cases) {
    const error = assertThrows(() => parseModelConfig({ ...LLAMA, ...changes }, '"c"'), ModelError);
    assert(error.message.includes(message), error.message);
  }
});

/** The places of numbers in a config. */
function* numbers(json: object, path: string[] = []): Generator<string[]> {
  for (const [name, value] of Object.entries(json)) {
    if (typeof value === "number") yield [...path, name];
    else if (typeof value === "object" && value !== null) yield* numbers(value, [...path, name]);
  }
}

Deno.test("no number of any family's config makes a plan that cannot be counted or computed", () => {
  const extremes = [...[2 ** 53 - 1, 2 ** 53, 1e300, 1e-300, 1e-320, -1, 0, 0.5, 2 ** 31], {
    toString: 1,
  }];
  let [taken, refused] = [0, 0];
  for (const config of CONFIGS) {
    for (const path of numbers(config)) {
      for (const extreme of extremes) {
        const changed = structuredClone(config);
        const parent = path.slice(0, -1).reduce((json, name) => json[name] as never, changed);
        parent[path.at(-1)!] = extreme;
        try {
          expectSensible(parseModelConfig(changed, '"c"'));
          taken++;
        } catch (error) {
          if (!(error instanceof ModelError)) throw error;
          refused++;
        }
      }
    }
  }
  assert(taken > 100 && refused > 1000, `${taken} taken, ${refused} refused`);
});
