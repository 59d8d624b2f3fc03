/**
 * Makes a model with outliers, as larger models have them, out of one without: some channels of
 * every norm and of every `up` are multiplied by a factor, and the columns of the linear layers that
 * read them divided by it. The function stays the same, in f32; what rounds a token or a row with
 * one scale has it harder.
 *
 * ```
 * deno run -A bench/outliers.ts --model DIR --to DIR [--factor 20] [--channels 6] [--check 64]
 * ```
 *
 * `--check N` compares the logits of both models in f32, on N tokens.
 *
 * @module
 */

import { join } from "node:path";
import { needed } from "../src/cli/command.ts";
import { group, number, path, whole } from "../src/cli/flags.ts";
import { openDevice } from "../src/cli/open_device.ts";
import { GPU_FLAGS } from "../src/cli/shared_flags.ts";
import { Model } from "../src/inference/model.ts";
import { fromFloat32, toFloat32 } from "../src/io/dtype.ts";
import { type TensorSource, writeSafetensors } from "../src/io/safetensors.ts";
import { Weights, WEIGHTS_FILE } from "../src/io/weights.ts";
import { readModelConfig } from "../src/model/config.ts";
import { Random } from "../src/numerics/random.ts";
import { readFlags, runScript } from "./support/script.ts";

const FLAGS = {
  ...GPU_FLAGS,
  ...group("Outliers", {
    model: path("DIR", "Hugging Face folder of a LLaMA model"),
    to: path("DIR", "Folder of the new model"),
    factor: number("What the channels are multiplied by", "20"),
    channels: whole("Channels of the residual stream, and of each feed-forward layer", "6"),
    seed: whole("Chooses the channels", "0"),
    check: whole("Tokens on which logits are compared", "0"),
  }),
};

/** What happens to a tensor [rows, cols]: some rows are multiplied, some columns divided. */
interface Change {
  rows?: ReadonlySet<number>;
  columns?: ReadonlySet<number>;
}

/** The changes of all tensors: the norms' channels are the same in every layer, as in real models. */
function changes(
  sizes: { layers: number; hidden: number; intermediate: number },
  count: number,
  random: Random,
): Map<string, Change> {
  const draw = (from: number) => {
    const drawn = new Set<number>();
    while (drawn.size < count) drawn.add(random.below(from));
    return drawn;
  };
  const channels = draw(sizes.hidden);
  const all = new Map<string, Change>();
  for (let layer = 0; layer < sizes.layers; layer++) {
    const put = (name: string, change: Change) =>
      all.set(`model.layers.${layer}.${name}.weight`, change);
    const neurons = draw(sizes.intermediate);
    for (const norm of ["input_layernorm", "post_attention_layernorm"]) {
      put(norm, { rows: channels });
    }
    for (const kind of ["q", "k", "v"]) put(`self_attn.${kind}_proj`, { columns: channels });
    put("mlp.gate_proj", { columns: channels });
    put("mlp.up_proj", { columns: channels, rows: neurons });
    put("mlp.down_proj", { columns: neurons });
  }
  return all;
}

/** Applies a change to values [rows, cols], in f32. */
function apply(values: Float32Array, rows: number, factor: number, change: Change): void {
  const cols = values.length / rows;
  for (const row of change.rows ?? []) {
    for (let i = row * cols; i < (row + 1) * cols; i++) values[i] *= factor;
  }
  for (const column of change.columns ?? []) {
    for (let i = column; i < values.length; i += cols) values[i] /= factor;
  }
}

/**
 * Writes the model with outliers.
 *
 * @param factor What channels are multiplied by.
 * @param count Channels of the residual stream, and neurons of each feed-forward layer.
 */
export async function writeOutliers(
  folder: string,
  to: string,
  { factor, channels: count, seed }: { factor: number; channels: number; seed: number },
): Promise<void> {
  const { hiddenSize, intermediateSize, numLayers } = await readModelConfig(folder);
  const sizes = { layers: numLayers, hidden: hiddenSize, intermediate: intermediateSize };
  const changed = changes(sizes, count, new Random(seed));
  using weights = await Weights.open(folder);
  const tensors = [...weights.names()].map((name): TensorSource => {
    const { dtype, shape } = weights.info(name);
    // F32, as 20 is no power of two: in BF16 the function would change a little.
    const data = async () => {
      const values = toFloat32(await weights.read(name), dtype);
      const change = changed.get(name);
      if (change) apply(values, shape[0], factor, change);
      return fromFloat32(values, "F32");
    };
    return { name, dtype: "F32", shape, data };
  });
  await Deno.mkdir(to, { recursive: true });
  await writeSafetensors(join(to, WEIGHTS_FILE), tensors);
  for await (const { name, isFile } of Deno.readDir(folder)) {
    if (isFile && /\.(json|jinja)$/.test(name)) {
      await Deno.copyFile(join(folder, name), join(to, name));
    }
  }
}

if (import.meta.main) {
  await runScript(async (args, terminal) => {
    const values = readFlags(args, FLAGS);
    const { factor = 20, channels = 6, seed = 0, check = 0 } = values;
    const [folder, to] = [needed(values, "model"), needed(values, "to")];
    await writeOutliers(folder, to, { factor, channels, seed });
    if (check === 0) return;
    using device = await openDevice(values, terminal);
    const logits = await Promise.all([folder, to].map(async (path) => {
      using model = await Model.load(path, { device });
      const random = new Random(seed);
      const ids = Array.from({ length: check }, () => random.below(model.config.vocabSize));
      return await model.logits(ids);
    }));
    const [before, after] = logits;
    let [difference, norm] = [0, 0];
    before.forEach((x, i) => {
      difference += (after[i] - x) ** 2;
      norm += x ** 2;
    });
    terminal.stdout(
      `logits differ by ${Math.sqrt(difference / norm).toExponential(2)}, relative\n`,
    );
  });
}
