/** Reads GGUF files back by the format's description; shares nothing with the writer. */

/** What a file holds. */
export interface GgufFile {
  meta: Map<string, unknown>;
  tensors: Map<string, { type: number; shape: number[]; values: Float64Array }>;
}

/** Elements and bytes of a block, by the number of the type. */
const BLOCKS: Record<number, [number, number]> = {
  0: [1, 4],
  1: [1, 2],
  2: [32, 18],
  8: [32, 34],
  30: [1, 2],
};

export function readGguf(bytes: Uint8Array<ArrayBuffer>): GgufFile {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const u32 = () => view.getUint32((at += 4) - 4, true);
  const u64 = () => Number(view.getBigUint64((at += 8) - 8, true));
  const text = () => {
    const length = u64();
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(at, at += length));
  };
  const value = (type: number): unknown => {
    switch (type) {
      case 4:
        return u32();
      case 5:
        return view.getInt32((at += 4) - 4, true);
      case 6:
        return view.getFloat32((at += 4) - 4, true);
      case 7:
        return bytes[at++] === 1;
      case 8:
        return text();
      case 9: {
        const [of, count] = [u32(), u64()];
        return Array.from({ length: count }, () => value(of));
      }
      default:
        throw new Error(`type ${type}`);
    }
  };
  if (u32() !== 0x46554747 || u32() !== 3) throw new Error("no GGUF of version 3");
  const [tensorCount, keyCount] = [u64(), u64()];
  const meta = new Map<string, unknown>();
  for (let i = 0; i < keyCount; i++) meta.set(text(), value(u32()));
  const infos = Array.from({ length: tensorCount }, () => {
    const name = text();
    const shape = Array.from({ length: u32() }, u64).reverse();
    return { name, shape, type: u32(), offset: u64() };
  });
  const start = Math.ceil(at / 32) * 32;
  const tensors: GgufFile["tensors"] = new Map();
  let end = start;
  for (const { name, shape, type, offset } of infos) {
    if (offset % 32 !== 0 || start + offset !== Math.ceil(end / 32) * 32) throw new Error(name);
    const count = shape.reduce((a, b) => a * b, 1);
    const [elements, size] = BLOCKS[type];
    end = start + offset + count / elements * size;
    const values = Float64Array.from({ length: count }, (_, i) => {
      const block = start + offset + Math.floor(i / elements) * size;
      const j = i % elements;
      if (type === 0) return view.getFloat32(block, true);
      if (type === 1) return view.getFloat16(block, true);
      if (type === 30) {
        return new Float32Array(Uint32Array.of(view.getUint16(block, true) << 16).buffer)[0];
      }
      const scale = view.getFloat16(block, true);
      if (type === 8) return scale * view.getInt8(block + 2 + j);
      const byte = bytes[block + 2 + j % 16];
      return scale * ((j < 16 ? byte & 15 : byte >> 4) - 8);
    });
    tensors.set(name, { type, shape, values });
  }
  if (Math.ceil(end / 32) * 32 !== bytes.length) throw new Error("bytes left over");
  return { meta, tensors };
}
