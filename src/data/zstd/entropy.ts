/**
 * The entropy codes of Zstandard (RFC 8878, section 4): tables of finite state entropy and of Huffman's
 * codes, and reading of bits from the end of a stream to its start.
 *
 * @module
 */

/** A table of finite state entropy: for each state its symbol, and how the next state is made. */
export interface FseTable {
  /** The number of states is 2 to the power of this. */
  log: number;
  symbols: Uint8Array;
  /** Bits to read, and what they are added to. */
  bits: Uint8Array;
  bases: Uint16Array;
}

/** A table of Huffman's code: for each value of so many bits the symbol that it begins with. */
export interface HuffmanTable {
  bits: number;
  symbols: Uint8Array;
  lengths: Uint8Array;
}

/** What is wrong with a stream; the file is named by who opened it. */
export function damaged(what: string): Error {
  return new Error(`${what} is wrong`);
}

/** Place of the highest bit that is set. */
export function highBit(value: number): number {
  return 31 - Math.clz32(value);
}

/** Bits of `bytes[start, end)`, the last first. The highest bit that is set in the last byte ends them. */
export class BackwardBits {
  /** How many are left; below 0 where more were read than there are. */
  left: number;
  readonly #bytes: Uint8Array;
  readonly #start: number;

  /** @param bytes Longer than `end` by at least four, whatever stands there. */
  constructor(bytes: Uint8Array, start: number, end: number) {
    if (end <= start || bytes[end - 1] === 0) throw damaged("the end of a stream of bits");
    this.#bytes = bytes;
    this.#start = start;
    this.left = (end - start - 1) * 8 + highBit(bytes[end - 1]);
  }

  /** The next bits, up to 24, of which those that are not there are 0; they stay. */
  peek(count: number): number {
    const at = this.left - count;
    if (at < 0) {
      return this.left <= 0 ? 0 : (this.#word(0) & ((1 << this.left) - 1)) << -at;
    }
    return this.#word(at) & ((1 << count) - 1);
  }

  /** The next bits, up to 31. */
  read(count: number): number {
    if (count > 24) return this.read(count - 16) * 65536 + this.read(16);
    const value = this.peek(count);
    this.left -= count;
    return value;
  }

  #word(at: number): number {
    const bytes = this.#bytes;
    const i = this.#start + (at >> 3);
    return (bytes[i] | bytes[i + 1] << 8 | bytes[i + 2] << 16 | bytes[i + 3] << 24) >>> (at & 7);
  }
}

/**
 * Reads the description of a table from `bytes[start, end)`.
 *
 * @param most The largest symbol there is.
 * @param mostLog The largest logarithm of the number of states that is allowed.
 * @returns The table, and where its description ends.
 */
export function readFseTable(
  bytes: Uint8Array,
  start: number,
  end: number,
  most: number,
  mostLog: number,
): { table: FseTable; end: number } {
  let at = start * 8;
  const peek = (count: number) => {
    const i = at >> 3;
    return ((bytes[i] | bytes[i + 1] << 8 | bytes[i + 2] << 16) >> (at & 7)) & ((1 << count) - 1);
  };
  const log = peek(4) + 5;
  at += 4;
  if (log > mostLog) throw damaged("the size of a table of probabilities");
  const counts: number[] = [];
  let left = 1 << log;
  while (left > 0 && counts.length <= most && at < end * 8) {
    // A value up to `left` + 1 takes one bit less where that suffices.
    const bits = highBit(left + 1) + 1;
    const low = (1 << (bits - 1)) - 1;
    const spare = (1 << bits) - 2 - left;
    let value = peek(bits);
    if ((value & low) < spare) {
      at += bits - 1;
      value &= low;
    } else {
      at += bits;
      if (value > low) value -= spare;
    }
    counts.push(value - 1);
    left -= Math.abs(value - 1);
    if (value !== 1) continue;
    for (let zeros = 3; zeros === 3 && counts.length <= most;) {
      zeros = peek(2);
      at += 2;
      for (let i = 0; i < zeros; i++) counts.push(0);
    }
  }
  const used = (at + 7) >> 3;
  if (left !== 0 || used > end || counts.length > most + 1) {
    throw damaged("a table of probabilities");
  }
  return { table: fseTable(counts, log), end: used };
}

/** The table of symbols with these counts of states; −1 is a probability below that of one state. */
export function fseTable(counts: readonly number[], log: number): FseTable {
  const size = 1 << log;
  const table: FseTable = {
    ...{ log, symbols: new Uint8Array(size) },
    ...{ bits: new Uint8Array(size), bases: new Uint16Array(size) },
  };
  const next = counts.map((count) => count < 0 ? 1 : count);
  let high = size - 1;
  counts.forEach((count, symbol) => {
    if (count < 0) table.symbols[high--] = symbol;
  });
  const step = (size >> 1) + (size >> 3) + 3;
  let at = 0;
  counts.forEach((count, symbol) => {
    for (let i = 0; i < count; i++) {
      table.symbols[at] = symbol;
      do at = (at + step) & (size - 1); while (at > high);
    }
  });
  for (let state = 0; state < size; state++) {
    const value = next[table.symbols[state]]++;
    table.bits[state] = log - highBit(value);
    table.bases[state] = (value << table.bits[state]) - size;
  }
  return table;
}

/** The table in which every state is one symbol. */
export function singleTable(symbol: number): FseTable {
  return {
    ...{ log: 0, symbols: Uint8Array.of(symbol), bits: new Uint8Array(1) },
    bases: new Uint16Array(1),
  };
}

const MOST_HUFFMAN_BITS = 11;

/** Reads a Huffman code from `bytes[start, end)`. */
export function readHuffmanTable(
  bytes: Uint8Array,
  start: number,
  end: number,
): { table: HuffmanTable; end: number } {
  if (start >= end) throw damaged("a Huffman code");
  const head = bytes[start];
  const weights: number[] = [];
  let used: number;
  if (head >= 128) {
    const count = head - 127;
    used = start + 1 + ((count + 1) >> 1);
    for (let i = 0; i < count; i++) {
      const pair = bytes[start + 1 + (i >> 1)];
      weights.push(i % 2 === 0 ? pair >> 4 : pair & 15);
    }
  } else {
    used = start + 1 + head;
    if (used <= end) readWeights(bytes, start + 1, used, weights);
  }
  if (used > end) throw damaged("a Huffman code");
  return { table: huffmanTable(weights), end: used };
}

/** Weights that two states write in turn. */
function readWeights(bytes: Uint8Array, start: number, end: number, weights: number[]): void {
  const { table, end: from } = readFseTable(bytes, start, end, 255, 6);
  const input = new BackwardBits(bytes, from, end);
  let [one, other] = [input.read(table.log), input.read(table.log)];
  if (input.left < 0) throw damaged("a Huffman code");
  while (weights.length < 254) {
    weights.push(table.symbols[one]);
    const state = table.bases[one] + input.read(table.bits[one]);
    if (input.left < 0) {
      weights.push(table.symbols[other]);
      return;
    }
    [one, other] = [other, state];
  }
  throw damaged("a Huffman code");
}

/** The code of weights; that of the last symbol is what is missing to a power of two. */
function huffmanTable(weights: number[]): HuffmanTable {
  const sum = weights.reduce((sum, weight) => sum + (weight > 0 ? 1 << (weight - 1) : 0), 0);
  const bits = highBit(sum) + 1;
  const rest = (1 << bits) - sum;
  const isSound = sum > 0 && bits <= MOST_HUFFMAN_BITS && (rest & (rest - 1)) === 0;
  const all = [...weights, highBit(rest) + 1];
  const ones = all.filter((weight) => weight === 1).length;
  if (!isSound || ones < 2 || ones % 2 === 1 || all.some((weight) => weight > bits)) {
    throw damaged("a Huffman code");
  }
  const symbols = new Uint8Array(1 << bits);
  const lengths = new Uint8Array(1 << bits);
  let at = 0;
  for (let weight = 1; weight <= bits; weight++) {
    all.forEach((own, symbol) => {
      if (own !== weight) return;
      const next = at + (1 << (weight - 1));
      symbols.fill(symbol, at, next);
      lengths.fill(bits + 1 - weight, at, next);
      at = next;
    });
  }
  return { bits, symbols, lengths };
}
