/**
 * Checks the pages of a column of a Parquet file before they are decoded: what a page claims to hold is
 * allocated without a question otherwise, and columns that end too early would have rows without values.
 *
 * The format: https://parquet.apache.org/docs/file-format/. Heads of pages are in Thrift's compact
 * protocol.
 *
 * @module
 */

/** What the metadata say of a column's chunk. */
export interface ChunkClaims {
  /** Values, nulls included. */
  values: number;
  /** Rows of the group, where every row has one value. */
  rows: number | null;
  /** The largest levels of repetition and of definition. */
  levels: { repetition: number; definition: number };
  isCompressed: boolean;
}

/** Checks what a page has become. */
export type PageCheck = (page: Uint8Array) => void;

/** Pages may always become this large, and larger ones must have the bytes for it. */
const FREE_BYTES = 1 << 26;
/** The most that compression makes of text that is not all alike. */
const MOST_RATIO = 1100;
/** The same for values, which take as little as a part of a bit. */
const FREE_VALUES = 1 << 24;
const VALUES_PER_BYTE = 64;

/** Kinds of pages. */
const PAGE = { data: 0, index: 1, dictionary: 2, data2: 3 } as const;

/** Encodings whose content can claim more than the page's head does. */
const ENCODING = { plainDictionary: 2, dictionary: 8 };
/** Those of differences, which begin with the sizes of their blocks. */
const DELTAS: readonly number[] = [5, 6, 7];
const MOST_BLOCK = 1 << 20;
const MOST_MINIBLOCKS = 1 << 10;

/**
 * Goes through the heads of the pages of a chunk.
 *
 * @returns For the start of everything in it that is compressed, the check of what that becomes.
 * @throws {Error} saying what is wrong.
 */
export function checkPages(bytes: Uint8Array, claims: ChunkClaims): Map<number, PageCheck> {
  const { values, rows } = claims;
  const checks = new Map<number, PageCheck>();
  const reader = new CompactReader(bytes);
  if (!(values >= 0 && values <= Math.max(FREE_VALUES, VALUES_PER_BYTE * bytes.length))) {
    throw new Error(`a column claims ${values} values in ${bytes.length} bytes`);
  }
  let found = 0;
  let unfolded = 0;
  while (reader.at < bytes.length && found < values) {
    const head = reader.struct();
    const [type, large, small] = [count(head[1]), count(head[2]), count(head[3])];
    if (small > bytes.length - reader.at) throw new Error("a page does not end within its column");
    unfolded += large;
    if (large > Math.max(FREE_BYTES, MOST_RATIO * small) || unfolded > unfoldedLimit(bytes)) {
      throw new Error(`a page of ${small} bytes claims ${large}`);
    }
    const page = { at: reader.at, bytes: bytes.subarray(reader.at, reader.at += small), large };
    if (type === PAGE.dictionary) {
      if (count(field(head[7], 1)) > large) {
        throw new Error("a dictionary is shorter than it claims");
      }
      checks.set(page.at, () => {});
    } else if (type === PAGE.data) {
      found += checkDataPage(page, head[5], claims, checks);
    } else if (type === PAGE.data2) {
      found += checkDataPage2(page, head[8], claims, checks);
    } else if (type !== PAGE.index) {
      throw new Error(`a page is of the kind ${type}, which there is not`);
    }
  }
  if (found !== values) throw new Error(`a column has ${found} of its ${values} values`);
  if (rows !== null && rows !== values) {
    throw new Error(`a column has ${values} values for ${rows} rows`);
  }
  return checks;
}

interface Page {
  /** Where it starts in its column. */
  at: number;
  bytes: Uint8Array;
  /** Its bytes when it is decompressed. */
  large: number;
}

/** A page whose levels stand before its values, and are compressed with them. */
function checkDataPage(
  { at, bytes }: Page,
  head: Thrift,
  { levels, isCompressed }: ChunkClaims,
  checks: Map<number, PageCheck>,
): number {
  const values = count(field(head, 1));
  const encoding = count(field(head, 2));
  const check = (page: Uint8Array) => {
    let at = 0;
    for (const level of [levels.repetition, levels.definition]) {
      if (level === 0) continue;
      if (at + 4 > page.length) throw new Error("a page is shorter than its levels");
      const length = new DataView(page.buffer, page.byteOffset, page.length).getUint32(at, true);
      at += 4;
      if (length > page.length - at) throw new Error("a page is shorter than its levels");
      checkRuns(page.subarray(at, at + length), bitsOf(level), values);
      at += length;
    }
    checkValues(page.subarray(at), encoding, values);
  };
  if (isCompressed) checks.set(at, check);
  else check(bytes);
  return values;
}

/** A page of the second kind, whose levels are never compressed. */
function checkDataPage2(
  { at, bytes, large }: Page,
  head: Thrift,
  { levels, isCompressed }: ChunkClaims,
  checks: Map<number, PageCheck>,
): number {
  const [values, nulls] = [count(field(head, 1)), count(field(head, 2))];
  const encoding = count(field(head, 4));
  const [definition, repetition] = [count(field(head, 5)), count(field(head, 6))];
  if (nulls > values || definition + repetition > Math.min(bytes.length, large)) {
    throw new Error("the head of a page contradicts itself");
  }
  if (levels.repetition > 0) checkRuns(bytes, bitsOf(levels.repetition), values);
  if (levels.definition > 0) {
    checkRuns(bytes.subarray(repetition), bitsOf(levels.definition), values);
  }
  const from = definition + repetition;
  const check = (page: Uint8Array) => checkValues(page, encoding, values - nulls);
  if (isCompressed && field(head, 7) !== FALSE) checks.set(at + from, check);
  else check(bytes.subarray(from));
  return values;
}

function checkValues(page: Uint8Array, encoding: number, values: number): void {
  if (values === 0 || page.length === 0) return;
  if (encoding === ENCODING.dictionary || encoding === ENCODING.plainDictionary) {
    if (page[0] > 32) throw new Error("an index into a dictionary has more than 32 bits");
    // Where nulls are, there are fewer; runs never have more than these.
    if (page[0] > 0) checkRuns(page.subarray(1), page[0], values, true);
  } else if (DELTAS.includes(encoding)) {
    const reader = new CompactReader(page);
    const [block, parts] = [reader.varint(), reader.varint()];
    if (!(block > 0 && block <= MOST_BLOCK && parts > 0 && parts <= MOST_MINIBLOCKS)) {
      throw new Error("a page of differences claims blocks that there are not");
    }
  }
}

/**
 * Goes through runs of equal values and groups of packed ones.
 *
 * @param mayEnd Whether fewer values than these will do.
 * @returns Their bytes.
 */
function checkRuns(bytes: Uint8Array, bits: number, values: number, mayEnd = false): number {
  const reader = new CompactReader(bytes);
  for (let seen = 0; seen < values;) {
    if (mayEnd && reader.at >= bytes.length) break;
    const head = reader.varint();
    const packed = head % 2 === 1;
    const run = packed ? (head - 1) / 2 * 8 : head / 2;
    const spare = packed ? PACKED_SPARE : 0;
    if (run > values - seen + spare) throw new Error(`a run of ${run} values is too long`);
    seen += run;
    reader.at += packed ? run / 8 * bits : (bits + 7) >> 3;
  }
  return reader.at;
}

/** Packed values come in groups, of which the last one is filled up. */
const PACKED_SPARE = 512;

function bitsOf(level: number): number {
  return 32 - Math.clz32(level);
}

function unfoldedLimit({ length }: Uint8Array): number {
  return Math.max(8 * FREE_BYTES, MOST_RATIO * length);
}

/** What Thrift has: numbers, and structs by the numbers of their fields. What else there is, is skipped. */
type Thrift = number | Struct | undefined;
const [TRUE, FALSE] = [1, 0];
interface Struct {
  [field: number]: Thrift;
}

function field(struct: Thrift, number: number): Thrift {
  return typeof struct === "object" ? struct[number] : undefined;
}

/** A number that counts something. */
function count(value: Thrift): number {
  if (typeof value === "number" && value >= 0) return value;
  throw new Error("the head of a page lacks a number, or it is negative");
}

/** Structs in each other that a head of a page may have. */
const MOST_LEVELS = 8;

/** Reads structs of Thrift's compact protocol. */
class CompactReader {
  at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  struct(levels = MOST_LEVELS): Struct {
    if (levels === 0) throw new Error("the head of a page is nested too deeply");
    const struct: Struct = {};
    for (let id = 0;;) {
      const byte = this.#byte();
      const type = byte & 15;
      if (type === 0) return struct;
      id = byte >> 4 === 0 ? this.#zigzag() : id + (byte >> 4);
      struct[id] = this.#value(type, levels);
    }
  }

  #value(type: number, levels: number): Thrift {
    switch (type) {
      case 1:
        return TRUE;
      case 2:
        return FALSE;
      case 3:
        this.#skip(1);
        return undefined;
      case 4:
      case 5:
      case 6:
        return this.#zigzag();
      case 7:
        this.#skip(8);
        return undefined;
      case 8: // bytes
        this.#skip(this.varint());
        return undefined;
      case 12:
        return this.struct(levels - 1);
      default: // lists, sets and maps, which heads have not
        throw new Error("the head of a page is not as it should be");
    }
  }

  #skip(count: number): void {
    this.at += count;
  }

  #byte(): number {
    if (this.at >= this.#bytes.length) throw new Error("the head of a page is cut off");
    return this.#bytes[this.at++];
  }

  varint(): number {
    let value = 0;
    for (let scale = 1; scale < 2 ** 63; scale *= 128) {
      const byte = this.#byte();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw new Error("a number in the head of a page is too long");
  }

  #zigzag(): number {
    const value = this.varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
}
