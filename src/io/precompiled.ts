/**
 * The table of sentencepiece's normalizations, `precompiled_charsmap`: a trie of byte sequences, and the
 * texts that replace them. The native library follows it without a look at its bounds, and takes the
 * process down where it leads out of them.
 *
 * @module
 */

/** The largest table, in bytes: those of models have some hundred thousand. */
const LARGEST = 1 << 24;
/** The longest replacement, in bytes: Unicode's own has 33. */
const LONGEST = 128;

/** Whether a value is a table, in base64, that no text leads out of. */
export function isReadableCharsmap(value: unknown): boolean {
  if (typeof value !== "string" || value.length > LARGEST) return false;
  let bytes: Uint8Array;
  try {
    bytes = Uint8Array.from(atob(value), (character) => character.charCodeAt(0));
  } catch {
    return false;
  }
  if (bytes.length < 8) return false;
  const view = new DataView(bytes.buffer);
  const size = view.getUint32(0, true);
  if (size === 0 || size % 4 !== 0 || 4 + size > bytes.length) return false;
  const units = Array.from({ length: size / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
  const texts = bytes.subarray(4 + size);
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(texts);
  } catch {
    return false;
  }
  return staysWithin(units, texts);
}

/** Follows a double array of units from its root along every byte. */
function staysWithin(units: readonly number[], texts: Uint8Array): boolean {
  const seen = new Set<number>();
  const waiting = [offsetOf(units[0])];
  while (waiting.length > 0) {
    const base = waiting.pop()!;
    if (seen.has(base)) continue;
    seen.add(base);
    for (let byte = 0; byte < 256; byte++) {
      const place = (base ^ byte) >>> 0;
      if (place >= units.length) return false;
      const unit = units[place];
      if (byte === 0 || ((unit & 0x800000ff) >>> 0) !== byte) continue;
      const next = (place ^ offsetOf(unit)) >>> 0;
      waiting.push(next);
      if ((unit >>> 8 & 1) === 0) continue;
      if (next >= units.length) return false;
      const start = units[next] & 0x7fffffff;
      // A replacement begins with a whole character, and ends with a zero.
      const end = texts.indexOf(0, start);
      if (end < 0 || end - start > LONGEST || (texts[start] & 0xc0) === 0x80) return false;
    }
  }
  return true;
}

/** How far away the children of a unit stand. */
function offsetOf(unit: number): number {
  return (unit >>> 10 << ((unit & (1 << 9)) >>> 6)) >>> 0;
}
