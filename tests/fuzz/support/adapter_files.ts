/**
 * The two files of an adapter's folder, in memory.
 *
 * @module
 */

import { MemoryFiles } from "./memory_files.ts";

/** A folder that holds an adapter. */
export class FolderFiles implements Disposable {
  readonly folder = "/adapter";
  readonly #files = new MemoryFiles();

  /** Writes the settings, and F32 tensors of these shapes whose elements are all the same. */
  write(settings: string, tensors: ReadonlyMap<string, readonly number[]>, value: number): void {
    const header: Record<string, unknown> = {};
    let end = 0;
    for (const [name, shape] of tensors) {
      const start = end;
      end += 4 * shape.reduce((product, size) => product * size, 1);
      header[name] = { dtype: "F32", shape, data_offsets: [start, end] };
    }
    const text = new TextEncoder().encode(JSON.stringify(header));
    const bytes = new Uint8Array(8 + text.length + end);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt(text.length), true);
    bytes.set(text, 8);
    for (let at = 8 + text.length; at < bytes.length; at += 4) view.setFloat32(at, value, true);
    const { files } = this.#files;
    files.set(`${this.folder}/adapter_config.json`, new TextEncoder().encode(settings));
    files.set(`${this.folder}/adapter_model.safetensors`, bytes);
  }

  /** Gives Deno its own files back. */
  [Symbol.dispose](): void {
    this.#files[Symbol.dispose]();
  }
}
