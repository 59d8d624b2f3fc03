/** GGUF files as they are written, read again by the oracle's reader: keys, shapes, values within the type's precision. */

import { ELEMENTS, encodeElements, type GgufElement } from "../../../src/io/gguf/encode.ts";
import { type GgufTensor, type GgufValue, layOutGguf } from "../../../src/io/gguf/writer.ts";
import { readGguf } from "../../oracle/gguf.ts";
import { join } from "../frame/mutate_bytes.ts";
import { mutateText } from "../frame/mutate_text.ts";
import type { FuzzRandom } from "../frame/random.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";

interface Input {
  metadata: Map<string, GgufValue>;
  tensors: {
    name: string;
    type: GgufElement;
    shape: number[];
    values: Float32Array<ArrayBuffer>;
  }[];
}

const VALUES = [
  0,
  -0,
  1,
  -1,
  1e-45,
  1e-38,
  -1e-8,
  6e-8,
  0.1,
  65504,
  65520,
  1e6,
  3e38,
  NaN,
  Infinity,
];
const TYPES = Object.keys(ELEMENTS) as GgufElement[];

function make(random: FuzzRandom): Input {
  const text = () => mutateText(random, ["general.name", "日本", "<s>", "a"]).toWellFormed();
  const list = <T>(one: () => T) => Array.from({ length: random.below(5) }, one);
  const number = () => Math.fround((random.uniform() - 0.5) * 10 ** random.between(-9, 9));
  const value = (): GgufValue =>
    random.pick<() => GgufValue>([
      () => ({ u32: random.pick([0, 1, 2 ** 31, 2 ** 32 - 1]) }),
      () => ({ f32: number() }),
      () => ({ bool: random.chance(0.5) }),
      () => ({ string: text() }),
      () => ({ strings: list(text) }),
      () => ({ i32s: list(() => random.between(-(2 ** 31), 2 ** 31 - 1)) }),
      () => ({ f32s: list(number) }),
      () => ({ bools: list(() => random.chance(0.5)) }),
    ])();
  const metadata = new Map(list(() => [text(), value()] as const));
  const tensors = list(() => {
    const type = random.pick(TYPES);
    const columns = random.between(1, 3) *
      (ELEMENTS[type].elements > 1 ? 32 : random.between(1, 9));
    const shape = random.chance(0.5) ? [columns] : [random.between(1, 3), columns];
    const scale = 10 ** random.between(-12, 6);
    const values = Float32Array.from(
      { length: shape.reduce((a, b) => a * b) },
      () => random.chance(0.01) ? random.pick(VALUES) : (random.uniform() - 0.5) * scale,
    );
    return { name: text(), type, shape, values };
  });
  return {
    metadata,
    tensors: [...new Map(tensors.map((tensor) => [tensor.name, tensor])).values()],
  };
}

/** The most that a value may be off, where the largest of its block is `most`. */
function tolerance(type: GgufElement, value: number, most: number): number {
  switch (type) {
    case "F32":
      return 0;
    case "F16":
      return Math.abs(value) / 2048 + 2 ** -25;
    case "BF16":
      return Math.abs(value) / 256 + 2 ** -134;
    case "Q8_0": // half a step, and the rounding of the scale and of its own f16
      return most / 254 * 1.01 + most / 2000 + 127 * 2 ** -25;
    case "Q4_0":
      return most / 8 * 1.01 + most / 2000 + 8 * 2 ** -25;
  }
}

export const target: FuzzTarget<Input> = {
  about: "GGUF files, written and read again",
  cost: "cheap",
  prepare: () => ({
    make,
    run({ metadata, tensors }) {
      const encoded = tensors.map(({ name, type, values }) => encodeElements(values, type, name));
      const laid = layOutGguf(
        metadata,
        tensors.map(({ name, type, shape }): GgufTensor => ({
          name,
          type,
          shape,
          async *data() {},
        })),
      );
      const padded = encoded.map((bytes) => join(bytes, new Uint8Array(-bytes.length & 31)));
      const file = join(laid.header, ...padded);
      if (file.length !== laid.byteLength) {
        throw new Nonsense(`${file.length} of ${laid.byteLength} bytes`);
      }
      const read = readGguf(file);
      for (const [key, value] of metadata) {
        const [wanted] = Object.values(value);
        if (!Object.is(JSON.stringify(read.meta.get(key)), JSON.stringify(wanted))) {
          throw new Nonsense(`${key} is read as ${Deno.inspect(read.meta.get(key))}`);
        }
      }
      for (const { name, type, shape, values } of tensors) {
        const found = read.tensors.get(name);
        if (String(found?.shape) !== String(shape)) {
          throw new Nonsense(`${name} is [${found?.shape}]`);
        }
        const block = ELEMENTS[type].elements;
        values.forEach((value, i) => {
          const first = i - i % block;
          const most = Math.max(...values.subarray(first, first + block).map(Math.abs));
          const off = Math.abs(found!.values[i] - value);
          if (!(off <= tolerance(type, value, most))) {
            throw new Nonsense(
              `${type} value ${value} is read as ${found!.values[i]} (largest ${most})`,
            );
          }
        });
      }
    },
  }),
};
