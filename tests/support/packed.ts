/** Several documents as the tokens of one step. */

import { sequenceArrays, type TokenArrays } from "../../src/model/token_buffers.ts";

/** Puts documents into one stream, each token a target but the first of its document. */
export function packTokens(documents: readonly ArrayLike<number>[]): TokenArrays {
  const parts = documents.map((ids) => sequenceArrays(ids, ids));
  let start = 0;
  const starts = documents.map(({ length }) => (start += length) - length);
  const joined = (values: (part: TokenArrays, start: number) => number[]) =>
    parts.flatMap((part, n) => values(part, starts[n]));
  const shifted = (name: "documentStart" | "documentEnd") =>
    Uint32Array.from(joined((part, start) => [...part[name]].map((bound) => bound + start)));
  return {
    inputIds: Uint32Array.from(joined(({ inputIds }) => [...inputIds])),
    targets: Int32Array.from(joined(({ targets }) => [...targets])),
    positions: Uint32Array.from(joined(({ positions }) => [...positions])),
    documentStart: shifted("documentStart"),
    documentEnd: shifted("documentEnd"),
  };
}
