/**
 * A model folder's list of shards, and the shards. The files that are opened are watched: none may lie outside of the
 * folder.
 */

import { basename, dirname, join, resolve } from "node:path";
import { writeSafetensors } from "../../../src/io/safetensors.ts";
import { Weights } from "../../../src/io/weights.ts";
import { mutateBytes } from "../frame/mutate_bytes.ts";
import { mutateJsonText } from "../frame/mutate_json.ts";
import { showBytes } from "../frame/outcome.ts";
import type { FuzzRandom } from "../frame/random.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";

const ONE = "model-00001-of-00002.safetensors";
const TWO = "model-00002-of-00002.safetensors";
const INDEX = {
  metadata: { total_size: 40 },
  weight_map: { "model.a.weight": ONE, "model.b.weight": ONE, "lm_head.weight": TWO },
};
/** Names that lead elsewhere. */
const PATHS = [
  ...[
    "../outside.safetensors",
    "/etc/passwd",
    "sub/../../outside.safetensors",
    "sub/inner.safetensors",
  ],
  ...[
    "..",
    ".",
    "",
    "a\0b",
    "..\\outside.safetensors",
    "C:\\outside.safetensors",
    "file:///etc/passwd",
  ],
  ...[
    "con",
    "\u2025/outside.safetensors",
    `./${ONE}`,
    `${ONE}/`,
    ".hidden",
    "%2e%2e/outside.safetensors",
  ],
];

interface Input {
  index: string;
  /** The bytes of the second shard. */
  shard: Uint8Array;
}

async function shardBytes(folder: string, names: readonly string[]): Promise<Uint8Array> {
  const path = join(folder, "seed");
  const tensors = names.map((name, i) => ({
    ...{ name, dtype: "F32" as const, shape: [2, 2] },
    data: () => new Uint8Array(16).fill(i + 1),
  }));
  await writeSafetensors(path, tensors);
  return await Deno.readFile(path);
}

export const target: FuzzTarget<Input> = {
  about: "index.json and shards, opened paths watched",
  cost: "cheap",
  async prepare(outside) {
    const folder = join(outside, "model");
    await Deno.mkdir(join(folder, "sub"), { recursive: true });
    const one = await shardBytes(outside, ["model.a.weight", "model.b.weight"]);
    const two = await shardBytes(outside, ["lm_head.weight"]);
    await Deno.writeFile(join(folder, ONE), one);
    for (const path of ["outside.safetensors", "model/sub/inner.safetensors"]) {
      await Deno.writeFile(join(outside, path), two);
    }
    const index = JSON.stringify(INDEX);
    const opened: string[] = [];
    const open = Deno.open;
    Deno.open = (path, options) => {
      opened.push(String(path));
      return open(path, options);
    };
    return {
      make: (random) => ({
        index: random.chance(0.8) ? changedIndex(random) : index,
        shard: random.chance(0.3) ? mutateBytes(random, [two, one]) : two,
      }),
      async run(input) {
        await Deno.writeTextFile(join(folder, "model.safetensors.index.json"), input.index);
        await Deno.writeFile(join(folder, TWO), input.shard);
        opened.length = 0;
        await readAll(folder, input.index).finally(() => {
          const stray = opened.find((path) =>
            dirname(resolve(path)) !== folder || basename(path).startsWith(".")
          );
          if (stray !== undefined) throw new Nonsense(`"${stray}" was opened`);
        });
      },
      show: ({ index, shard }) => `${index}\n${showBytes(shard)}`,
      close: () => void (Deno.open = open),
    };
  },
};

/** Reads every tensor that the index lists. */
async function readAll(folder: string, index: string): Promise<void> {
  using weights = await Weights.open(folder);
  for (const name of weights.names()) {
    const bytes = await weights.read(name);
    if (bytes.length !== weights.info(name).byteLength) {
      throw new Nonsense(`${bytes.length} bytes of ${name} were read`);
    }
  }
  const missing = Object.keys(JSON.parse(index).weight_map).find((name) => !weights.has(name));
  if (missing !== undefined) throw new Nonsense(`"${missing}" is listed, and not there`);
}

function changedIndex(random: FuzzRandom): string {
  const path = () => random.chance(0.3) ? ONE : random.pick(PATHS);
  const paths = { ...INDEX, weight_map: { "lm_head.weight": path(), "model.a.weight": path() } };
  return mutateJsonText(random, [INDEX, random.chance(0.5) ? paths : INDEX]);
}
