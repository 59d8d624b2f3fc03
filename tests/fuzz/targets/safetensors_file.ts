/** A safetensors file, of which all tensors are read. */

import { SafetensorsFile } from "../../../src/io/safetensors.ts";
import { join, mutateBytes } from "../frame/mutate_bytes.ts";
import { showBytes } from "../frame/outcome.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";
import { problemOfHeader } from "../oracle/safetensors.ts";
import { MemoryFiles } from "../support/memory_files.ts";

const PATH = "model.safetensors";

/** A file as the format has it, written here anew. */
export function safetensorsBytes(header: Record<string, unknown>, data: Uint8Array): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(text.length), true);
  return join(length, text, data);
}

const SEEDS = [
  safetensorsBytes(
    {
      a: { dtype: "F32", shape: [2, 3], data_offsets: [0, 24] },
      b: { dtype: "BF16", shape: [4], data_offsets: [24, 32] },
      __metadata__: { format: "pt" },
    },
    Uint8Array.from({ length: 32 }, (_, i) => i),
  ),
  safetensorsBytes({ x: { dtype: "U8", shape: [], data_offsets: [0, 1] } }, Uint8Array.of(7)),
  safetensorsBytes({}, new Uint8Array(0)),
];

export const target: FuzzTarget<Uint8Array> = {
  about: "safetensors file, all tensors read",
  cost: "cheap",
  prepare: () => {
    const memory = new MemoryFiles();
    return {
      make: (random) => mutateBytes(random, SEEDS),
      async run(bytes) {
        memory.files.set(PATH, bytes);
        const read: [number, Uint8Array][] = [];
        {
          using file = await SafetensorsFile.open(PATH);
          for (const [name, { byteOffset }] of file.tensors) {
            read.push([byteOffset, await file.read(name)]);
          }
        }
        if (memory.opened !== 0) throw new Nonsense("the file stays open");
        const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
        const header = new TextDecoder("utf-8", { ignoreBOM: true }).decode(
          bytes.subarray(8, 8 + length),
        );
        const problem = problemOfHeader(header, bytes.length - 8 - length);
        if (problem !== null) throw new Nonsense(problem);
        const all = join(...read.sort(([a], [b]) => a - b).map(([, data]) => data));
        const stored = bytes.subarray(8 + length);
        if (all.length !== stored.length || all.some((byte, i) => byte !== stored[i])) {
          throw new Nonsense("the tensors are not the bytes behind the header");
        }
      },
      show: showBytes,
      close: () => memory[Symbol.dispose](),
    };
  },
};
