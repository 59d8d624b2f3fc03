/**
 * Writes the weights of a model folder: one file, or shards of a size with the index that names them,
 * as transformers writes them.
 *
 * @module
 */

import { join } from "node:path";
import { writeFileAtomically } from "./atomic.ts";
import { bytesPerElement } from "./dtype.ts";
import { elementCount } from "./safetensors_header.ts";
import { type TensorSource, writeSafetensors } from "./safetensors.ts";
import { WEIGHTS_FILE, WEIGHTS_INDEX_FILE } from "./weights.ts";

/** Whether a file of a model folder is of its weights. */
export function isWeightsFile(name: string): boolean {
  return name === WEIGHTS_FILE || name === WEIGHTS_INDEX_FILE ||
    /^model-\d+-of-\d+\.safetensors$/.test(name);
}

/**
 * Writes tensors into a folder.
 *
 * @param shardBytes The most that a shard holds, unless one tensor alone is larger. Default: all is one
 * file.
 * @throws What `writeSafetensors` throws.
 */
export async function writeWeights(
  folder: string,
  tensors: readonly TensorSource[],
  shardBytes = Infinity,
): Promise<void> {
  const shards: TensorSource[][] = [[]];
  let bytes = 0;
  for (const tensor of tensors) {
    const size = sizeOf(tensor);
    if (bytes > 0 && bytes + size > shardBytes) {
      shards.push([]);
      bytes = 0;
    }
    shards.at(-1)!.push(tensor);
    bytes += size;
  }
  if (shards.length === 1) return await writeSafetensors(join(folder, WEIGHTS_FILE), tensors);
  const five = (n: number) => `${n}`.padStart(5, "0");
  const files = shards.map((_, i) => `model-${five(i + 1)}-of-${five(shards.length)}.safetensors`);
  for (const [i, shard] of shards.entries()) await writeSafetensors(join(folder, files[i]), shard);
  const placed = shards.flatMap((shard, i) => shard.map(({ name }) => [name, files[i]]));
  const index = {
    metadata: { total_size: tensors.reduce((sum, tensor) => sum + sizeOf(tensor), 0) },
    weight_map: Object.fromEntries(placed),
  };
  await writeFileAtomically(
    join(folder, WEIGHTS_INDEX_FILE),
    JSON.stringify(index, null, 2) + "\n",
  );
}

function sizeOf({ dtype, shape }: TensorSource): number {
  return (elementCount(shape) ?? 0) * bytesPerElement(dtype);
}
