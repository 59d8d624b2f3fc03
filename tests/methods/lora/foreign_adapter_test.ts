/** Adapters that do not fit the model, or do not fit together: each is refused by what is in the way. */

import { assert } from "@std/assert";
import { join } from "node:path";
import { FalqonError } from "../../../src/errors.ts";
import { mergeModel } from "../../../src/inference/merge.ts";
import { Model } from "../../../src/inference/model.ts";
import { readPeftAdapter } from "../../../src/io/peft.ts";
import { writeSafetensors } from "../../../src/io/safetensors.ts";
import { lora, qlora } from "../../../src/methods/lora/lora.ts";
import { device } from "../../support/device.ts";
import { withFolder } from "../../support/io.ts";
import { randomValues } from "../../support/random.ts";
import { writeTinyModel } from "../../support/tiny_model.ts";

/** Shapes of weights of the tiny model. */
const SHAPES: Record<string, [rows: number, cols: number]> = {
  "layers.0.self_attn.q_proj": [60, 52],
  "layers.0.self_attn.k_proj": [20, 52],
  "layers.1.mlp.down_proj": [52, 44],
};
const [Q, DOWN] = ["layers.0.self_attn.q_proj", "layers.1.mlp.down_proj"];
const RANK = 4;

type Shapes = Record<string, number[] | undefined>;

/** The tensors of a good adapter by their names without the common prefix, with changes: undefined leaves one out. */
function tensorsWith(changes: Shapes): Shapes {
  const good = Object.entries(SHAPES).flatMap(([module, [rows, cols]]) => [
    [`${module}.lora_A.weight`, [RANK, cols]],
    [`${module}.lora_B.weight`, [rows, RANK]],
  ]);
  return { ...Object.fromEntries(good), ...changes };
}

/** What is wrong: tensors, settings, and what the error says. */
interface Case {
  tensors?: Shapes;
  settings?: Record<string, unknown>;
  /** Whether the common prefix is in the names already. */
  whole?: boolean;
  message: RegExp;
}

const pair = (module: string, rows: number, cols: number, rank = RANK): Shapes => ({
  [`${module}.lora_A.weight`]: [rank, cols],
  [`${module}.lora_B.weight`]: [rows, rank],
});
const DORA: Shapes = Object.fromEntries(
  Object.entries(SHAPES).map(([module, [rows]]) => [`${module}.lora_magnitude_vector`, [rows]]),
);

const CASES: Record<string, Case> = {
  "more columns than the weight": {
    tensors: pair(Q, 60, 64),
    message:
      /is for a weight \[60, 64\] where the model's "model\.layers\.0\.self_attn\.q_proj" is \[60, 52\]/,
  },
  "fewer columns": {
    tensors: pair(DOWN, 52, 22),
    message: /weight \[52, 22\] where .+ is \[52, 44\]/,
  },
  "many more columns": { tensors: pair(Q, 60, 4096), message: /weight \[60, 4096\] where/ },
  "more rows": { tensors: pair(Q, 61, 52), message: /weight \[61, 52\] where/ },
  "fewer rows": { tensors: pair(DOWN, 1, 44), message: /weight \[1, 44\] where/ },
  "rows and columns exchanged": { tensors: pair(Q, 52, 60), message: /weight \[52, 60\] where/ },
  "factors that are transposed": {
    tensors: { [`${Q}.lora_A.weight`]: [52, RANK], [`${Q}.lora_B.weight`]: [RANK, 60] },
    message:
      /"base_model\.model\.model\.layers\.0\.self_attn\.q_proj\.lora_A\.weight" is F32 \[52,4\] and must be F32, F16 or BF16 with 4 as size 0/,
  },
  "another rank in A": {
    tensors: { [`${Q}.lora_A.weight`]: [8, 52] },
    message: /lora_A\.weight" is F32 \[8,52\] and must be F32, F16 or BF16 with 4 as size 0/,
  },
  "another rank in B": {
    tensors: { [`${Q}.lora_B.weight`]: [60, 8] },
    message: /lora_B\.weight" is F32 \[60,8\] and must be F32, F16 or BF16 with 4 as size 1/,
  },
  "a rank of none in both": {
    tensors: pair(Q, 60, 52, 0),
    message: /is F32 \[0,52\] and must be .+ 4 as size 0/,
  },
  "a rank of none in the settings": {
    settings: { r: 0 },
    message: /^r in .+ must be an integer of at least 1: found 0/,
  },
  "a rank that is no whole number": { settings: { r: 4.5 }, message: /^r in .+ found 4\.5/ },
  "a pattern of another rank": {
    settings: { rank_pattern: { q_proj: 3 } },
    message: /must be F32, F16 or BF16 with 3 as size 0/,
  },
  "a pattern that is no rank": {
    settings: { rank_pattern: { q_proj: "x" } },
    message: /^rank_pattern in .+ must be positive numbers by module/,
  },
  "patterns that are none": { settings: { rank_pattern: "q_proj" }, message: /^rank_pattern in / },
  "an alpha that is none": {
    settings: { lora_alpha: 0 },
    message: /^lora_alpha in .+ must be a (positive )?number.+found 0/,
  },
  "factors without columns": {
    tensors: pair(Q, 60, 0),
    message: /weight \[60, 0\] where|\[4,0\]/,
  },
  "one factor": {
    tensors: { [`${Q}.lora_B.weight`]: undefined },
    message: /it has only one factor of "model\.layers\.0\.self_attn\.q_proj"/,
  },
  "a factor of three sizes": {
    tensors: { [`${Q}.lora_A.weight`]: [RANK, 26, 2] },
    message: /is F32 \[4,26,2\] and must be/,
  },
  "a layer beyond the model's": {
    tensors: pair("layers.2.self_attn.q_proj", 60, 52),
    message: /changes "model\.layers\.2\.self_attn\.q_proj\.weight", which the model does not have/,
  },
  "twenty layers for two": {
    tensors: Object.assign(
      {},
      ...[...Array(20).keys()].map((i) => pair(`layers.${i}.self_attn.q_proj`, 60, 52)),
    ),
    message: /changes "model\.layers\.2\.self_attn\.q_proj\.weight", which the model does not have/,
  },
  "a module of another kind": {
    tensors: pair("layers.0.self_attn.query_key_value", 60, 52),
    message: /changes "model\.layers\.0\.self_attn\.query_key_value\.weight", which/,
  },
  "a module that is no linear layer": {
    tensors: pair("layers.0.input_layernorm", 52, 52),
    message: /layers\.0\.input_layernorm\.weight" is \[52,52\] where the model's is \[1,52\]/,
  },
  "a head of another vocabulary": {
    whole: true,
    tensors: pair("base_model.model.lm_head", 300, 52),
    message: /"lm_head\.weight" is \[300,52\] where the model's is \[269,52\]/,
  },
  "a head of another width": {
    whole: true,
    tensors: pair("base_model.model.lm_head", 269, 64),
    message: /"lm_head\.weight" is \[269,64\] where the model's is \[269,52\]/,
  },
  "names of another model altogether": {
    whole: true,
    tensors: {
      ...Object.fromEntries(Object.keys(tensorsWith({})).map((name) => [name, undefined])),
      ...pair("base_model.model.transformer.h.0.attn.c_attn", 156, 52),
    },
    message:
      /has tensors for no linear layer of the model|changes "transformer\.h\.0\.attn\.c_attn\.weight", which the model does not have/,
  },
  "names without PEFT's prefix": {
    whole: true,
    tensors: pair("model.layers.0.self_attn.v_proj", 20, 52),
    message:
      /its tensor "model\.layers\.0\.self_attn\.v_proj\.lora_A\.weight" is no factor of a linear layer/,
  },
  "a tensor of no meaning": {
    tensors: { "layers.0.extra": [1] },
    message: /extra" is no factor of a linear layer/,
  },
  "too few magnitudes": {
    tensors: { ...DORA, [`${Q}.lora_magnitude_vector`]: [59] },
    settings: { use_dora: true },
    message: /it has 59 magnitudes for the 60 rows of "model\.layers\.0\.self_attn\.q_proj"/,
  },
  "no magnitudes of a layer": {
    tensors: { ...DORA, [`${Q}.lora_magnitude_vector`]: undefined },
    settings: { use_dora: true },
    message:
      /it has no magnitudes of "model\.layers\.0\.self_attn\.q_proj", though its use_dora is true/,
  },
  "magnitudes without DoRA": {
    tensors: DORA,
    message: /it has magnitudes of .+, though its use_dora is false/,
  },
  "magnitudes without factors": {
    tensors: { "layers.0.self_attn.v_proj.lora_magnitude_vector": [20] },
    settings: { use_dora: true },
    message: /it has only one factor of "model\.layers\.0\.self_attn\.v_proj"|has no magnitudes/,
  },
  "a bias of B of another length": {
    tensors: { [`${Q}.lora_B.bias`]: [59] },
    settings: { lora_bias: true },
    message: /q_proj\.bias" is \[1,59\] where the model's is \[1,60\]|brings biases of 1 layers/,
  },
  "a bias of B of another length than the bias": {
    tensors: { [`${Q}.bias`]: [60], [`${Q}.lora_B.bias`]: [0] },
    settings: { lora_bias: true, bias: "lora_only" },
    message:
      /changes "model\.layers\.0\.self_attn\.q_proj\.bias" by tensors for \[1,60\] and \[1,0\]/,
  },
  "a bias of B without factors": {
    tensors: { "layers.0.self_attn.v_proj.lora_B.bias": [20] },
    settings: { lora_bias: true },
    message:
      /it has "model\.layers\.0\.self_attn\.v_proj\.lora_B\.bias" without the tensors that belong to it/,
  },
  "a bias of another length": {
    tensors: { [`${Q}.bias`]: [61] },
    settings: { bias: "lora_only" },
    message: /q_proj\.bias" is \[1,61\] where the model's is \[1,60\]|brings biases of 1 layers/,
  },
  "a bias of a layer that is not there": {
    tensors: { "layers.7.self_attn.q_proj.bias": [60] },
    settings: { bias: "all" },
    message: /changes "model\.layers\.7\.self_attn\.q_proj\.bias", which the model does not have/,
  },
  "a saved norm of another width": {
    tensors: { "norm.weight": [64] },
    settings: { modules_to_save: ["norm"] },
    message: /"model\.norm\.weight" is \[1,64\] where the model's is \[1,52\]/,
  },
  "a saved head of another size": {
    whole: true,
    tensors: { "base_model.model.lm_head.weight": [270, 52] },
    settings: { modules_to_save: ["lm_head"] },
    message: /"lm_head\.weight" is \[270,52\] where the model's is \[269,52\]/,
  },
  "a saved embedding as one long row": {
    tensors: { "embed_tokens.weight": [269 * 52] },
    settings: { modules_to_save: ["embed_tokens"] },
    message: /"model\.embed_tokens\.weight" is \[1,13988\] where the model's is \[269,52\]/,
  },
  "a saved module of three sizes": {
    tensors: { "embed_tokens.weight": [269, 52, 1] },
    settings: { modules_to_save: ["embed_tokens"] },
    message: /"model\.embed_tokens\.weight" is \[269,52,1\] and must have 1 or 2 sizes/,
  },
  "a saved module without sizes": {
    tensors: { "norm.weight": [] },
    settings: { modules_to_save: ["norm"] },
    message: /"model\.norm\.weight" is \[\] and must have 1 or 2 sizes/,
  },
  "a saved module that is not there": {
    whole: true,
    tensors: { "base_model.model.score.weight": [2, 52] },
    settings: { modules_to_save: ["score"] },
    message: /changes "score\.weight", which the model does not have/,
  },
  "a module saved twice": {
    whole: true,
    tensors: {
      "base_model.model.lm_head.weight": [269, 52],
      "base_model.model.lm_head.modules_to_save.weight": [269, 52],
    },
    settings: { modules_to_save: ["lm_head"] },
    message: /it has "lm_head\.weight" twice, under two names/,
  },
  "a layer under two names": {
    whole: true,
    tensors: {
      ...pair("base_model.model.language_model.model.layers.0.self_attn.v_proj", 20, 52),
      ...pair("base_model.model.model.language_model.layers.0.self_attn.v_proj", 20, 52),
    },
    message:
      /it has "model\.language_model\.layers\.0\.self_attn\.v_proj\.lora_[AB]\.weight" twice, under two names/,
  },
  "an embedding's factors of different ranks": {
    tensors: {
      "embed_tokens.lora_embedding_A": [RANK, 269],
      "embed_tokens.lora_embedding_B": [52, 5],
    },
    message:
      /embed_tokens\.lora_embedding_A" has the rank 4 and .+lora_embedding_B" \[52,5\] another/,
  },
  "an embedding's factors for other tokens": {
    tensors: {
      "embed_tokens.lora_embedding_A": [RANK, 300],
      "embed_tokens.lora_embedding_B": [52, RANK],
    },
    message: /"model\.embed_tokens\.weight" is \[300,52\] where the model's is \[269,52\]/,
  },
  "an embedding's factor alone": {
    tensors: { "embed_tokens.lora_embedding_B": [52, RANK] },
    message: /without the tensors that belong to it/,
  },
  "rows of tokens that are not there": {
    tensors: { "embed_tokens.token_adapter.trainable_tokens_delta": [2, 52] },
    settings: { trainable_token_indices: [3, 269] },
    message: /it changes token 269 and the model's last is 268/,
  },
  "rows of more tokens than are named": {
    tensors: { "embed_tokens.token_adapter.trainable_tokens_delta": [2, 52] },
    settings: { trainable_token_indices: [3] },
    message: /its trainable_token_indices name no 2 tokens of "model\.embed_tokens"/,
  },
  "rows of another width": {
    tensors: { "embed_tokens.token_adapter.trainable_tokens_delta": [1, 64] },
    settings: { trainable_token_indices: [3] },
    message: /"model\.embed_tokens\.weight" is \[,?.*64\] where the model's is \[269,52\]/,
  },
};

async function writeAdapter(
  folder: string,
  { tensors = {}, settings, whole }: Case,
): Promise<void> {
  const shapes = Object.entries(tensorsWith(tensors)).flatMap(([name, shape]) => {
    const isWhole = whole && Object.hasOwn(tensors, name);
    return shape === undefined
      ? []
      : [[isWhole ? name : `base_model.model.model.${name}`, shape]] as const;
  });
  const sources = shapes.map(([name, shape], i) => {
    const count = (shape as number[]).reduce((product, size) => product * size, 1);
    const values = randomValues(count, 40 + i, 0.1);
    return { name, dtype: "F32" as const, shape, data: () => new Uint8Array(values.buffer) };
  });
  await Deno.mkdir(folder, { recursive: true });
  await writeSafetensors(join(folder, "adapter_model.safetensors"), sources);
  await Deno.writeTextFile(
    join(folder, "adapter_config.json"),
    JSON.stringify({
      peft_type: "LORA",
      r: RANK,
      lora_alpha: 8,
      target_modules: ["q_proj"],
      ...settings,
    }),
  );
}

Deno.test("an adapter that does not fit is refused by name, in use and in merging", () =>
  withFolder(async (folder) => {
    const [files, adapterFolder] = [join(folder, "model"), join(folder, "adapter")];
    await Deno.mkdir(files);
    await writeTinyModel(files);
    using model = await Model.load(files, { device, onNotice: () => {} });
    await writeAdapter(adapterFolder, { message: /./ });
    await model.use(lora({ adapter: await readPeftAdapter(adapterFolder) })); // the good one
    const faults: string[] = [];
    for (const [what, wrong] of Object.entries(CASES)) {
      await writeAdapter(adapterFolder, wrong);
      const uses: Record<string, () => Promise<unknown>> = {
        use: async () => await model.use(lora({ adapter: await readPeftAdapter(adapterFolder) })),
        qlora: async () =>
          await model.use(qlora({ adapter: await readPeftAdapter(adapterFolder) })),
        merge: async () =>
          await mergeModel(files, join(folder, "merged"), {
            adapter: await readPeftAdapter(adapterFolder),
          }),
      };
      for (const [way, attempt] of Object.entries(uses)) {
        try {
          await attempt();
          faults.push(`${what}, ${way}: accepted`);
        } catch (error) {
          const { name, message } = error as Error;
          if (!(error instanceof FalqonError)) faults.push(`${what}, ${way}: ${name}: ${message}`);
          else if (!wrong.message.test(message)) faults.push(`${what}, ${way}: ${message}`);
        }
      }
    }
    assert(faults.length === 0, "\n" + faults.join("\n"));
  }));
