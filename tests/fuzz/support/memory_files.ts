/**
 * Files in memory in place of those on the disk, for parsers that open a file by its path: a campaign of many inputs then
 * writes none, and a read can give as few bytes as a system may.
 *
 * @module
 */

/** Files by their paths. While it is open, Deno opens these and no others. */
export class MemoryFiles implements Disposable {
  /** The bytes of each file. */
  readonly files: Map<string, Uint8Array> = new Map();
  /** The most bytes that a read gives. */
  most = Infinity;
  /** Files that are open. */
  opened = 0;
  readonly #open = Deno.open;
  readonly #stat = Deno.stat;

  constructor() {
    const find = (path: string | URL) => {
      const bytes = this.files.get(String(path));
      if (bytes === undefined) throw new Deno.errors.NotFound(`No such file: ${path}`);
      return bytes;
    };
    // deno-lint-ignore require-await
    Deno.open = async (path) => this.#file(find(path));
    // deno-lint-ignore require-await
    Deno.stat = async (path) => information(find(path));
  }

  #file(bytes: Uint8Array): Deno.FsFile {
    let at = 0;
    let open = true;
    this.opened++;
    const close = () => {
      if (open) this.opened--;
      open = false;
    };
    const file = {
      // deno-lint-ignore require-await
      read: async (into: Uint8Array) => {
        const count = Math.min(into.length, bytes.length - at, this.most);
        if (count <= 0) return into.length === 0 ? 0 : null;
        into.set(bytes.subarray(at, at + count));
        at += count;
        return count;
      },
      // deno-lint-ignore require-await
      seek: async (to: number | bigint) => {
        if (!(Number(to) >= 0)) throw new TypeError(`cannot seek to ${to}`);
        return at = Number(to);
      },
      // deno-lint-ignore require-await
      stat: async () => information(bytes),
      close,
      [Symbol.dispose]: close,
    };
    return file as unknown as Deno.FsFile;
  }

  [Symbol.dispose](): void {
    Deno.open = this.#open;
    Deno.stat = this.#stat;
  }
}

function information(bytes: Uint8Array): Deno.FileInfo {
  return { size: bytes.length, isFile: true, isDirectory: false } as Deno.FileInfo;
}
