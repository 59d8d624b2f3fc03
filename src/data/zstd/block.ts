/**
 * Blocks of a Zstandard frame (RFC 8878, sections 3.1.1.2 to 3.1.1.5): literals, and sequences that copy
 * them and what was written before.
 *
 * @module
 */

import {
  BackwardBits,
  damaged,
  type FseTable,
  fseTable,
  type HuffmanTable,
  readFseTable,
  readHuffmanTable,
  singleTable,
} from "./entropy.ts";
import type { Output } from "./output.ts";

/** The largest block, compressed or not. */
export const MAX_BLOCK: number = 1 << 17;

/** What a sequence is made of: lengths of literals, offsets, lengths of matches. */
type Part = "literals" | "offset" | "match";

interface Alphabet {
  /** The largest code. */
  most: number;
  mostLog: number;
  /** The table that need not be written. */
  usual: FseTable;
}

const repeat = (value: number, count: number) => Array<number>(count).fill(value);

const ALPHABETS: Readonly<Record<Part, Alphabet>> = {
  literals: {
    ...{ most: 35, mostLog: 9 },
    usual: fseTable(
      [4, 3, ...repeat(2, 6), ...repeat(2, 5), ...repeat(1, 3), ...repeat(2, 9)]
        .concat([3, 2, ...repeat(1, 5), ...repeat(-1, 4)]),
      6,
    ),
  },
  offset: {
    ...{ most: 31, mostLog: 8 },
    usual: fseTable(
      [...repeat(1, 6), 2, 2, 2, ...repeat(1, 15), ...repeat(-1, 5)],
      5,
    ),
  },
  match: {
    ...{ most: 52, mostLog: 9 },
    usual: fseTable(
      [1, 4, 3, 2, 2, 2, 2, 2, 2, ...repeat(1, 37), ...repeat(-1, 7)],
      6,
    ),
  },
};

/** Extra bits of a code; the values of a code begin where those of the one before end. */
const LITERALS_BITS = [...repeat(0, 16), 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11]
  .concat([12, 13, 14, 15, 16]);
const MATCH_BITS = [...repeat(0, 32), 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11]
  .concat([12, 13, 14, 15, 16]);
const LITERALS_BASES = bases(LITERALS_BITS, 0);
const MATCH_BASES = bases(MATCH_BITS, 3);

function bases(bits: readonly number[], first: number): number[] {
  let next = first;
  return bits.map((count) => (next += 1 << count) - (1 << count));
}

/** Decodes the compressed blocks of one frame, one after another: each may use the tables of the last. */
export class BlockDecoder {
  #huffman: HuffmanTable | null = null;
  readonly #tables: Record<Part, FseTable | null> = { literals: null, offset: null, match: null };
  /** The offsets used last. */
  readonly #offsets: [number, number, number] = [1, 4, 8];
  #literals: Uint8Array = new Uint8Array(0);

  /**
   * Decodes `bytes[0, end)`.
   *
   * @param bytes Longer than the block by at least four.
   * @param most The most bytes that it may become.
   */
  decode(bytes: Uint8Array, end: number, most: number, output: Output): void {
    const before = output.length;
    const { count: literals, end: at } = this.#readLiterals(bytes, end, most);
    const used = this.#runSequences(bytes, at, end, literals, before + most, output);
    output.write(this.#literals, used, literals);
    if (output.length - before > most) throw damaged("the length of a block");
  }

  /** Fills `#literals`. */
  #readLiterals(bytes: Uint8Array, end: number, most: number): { count: number; end: number } {
    const type = bytes[0] & 3;
    const format = (bytes[0] >> 2) & 3;
    const isCoded = type >= 2;
    let at = isCoded ? [3, 3, 4, 5][format] : [1, 2, 1, 3][format];
    if (at > end) throw damaged("the length of a block");
    const [low, high] = [bytes[0] | bytes[1] << 8 | bytes[2] << 16, bytes[3] | bytes[4] << 8];
    const count = isCoded
      ? (low >> 4) & [0x3ff, 0x3ff, 0x3fff, 0x3ffff][format]
      : format % 2 === 0
      ? bytes[0] >> 3
      : (low >> 4) & (format === 1 ? 0xfff : 0xfffff);
    if (count > most) throw damaged("the number of literals");
    if (count > this.#literals.length) this.#literals = new Uint8Array(most);
    if (!isCoded) {
      const length = type === 0 ? count : 1;
      if (at + length > end) throw damaged("the number of literals");
      if (type === 0) this.#literals.set(bytes.subarray(at, at + count));
      else this.#literals.fill(bytes[at], 0, count);
      return { count, end: at + length };
    }
    const stored = format < 2
      ? low >> 14
      : format === 2
      ? (low >> 18) | (high & 0xff) << 6
      : (low >> 22) | high << 2;
    const last = at + stored;
    if (last > end) throw damaged("the length of compressed literals");
    if (type === 2) ({ table: this.#huffman, end: at } = readHuffmanTable(bytes, at, last));
    if (this.#huffman === null) throw damaged("a block without a Huffman code");
    this.#decodeLiterals(this.#huffman, bytes, at, last, count, format === 0 ? 1 : 4);
    return { count, end: last };
  }

  #decodeLiterals(
    table: HuffmanTable,
    bytes: Uint8Array,
    start: number,
    end: number,
    count: number,
    streams: 1 | 4,
  ): void {
    if (streams === 1) return decodeStream(table, bytes, start, end, this.#literals, 0, count);
    const each = (count + 3) >> 2;
    if (start + 6 > end || 3 * each > count) throw damaged("the length of compressed literals");
    let at = start + 6;
    for (let i = 0; i < 4; i++) {
      const head = start + 2 * i;
      const next = i === 3 ? end : at + (bytes[head] | bytes[head + 1] << 8);
      if (next > end) throw damaged("the length of compressed literals");
      const to = i === 3 ? count : (i + 1) * each;
      decodeStream(table, bytes, at, next, this.#literals, i * each, to);
      at = next;
    }
  }

  /** Writes what the sequences say; returns how many literals they used. */
  #runSequences(
    bytes: Uint8Array,
    start: number,
    end: number,
    literals: number,
    limit: number,
    output: Output,
  ): number {
    let at = start;
    const byte = () => {
      if (at >= end) throw damaged("the head of the sequences");
      return bytes[at++];
    };
    let count = byte();
    if (count === 255) count = byte() + (byte() << 8) + 0x7f00;
    else if (count > 127) count = ((count - 128) << 8) + byte();
    if (count === 0) {
      if (at !== end) throw damaged("the length of a block");
      return 0;
    }
    const modes = byte();
    if ((modes & 3) !== 0) throw damaged("the head of the sequences");
    const table = (part: Part, shift: number): FseTable => {
      const { most, mostLog, usual } = ALPHABETS[part];
      const mode = (modes >> shift) & 3;
      if (mode === 0) this.#tables[part] = usual;
      if (mode === 1) {
        const symbol = byte();
        if (symbol > most) throw damaged("the code of a sequence");
        this.#tables[part] = singleTable(symbol);
      }
      if (mode === 2) {
        const read = readFseTable(bytes, at, end, most, mostLog);
        this.#tables[part] = read.table;
        at = read.end;
      }
      const known = this.#tables[part];
      if (known === null) throw damaged("a block without a table of codes");
      return known;
    };
    const [literalTable, offsetTable, matchTable] = [
      table("literals", 6),
      table("offset", 4),
      table("match", 2),
    ];
    const input = new BackwardBits(bytes, at, end);
    let literalState = input.read(literalTable.log);
    let offsetState = input.read(offsetTable.log);
    let matchState = input.read(matchTable.log);
    let used = 0;
    while (true) {
      const offsetCode = offsetTable.symbols[offsetState];
      const matchCode = matchTable.symbols[matchState];
      const literalCode = literalTable.symbols[literalState];
      const value = 2 ** offsetCode + input.read(offsetCode);
      const match = MATCH_BASES[matchCode] + input.read(MATCH_BITS[matchCode]);
      const copied = LITERALS_BASES[literalCode] + input.read(LITERALS_BITS[literalCode]);
      if (used + copied > literals || output.length + copied + match > limit) {
        throw damaged("the length of a sequence");
      }
      output.write(this.#literals, used, used += copied);
      output.copy(this.#offset(value, copied === 0), match);
      if (--count === 0) break;
      literalState = literalTable.bases[literalState] + input.read(literalTable.bits[literalState]);
      matchState = matchTable.bases[matchState] + input.read(matchTable.bits[matchState]);
      offsetState = offsetTable.bases[offsetState] + input.read(offsetTable.bits[offsetState]);
      if (input.left < 0) break;
    }
    if (input.left !== 0) throw damaged("the end of the sequences");
    return used;
  }

  /** The offset that a value means: one of the last three, or another. */
  #offset(value: number, noLiterals: boolean): number {
    const last = this.#offsets;
    const which = value > 3 ? 4 : value - 1 + Number(noLiterals);
    const offset = value > 3 ? value - 3 : which === 3 ? last[0] - 1 : last[which];
    if (which >= 2) last[2] = last[1];
    if (which >= 1) last[1] = last[0];
    last[0] = offset;
    return offset;
  }
}

function decodeStream(
  { bits, symbols, lengths }: HuffmanTable,
  bytes: Uint8Array,
  start: number,
  end: number,
  into: Uint8Array,
  from: number,
  to: number,
): void {
  const input = new BackwardBits(bytes, start, end);
  for (let i = from; i < to; i++) {
    const value = input.peek(bits);
    into[i] = symbols[value];
    input.left -= lengths[value];
  }
  if (input.left !== 0) throw damaged("the end of compressed literals");
}
