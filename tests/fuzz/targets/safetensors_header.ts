/** The header of a safetensors file, against the format's rules as the oracle reads them. */

import { FalqonError } from "../../../src/errors.ts";
import { parseSafetensorsHeader } from "../../../src/io/safetensors_header.ts";
import { mutateJsonText } from "../frame/mutate_json.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";
import { problemOfHeader } from "../oracle/safetensors.ts";

const SEEDS = [
  { a: { dtype: "F32", shape: [2, 3], data_offsets: [0, 24] } },
  {
    __metadata__: { format: "pt" },
    a: { dtype: "BF16", shape: [4], data_offsets: [0, 8] },
    b: { dtype: "F8_E4M3", shape: [3, 5], data_offsets: [8, 23] },
    c: { dtype: "I64", shape: [], data_offsets: [23, 31] },
    d: { dtype: "U8", shape: [0, 7], data_offsets: [31, 31] },
  },
  {},
];
const LENGTHS = [24, 31, 0];

interface Input {
  header: string;
  /** Bytes of the file behind the header. */
  dataLength: number;
}

export const target: FuzzTarget<Input> = {
  about: "safetensors header",
  cost: "cheap",
  prepare: () => ({
    make: (random) => {
      const seed = random.below(SEEDS.length);
      const header = mutateJsonText(random, [SEEDS[seed]]);
      return { header, dataLength: random.chance(0.9) ? LENGTHS[seed] : random.below(40) };
    },
    run: ({ header, dataLength }) => {
      const problem = problemOfHeader(header, dataLength);
      try {
        parseSafetensorsHeader(new TextEncoder().encode(header), dataLength, "model.safetensors");
      } catch (error) {
        if (error instanceof FalqonError && problem === null) {
          throw new Nonsense(`it is sound, but refused: ${error.message}`);
        }
        throw error;
      }
      if (problem !== null) throw new Nonsense(problem);
    },
  }),
};
